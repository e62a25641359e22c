"""Exports against the committee they were made of: the same verdicts, the same probabilities, time.

    .venv/bin/python benchmarks/bench_exports.py [FORMAT]... [COMMITTEE=FOLDER]...

Each committee is exported in every format of the table whose packages are installed, at f32, and at
int8 where it was quantized (`triptych optimize`), and answers 200 real photos of its folder: as
they are, turned by EXIF, tiny, tall, wide, enlarged to those of a camera, grey, and transparent. By
default the committee is `lite` and the folder that of ImageNet beside the checkout. Times are those
of one photo after another, decoding included.
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL import ImageOps

import common
from triptych import errors
from triptych import settings
from triptych.bundles import loading
from triptych.engines.options import EngineOptions
from triptych.exports import checking
from triptych.exports import exporting
from triptych.exports import formats
from triptych.inference.classifier import Classifier
from triptych.preprocessing import recipe
from triptych.typing import UInt8Image

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
PHOTOS, SEED = 200, 0
ENDINGS = {".jpg", ".jpeg", ".png"}
# How far whole committees may be from what they were made of.
WHOLE = ("onnx", "openvino")
SAME_VERDICTS, MEAN_DIFFERENCE = 0.995, 0.003


def main() -> None:
    """Measure, print a table, check the claims."""
    pairs = [text.split("=", 1) for text in sys.argv[1:] if "=" in text]
    pairs = pairs or [["lite", str(DATA / "imagenet-mini")]]
    rows = [formats.find("", text) for text in sys.argv[1:] if "=" not in text]
    figures: dict[str, Any] = {}
    claims: dict[str, bool] = {}
    for name, folder in pairs:
        photos = list(variants(Path(folder)))
        for precision in ("f32", "int8"):
            home = settings.load(os.environ).home
            options = EngineOptions(home, precision=precision, report=print)
            try:
                classifier = loading.load_classifier(name, options)
            except errors.SettingError as error:
                print(f"{name} at {precision} is left out: {error.message}")
                continue
            answers, ms = classified(classifier, photos)
            figures[f"{name} {precision}"] = {"classifier_ms": ms}
            for row in rows or formats.FORMATS.values():
                key = f"{name} {precision} {row.name}"
                measured = measure(name, row, options, classifier, photos, answers)
                if measured is None:
                    continue
                figures[key] = {**measured, "classifier_ms": ms}
                print(key, figures[key])
                if row.name in WHOLE:
                    same = measured["same"] >= SAME_VERDICTS
                    claims[f"{key}: {SAME_VERDICTS:.1%} the same verdict"] = same
                    near = measured["mean"] <= MEAN_DIFFERENCE
                    claims[f"{key}: mean difference at most {MEAN_DIFFERENCE}"] = near
    common.finish("exports", {**figures, "photos": PHOTOS, "seed": SEED}, claims)


def variants(folder: Path) -> Iterator[bytes]:
    """Files of photos, of all sizes and turns."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    rng = np.random.default_rng(SEED)
    kinds = [as_it_is, turned, tiny, as_it_is, squeezed, large, turned, grey, as_it_is, transparent]
    for number, index in enumerate(np.linspace(0, len(files) - 1, PHOTOS).astype(int)):
        yield kinds[number % len(kinds)](files[index], rng)


def as_it_is(path: Path, rng: np.random.Generator) -> bytes:
    """The file."""
    return path.read_bytes()


def turned(path: Path, rng: np.random.Generator) -> bytes:
    """As a camera that was held otherwise writes it."""
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(2, 9))
    return _saved(_opened(path), "JPEG", exif=exif)


def tiny(path: Path, rng: np.random.Generator) -> bytes:
    """With 8 to 120 pixels on the shorter side."""
    photo = _opened(path)
    share = rng.integers(8, 120) / min(photo.size)
    return _saved(photo.resize([max(1, round(side * share)) for side in photo.size]), "PNG")


def squeezed(path: Path, rng: np.random.Generator) -> bytes:
    """Tall or wide, up to one to eight."""
    photo, share = _opened(path), rng.uniform(2, 8)
    width, height = photo.size
    size = (width, max(1, round(height / share)))
    if rng.random() < 0.5:
        size = (max(1, round(width / share)), height)
    return _saved(photo.resize(size), "JPEG")


