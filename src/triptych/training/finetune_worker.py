"""The worker process of fine-tuning: Keras with TensorFlow, arrays in, a fine-tuned network out.

A process has one Keras backend for life, and the process that trains heads may have another. All
layers are trained, from a head that fits the backbone's features already: a random one would send
noise through the pretrained layers. Batch normalisation stays frozen, in inference mode too:
statistics of a few photos at a time would spoil those of the million the network was pretrained on.
Most epochs are at a smaller input size than the network answers at, which takes less time; the last
ones are at that size, since features change with it, and a head with them.

Each finished epoch is written down, with the optimizer's state, before anything is said of it: a
process that is killed goes on from there when the same task is started again.

Sources: Yosinski et al., "How transferable are features in deep neural networks?", 2014; Kumar et
al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", 2022;
Touvron et al., "Fixing the train-test resolution discrepancy", 2019.
"""

from __future__ import annotations

import itertools
import json
import math
import signal
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from triptych.engines.conversion import convert
from triptych.ensemble import fit
from triptych.ensemble import rules
from triptych.models import head
from triptych.models import zoo
from triptych.preprocessing import augment
from triptych.preprocessing import recipe
from triptych.preprocessing.recipe import Recipe
from triptych.training import heads
from triptych.training.finetune_schedule import Schedule
from triptych.typing import Array
from triptych.typing import ShouldStop
from triptych.utils import concurrency
from triptych.utils import files
from triptych.utils import worker

OnMessage = Callable[[dict[str, Any]], None]
# Gets how long 1, 2, ... epochs take, in seconds; gives how many to run, and in which time.
PlanEpochs = Callable[[Sequence[float]], tuple[int, float]]

# Files in the folder of a task.
CANVASES = "canvases.npy"
INPUTS = "inputs.npy"
TRUTH = "truth.npz"
TRAINED_HEAD = "trained_head.npz"
TUNED = "tuned.keras"
# Files in the folder of an epoch.
NETWORK = "network.keras"
RESULT = "result.json"

# Label smoothing: a network that may not be certain of the photos it overfits stays useful for
# others.
SMOOTHING = 0.1
# A random crop shows at least this share of each side.
LEAST_SHARE = 0.75
# The lowest and the highest learning rate, how much lower a rate is than that at which the network
# is ruined, and the rates of the range test with the steps over which its losses are averaged. The
# rate of the lowest loss says nothing here: the head was fitted to these photos, so that any step
# raises the loss at first (measured on omniglot136: by it 5e-5, with which little is learned).
# Measured: flowers12 (frozen loss 0.07) gets worse with 1e-3 and better with 3e-4; omniglot136
# (1.1) gets 3 points better with 1e-3 than with 5e-4; hence the root of the loss. The test begins
# low: by Adam's first steps of a higher rate any network is ruined.
LEAST_RATE, MOST_RATE = 1e-4, 1e-3
SAFETY = 5.0
RATES = np.geomspace(LEAST_RATE, SAFETY * MOST_RATE, 17)
SMOOTHED_OVER = 3
# By how much the logits of a fitted head are scaled to suit label smoothing.
SCALES = np.geomspace(0.02, 1.0, 40)
# How long a worker may take to end the step under way and to write the best epoch.
GRACE_S = 120.0
# Photos predicted at a time.
PREDICTED = 64
# Steps by which the pace is measured, and what a prediction takes of a step: the forward pass,
# without the backward pass, which computes twice as much.
MEASURED_STEPS = 8
PREDICTION_SHARE = 1 / 3


@dataclass(frozen=True)
class FinetuneConfig:
    """Hyperparameters of fine-tuning.

    Args:
        epochs: Epochs to run; the learning rate falls to 0 along half a cosine until the last.
        patience: Early stopping: epochs after which to stop if none was better than the frozen
            network.
        rate: Peak learning rate of Adam; 0 finds it by a range test.
        batch: Photos per step.
        size_share: Side of the network's input at first, as a share of the side at which it
            answers, in (0, 1]; rounded to a multiple of 32 pixels.
        full_size_epochs: How many epochs, the last ones, are at the size at which the network
            answers.
    """

    epochs: int = 8
    patience: int = 3
    rate: float = 0.0
    batch: int = 32
    size_share: float = 0.6
    full_size_epochs: int = 1


