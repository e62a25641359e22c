"""Processor time per photo, in milliseconds, which other load on the machine hardly changes.

    .venv/bin/python benchmarks/bench_core.py [PHOTOS [HOME]]

PHOTOS is a folder, by default the one beside the checkout; HOME keeps converted networks. One
thread does everything. The committee `classic` has random weights, which time does not depend on.
docs/sizing.md calculates with these figures.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import common
import triptych
from triptych import errors
from triptych import images
from triptych.engines import openvino
from triptych.inference.classifier import Classifier
from triptych.preprocessing import recipe

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "imagenet-mini"
COMMITTEES = (("lite", "imagenet", ("weighted", "cascade")), ("classic", "random", ("mean",)))
PHOTOS = 60  # spread evenly over the folder


def main() -> None:
    """Measure, print a table, check the claims."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    photos = [path.read_bytes() for path in sample(folder, PHOTOS)]
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(scratch)
        figures = measure(photos, home)
    print(f"\n{'processor ms a photo':<28}{'all':>8}{'networks':>10}{'a core, photos/s':>18}")
    for name, figure in figures.items():
        networks = f"{figure['networks_ms']:.1f}" if "networks_ms" in figure else ""
        print(f"{name:<28}{figure['all_ms']:>8.1f}{networks:>10}{figure['per_core_s']:>18.1f}")
    lite = {name: figure["all_ms"] for name, figure in figures.items() if "lite" in name}
    common.finish(
        "core",
        {"photos": len(photos), "bytes": sum(map(len, photos)) / len(photos), "costs": figures},
        {
            f"{name}: a cascade costs less than all members": lite[name]
            < lite[name.replace("cascade", "weighted")]
            for name in lite
            if "cascade" in name
        },
    )


def measure(photos: list[bytes], home: Path) -> dict[str, dict[str, float]]:
    """The figures of every committee, at every number format that is available."""
    figures = {}
    for name, weights, rules in COMMITTEES:
        for precision in ("f32", "bf16", "int8") if openvino.has_bf16() else ("f32", "int8"):
            for rule in rules:
                try:
                    figures[f"{name}, {precision}, {rule}"] = cost(
                        load(name, weights, precision, rule, home), photos
                    )
                except errors.TriptychError as error:
                    print(f"Left out: {error.message}")
    return figures


def load(name: str, weights: str, precision: str, rule: str, home: Path) -> Classifier:
    """A committee that runs in one thread."""
    loaded = triptych.load(
        name,
        weights=weights,
        precision=precision,
        rule=rule,
        home=home,
        threads=1,
        streams=1,
        report=print,
    )
    return Classifier(loaded.committee, threads=1)


def cost(classifier: Classifier, photos: list[bytes]) -> dict[str, float]:
    """The cost of a photo, from its bytes to its verdict."""
    classifier.warm_up()

    def classify(photo: bytes) -> None:
        classifier.classify(photo)

    figure = {"all_ms": processor_ms(classify, photos)}
    figure["per_core_s"] = 1000 / figure["all_ms"]
    if classifier.committee.rule != "cascade":
        figure["networks_ms"] = networks_ms(classifier, photos)
    return {name: round(value, 2) for name, value in figure.items()}


def networks_ms(classifier: Classifier, photos: list[bytes]) -> float:
    """The part of it that the networks of all members take."""
    members = classifier.committee.members
    pixels = images.load(photos[0])
    inputs = [(m.engine, recipe.apply(m.recipe, pixels)[np.newaxis]) for m in members]

    def run_all(_: bytes) -> None:
        for engine, batch in inputs:
            engine.run(batch)

    return processor_ms(run_all, photos)


def processor_ms(work: Callable[[bytes], None], photos: list[bytes]) -> float:
    """Processor time of all threads of this process, per photo."""
    work(photos[0])
    start = time.process_time()
    for photo in photos:
        work(photo)
    return (time.process_time() - start) * 1000 / len(photos)


def sample(folder: Path, count: int) -> list[Path]:
    """About ``count`` photos of a folder, evenly spaced."""
    paths = sorted(folder.rglob("*.[jJ][pP]*[gG]"))
    return paths[:: max(1, len(paths) // count)][:count]


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "openvino")
    main()
