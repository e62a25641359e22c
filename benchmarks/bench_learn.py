"""Fine-tuning compared with plain Keras and with frozen networks, on the same photos and backbone.

    .venv/bin/python benchmarks/bench_learn.py [--data FOLDER] [--sets A,B] [--backbone lite0]
                                               [--anew]

FOLDER has a folder per dataset; by default those beside the checkout, or `TRIPTYCH_LEARN_DATA`.
Datasets that do not exist are left out. A dataset has ``train/`` and ``val/`` or ``test/`` folders
of a folder per class, or only the folders per class, of which the last quarter of the files is held
out: for omniglot136 5 of the 20 photos of each character, drawn by other people than the rest.

Frozen and tuned are `triptych.train` without and with ``fine_tune``, from an empty home folder to
the written bundle with its report. Plain Keras is what a good tutorial does: all layers, batch
norms frozen, Adam 5e-4 with half an epoch of warm-up and a cosine to 0, batches of 32, shifts of up
to 16 pixels, no mirroring, label smoothing 0.1; for 6 epochs, after which it gains no more there.
They run one after the other in separate processes, and each is written to results/learn.json at
once: a run that was stopped goes on there, unless ``--anew`` measures all of it again. Processor
time is given beside wall time, since it hardly depends on other load.
"""

from __future__ import annotations

import argparse
import contextlib
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

DEFAULT_DATA = Path(__file__).parent.parent.parent / "shared" / "data"
PLAIN = "plain Keras"
WAYS = ("frozen", "tuned", PLAIN)
SETS = ("omniglot136", "flowers12", "hymenoptera", "lego4")
FAR = "omniglot136"
HELD_OUT_DIVISOR = 4  # one in four photos is held out
MARGIN_PX = 16
BATCH = 32
EPOCHS = 6
RATE = 5e-4
SMOOTHING = 0.1
SEED = 0
# Accuracy may be below plain Keras's by at most this, in at most this share of its time.
POINTS = 0.005
TIME_SHARE = 0.8


def main() -> None:
    """Measure each set, print a table, draw it, check the claims."""
    parser = argparse.ArgumentParser()
    default = Path(os.environ.get("TRIPTYCH_LEARN_DATA", DEFAULT_DATA))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--backbone", default="lite0")
    parser.add_argument("--anew", action="store_true", help="also what was measured before")
    parser.add_argument("--one", nargs=2, metavar=("WAY", "TASK"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments.one[0], json.loads(arguments.one[1]))))
        return
    report: dict[str, Any] = {"backbone": arguments.backbone, "seed": SEED, "sets": {}}
    if not arguments.anew:
        report["sets"] = measured_before(arguments.backbone)
    sets: dict[str, Any] = report["sets"]
    for name in arguments.sets.split(","):
        if (arguments.data / name).is_dir():
            for way in WAYS:
                ways = sets.setdefault(name, {})
                if way not in ways:
                    ways[way] = measure(way, arguments.data / name, arguments.backbone)
                    common.write("learn", report, {})
            show(name, ways)
    draw(sets, arguments.backbone)
    common.finish("learn", report, claims(sets))


def measured_before(backbone: str) -> dict[str, Any]:
    """What a run has measured that was stopped, or had other sets, with the same backbone."""
    with contextlib.suppress(OSError):
        figures = json.loads((common.RESULTS / "learn.json").read_text())["figures"]
        if (figures["backbone"], figures["seed"]) == (backbone, SEED):
            return dict(figures["sets"])
    return {}


def measure(way: str, data: Path, backbone: str) -> dict[str, Any]:
    """One way on one set, from an empty home folder."""
    with tempfile.TemporaryDirectory() as scratch:
        source = link_photos(data, Path(scratch) / "photos")
        return run_process(way, {"source": str(source), "backbone": backbone})


def link_photos(data: Path, target: Path) -> Path:
    """The dataset as ``train`` and ``val`` folders of links."""
    whole = not (data / "train").is_dir()
    held_out = "val" if (data / "val").is_dir() else "test"
    for folder in sorted((data if whole else data / "train").iterdir()):
        if not folder.is_dir():
            continue
        files = sorted(folder.iterdir())
        split = len(files) - len(files) // HELD_OUT_DIVISOR if whole else len(files)
        others = files[split:] if whole else sorted((data / held_out / folder.name).iterdir())
        for side, photos in (("train", files[:split]), ("val", others)):
            links = target / side / folder.name
            links.mkdir(parents=True)
            for photo in photos:
                (links / photo.name).symlink_to(photo)
    return target


def run_process(way: str, task: dict[str, Any]) -> dict[str, Any]:
    """Run one way in a separate process, and measure its time and that of its children."""
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
    return plain(task) if way == PLAIN else ours(task, fine_tune=way == "tuned")