@dataclass(frozen=True)
class FinetuneTask:
    """One member to fine-tune.

    Args:
        folder: Holds ``canvases.npy``, training photos with a margin around the network's input,
            uint8 (N, H, W, 3); ``inputs.npy``, held-out photos at the size of `recipe`, uint8
            (M, *size, 3); and ``truth.npz``, their labels, ``train`` (N,) and ``held`` (M,). Gets
            a folder per epoch and, if an epoch improves on the frozen network, ``tuned.keras``
            and its head, ``trained_head.npz``.
        model: Path of the member's ``.keras`` file.
        recipe: The member's recipe as JSON.
        size: (height, width) of the network's input in the epochs before those at full size.
        classes: How many classes there are.
        head: Kind and notes of the member's head, with which one is fitted to the training photos.
        augment: Names from `augment.RANDOM`, what photos are changed by at random.
        seed: Seed of everything random.
        config: Hyperparameters.
    """

    folder: str
    model: str
    recipe: dict[str, Any]
    size: tuple[int, int]
    classes: int
    head: dict[str, Any]
    augment: tuple[str, ...]
    seed: int
    config: FinetuneConfig = FinetuneConfig()

    def recipe_of_epoch(self, number: int) -> Recipe:
        """The recipe with the input size of an epoch, from 1."""
        full = Recipe.from_dict(self.recipe)
        last = number > self.config.epochs - self.config.full_size_epochs
        return full if last else replace(full, size=self.size)

    def is_full_size(self, number: int) -> bool:
        """Whether an epoch is at the size at which the network answers."""
        return self.recipe_of_epoch(number) == Recipe.from_dict(self.recipe)

    @property
    def costs(self) -> list[float]:
        """What a step of each epoch costs, in pixels of a photo."""
        epochs = range(1, self.config.epochs + 1)
        return [float(math.prod(self.recipe_of_epoch(number).size)) for number in epochs]


@dataclass(frozen=True)
class Epoch:
    """A finished epoch.

    Args:
        number: From 1; 0 is the frozen network.
        right: How many held-out photos are right.
        loss: Their mean negative log-likelihood in nats, at the best temperature, so that
            overconfidence alone does not count as worse.
        seconds: How long all epochs so far took, without pauses.
        rate: Peak learning rate.
        share: Of the cosine along which the rate falls, how much is done, in [0, 1].
        full_size: Whether the network was at the size at which it answers.
    """

    number: int
    right: int
    loss: float
    seconds: float
    rate: float
    share: float = 0.0
    full_size: bool = False


