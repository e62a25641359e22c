"""`triptych train` with features computed before: seconds and memory, by photos and classes.

    .venv/bin/python benchmarks/bench_heads.py [--head mlp] [PHOTOSxCLASSES | FOLDER ...]

All of it is measured, from reading the features of three networks to the written bundle: heads,
calibration, learning curve, report. Of a size, synthetic features of length 1,280 are scattered
around a centre per class; a fifth is held out. A folder of real photos is trained on twice: first
all features are computed, and the time is compared with that of the bare networks on photos that
were decoded before. Each runs in a separate process, which measures its peak memory. By default the
sizes in `LIMITS` run whose limit is at most two minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import common
from triptych import data
from triptych import features
from triptych import images
from triptych.engines.options import EngineOptions
from triptych.models import zoo
from triptych.preprocessing import recipe
from triptych.training import pipeline
from triptych.training.config import TrainingConfig
from triptych.typing import Array
from triptych.utils import concurrency

# Seconds and GB allowed on two cores.
LIMITS = {
    "flowers12": (6, 2),
    "omniglot136": (45, 2),
    "3000x10": (12, 2),
    "6000x10": (24, 2),
    "12000x10": (55, 2),
    "2640x81": (30, 2),
    "5280x81": (60, 2),
    "50000x1000": (900, 6),
}
TWICE = 2.3
COLD = 1.5
LENGTH = 1280
BACKBONES = zoo.COMMITTEES["lite"]
# Photos generated at a time.
CHUNK = 4096
# Of a folder, photos that the bare networks are measured with.
BARE_PHOTOS = 200


def main() -> None:
    """Measure each size or folder, print a table, check the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--head", default="linear")
    parser.add_argument("--one", action="store_true")
    parser.add_argument("sets", nargs="*")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.sets[0], args.head)))
        return
    sets = args.sets or [n for n, (seconds, _) in LIMITS.items() if "x" in n and seconds <= 120]
    figures, claims = dict[str, Any](), dict[str, bool]()
    for name in sets:
        command = [sys.executable, __file__, "--head", args.head, "--one", name]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        name = Path(name).name
        figures[name] = figure = json.loads(output.splitlines()[-1])
        print(name, figure, flush=True)
        if name in LIMITS:
            seconds, gigabytes = LIMITS[name]
            claims[f"{name}: at most {seconds} s"] = figure["s"] <= seconds
            claims[f"{name}: at most {gigabytes} GB"] = figure["peak_mb"] <= 1000 * gigabytes
        if "bare_s" in figure:
            claims[f"{name}: cold at most {COLD} times as long as the bare networks"] = (
                figure["cold_s"] <= COLD * figure["bare_s"]
            )
    for name in figures:
        photos, _, classes = name.partition("x")
        twice = f"{2 * int(photos)}x{classes}" if photos.isdecimal() else ""
        if twice in figures:
            claims[f"{twice}: at most {TWICE} times as long as half of it"] = (
                figures[twice]["s"] <= TWICE * figures[name]["s"]
            )
    common.finish("heads" if args.head == "linear" else f"heads_{args.head}", figures, claims)


