"""Training on two classes: `triptych.train` compared with the usual way in Keras.

    .venv/bin/python benchmarks/bench_teach.py [DATA [BACKBONE]]

DATA has train/ and val/ folders of a folder per class; by default the ants and bees beside the
checkout. Both use the same backbone and photos. The usual way: the frozen base inside the model, a
dropout and a dense layer on top, `fit` for 10 epochs over image batches with validation. Ours: all
of `triptych.train`, from an empty home folder to the written bundle with its report, and then again
with stored features.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras

import common
import triptych
from triptych.models import weights
from triptych.models import zoo
from triptych.preprocessing import recipe

DEFAULT_DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "hymenoptera"
EPOCHS = 10
SEED = 0


def main() -> None:
    """Measure both, print a table, check the claims."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_DATA
    row = zoo.find(sys.argv[2] if len(sys.argv) > 2 else "lite2")
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as home:
        for name in ("ours, cold", "ours, cached"):
            start = time.perf_counter()
            bundle = triptych.train(data, name="bench", backbones=(row.name,), home=Path(home))
            figures[name] = {
                "s": time.perf_counter() - start,
                "top1": bundle.metrics["committee"]["top1"],
            }
            print(name, figures[name], flush=True)
    figures["usual"] = usual(data, row)
    for name, figure in figures.items():
        print(f"{name:<14}{figure['s']:8.1f} s  {100 * figure['top1']:5.1f} %")
    ratio = figures["usual"]["s"] / figures["ours, cold"]["s"]
    print(f"{ratio:.1f} times as fast cold")
    not_lower = figures["ours, cold"]["top1"] >= figures["usual"]["top1"]
    common.finish(
        "teach",
        {"backbone": row.name, "ways": figures, "times_as_fast": round(ratio, 1), "seed": SEED},
        {
            "training is at least 15 times as fast as 10 epochs over image batches": ratio >= 15,
            "and its accuracy is not lower": not_lower,
        },
    )


def usual(data: Path, row: zoo.Backbone) -> dict[str, float]:
    """Train as most tutorials do."""
    keras.utils.set_random_seed(SEED)
    start = time.perf_counter()
    sets = {part: images(data / part, row, shuffle=part == "train") for part in ("train", "val")}
    whole = row.build()
    weights.load_into(whole, row, weights.require(row))
    base = keras.Model(whole.input, zoo.features_output(whole))
    base.trainable = False
    inputs = keras.Input((*row.recipe.size, 3))
    rule = recipe.SCALINGS[row.recipe.scaling]
    x = keras.layers.Rescaling(1 / rule.std[0], -rule.mean[0] / rule.std[0])(inputs)
    x = keras.layers.Dropout(0.2)(base(x, training=False))
    classes = len([folder for folder in (data / "train").iterdir() if folder.is_dir()])
    model = keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(sets["train"], validation_data=sets["val"], epochs=EPOCHS, verbose=2)
    return {"s": time.perf_counter() - start, "top1": history.history["val_accuracy"][-1]}


def images(folder: Path, row: zoo.Backbone, *, shuffle: bool) -> Any:
    """Batches of images as Keras reads a folder."""
    return keras.utils.image_dataset_from_directory(
        folder, image_size=row.recipe.size, shuffle=shuffle, seed=SEED, verbose=False
    )


if __name__ == "__main__":
    main()