def ours(task: dict[str, Any], *, fine_tune: bool) -> dict[str, Any]:
    """`triptych.train`; top-1 on the held-out photos, and the record of fine-tuning."""
    import triptych

    bundle = triptych.train(
        task["source"],
        name="tuned" if fine_tune else "frozen",
        backbones=(task["backbone"],),
        fine_tune=fine_tune,
        home=Path(task["source"]).parent / ("tuned" if fine_tune else "frozen"),
        report=lambda line: print(line, file=sys.stderr, flush=True),
    )
    score = bundle.metrics["committee"]
    figures = {"top1": score["top1"], "photos": bundle.metrics["images"]}
    for record in bundle.about.get("fine_tuned", []):
        keys = ("epochs", "best_epoch", "seconds", "kept", "rate", "augment", "device", "curve")
        figures |= {key: record[key] for key in keys}
    return figures


def plain(task: dict[str, Any]) -> dict[str, Any]:
    """Plain Keras, with a training loop of `train_on_batch`, as NumPy augments batches fastest."""
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
    photos, targets = read(folder / "train", margin)
    others, other_targets = read(folder / "val", row.recipe)
    classes = int(targets.max()) + 1
    whole = row.build()
    weights.load_into(whole, row, weights.require(row))
    for layer in whole.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    dense = keras.layers.Dense(classes, activation="softmax")(zoo.features_output(whole))
    model = keras.Model(whole.input, dense)
    steps = -(-len(photos) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps * EPOCHS - steps // 2, warmup_target=RATE, warmup_steps=steps // 2
    )
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=SMOOTHING)
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    rng, one_hot = np.random.default_rng(SEED), np.eye(classes, dtype=np.float32)
    for _ in range(EPOCHS):
        for batch in np.array_split(rng.permutation(len(photos)), steps):
            corners = rng.integers(0, 2 * MARGIN_PX + 1, (len(batch), 2))
            shifted = [
                photos[index, top : top + side, left : left + side]
                for index, (top, left) in zip(batch, corners, strict=True)
            ]
            inputs = recipe.scale(row.recipe, np.stack(shifted))
            model.train_on_batch(inputs, one_hot[targets[batch]])
    correct = 0
    for start in range(0, len(others), BATCH):
        inputs = recipe.scale(row.recipe, others[start : start + BATCH])
        answers = model.predict_on_batch(inputs).argmax(axis=1)
        correct += int((answers == other_targets[start : start + BATCH]).sum())
    return {"top1": correct / len(others), "photos": len(others), "epochs": EPOCHS}


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
    """Print a dataset as rows of a table."""
    for way, figure in ways.items():
        print(
            f"{name:<14}{way:<13}{100 * figure['top1']:6.1f} % of {figure['photos']:>4}"
            f"{figure['s']:8.0f} s{figure['cpu_s']:8.0f} s of processor, load {figure['load']}",
            flush=True,
        )


def claims(figures: dict[str, Any]) -> dict[str, bool]:
    """The claims about fine-tuning that the measured datasets can check."""
    checks = {}
    for name, ways in figures.items():
        frozen, tuned, keras = ways["frozen"], ways["tuned"], ways[PLAIN]
        if name == FAR:
            checks[f"{name}: at least plain Keras less {100 * POINTS:g} points"] = (
                tuned["top1"] >= keras["top1"] - POINTS
            )
            checks[f"{name}: in at most {TIME_SHARE:g} of its processor time"] = (
                tuned["cpu_s"] <= TIME_SHARE * keras["cpu_s"]
            )
        elif name in ("flowers12", "hymenoptera"):
            checks[f"{name}: not below frozen by more than one photo"] = (
                tuned["top1"] * tuned["photos"] >= frozen["top1"] * frozen["photos"] - 1.5
            )
    return checks


def draw(figures: dict[str, Any], backbone: str) -> None:
    """Accuracy and processor time of each way, as an SVG beside the figures."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for number, way in enumerate(WAYS):
        positions = [index + 0.27 * (number - 1) for index in range(len(figures))]
        accuracies = [100 * ways[way]["top1"] for ways in figures.values()]
        minutes = [ways[way]["cpu_s"] / 60 for ways in figures.values()]
        for axis, values in zip(axes, (accuracies, minutes), strict=True):
            bars = axis.bar(positions, values, 0.25, label=way)
            axis.bar_label(bars, fmt="%.1f", fontsize=7)
    for axis, title in zip(
        axes, (f"correct on test photos, %, {backbone}", "processor time, minutes"), strict=True
    ):
        axis.set_xticks(range(len(figures)), figures)
        axis.set_title(title, fontsize=9)
    axes[0].legend(fontsize=8, loc="lower left")
    common.RESULTS.mkdir(exist_ok=True)
    figure.savefig(common.RESULTS / "learn.svg")


if __name__ == "__main__":
    main()
