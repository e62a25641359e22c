"""Fine-tuning's own process: Keras with TensorFlow, arrays in, a tuned network out.

A process has one Keras backend for life, and the one that teaches may have another. Batch norms
stay frozen, in inference mode too: a few photos at a time would spoil statistics that were made
from a million. Of all epochs the best on held-out photos is kept, and not having learned counts
as an epoch.

Source: Yosinski et al., "How transferable are features in deep neural networks?", 2014.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych.engines.conversion import convert
from triptych.ensemble import fit
from triptych.ensemble import rules
from triptych.models import head
from triptych.models import zoo
from triptych.preprocessing import recipe
from triptych.preprocessing.recipe import Recipe
from triptych.typing import Array
from triptych.utils import concurrency

Say = Callable[[dict[str, Any]], None]

# In the folder of a task.
CANVASES, INPUTS, TRUTH, HEAD, TUNED = (
    "canvases.npy",
    "inputs.npy",
    "truth.npz",
    "head.npz",
    "tuned.keras",
)
BATCH = 16
# Of a photo's class, so much is taken for unknown: a network that may not be certain of what it
# has learned by heart stays useful for what it has not.
SMOOTHING = 0.1
# Of a photo's largest window at least this much of each side is shown.
LEAST_SHARE = 0.75


@dataclass(frozen=True)
class Plan:
    """How to tune.

    Args:
        epochs: At most.
        patience: Epochs without a better one after which to stop.
        rate: Highest learning rate; it rises in the first epoch and falls to 0 by the last.
        share: Of the backbone's layers with weights, how many learn: the last ones, in (0, 1].
    """

    epochs: int = 12
    patience: int = 4
    rate: float = 2e-5
    share: float = 1 / 3


@dataclass(frozen=True)
class Task:
    """One member to tune.

    Args:
        folder: Holds ``canvases.npy``, training photos a little larger than the network wants,
            uint8 (N, H, W, 3); ``inputs.npy``, held-out photos as it wants them, uint8
            (M, *size, 3); ``truth.npz``, ``train`` (N,) and ``held`` (M,); and ``head.npz``, a
            head that has seen the training photos only. Gets ``tuned.keras``, if the first epoch
            can be bettered.
        model: Path of the member's ``.keras`` file.
        recipe: Of the member, as JSON.
        classes: How many there are.
        seed: Of everything random.
        plan: How to tune.
    """

    folder: str
    model: str
    recipe: dict[str, Any]
    classes: int
    seed: int
    plan: Plan = Plan()


@dataclass(frozen=True)
class Look:
    """How well held-out photos are answered.

    Args:
        right: How many.
        loss: Mean negative log-likelihood in nats, at the temperature that suits best, since a
            network that only boasts more has not learned less.
    """

    right: int
    loss: float


def look(probs: Array, truth: Array) -> Look:
    """Judge answers.

    Args:
        probs: Shape (N, C).
        truth: Shape (N,).
    """
    right = int((probs.argmax(axis=1) == truth).sum())
    return Look(right, float(losses(probs, truth).mean()))


def losses(probs: Array, truth: Array) -> Array:
    """Negative log-likelihood of each photo at the best temperature, in nats, shape (N,)."""
    temperature = fit.fit_temperature(probs, truth, unlabelled=1)
    own = rules.temper(probs, temperature)[np.arange(len(truth)), truth]
    return np.asarray(-np.log(np.maximum(own, fit.FLOOR)))


def tune(task: Task, say: Say) -> Path | None:
    """Tune a member.

    Args:
        task: The member, its photos and how.
        say: Called with a message after each step and each epoch, and with how many layers learn.

    Returns:
        The tuned network; ``None`` where none was better than the one that came.
    """
    photos = _Photos.of(task)  # first: whether they are there is known at once

    import keras

    keras.utils.set_random_seed(task.seed)
    model = keras.models.load_model(task.model, compile=False, safe_mode=True)
    head.Head.read(Path(task.folder) / HEAD).put_into(model)
    learning = unfreeze(model, task.plan.share)
    say({"layers": [layer.name for layer in learning]})
    best = _train(model, photos, task, say)
    if best is None:
        return None
    model.set_weights(best)
    model.trainable = True
    target = Path(task.folder) / TUNED
    keras.Model(model.inputs, model.outputs, name=model.name).save(target)
    return target


def unfreeze(model: Any, share: float) -> list[Any]:
    """Let the last layers of a member learn: its head, and a share of its backbone.

    Args:
        model: Backbone and head.
        share: Of the backbone's layers with weights, batch norms not counted, in (0, 1].

    Returns:
        The layers that learn.
    """
    import keras

    backbone = zoo.backbone_layers(model)
    able = [
        layer
        for layer in backbone
        if layer.weights and not isinstance(layer, keras.layers.BatchNormalization)
    ]
    learning = able[-math.ceil(share * len(able)) :]
    learning += [layer for layer in model.layers if layer.weights and layer not in backbone]
    for layer in model.layers:
        layer.trainable = layer in learning
    return learning


@dataclass(frozen=True)
class _Photos:
    """The files of a task: training photos as lessons, and those held out, with their classes."""

    lessons: _Lessons
    inputs: Array
    truth: Array

    @classmethod
    def of(cls, task: Task) -> _Photos:
        folder = Path(task.folder)
        inputs = np.load(folder / INPUTS, mmap_mode="r")
        with np.load(folder / TRUTH) as file:
            train_truth, held_truth = file["train"], file["held"]
        canvases = np.load(folder / CANVASES, mmap_mode="r")
        return cls(_Lessons(canvases, train_truth, task), inputs, held_truth)


def _train(model: Any, photos: _Photos, task: Task, say: Say) -> list[Array] | None:
    """The weights of the best epoch; ``None`` where that is the one before the first."""
    own, lessons = Recipe.from_dict(task.recipe), photos.lessons
    inputs, held_truth = photos.inputs, photos.truth
    _compile(model, task.plan, len(lessons))
    first = best = look(_answers(model, own, inputs), held_truth)
    weights, best_epoch = None, 0
    for epoch in range(task.plan.epochs + 1):
        if epoch:
            _learn(model, lessons, epoch, task.plan.epochs, say)
        now = look(_answers(model, own, inputs), held_truth) if epoch else first
        if now.right >= first.right and now.loss < best.loss:
            best, best_epoch, weights = now, epoch, model.get_weights()
        say({"epoch": epoch, "best": best_epoch, "photos": len(held_truth), **asdict(now)})
        if epoch - best_epoch >= task.plan.patience:
            break
    return weights


def _learn(model: Any, lessons: _Lessons, epoch: int, epochs: int, say: Say) -> None:
    for step, (batch, truth, balance) in enumerate(lessons.epoch(epoch), 1):
        model.train_on_batch(batch, truth, sample_weight=balance)
        say({"step": (epoch - 1) * len(lessons) + step, "of": epochs * len(lessons)})


def _compile(model: Any, plan: Plan, steps: int) -> None:
    import keras

    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps * (plan.epochs - 1)), warmup_target=plan.rate, warmup_steps=steps
    )
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=SMOOTHING)
    # Compiled by XLA, convolutions on a CPU take longer than they do without.
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)


def _answers(model: Any, own: Recipe, inputs: Array) -> Array:
    chunks = (inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH))
    return np.concatenate([model.predict_on_batch(recipe.scale(own, chunk)) for chunk in chunks])


class _Lessons:
    """Batches of varied training photos; the same seed gives the same ones."""

    def __init__(self, canvases: Array, truth: Array, task: Task) -> None:
        self._canvases, self._truth, self._seed = canvases, truth, task.seed
        self._recipe = Recipe.from_dict(task.recipe)
        self._classes = np.eye(task.classes, dtype=np.float32)
        counts = np.bincount(truth, minlength=task.classes)
        # Rarer classes count more a photo.
        self._balance = len(truth) / (np.maximum(counts, 1) * (counts > 0).sum())

    def __len__(self) -> int:
        return math.ceil(len(self._truth) / BATCH)

    def epoch(self, number: int) -> Iterator[tuple[Array, Array, Array]]:
        """Inputs (B, *size, 3), their classes (B, C) and how much each counts (B,)."""
        order = np.random.default_rng((self._seed, number)).permutation(len(self._truth))
        batches = np.array_split(order, len(self))
        with ThreadPoolExecutor(concurrency.cores()) as pool:
            for batch in batches:
                photos = pool.map(lambda index: self._vary(number, int(index)), batch)
                truth = self._truth[batch]
                inputs = recipe.scale(self._recipe, np.stack(list(photos)))
                yield inputs, self._classes[truth], self._balance[truth]

    def _vary(self, epoch: int, index: int) -> Array:
        rng = np.random.default_rng((self._seed, epoch, index))
        canvas = np.asarray(self._canvases[index])
        height, width = canvas.shape[:2]
        share = rng.uniform(LEAST_SHARE, 1.0)
        left, top = (rng.uniform(0, side * (1 - share)) for side in (width, height))
        part = (left, top, left + share * width, top + share * height)
        photo = recipe.cut(self._recipe, canvas, part)
        return photo[:, ::-1] if rng.random() < 0.5 else photo


def _main() -> None:
    # Keras and TensorFlow may print; only our own lines may reach the parent.
    speak, sys.stdout = sys.stdout, sys.stderr
    sys.meta_path.insert(0, convert.Hidden(*convert.NEEDLESS))
    fields = json.loads(sys.argv[1])
    task = Task(**{**fields, "plan": Plan(**fields["plan"])})
    tune(task, lambda message: print(json.dumps(message), file=speak, flush=True))


if __name__ == "__main__":
    _main()