def large(path: Path, rng: np.random.Generator) -> bytes:
    """With 900 to 3000 pixels on the shorter side."""
    photo = _opened(path)
    share = rng.integers(900, 3000) / min(photo.size)
    form = "JPEG" if rng.random() < 0.5 else "PNG"
    size = [round(side * share) for side in photo.size]
    return _saved(photo.resize(size, Image.Resampling.LANCZOS), form)


def grey(path: Path, rng: np.random.Generator) -> bytes:
    """Without colours."""
    return _saved(_opened(path).convert("L"), "JPEG")


def transparent(path: Path, rng: np.random.Generator) -> bytes:
    """Half transparent on one side."""
    photo = _opened(path).convert("RGBA")
    ramp = np.linspace(0, 255, photo.width).astype(np.uint8)
    photo.putalpha(Image.fromarray(np.tile(ramp, (photo.height, 1))))
    return _saved(photo, "PNG")


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def _saved(photo: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    photo.save(file, form, **({"quality": 92, "compress_level": 1} | options))
    return file.getvalue()


def read(data: bytes, enough: int) -> UInt8Image:
    """The pixels of a photo, as the program beside an export reads them."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft(image.mode, (enough, enough))
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            upright = Image.alpha_composite(
                Image.new("RGBA", upright.size, "white"), upright.convert("RGBA")
            )
        return np.asarray(upright.convert("RGB"))


def classified(classifier: Classifier, photos: list[bytes]) -> tuple[list[Any], float]:
    """The verdicts of the committee, and the median milliseconds of one."""
    classes = len(classifier.committee.labels)
    return timed(lambda photo: classifier.classify(photo, top=classes), photos)


def timed(work: Callable[[bytes], Any], photos: list[bytes]) -> tuple[list[Any], float]:
    """What comes of each photo, and the median milliseconds of one."""
    for photo in photos[:10]:  # warm-up, of every kind
        work(photo)
    answers, times = [], []
    for photo in photos:
        start = time.perf_counter()
        answers.append(work(photo))
        times.append(1000 * (time.perf_counter() - start))
    return answers, round(statistics.median(times), 2)


def measure(
    name: str,
    row: formats.Format,
    options: EngineOptions,
    classifier: Classifier,
    photos: list[bytes],
    expected: list[Any],
) -> dict[str, Any] | None:
    """Export a committee, and compare what it answers; ``None`` where that is not possible."""
    enough = recipe.enough(member.recipe for member in classifier.committee.members)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}{row.ending}"
        try:
            export_options = exporting.ExportOptions(format=row.name)
            exporting.export(name, path, replace(options), export_options)
        except errors.TriptychError as error:
            print(f"{name} as {row.name} is left out: {error.message}")
            return None
        size = sum(each.stat().st_size for each in Path(folder).rglob("*") if each.is_file())
        run = row.open(path)
        answers, ms = timed(lambda photo: run(read(photo, enough)), photos)
    gaps = [
        np.abs(answer.probs - checking.probs_of(verdict))
        for answer, verdict in zip(answers, expected, strict=True)
    ]
    pairs = list(zip(answers, expected, strict=True))
    return {
        # Of all classes of a committee, some are always near the end of a prediction set.
        "same_with_set": statistics.mean(checking.is_same(*pair) for pair in pairs),
        "same": statistics.mean(
            int(answer.probs.argmax()) == verdict.label.index
            and answer.status in (verdict.status, None)
            for answer, verdict in pairs
        ),
        "largest": round(float(max(gap.max() for gap in gaps)), 5),
        # Of the class that the committee names, and of the class that differs most.
        "mean": round(
            float(
                np.mean(
                    [
                        abs(answer.probs[verdict.label.index] - verdict.prob)
                        for answer, verdict in pairs
                    ]
                )
            ),
            6,
        ),
        "mean_of_largest": round(float(np.mean([gap.max() for gap in gaps])), 6),
        "ms": ms,
        "mb": round(size / 1e6, 1),
    }


if __name__ == "__main__":
    main()
