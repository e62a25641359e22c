"""The time of one image in each network: OpenVINO compared with two ways of predicting in Keras.

    .venv/bin/python benchmarks/bench_engine.py

The networks of `classic` with random weights (speed does not depend on the values), one image, f32
in all of them, then bf16 where the processor has it.
"""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

import common
from triptych.engines import openvino
from triptych.engines.conversion import store
from triptych.models import zoo

REPEATS = 15
SEED = 0


def main() -> None:
    """Measure, print a table, check the claims."""
    rows = [zoo.find(name) for name in zoo.COMMITTEES["classic"]]
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as home:
        paths = store.prepare(rows, home=Path(home), random=True, report=print)
        for row, path in zip(rows, paths, strict=True):
            figures[row.name] = measure(row, path)
    columns = list(figures["ResNet50"])
    print(f"\n{'ms per image':<14}" + "".join(f"{column:>24}" for column in columns))
    for name, figure in figures.items():
        print(f"{name:<14}" + "".join(f"{figure[column]:>24.1f}" for column in columns))
    total = {column: sum(figure[column] for figure in figures.values()) for column in columns}
    best = min(total[column] for column in columns if column.startswith("openvino"))
    ratio = total["keras predict"] / best
    print(f"all three: {ratio:.1f} times as fast as model.predict")
    common.finish(
        "engine",
        {"ms": figures, "repeats": REPEATS, "seed": SEED, "times_predict": round(ratio, 2)},
        {"the trio is at least 1.5 times as fast as model.predict": ratio >= 1.5},
    )


def measure(row: zoo.Backbone, path: Path) -> dict[str, float]:
    """Median milliseconds of one image, by engine."""
    image = np.random.default_rng(SEED).normal(size=(1, *row.recipe.size, 3)).astype(np.float32)
    model = row.build()
    ways = {
        "keras predict": lambda: model.predict(image, verbose=0),
        "keras predict_on_batch": lambda: model.predict_on_batch(image),
    }
    for precision in ("f32", "bf16") if openvino.has_bf16() else ("f32",):
        engine = openvino.OpenVINOEngine(path, precision=precision)
        ways[f"openvino {precision}"] = functools.partial(engine.run, image)
    return {name: common.median_ms(way, repeats=REPEATS) for name, way in ways.items()}


if __name__ == "__main__":
    main()