def best_of(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch with the lowest loss of those at the size of the last one."""
    return min(
        (epoch for epoch in epochs if epoch.full_size == epochs[-1].full_size),
        key=lambda epoch: epoch.loss,
    )


class Journal:
    """The finished epochs of a task, on disk: each is there complete or not at all.

    Args:
        folder: Of the task.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        results = (path / RESULT for path in folder.glob("epoch-*"))
        self.epochs = sorted(
            (Epoch(**json.loads(path.read_text("utf-8"))) for path in results),
            key=lambda epoch: epoch.number,
        )

    def network(self, epoch: Epoch) -> Path:
        """Where the network is as it was after an epoch; kept of the best and of the last."""
        return self._folder / f"epoch-{epoch.number:03}" / NETWORK

    def add(self, epoch: Epoch, model: Any) -> None:
        """Write down an epoch, with the network and the state of its optimizer."""
        with files.atomic_dir(self.network(epoch).parent) as scratch:
            model.save(scratch / NETWORK)
            (scratch / RESULT).write_text(
                json.dumps(asdict(epoch), allow_nan=False), encoding="utf-8"
            )
        self.epochs.append(epoch)
        for other in self.epochs:
            if other not in (epoch, best_of(self.epochs)):
                self.network(other).unlink(missing_ok=True)


def score(probs: Array, truth: Array) -> tuple[int, float]:
    """How many photos are right, and their mean negative log-likelihood at the best temperature.

    Args:
        probs: Shape (N, C).
        truth: Labels, shape (N,).

    Example:
        >>> score(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]))[0]
        1
    """
    right = int((probs.argmax(axis=1) == truth).sum())
    return right, float(nll(probs, truth).mean())


def nll(probs: Array, truth: Array) -> Array:
    """Negative log-likelihood of each photo at the best temperature, in nats, shape (N,)."""
    temperature = fit.fit_temperature(probs, truth, unlabelled=1)
    true_class = rules.temper(probs, temperature)[np.arange(len(truth)), truth]
    return np.asarray(-np.log(np.maximum(true_class, fit.FLOOR)))


def finetune(
    task: FinetuneTask,
    on_message: OnMessage,
    *,
    stop: ShouldStop = lambda: False,
    plan: PlanEpochs | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Path | None:
    """Fine-tune a member, or go on where a process that was killed had come to.

    Args:
        task: The member, its photos and hyperparameters.
        on_message: Called with what trains how many layers, then after each step and epoch.
        stop: Polled at each step; when it returns true, the best epoch so far is the result.
        plan: Called once the pace was measured; decides how many epochs there is time for, 0 for
            none. Where they take longer than that, they are cut short. By default, ``task.config``
            decides.
        clock: Gives seconds.

    Returns:
        The fine-tuned network; ``None`` where no epoch was better than the frozen one.
    """
    # First the files: missing ones fail before Keras is imported.
    folder = Path(task.folder)
    inputs = np.load(folder / INPUTS, mmap_mode="r")
    with np.load(folder / TRUTH) as file:
        train_truth, held_truth = file["train"], file["held"]
    batches = AugmentedBatches(np.load(folder / CANVASES, mmap_mode="r"), train_truth, task)
    journal = Journal(folder)

    import keras

    keras.utils.set_random_seed(task.seed)
    original = keras.models.load_model(task.model, compile=False, safe_mode=True)
    policy, device = _device()
    sizes = [task.recipe_of_epoch(number).size for number in (1, task.config.epochs)]
    pixels = ", then ".join(f"{height} x {width}" for height, width in dict.fromkeys(sizes))
    layers = sum(bool(layer.weights) and not is_norm(layer) for layer in original.layers)
    on_message({"device": f"{device}, {policy}, photos of {pixels} pixels", "layers": layers})
    held_out = HeldOutPhotos(inputs, held_truth)
    if journal.epochs:
        model = keras.models.load_model(journal.network(journal.epochs[-1]), safe_mode=True)
    else:
        model = with_size(original, sizes[0], policy)
        _begin(model, batches, held_out, task, journal, stop, clock)
    if not journal.epochs:
        return None
    deadline = math.inf
    if plan:
        epochs, seconds = plan(_epochs_s(model, batches, len(inputs), task, stop, clock))
        if not epochs or stop():
            return None
        task = replace(task, config=replace(task.config, epochs=epochs))
        deadline = clock() + seconds
    rate = journal.epochs[0].rate
    schedule = Schedule(rate, len(batches), task.costs, deadline=deadline, clock=clock)
    _train(model, policy, batches, held_out, task, schedule, journal, on_message, stop, clock)
    return _write_best(original, journal, task)


def _write_best(original: Any, journal: Journal, task: FinetuneTask) -> Path | None:
    """Write the best epoch as a network like the original, and its head; or nothing."""
    import keras

    best = best_of(journal.epochs)
    if best.number == 0:
        return None
    trained = keras.models.load_model(journal.network(best), compile=False, safe_mode=True)
    original.set_weights(trained.get_weights())
    original.trainable = True
    folder = Path(task.folder)
    head.Head.of_model(original, task.head["kind"]).save(folder / TRAINED_HEAD)
    # Last, so that the head is there when it is.
    with files.atomic_file(folder / TUNED) as scratch:
        original.save(scratch)
    return folder / TUNED


def _device() -> tuple[str, str]:
    """The number format to train in, and what trains, for people."""
    import tensorflow

    graphics = tensorflow.config.list_physical_devices("GPU")
    if not graphics:
        # Measured: TensorFlow's depthwise convolutions are 10 times as slow in bfloat16, and its
        # other layers hardly faster.
        return "float32", "the processor"
    details = tensorflow.config.experimental.get_device_details(graphics[0])
    # Tensor cores compute in bfloat16 from Ampere on, in which losses need no scaling.
    fast = details.get("compute_capability", (0, 0)) >= (8, 0)
    return "mixed_bfloat16" if fast else "float32", details.get("device_name", "a GPU")


def with_size(model: Any, size: tuple[int, int], policy: str) -> Any:
    """A copy of a network that takes another size of input and computes in another format.

    Args:
        model: From image to probabilities.
        size: (height, width) in pixels.
        policy: Name of a Keras dtype policy; probabilities are float32 in any.
    """
    import keras

    config = model.get_config()
    for layer in config["layers"]:
        if layer["class_name"] == "InputLayer":
            layer["config"]["batch_shape"] = (None, *size, 3)
        # Plain operations have no number format of their own.
        elif layer is not config["layers"][-1] and "dtype" in layer["config"]:
            layer["config"]["dtype"] = policy
    copy = keras.Model.from_config(config)
    copy.set_weights(model.get_weights())
    return copy


def _at_size(model: Any, size: tuple[int, int], policy: str) -> Any:
    """A model in training, for another size of input: it goes on as it was."""
    if tuple(model.input_shape[1:3]) == tuple(size):
        return model
    copy = with_size(model, size, policy)
    _compile(copy, 0.0)
    for variable, value in zip(copy.optimizer.variables, model.optimizer.variables, strict=True):
        variable.assign(value)
    return copy


def is_norm(layer: Any) -> bool:
    """Whether a layer is a batch normalisation, which stays frozen."""
    import keras

    return isinstance(layer, keras.layers.BatchNormalization)


def _begin(
    model: Any,
    batches: AugmentedBatches,
    held_out: HeldOutPhotos,
    task: FinetuneTask,
    journal: Journal,
    stop: ShouldStop,
    clock: Callable[[], float],
) -> None:
    """Fit the head, find the rate and write down epoch 0, unless it is to stop."""
    started, photo_recipe = clock(), task.recipe_of_epoch(1)
    for layer in model.layers:
        layer.trainable = not is_norm(layer)
    _fit_head(model, batches, task)
    right, loss = score(held_out.predict(model, photo_recipe), held_out.truth)
    rate = task.config.rate or find_rate(model, batches, photo_recipe, loss, stop)
    if not stop():
        _compile(model, 0.0)
        seconds = round(clock() - started, 1)
        journal.add(Epoch(0, right, loss, seconds, rate, full_size=task.is_full_size(1)), model)


def _fit_head(model: Any, batches: AugmentedBatches, task: FinetuneTask) -> None:
    """Begin with a head that fits the features at this size."""
    import keras

    backbone = keras.Model(model.input, zoo.features_output(model))
    photos = batches.plain(task.recipe_of_epoch(1))
    features = np.concatenate([backbone.predict_on_batch(batch) for batch in photos])
    like = head.Head(task.head["kind"], (), (), task.head["notes"])
    fitted = heads.refit(like, features, batches.truth, classes=task.classes, seed=task.seed)
    *kernels, kernel = fitted.kernels
    *biases, bias = fitted.biases
    # As confident as label smoothing wants it: else the first steps would spoil the backbone to
    # make it less so.
    log_probs = np.log(np.maximum(fitted.probs(features), 1e-30))
    scale = min(SCALES, key=lambda scale: smoothed_loss(scale * log_probs, batches.truth))
    head.Head(
        fitted.kind, (*kernels, scale * kernel), (*biases, scale * bias), fitted.notes
    ).put_into(model)


def smoothed_loss(logits: Array, truth: Array) -> float:
    """Cross-entropy with label smoothing, in nats.

    Args:
        logits: Shape (N, C).
        truth: Labels, shape (N,).

    Example:
        >>> round(smoothed_loss(np.zeros((3, 4)), np.array([0, 1, 2])), 4)
        1.3863
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    true_class = log_probs[np.arange(len(truth)), truth]
    smoothed = (1 - SMOOTHING) * true_class + SMOOTHING * log_probs.mean(axis=1)
    return float(-smoothed.mean())


def find_rate(
    model: Any,
    batches: AugmentedBatches,
    photo_recipe: Recipe,
    loss: float,
    stop: ShouldStop,
) -> float:
    """A learning rate from a range test; the model stays as it was.

    The rate rises from step to step until the network is worse than one that knows nothing, whose
    loss is that of equal probabilities. The better the frozen network is, the less it has to learn,
    and the more to lose.

    Args:
        model: With its head fitted.
        batches: Some of them are trained on.
        photo_recipe: With the size of the model's input.
        loss: Its loss on the held-out photos, in nats.
        stop: Polled at each step; ends the test.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", 2017 (the range test).
    """
    before = model.get_weights()
    _compile(model, 0.0)
    knows_nothing = math.log(model.output_shape[-1])
    losses: list[float] = []
    repeated = (
        batch for number in itertools.count(1) for batch in batches.epoch(number, photo_recipe)
    )
    for rate, (inputs, truth, balance) in zip(RATES, repeated, strict=False):
        model.optimizer.learning_rate = rate
        losses.append(float(model.train_on_batch(inputs, truth, sample_weight=balance)))
        if stop() or not np.mean(losses[-SMOOTHED_OVER:]) < knows_nothing:
            break
    model.set_weights(before)
    safe = RATES[len(losses) - 1] / SAFETY
    return float(max(LEAST_RATE, safe * min(1.0, math.sqrt(loss))))


def _epochs_s(
    model: Any,
    batches: AugmentedBatches,
    held_out: int,
    task: FinetuneTask,
    stop: ShouldStop,
    clock: Callable[[], float],
) -> list[float]:
    """How long 1, 2, ... epochs take, in seconds, by a few steps that change nothing."""
    before = [variable.numpy() for variable in model.optimizer.variables]
    model.optimizer.learning_rate = 0.0
    photo_recipe = replace(Recipe.from_dict(task.recipe), size=tuple(model.input_shape[1:3]))
    repeated = (
        batch for number in itertools.count(1) for batch in batches.epoch(number, photo_recipe)
    )
    ends = [clock()]
    for inputs, truth, balance in itertools.islice(repeated, 1 + MEASURED_STEPS):
        model.train_on_batch(inputs, truth, sample_weight=balance)
        ends.append(clock())
        if stop():
            break
    for variable, value in zip(model.optimizer.variables, before, strict=True):
        variable.assign(value)
    first_s = ends[1] - ends[0]  # the network is compiled, which takes as long at another size
    step_s = (ends[-1] - ends[1]) / max(1, len(ends) - 2)
    pixel_s = step_s / math.prod(photo_recipe.size)
    steps = len(batches) + PREDICTION_SHARE * held_out / task.config.batch
    plans = [
        replace(task, config=replace(task.config, epochs=epochs)).costs
        for epochs in range(1, task.config.epochs + 1)
    ]
    return [
        steps * pixel_s * sum(costs) + max(0.0, first_s - step_s) * (len({*costs}) - 1)
        for costs in plans
    ]


def _compile(model: Any, rate: Any) -> None:
    import keras

    loss = keras.losses.CategoricalCrossentropy(label_smoothing=SMOOTHING)
    # Without XLA: on a CPU it makes convolutions slower.
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    model.optimizer.build(model.trainable_variables)


def _train(
    model: Any,
    policy: str,
    batches: AugmentedBatches,
    held_out: HeldOutPhotos,
    task: FinetuneTask,
    schedule: Schedule,
    journal: Journal,
    on_message: OnMessage,
    stop: ShouldStop,
    clock: Callable[[], float],
) -> None:
    """Run epochs, from the last finished one on, unless none is better than the frozen network."""
    earlier, started, evaluation_s = journal.epochs[-1].seconds, clock(), 0.0
    for number in range(task.config.epochs + 1):
        if number == len(journal.epochs):
            photo_recipe = task.recipe_of_epoch(number)
            model = _at_size(model, photo_recipe.size, policy)
            schedule.begin_epoch(number, journal.epochs[-1].share, evaluation_s)
            if schedule.epoch_is_over:  # there is no time for it
                break
            for photos, truth, balance in batches.epoch(number, photo_recipe):
                if stop():
                    return
                if schedule.epoch_is_over:
                    break
                model.optimizer.learning_rate = schedule.next_rate()
                model.train_on_batch(photos, truth, sample_weight=balance)
                on_message({"step": schedule.done, "of": schedule.done + schedule.steps_left})
                schedule.end_step()
            trained = clock()
            right, loss = score(held_out.predict(model, photo_recipe), held_out.truth)
            seconds = round(earlier + clock() - started, 1)
            share, full_size = schedule.share, task.is_full_size(number)
            epoch = Epoch(number, right, loss, seconds, schedule.rate, share, full_size)
            journal.add(epoch, model)
            evaluation_s = clock() - trained
        best = best_of(journal.epochs[: number + 1]).number
        on_message({**asdict(journal.epochs[number]), "photos": len(held_out.truth), "best": best})
        if best == 0 and number >= task.config.patience:
            break


@dataclass(frozen=True)
class HeldOutPhotos:
    """Photos that decide, and are not trained on.

    Args:
        inputs: At the size at which the network answers, uint8 (M, *size, 3).
        truth: Labels, shape (M,).
    """

    inputs: Array
    truth: Array

    def predict(self, model: Any, photo_recipe: Recipe) -> Array:
        """Probabilities (M, C) of a network with the input size of a recipe."""
        chunks = np.array_split(self.inputs, math.ceil(len(self.inputs) / PREDICTED))
        return np.concatenate(
            [model.predict_on_batch(_scaled(chunk, photo_recipe)) for chunk in chunks]
        )


def _scaled(inputs: Array, photo_recipe: Recipe) -> Array:
    """Inputs of a network, made of those of a larger size."""
    height, width = inputs.shape[1:3]
    if (height, width) != photo_recipe.size:
        whole = (0.0, 0.0, float(width), float(height))
        inputs = np.stack([recipe.cut(photo_recipe, np.asarray(photo), whole) for photo in inputs])
    return recipe.scale(photo_recipe, inputs)


class AugmentedBatches:
    """Batches of augmented training photos; the same seed gives the same batches."""

    def __init__(self, canvases: Array, truth: Array, task: FinetuneTask) -> None:
        self.truth = truth
        self._canvases, self._task = canvases, task
        self._classes = np.eye(task.classes, dtype=np.float32)
        counts = np.bincount(truth, minlength=task.classes)
        # Balanced sample weights: photos of rarer classes weigh more.
        self._balance = len(truth) / (np.maximum(counts, 1) * (counts > 0).sum())

    def __len__(self) -> int:
        return math.ceil(len(self.truth) / self._task.config.batch)

    def plain(self, photo_recipe: Recipe) -> Iterator[Array]:
        """Inputs (B, *size, 3) of the photos as they are answered, in order."""
        height, width = self._canvases.shape[1:3]
        part = recipe.window(photo_recipe, height, width)
        for start in range(0, len(self.truth), self._task.config.batch):
            canvases = self._canvases[start : start + self._task.config.batch]
            photos = [recipe.cut(photo_recipe, np.asarray(canvas), part) for canvas in canvases]
            yield recipe.scale(photo_recipe, np.stack(photos))

    def epoch(self, number: int, photo_recipe: Recipe) -> Iterator[tuple[Array, Array, Array]]:
        """Inputs (B, *size, 3), one-hot labels (B, C) and sample weights (B,)."""
        order = np.random.default_rng((self._task.seed, number)).permutation(len(self.truth))

        def prepare(batch: Array) -> tuple[Array, Array, Array]:
            photos = [self._augment(number, int(index), photo_recipe) for index in batch]
            truth = self.truth[batch]
            inputs = recipe.scale(photo_recipe, np.stack(photos))
            return inputs, self._classes[truth], self._balance[truth]

        with ThreadPoolExecutor(concurrency.cpu_count()) as pool:
            # Ahead of the network, which therefore never waits.
            yield from concurrency.map_ahead(
                pool, prepare, np.array_split(order, len(self)), ahead=2 * concurrency.cpu_count()
            )

    def _augment(self, epoch: int, index: int, photo_recipe: Recipe) -> Array:
        rng = np.random.default_rng((self._task.seed, epoch, index))
        canvas = np.asarray(self._canvases[index])
        height, width = canvas.shape[:2]
        share = rng.uniform(LEAST_SHARE, 1.0)
        left, top = (rng.uniform(0, side * (1 - share)) for side in (width, height))
        part = (left, top, left + share * width, top + share * height)
        photo = recipe.cut(photo_recipe, canvas, part)
        for name in self._task.augment:
            photo = augment.RANDOM[name](photo, rng)
        return photo


def _main() -> None:
    # Ctrl-C goes to all processes of a terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = worker.connect(grace_s=GRACE_S)
    sys.meta_path.insert(0, convert.Hidden(*convert.NEEDLESS))
    fields = next(parent.messages())
    is_planned = fields.pop("is_planned")
    fields["config"] = FinetuneConfig(**fields["config"])
    fields["size"] = tuple(fields["size"])

    def plan(epochs_s: Sequence[float]) -> tuple[int, float]:
        parent.send({"epochs_s": epochs_s})
        reply = next(parent.messages(), {"epochs": 0, "seconds": 0.0})  # none: it is to stop
        return int(reply["epochs"]), float(reply["seconds"])

    finetune(
        FinetuneTask(**fields),
        parent.send,
        stop=parent.stopping.is_set,
        plan=plan if is_planned else None,
    )


if __name__ == "__main__":
    _main()
