"""The worker process of fine-tuning: Keras with TensorFlow, arrays in, a fine-tuned network out.

A process has one Keras backend for life, and the process that trains heads may have another. Batch
normalisation stays frozen, in inference mode too: statistics of a few photos at a time would spoil
those of the million the network was pretrained on. Early stopping keeps the epoch that is best on
the held-out photos; no training at all counts as an epoch.

Source: Yosinski et al., "How transferable are features in deep neural networks?", 2014.
"""

from __future__ import annotations

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
from triptych.utils import worker

OnMessage = Callable[[dict[str, Any]], None]

# Files in the folder of a task.
CANVASES = "canvases.npy"
INPUTS = "inputs.npy"
TRUTH = "truth.npz"
HEAD = "head.npz"
TUNED = "tuned.keras"
BATCH = 16
# Label smoothing: a network that may not be certain of the photos it overfits stays useful for
# others.
SMOOTHING = 0.1
# A random crop shows at least this share of each side.
LEAST_SHARE = 0.75


@dataclass(frozen=True)
class FinetuneConfig:
    """Hyperparameters of fine-tuning.

    Args:
        epochs: Most epochs to run.
        patience: Early stopping: epochs without an improvement after which to stop.
        rate: Peak learning rate; it is warmed up in the first epoch, then decays to 0.
        share: How many of the backbone's layers with weights are trained, the last ones, as a
            share in (0, 1].
    """

    epochs: int = 12
    patience: int = 4
    rate: float = 2e-5
    share: float = 1 / 3


@dataclass(frozen=True)
class FinetuneTask:
    """One member to fine-tune.

    Args:
        folder: Holds ``canvases.npy``, training photos with a margin around the network's input,
            uint8 (N, H, W, 3); ``inputs.npy``, held-out photos at the network's input size, uint8
            (M, *size, 3); ``truth.npz``, their labels, ``train`` (N,) and ``held`` (M,); and
            ``head.npz``, a head trained on the training photos only. Gets ``tuned.keras``, if an
            epoch improves on the frozen network.
        model: Path of the member's ``.keras`` file.
        recipe: The member's recipe as JSON.
        classes: How many classes there are.
        seed: Seed of everything random.
        config: Hyperparameters.
    """

    folder: str
    model: str
    recipe: dict[str, Any]
    classes: int
    seed: int
    config: FinetuneConfig = FinetuneConfig()


@dataclass(frozen=True)
class HeldOutScore:
    """How well held-out photos are predicted.

    Args:
        right: How many are right.
        loss: Mean negative log-likelihood in nats, at the best temperature, so that
            overconfidence alone does not count as worse.
    """

    right: int
    loss: float


def score(probs: Array, truth: Array) -> HeldOutScore:
    """Score probabilities against labels.

    Args:
        probs: Shape (N, C).
        truth: Labels, shape (N,).

    Example:
        >>> score(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1])).right
        1
    """
    right = int((probs.argmax(axis=1) == truth).sum())
    return HeldOutScore(right, float(nll(probs, truth).mean()))


def nll(probs: Array, truth: Array) -> Array:
    """Negative log-likelihood of each photo at the best temperature, in nats, shape (N,)."""
    temperature = fit.fit_temperature(probs, truth, unlabelled=1)
    true_class = rules.temper(probs, temperature)[np.arange(len(truth)), truth]
    return np.asarray(-np.log(np.maximum(true_class, fit.FLOOR)))


def finetune(task: FinetuneTask, on_message: OnMessage) -> Path | None:
    """Fine-tune a member.

    Args:
        task: The member, its photos and hyperparameters.
        on_message: Called with the layers that are trained, then after each step and epoch.

    Returns:
        The fine-tuned network; ``None`` where no epoch was better than the frozen one.
    """
    # First the files: missing ones fail before Keras is imported.
    folder = Path(task.folder)
    inputs = np.load(folder / INPUTS, mmap_mode="r")
    with np.load(folder / TRUTH) as file:
        train_truth, held_truth = file["train"], file["held"]
    batches = AugmentedBatches(np.load(folder / CANVASES, mmap_mode="r"), train_truth, task)

    import keras

    keras.utils.set_random_seed(task.seed)
    model = keras.models.load_model(task.model, compile=False, safe_mode=True)
    head.Head.read(folder / HEAD).put_into(model)
    trained = unfreeze(model, task.config.share)
    on_message({"layers": [layer.name for layer in trained]})
    best = _train(model, batches, inputs, held_truth, task, on_message)
    if best is None:
        return None
    model.set_weights(best)
    model.trainable = True
    target = folder / TUNED
    keras.Model(model.inputs, model.outputs, name=model.name).save(target)
    return target


