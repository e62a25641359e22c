"""Fine-tuning beside plain Keras and beside frozen networks: the same photos, backbone and run.

    .venv/bin/python benchmarks/bench_learn.py [--data FOLDER] [--sets A,B] [--backbone lite0]

FOLDER has a folder per set; by default the sets beside the checkout, or `TRIPTYCH_LEARN_DATA`. Sets
that are not there are left out. A set is ``train/`` and ``val/`` or ``test/`` folders of a folder
per class, or such folders only, whose last quarter of the files is held back: 15 and 5 photos of a
character in omniglot136, whose last 5 were drawn by other hands.

Frozen and tuned are `triptych.train` without and with ``fine_tune``, each from nothing to the
written bundle with its report. Plain Keras is what a good tutorial does: all layers, batch norms
frozen, Adam 5e-4 with half an epoch of warm-up and a cosine to 0, batches of 32, shifts of up to 16
pixels, no mirroring, label smoothing 0.1; for as many epochs as tuning took until its best. One
after the other, in processes of their own; seconds of processor are given beside seconds, since
they hardly depend on what else a machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common

BESIDE = Path(__file__).parent.parent.parent / "shared" / "data"
SETS = ("omniglot136", "flowers12", "hymenoptera", "lego4")
FAR = "omniglot136"
HELD_BACK = 4
MARGIN_PX = 16
BATCH = 32
RATE = 5e-4
SMOOTHING = 0.1
SEED = 0
# What is claimed: accuracy not below plain Keras's by more than this, in this share of its time.
POINTS = 0.005
TIME_SHARE = 0.8


def main() -> None:
    """Measure each set, print a table, draw it, check the claims."""
    parser = argparse.ArgumentParser()
    default = Path(os.environ.get("TRIPTYCH_LEARN_DATA", BESIDE))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--backbone", default="lite0")
    parser.add_argument("--one", nargs=2, metavar=("WAY", "TASK"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments.one[0], json.loads(arguments.one[1]))))
        return
    figures = {}
    for name in arguments.sets.split(","):
        if (arguments.data / name).is_dir():
            figures[name] = measure(arguments.data / name, arguments.backbone)
            show(name, figures[name])
    draw(figures, arguments.backbone)
    common.finish(
        "learn", {"backbone": arguments.backbone, "seed": SEED, "sets": figures}, claims(figures)
    )


def measure(data: Path, backbone: str) -> dict[str, Any]:
    """Frozen, tuned and plain Keras on one set."""
    with tempfile.TemporaryDirectory() as scratch:
        task = {
            "source": str(laid_out(data, Path(scratch) / "photos")),
            "backbone": backbone,
        }
        ways = {"frozen": in_a_process("frozen", task), "tuned": in_a_process("tuned", task)}
        epochs = max(1, ways["tuned"]["best_epoch"])
        ways["plain Keras"] = in_a_process("plain", {**task, "epochs": epochs})
    return ways


def laid_out(data: Path, target: Path) -> Path:
    """The set as ``train`` and ``val`` folders of links."""
    whole = not (data / "train").is_dir()
    held_back = "val" if (data / "val").is_dir() else "test"
    for folder in sorted((data if whole else data / "train").iterdir()):
        if not folder.is_dir():
            continue
        files = sorted(folder.iterdir())
        split = len(files) - len(files) // HELD_BACK if whole else len(files)
        others = files[split:] if whole else sorted((data / held_back / folder.name).iterdir())
        for side, photos in (("train", files[:split]), ("val", others)):
            links = target / side / folder.name
            links.mkdir(parents=True)
            for photo in photos:
                (links / photo.name).symlink_to(photo)
    return target


def in_a_process(way: str, task: dict[str, Any]) -> dict[str, Any]:
    """Run one way in a process of its own, and measure its time and that of its children."""
    load, start = os.getloadavg()[0], time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run(
        [sys.executable, __file__, "--one", way, json.dumps(task)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = sum(getattr(after, name) - getattr(before, name) for name in ("ru_utime", "ru_stime"))
    seconds = round(time.perf_counter() - start, 1)
    figures: dict[str, Any] = json.loads(output.splitlines()[-1])
    return {**figures, "s": seconds, "cpu_s": round(cpu, 1), "load": round(load, 1)}


def one(way: str, task: dict[str, Any]) -> dict[str, Any]:
    """One way, in the process that is measured."""
    return plain(task) if way == "plain" else ours(task, fine_tune=way == "tuned")


def ours(task: dict[str, Any], *, fine_tune: bool) -> dict[str, Any]:
    """`triptych.train`; top-1 on the photos held back, and what was said of fine-tuning."""
    import triptych

    made = triptych.train(
        task["source"],
        name="tuned" if fine_tune else "frozen",
        backbones=(task["backbone"],),
        fine_tune=fine_tune,
        home=Path(task["source"]).parent / ("tuned" if fine_tune else "frozen"),
        report=lambda line: print(line, file=sys.stderr, flush=True),
    )
    score = made.metrics["committee"]
    figures = {"top1": score["top1"], "photos": made.metrics["images"]}
    for record in made.about.get("fine_tuned", []):
        kept = ("epochs", "best_epoch", "seconds", "kept", "rate", "augment", "device", "curve")
        figures |= {key: record[key] for key in kept}
    return figures


def plain(task: dict[str, Any]) -> dict[str, Any]:
    """Plain Keras; its own loop, so that a batch is augmented as cheaply as NumPy can."""
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    import keras
    import numpy as np

    from triptych.models import weights
    from triptych.models import zoo
    from triptych.preprocessing import recipe

    keras.utils.set_random_seed(SEED)
    row = zoo.find(task["backbone"])
    (side, _), folder = row.recipe.size, Path(task["source"])
    margin = recipe.Recipe((side + 2 * MARGIN_PX,) * 2, row.recipe.scaling, crop_share=1.0)
    photos, truth = read(folder / "train", margin)
    others, other_truth = read(folder / "val", row.recipe)
    classes = int(truth.max()) + 1
    whole = row.build()
    weights.load_into(whole, row, weights.require(row))
    for layer in whole.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    dense = keras.layers.Dense(classes, activation="softmax")(zoo.features_output(whole))
    model = keras.Model(whole.input, dense)
    steps, epochs = -(-len(photos) // BATCH), task["epochs"]
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps * epochs - steps // 2, warmup_target=RATE, warmup_steps=steps // 2
    )
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=SMOOTHING)
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    rng, one_hot = np.random.default_rng(SEED), np.eye(classes, dtype=np.float32)
    for _ in range(epochs):
        for batch in np.array_split(rng.permutation(len(photos)), steps):
            corners = rng.integers(0, 2 * MARGIN_PX + 1, (len(batch), 2))
            shifted = [
                photos[index, top : top + side, left : left + side]
                for index, (top, left) in zip(batch, corners, strict=True)
            ]
            inputs = recipe.scale(row.recipe, np.stack(shifted))
            model.train_on_batch(inputs, one_hot[truth[batch]])
    right = 0
    for start in range(0, len(others), BATCH):
        inputs = recipe.scale(row.recipe, others[start : start + BATCH])
        answers = model.predict_on_batch(inputs).argmax(axis=1)
        right += int((answers == other_truth[start : start + BATCH]).sum())
    return {"top1": right / len(others), "photos": len(others), "epochs": epochs}


def read(folder: Path, photo_recipe: Any) -> tuple[Any, Any]:
    """All photos of a folder per class, uint8 (N, *size, 3), and their labels (N,)."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from triptych import images
    from triptych.preprocessing import recipe

    def pixels(path: Path) -> Any:
        decoded = images.decode(path.read_bytes(), enough=recipe.enough([photo_recipe]))
        return recipe.resize(photo_recipe, decoded)

    classes = sorted(folder.iterdir())
    paths = [(path, label) for label, each in enumerate(classes) for path in sorted(each.iterdir())]
    with ThreadPoolExecutor() as pool:
        photos = np.stack(list(pool.map(pixels, [path for path, _ in paths])))
    return photos, np.array([label for _, label in paths])


