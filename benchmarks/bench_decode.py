"""Large photos: a comparison of decoders, the time of larger photos, and whether answers change.

    .venv/bin/python benchmarks/bench_decode.py [IMAGENET]

IMAGENET has a folder of photos per WordNet id; by default the one beside the checkout. Its photos
are enlarged, and fine detail (that of another photo) and noise are added, as in a camera's photos.
Decoders that are not installed (simplejpeg, PyTurboJPEG, opencv-python-headless) are left out. The
time ends with the Pillow image that is resized next: ours returns one, the arrays of the others are
copied into one.
"""

from __future__ import annotations

import functools
import io
import statistics
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import common
import triptych
from triptych import data
from triptych import images
from triptych.inference.classifier import Classifier
from triptych.inference.committee import Committee
from triptych.preprocessing import recipe
from triptych.utils import concurrency

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
SEED, REPEATS, TURNS, QUALITY = 0, 9, 25, 90
SIZES = {"0.2 MP": (548, 411), "2 MP": (1632, 1224), "12 MP": (4000, 3000)}
# Shorter sides: those where half the size is just enough (the worst case), and a camera's photos.
WORST_PX, CAMERA_PX, CAMERA_EVERY = (1440, 1700), 3000, 8

Decoder = Callable[[bytes, int], Any]