def unfreeze(model: Any, share: float) -> list[Any]:
    """Make the last layers of a member trainable: its head, and a share of its backbone.

    Args:
        model: Backbone and head.
        share: How many of the backbone's layers with weights, batch normalisation not counted, as
            a share in (0, 1].

    Returns:
        The trainable layers.
    """
    import keras

    backbone = zoo.backbone_layers(model)
    candidates = [
        layer
        for layer in backbone
        if layer.weights and not isinstance(layer, keras.layers.BatchNormalization)
    ]
    trained = candidates[-math.ceil(share * len(candidates)) :]
    trained += [layer for layer in model.layers if layer.weights and layer not in backbone]
    for layer in model.layers:
        layer.trainable = layer in trained
    return trained


def _train(
    model: Any,
    batches: AugmentedBatches,
    inputs: Array,
    held_truth: Array,
    task: FinetuneTask,
    on_message: OnMessage,
) -> list[Array] | None:
    """Train; gives the weights of the best epoch, or ``None`` if no epoch beat the frozen ones."""
    import keras

    config, steps = task.config, len(batches)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps * (config.epochs - 1)), warmup_target=config.rate, warmup_steps=steps
    )
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=SMOOTHING)
    # Without XLA: on a CPU it makes convolutions slower.
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    network_recipe = Recipe.from_dict(task.recipe)
    first = best = score(_predict(model, network_recipe, inputs), held_truth)
    weights, best_epoch = None, 0
    for epoch in range(config.epochs + 1):
        if epoch:
            for step, (batch, truth, balance) in enumerate(batches.epoch(epoch), 1):
                model.train_on_batch(batch, truth, sample_weight=balance)
                on_message({"step": (epoch - 1) * steps + step, "of": config.epochs * steps})
        result = score(_predict(model, network_recipe, inputs), held_truth) if epoch else first
        if result.right >= first.right and result.loss < best.loss:
            best, best_epoch, weights = result, epoch, model.get_weights()
        on_message(
            {"epoch": epoch, "best": best_epoch, "photos": len(held_truth), **asdict(result)}
        )
        if epoch - best_epoch >= config.patience:
            break
    return weights


def _predict(model: Any, network_recipe: Recipe, inputs: Array) -> Array:
    chunks = (inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH))
    return np.concatenate(
        [model.predict_on_batch(recipe.scale(network_recipe, chunk)) for chunk in chunks]
    )


class AugmentedBatches:
    """Batches of augmented training photos; the same seed gives the same batches."""

    def __init__(self, canvases: Array, truth: Array, task: FinetuneTask) -> None:
        self._canvases, self._truth, self._seed = canvases, truth, task.seed
        self._recipe = Recipe.from_dict(task.recipe)
        self._classes = np.eye(task.classes, dtype=np.float32)
        counts = np.bincount(truth, minlength=task.classes)
        # Balanced sample weights: photos of rarer classes weigh more.
        self._balance = len(truth) / (np.maximum(counts, 1) * (counts > 0).sum())

    def __len__(self) -> int:
        return math.ceil(len(self._truth) / BATCH)

    def epoch(self, number: int) -> Iterator[tuple[Array, Array, Array]]:
        """Inputs (B, *size, 3), one-hot labels (B, C) and sample weights (B,)."""
        order = np.random.default_rng((self._seed, number)).permutation(len(self._truth))
        batches = np.array_split(order, len(self))
        with ThreadPoolExecutor(concurrency.cpu_count()) as pool:
            for batch in batches:
                photos = pool.map(lambda index: self._augment(number, int(index)), batch)
                truth = self._truth[batch]
                inputs = recipe.scale(self._recipe, np.stack(list(photos)))
                yield inputs, self._classes[truth], self._balance[truth]

    def _augment(self, epoch: int, index: int) -> Array:
        rng = np.random.default_rng((self._seed, epoch, index))
        canvas = np.asarray(self._canvases[index])
        height, width = canvas.shape[:2]
        share = rng.uniform(LEAST_SHARE, 1.0)
        left, top = (rng.uniform(0, side * (1 - share)) for side in (width, height))
        part = (left, top, left + share * width, top + share * height)
        photo = recipe.cut(self._recipe, canvas, part)
        return photo[:, ::-1] if rng.random() < 0.5 else photo


def _main() -> None:
    parent = worker.connect()
    sys.meta_path.insert(0, convert.Hidden(*convert.NEEDLESS))
    fields = next(parent.messages())
    task = FinetuneTask(**{**fields, "config": FinetuneConfig(**fields["config"])})
    finetune(task, parent.send)


if __name__ == "__main__":
    _main()
