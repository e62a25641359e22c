"""Made what lies beside it, under Triptych 0.1.0; no later version runs it.

PYTHONPATH=CHECKOUT_OF_0.1.0/src .venv/bin/python tests/written_by_0_1_0/make.py
"""

# ruff: noqa: I001  (it names modules as they were called in 0.1.0)

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL import ImageDraw

HERE = Path(__file__).parent
HOME = HERE / "home"
CLASSES = ("discs", "rays", "tiles")
PER_CLASS = 8
LITE_CLASSES = ("n01440764", "n02123045", "n07753592")
PHOTOS_URL = "memory://written/photos"

# What is taught must be small, and no network of the zoo is: a copy of the package gets two more.
TINY_ROWS = """

from triptych.zoo.network import multiply_adds  # noqa


def _tiny(name: str, side: int, channels: int) -> Backbone:
    return Backbone(
        name=name,
        family="Tiny",
        builder=f"make:{name}",
        recipe=recipe.Recipe((side, side), "tf"),
        feature_length=channels,
        parameters=10_000,
        multiply_adds=side * side * 1000,
        top1=0.5,
        weights=WeightsSource(f"{name}.h5", "https://example.org/", None, None, 0.1),
        licence="Apache-2.0",
        paper="Drawn by lot",
    )


ROWS = (*ROWS, _tiny("TinySmall", 32, 16), _tiny("TinyLarge", 48, 24))
"""


def TinySmall(**built: Any) -> Any:  # noqa: N802
    return _tiny(16, **built)


def TinyLarge(**built: Any) -> Any:  # noqa: N802
    return _tiny(24, **built)


def _tiny(channels: int, *, weights: None, input_shape: tuple[int, ...]) -> Any:
    import keras
    from keras import layers

    image = keras.Input(input_shape)
    features = layers.Conv2D(channels, 5, strides=2, activation="relu")(image)
    pooled = layers.GlobalAveragePooling2D()(features)
    return keras.Model(image, layers.Dense(8, activation="softmax")(pooled))