def show(name: str, ways: dict[str, Any]) -> None:
    """A set as rows of a table."""
    for way, figure in ways.items():
        print(
            f"{name:<14}{way:<13}{100 * figure['top1']:6.1f} % of {figure['photos']:>4}"
            f"{figure['s']:8.0f} s{figure['cpu_s']:8.0f} s of processor, load {figure['load']}",
            flush=True,
        )


def claims(figures: dict[str, Any]) -> dict[str, bool]:
    """What the project says of fine-tuning, as far as the sets are there."""
    held = {}
    for name, ways in figures.items():
        frozen, tuned, usual = ways["frozen"], ways["tuned"], ways["plain Keras"]
        if name == FAR:
            held[f"{name}: at least plain Keras less {100 * POINTS:g} points"] = (
                tuned["top1"] >= usual["top1"] - POINTS
            )
            held[f"{name}: in at most {TIME_SHARE:g} of its processor time"] = (
                tuned["cpu_s"] <= TIME_SHARE * usual["cpu_s"]
            )
        elif name in ("flowers12", "hymenoptera"):
            held[f"{name}: not below frozen by more than one photo"] = (
                tuned["top1"] * tuned["photos"] >= frozen["top1"] * frozen["photos"] - 1.5
            )
    return held


def draw(figures: dict[str, Any], backbone: str) -> None:
    """Accuracy and processor time of each way, as an SVG beside the figures."""
    from matplotlib import pyplot

    picture, axes = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for number, way in enumerate(("frozen", "tuned", "plain Keras")):
        at = [index + 0.27 * (number - 1) for index in range(len(figures))]
        accuracies = [100 * ways[way]["top1"] for ways in figures.values()]
        minutes = [ways[way]["cpu_s"] / 60 for ways in figures.values()]
        for axis, values in zip(axes, (accuracies, minutes), strict=True):
            bars = axis.bar(at, values, 0.25, label=way)
            axis.bar_label(bars, fmt="%.1f", fontsize=7)
    for axis, title in zip(
        axes, (f"right on photos held back, %, {backbone}", "processor time, minutes"), strict=True
    ):
        axis.set_xticks(range(len(figures)), figures)
        axis.set_title(title, fontsize=9)
    axes[0].legend(fontsize=8, loc="lower left")
    common.RESULTS.mkdir(exist_ok=True)
    picture.savefig(common.RESULTS / "learn.svg")


if __name__ == "__main__":
    main()