def measure(name: str, head: str) -> dict[str, Any]:
    """Train with features that are there; seconds, accuracy and memory."""
    with tempfile.TemporaryDirectory() as folder:
        options = EngineOptions(Path(folder))
        backbones = [zoo.find(backbone) for backbone in BACKBONES]
        # Networks are converted once, whatever is trained with them.
        extractors = features.open_extractors(backbones, options)
        before: dict[str, float] = {}
        if "x" in name and name.replace("x", "").isdecimal():
            photos, classes = map(int, name.split("x"))
            dataset = draw(photos, classes, extractors, Path(folder))
        else:
            dataset = data.open(Path(name).absolute())
            bare_s = bare(dataset, extractors)
            start = time.perf_counter()
            pipeline.train(dataset, name="cold", options=options, config=TrainingConfig(head=head))
            before = {"cold_s": round(time.perf_counter() - start, 1), "bare_s": round(bare_s, 1)}
        del extractors
        stages, now = defaultdict[str, float](float), [time.perf_counter()]

        def progress(stage: str, done: int, total: int) -> None:
            """The time since the last report belongs to the stage."""
            last, now[0] = now[0], time.perf_counter()
            stages[str(stage)] += now[0] - last

        start, cpu_start = time.perf_counter(), time.process_time()
        config = TrainingConfig(head=head, progress=progress)
        bundle = pipeline.train(dataset, name="cached", options=options, config=config)
        spent, cpu = time.perf_counter() - start, time.process_time() - cpu_start
        return {
            "s": round(spent, 1),
            "cpu_s": round(cpu, 1),
            "load": round(os.getloadavg()[0], 1),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000,
            "stages_s": {stage: round(seconds, 1) for stage, seconds in stages.items()},
            "top1": round(bundle.metrics["committee"]["top1"], 4),
            "nll": round(bundle.metrics["committee"]["nll"], 4),
            **before,
        }


def bare(dataset: data.Dataset, extractors: list[features.Extractor]) -> float:
    """Seconds that the networks take for all photos, a photo a core, without reading any."""
    photos = [*dataset.train, *dataset.val]
    chosen = photos[:: max(1, len(photos) // BARE_PHOTOS)]
    inputs = []
    for photo in chosen:
        pixels = images.decode(photo.read(), limits=images.CHECKED_BEFORE)
        inputs.append([recipe.apply(each.recipe, pixels)[None] for each in extractors])

    def run(batches: list[Array]) -> None:
        for extractor, batch in zip(extractors, batches, strict=True):
            extractor.engine.run(batch)

    with ThreadPoolExecutor(concurrency.cpu_count()) as pool:
        list(pool.map(run, inputs[:20]))
        start = time.perf_counter()
        list(pool.map(run, inputs))
        return (time.perf_counter() - start) * len(photos) / len(chosen)


def draw(
    photos: int, classes: int, extractors: list[features.Extractor], home: Path
) -> data.Dataset:
    """Photos whose features are in the store: at least 0, as after a ReLU."""
    targets = np.random.default_rng(0).permutation(np.arange(photos) % classes)
    digests = [hashlib.sha256(str(number).encode()).digest() for number in range(photos)]
    store = features.FeatureStore(home / "features.sqlite")
    for seed, extractor in enumerate(extractors):
        for first, chunk in _draw_chunks(targets, classes, seed):
            store.put(
                extractor.space, dict(zip(digests[first : first + CHUNK], chunk, strict=True))
            )
    with io.BytesIO() as file:
        Image.new("RGB", (32, 32), "grey").save(file, "JPEG")
        jpeg = file.getvalue()
    return data.Dataset(
        name="drawn",
        classes=tuple(f"class {label}" for label in range(classes)),
        train=tuple(
            data.LabelledPhoto(f"{number}.jpg", int(label), digest, number, lambda: jpeg)
            for number, (label, digest) in enumerate(zip(targets, digests, strict=True))
        ),
        val=(),
        findings=(),
        fingerprint="0" * 64,
    )


def _draw_chunks(targets: Array, classes: int, seed: int) -> Iterator[tuple[int, Array]]:
    rng = np.random.default_rng(seed + 1)
    centres = rng.normal(scale=0.25, size=(classes, LENGTH)).astype(np.float32)
    mix = rng.normal(size=(LENGTH, LENGTH)) * np.arange(1, LENGTH + 1)[:, None] ** -0.5
    mix = mix.astype(np.float32)
    for first in range(0, len(targets), CHUNK):
        rows = targets[first : first + CHUNK]
        noise = rng.normal(size=(len(rows), LENGTH)).astype(np.float32)
        yield first, np.maximum((centres[rows] + noise) @ mix, 0)


if __name__ == "__main__":
    main()