def main() -> None:
    """Measure, print tables, check the claims."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA / "imagenet-mini"
    lite = triptych.load("lite", precision="f32")
    labelled = data.labelled(folder, lite.committee.labels).photos
    photos = {name: camera(labelled, 0, size) for name, size in SIZES.items()}
    print({name: f"{len(data) / 1e6:.2f} MB" for name, data in photos.items()})
    decoders = decoding_ms(photos)
    clock = {precision: classify_ms(precision, photos) for precision in ("f32", "auto")}
    agreement = compare_answers(lite, labelled)
    verdict = agreement["committee"]
    common.finish(
        "decode",
        {"decode_ms": decoders, "classify_ms": clock, "answers": agreement, "seed": SEED},
        {
            "12 megapixels take at most 2.5 times as long as 0.2": clock["auto"]["ratio"] <= 2.5,
            "top-1 agrees on 99 % or more": verdict["agreement"] >= 0.99,
            "accuracy within 0.3 points": abs(verdict["after"] - verdict["before"]) <= 0.003,
        },
    )


def camera(photos: Any, number: int, size: tuple[int, int]) -> bytes:
    """A photo enlarged to ``size``, as a JPEG with subsampled colours, as a camera writes it."""
    width, height = size
    with Image.open(photos[number][0]) as photo:
        large = np.array(photo.convert("RGB").resize(size, Image.Resampling.LANCZOS), np.int16)
    with Image.open(photos[(7 * number + 13) % len(photos)][0]) as other:
        grey = other.convert("L").resize((500, 400))
    smooth = grey.reduce(4).resize(grey.size, Image.Resampling.BICUBIC)
    detail = 0.4 * (np.asarray(grey, np.float32) - np.asarray(smooth, np.float32))
    noise = np.random.default_rng(SEED).normal(0, 4, (1600, 2000))
    texture = (np.tile(detail, (4, 4)) + noise).astype(np.int16)
    large += np.tile(texture, (-(-height // 1600), -(-width // 2000)))[:height, :width, None]
    file = io.BytesIO()
    picture = Image.fromarray(large.clip(0, 255).astype(np.uint8))
    picture.save(file, "JPEG", quality=QUALITY, subsampling="4:2:0")
    return file.getvalue()


# Decoders: each gets the bytes, and how many times smaller the image may be


def decoding_ms(photos: dict[str, bytes]) -> dict[str, dict[str, float]]:
    """Milliseconds to an image, by decoder and then by photo and scale."""
    scales = [(name, times) for name in photos for times in ((1,) if "0." in name else (1, 2, 4))]
    table = {
        decoder: {
            f"{name} 1/{times}": common.median_ms(
                functools.partial(work, photos[name], times), repeats=REPEATS
            )
            for name, times in scales
        }
        for decoder, work in installed()
    }
    columns = [f"{name} 1/{times}" for name, times in scales]
    print(f"\n{'ms to an image':<16}" + "".join(f"{column:>12}" for column in columns))
    for decoder, row in table.items():
        print(f"{decoder:<16}" + "".join(f"{row[column]:>12.1f}" for column in columns))
    return table


def installed() -> Iterator[tuple[str, Decoder]]:
    """The decoders that are installed."""
    yield "triptych", lambda data, times: images.picture(data, enough=_shorter(data) // times)
    for name, build in (
        ("simplejpeg", _simplejpeg),
        ("PyTurboJPEG", _pyturbojpeg),
        ("OpenCV", _opencv),
    ):
        try:
            decode = build()
        except (ImportError, RuntimeError) as error:
            print(f"{name} is left out: {error}")
            continue
        yield name, functools.partial(_image, decode)


def _image(decode: Decoder, data: bytes, times: int) -> Image.Image:
    return Image.fromarray(decode(data, times))


def _shorter(data: bytes) -> int:
    return min(Image.open(io.BytesIO(data)).size)


def _simplejpeg() -> Decoder:
    import simplejpeg

    def work(data: bytes, times: int) -> Any:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        least = {"min_height": height // times, "min_width": width // times}
        return simplejpeg.decode_jpeg(data, **least, min_factor=1)

    return work


def _pyturbojpeg() -> Decoder:
    import turbojpeg

    library = turbojpeg.TurboJPEG()
    return lambda data, times: library.decode(
        data, pixel_format=turbojpeg.TJPF_RGB, scaling_factor=(1, times)
    )


def _opencv() -> Decoder:
    import cv2

    reduced = {
        1: cv2.IMREAD_COLOR_RGB,
        2: cv2.IMREAD_REDUCED_COLOR_2,
        4: cv2.IMREAD_REDUCED_COLOR_4,
    }

    def work(data: bytes, times: int) -> Any:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), reduced[times])
        return picture if times == 1 else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)

    return work


# From the bytes to the verdict


def classify_ms(precision: str, photos: dict[str, bytes]) -> dict[str, float]:
    """Median milliseconds of `classify`, in turns, and the ratio of largest to smallest."""
    classifier = triptych.load("lite", precision=precision)
    spent: dict[str, list[float]] = {name: [] for name in photos}
    for turn in range(TURNS + 2):
        for name, photo in photos.items():
            start = time.perf_counter()
            classifier.classify(photo)
            if turn >= 2:
                spent[name].append((time.perf_counter() - start) * 1000)
    median = {name: statistics.median(times) for name, times in spent.items()}
    median["ratio"] = median["12 MP"] / median["0.2 MP"]
    print(f"\nlite at {precision}: " + ", ".join(f"{k} {v:.3g}" for k, v in median.items()))
    return median


def compare_answers(classifier: Classifier, labelled: Any) -> dict[str, dict[str, float]]:
    """How answers differ from decoding in full and resizing plainly, by member and for all."""
    committee = classifier.committee
    enough = recipe.enough(member.recipe for member in committee.members)

    def predict(number: int) -> list[list[Any]]:
        data = _enlarged(labelled, number)
        ways = [(images.decode(data), _plain), (images.decode(data, enough=enough), recipe.apply)]
        return [
            [m.engine.run(way(m.recipe, pixels)[None]).probs[0] for m in committee.members]
            for pixels, way in ways
        ]

    with ThreadPoolExecutor(concurrency.cpu_count()) as pool:
        probs = np.array(list(pool.map(predict, range(len(labelled)))))  # (N, 2, M, C)
    targets = np.array([label for _, label in labelled])
    before, after = probs.transpose(1, 2, 0, 3)  # (M, N, C) each
    named = {m.name: (before[i], after[i]) for i, m in enumerate(committee.members)}
    named["committee"] = (_combine(committee, before), _combine(committee, after))
    print(f"\n{len(targets)} enlarged photos, decoded in full and at a reduced scale")
    return {name: _compare(name, *pair, targets) for name, pair in named.items()}


def _combine(committee: Committee, probs: Any) -> Any:
    calibrated = [committee.params.calibrate(*each) for each in enumerate(probs)]
    return committee.params.join(committee.rule, np.stack(calibrated))


def _enlarged(labelled: Any, number: int) -> bytes:
    with Image.open(labelled[number][0]) as photo:
        size = photo.size
    rng = np.random.default_rng((SEED, number))
    shorter = CAMERA_PX if number % CAMERA_EVERY == 0 else int(rng.integers(*WORST_PX))
    times = min(shorter / min(size), 6000 / max(size))
    return camera(labelled, number, (round(times * size[0]), round(times * size[1])))


def _plain(member_recipe: recipe.Recipe, pixels: Any) -> Any:
    resample = recipe.INTERPOLATIONS[member_recipe.interpolation]
    part = recipe.window(member_recipe, *pixels.shape[:2])
    small = Image.fromarray(pixels).resize(member_recipe.size[::-1], resample, box=part)
    return recipe.scale(member_recipe, np.asarray(small))


def _compare(name: str, before: Any, after: Any, targets: Any) -> dict[str, float]:
    change = np.abs(after.max(axis=1) - before.max(axis=1))
    figures = {
        "before": float((before.argmax(axis=1) == targets).mean()),
        "after": float((after.argmax(axis=1) == targets).mean()),
        "agreement": float((before.argmax(axis=1) == after.argmax(axis=1)).mean()),
        "mean_change": float(change.mean()),
        "largest_change": float(change.max()),
    }
    print(f"{name:<18}" + ", ".join(f"{key} {value:.4f}" for key, value in figures.items()))
    return figures


if __name__ == "__main__":
    main()