def drawing(kind: str, seed: int) -> bytes:
    """A disc, rays or tiles, in any colours and place."""
    rng = np.random.default_rng([CLASSES.index(kind), seed])
    back, front = (tuple(map(int, rng.integers(*span, 3))) for span in ((0, 110), (140, 256)))
    image = Image.new("RGB", (64, 48), back)
    draw = ImageDraw.Draw(image)
    x, y, size = map(int, rng.integers((24, 18, 10), (40, 30, 16)))
    if kind == "discs":
        draw.ellipse((x - size, y - size, x + size, y + size), fill=front)
    elif kind == "rays":
        for angle in rng.uniform(0, 2 * np.pi, 10):
            draw.line([(x, y), (x + 90 * np.cos(angle), y + 90 * np.sin(angle))], fill=front)
    else:
        step = size // 2
        for left in range(0, 64, step):
            for top in range(left // step % 2 * step, 48, 2 * step):
                draw.rectangle((left, top, left + step - 1, top + step - 1), fill=front)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def tinted(channel: int, seed: int) -> bytes:
    """Coarse noise in which one colour is strongest."""
    rng = np.random.default_rng([channel, seed])
    coarse = rng.integers(0, 130, (6, 6, 3)).astype(np.uint8)
    coarse[..., channel] += 90
    file = io.BytesIO()
    Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def run(*arguments: str | Path) -> str:
    """What a command of Triptych prints."""
    from click.testing import CliRunner

    from triptych.cli import main

    done = CliRunner().invoke(main, [*map(str, arguments), "--home", str(HOME)])
    assert done.exit_code == 0, done.output
    return done.stdout


def main() -> None:
    import triptych

    if "TINY" in os.environ:
        make(Path(os.environ["TINY"]))
        return
    assert triptych.__version__ == "0.1.0"
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copytree(Path(triptych.__file__).parent, Path(scratch) / "triptych")
        with (Path(scratch) / "triptych" / "zoo" / "table.py").open("a") as table:
            table.write(TINY_ROWS)
        environment = {
            "TINY": scratch,
            "PYTHONPATH": f"{scratch}:{HERE}",
            "KERAS_HOME": f"{scratch}/keras",
        }
        subprocess.run([sys.executable, __file__], env={**os.environ, **environment}, check=True)


def make(scratch: Path) -> None:
    for old in ("home", "answers", "photos"):
        shutil.rmtree(HERE / old, ignore_errors=True)
    _weights(scratch / "keras" / "models")
    _photos(HERE / "photos")
    _project()
    _versions(scratch / "others")
    _fit(scratch / "tinted")
    _answers()
    _tidy()
    lines = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in _expected().items())
    (HERE / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    _tidy()


def _weights(folder: Path) -> None:
    import h5py

    folder.mkdir(parents=True)
    for seed, (name, channels) in enumerate((("TinySmall", 16), ("TinyLarge", 24))):
        rng = np.random.default_rng(seed)
        shapes = [(5, 5, 3, channels), (channels,), (channels, 8), (8,)]
        arrays = [rng.normal(0, shape[0] ** -1 / 2, shape).astype(np.float32) for shape in shapes]
        with h5py.File(folder / f"{name}.h5", "w") as file:
            layers = ["input", "seen", "pool", "classes"]
            file.attrs["layer_names"] = [layer.encode() for layer in layers]
            file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.1.6"
            for layer in layers:
                group = file.create_group(layer)
                has = layer in ("seen", "classes")
                group.attrs["weight_names"] = [b"kernel", b"bias"] if has else []
                for part in ("kernel", "bias") if has else ():
                    group.create_dataset(part, data=arrays.pop(0))


def _photos(folder: Path) -> None:
    """Photos that were taught to nobody, to be asked about."""
    folder.mkdir()
    for number, kind in enumerate(("discs", "rays", "tiles", "discs")):
        (folder / f"{number}-{kind}.png").write_bytes(drawing(kind, 100 + number))


def _project() -> None:
    """A project with a history, taught in a job; and a photo that waits in the inbox."""
    import triptych
    from triptych.jobs import Jobs
    from triptych.projects import Projects

    projects = Projects(HOME)
    key = projects.make("Shapes").key
    ids = {kind: projects.add_class(key, kind).id for kind in (*CLASSES, "blots")}
    photos = {
        (kind, seed): projects.add(key, f"{kind}-{seed}.png", drawing(kind, seed), ids[kind]).digest
        for kind in CLASSES
        for seed in range(PER_CLASS)
    }
    projects.add(key, "some.png", drawing("rays", 90))
    projects.decide(key, [photos["discs", 0]], class_id=ids["rays"])
    projects.decide(key, [photos["tiles", 1]], exclude=True)
    projects.decide(key, [photos["rays", 2], photos["rays", 3]], class_id=ids["tiles"])
    projects.undo(key)
    projects.confirm(key, [photos["tiles", 4]])
    projects.remove_class(key, ids["blots"])
    jobs = Jobs(projects, HOME, {"precision": "f32"})
    job = jobs.start(key, {"backbones": ["TinySmall", "TinyLarge"], "augment": ["flips"]})
    while jobs.state(job.id).is_under_way:
        time.sleep(0.2)
    assert jobs.state(job.id).state == "done", jobs.state(job.id)
    run("bundles", "activate", "shapes@1")
    photo = HERE / "photos" / "0-discs.png"
    verdict = triptych.load("shapes", precision="f32", home=HOME).classify(photo)
    verdict_fields = {**verdict.to_dict(), "source": photo.name, "timing": None}
    projects.keep(photo.name, photo.read_bytes(), verdict_fields)


def _versions(folder: Path) -> None:
    """Words on its card; a second version, with int8 networks; and the first is served again."""
    from triptych import bundle

    bundle.say(HOME, "shapes", {"use": "To see whether it opens.", "licence": "Apache-2.0"})
    for kind in CLASSES:
        (folder / kind).mkdir(parents=True)
        for seed in range(200, 230):
            (folder / kind / f"{seed}.png").write_bytes(drawing(kind, seed))
    run("optimize", "shapes", "--images", folder, "--max-loss", "100")
    run("bundles", "activate", "shapes@1")


def _fit(folder: Path) -> None:
    for channel, name in enumerate(LITE_CLASSES):
        (folder / name).mkdir(parents=True)
        for seed in range(20):
            (folder / name / f"{seed}.png").write_bytes(tinted(channel, seed))
    run("fit", folder, "--committee", "lite", "--precision", "f32")


def _answers() -> None:
    """Two parts of answers, of which the second was not reached."""
    import fsspec

    memory = fsspec.filesystem("memory")
    for path in (HERE / "photos").iterdir():
        memory.pipe_file(f"/written/photos/{path.name}", path.read_bytes())
    options = ["--committee", "shapes", "--precision", "f32", "--similar", "1"]
    run("classify", PHOTOS_URL, "--out", HERE / "answers", "--rows-per-file", "2", *options)


def _tidy() -> None:
    """Without what is made anew, and what names this machine."""
    for path in (HOME / "engines", HOME / "studio" / "jobs", HOME / "studio" / "thumbs"):
        shutil.rmtree(path, ignore_errors=True)
    for path in HOME.rglob("*.sqlite"):
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        for beside in path.parent.glob(f"{path.name}-*"):
            beside.unlink()


def _expected() -> dict[str, Any]:
    import pyarrow.parquet

    import triptych
    from triptych import bundle
    from triptych import fits
    from triptych.answers import Answers
    from triptych.features import FeatureStore
    from triptych.projects import Projects
    from triptych.projects.jobs import Rows

    projects, shapes = Projects(HOME), bundle.find(HOME, "shapes")
    classifier = triptych.load("shapes", precision="f32", home=HOME)
    lite = ["EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2"]
    fitted, predictions = fits.find(HOME, "lite", lite), Answers.read(shapes)
    assert fitted
    assert predictions
    learned = [photo for photo in projects.photos("shapes", limit=-1) if photo.class_id]
    digests = [bytes.fromhex(photo.digest) for photo in learned]
    spaces = [space.name for space in FeatureStore(HOME / "features.sqlite").spaces()]
    with sqlite3.connect(HOME / "features.sqlite") as database:
        rows = database.execute(
            "SELECT name, photo, vector FROM feature JOIN space ON space.id = space ORDER BY 1, 2"
        ).fetchall()
    parts = sorted((HERE / "answers").glob("part-*"))
    rows_written = [row for part in parts for row in pyarrow.parquet.read_table(part).to_pylist()]
    parts[1].unlink()
    return {
        "verdicts": {
            path.name: _plain(classifier.classify(path.read_bytes(), similar=2).to_dict())
            for path in sorted((HERE / "photos").iterdir())
        },
        "bundles": {**json.loads(run("bundles", "list", "--json")), "folder": None},
        "doubt": shapes.doubt.to_dict(),
        "words": shapes.words,
        "top1": shapes.metrics["committee"]["top1"],
        "learned": sorted(shapes.learned),
        "said": {
            key: [probs.tolist(), bool(held_out)]
            for key, probs, held_out in zip(
                predictions.keys, predictions.probs, predictions.held, strict=True
            )
        },
        "suspects": [json.loads(line) for line in run("suspects", "shapes", "--json").splitlines()],
        "features": {
            name: {
                "photos": sum(space == name for space, *_ in rows),
                "sha256": hashlib.sha256(
                    b"".join(photo + vector for space, photo, vector in rows if space == name)
                ).hexdigest(),
            }
            for name in sorted(spaces)
        },
        "digests": sorted(digest.hex() for digest in digests),
        "projects": json.loads(run("projects", "list", "--json")),
        "photos": [
            dataclasses.asdict(photo)
            for photo in projects.photos("shapes", excluded=None, limit=-1)
        ],
        "history": [dataclasses.asdict(one) for one in projects.history("shapes")],
        "confirmed": sorted(projects.confirmed("shapes")),
        "inbox": [dataclasses.asdict(one) for one in projects.inbox()],
        "jobs": [job.to_dict() for job in Rows(projects.database).of("shapes")],
        "fit": fitted.to_dict(),
        "answers": [_plain(row) for row in rows_written],
    }


def _plain(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key not in ("source", "timing")}


if __name__ == "__main__":
    main()
