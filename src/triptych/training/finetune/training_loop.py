"""Fine-tuning one network: the head first, then epochs, each saved; arrays in, a network out.

Most epochs use a smaller input size than the network is served with, which takes less time. The
last ones use the full size, since features depend on the size, and the head on the features.

Source: Touvron et al., "Fixing the train-test resolution discrepancy", 2019.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from triptych.models.head import Head
from triptych.preprocessing.recipe import Recipe
from triptych.training.finetune import losses
from triptych.training.finetune import network
from triptych.training.finetune import range_test
from triptych.training.finetune.batches import AugmentedBatches
from triptych.training.finetune.batches import HeldOutPhotos
from triptych.training.finetune.checkpoints import Checkpoints
from triptych.training.finetune.checkpoints import Epoch
from triptych.training.finetune.checkpoints import best_of
from triptych.training.finetune.schedule import Schedule
from triptych.training.finetune.task import CANVASES
from triptych.training.finetune.task import INPUTS
from triptych.training.finetune.task import LABELS
from triptych.training.finetune.task import TRAINED_HEAD
from triptych.training.finetune.task import TUNED
from triptych.training.finetune.task import FinetuneTask
from triptych.typing import ShouldStop
from triptych.utils import extras
from triptych.utils import files

OnMessage = Callable[[dict[str, Any]], None]
# Takes how long 1, 2, ... epochs take, in seconds; returns how many to run, and the time for them.
PlanEpochs = Callable[[Sequence[float]], tuple[int, float]]

# Steps by which the speed is measured, and the share of a step's time that a prediction takes: the
# forward pass, without the backward pass, which computes twice as much.
MEASURED_STEPS = 8
PREDICTION_SHARE = 1 / 3


def finetune(
    task: FinetuneTask,
    on_message: OnMessage,
    *,
    stop: ShouldStop = lambda: False,
    plan: PlanEpochs | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Path | None:
    """Fine-tune a member, or resume the training of a process that was killed.

    Args:
        task: The member, its photos and hyperparameters.
        on_message: Called with the device and the number of layers, then after each step and epoch.
        stop: Polled at each step; when it returns true, the best epoch so far is the result.
        plan: Called once the speed was measured; decides how many epochs there is time for, 0 for
            none. Epochs that take longer than planned are shortened. By default, ``task.config``
            decides.
        clock: Gives seconds.

    Returns:
        The fine-tuned network; ``None`` if no epoch was better than the frozen one.
    """
    # Files first: a missing one fails before Keras is imported.
    folder = Path(task.folder)
    inputs = np.load(folder / INPUTS, mmap_mode="r")
    with np.load(folder / LABELS) as labels:
        held_out = HeldOutPhotos(inputs, labels["holdout"])
        canvases = np.load(folder / CANVASES, mmap_mode="r")
        batches = AugmentedBatches(canvases, labels["train"], task)
    checkpoints = Checkpoints(folder)

    with extras.large_import():
        import keras

    keras.utils.set_random_seed(task.seed)
    original = keras.models.load_model(task.model, compile=False, safe_mode=True)
    loop = _Loop(task, batches, held_out, checkpoints, on_message, stop, clock)
    loop.report_device(original)
    if checkpoints.epochs:
        model = network.load(checkpoints.network(checkpoints.epochs[-1]))
    else:
        model = network.with_size(original, task.recipe_of_epoch(1).size, network.device()[0])
        loop.begin(model)
    if not checkpoints.epochs:
        return None
    deadline = math.inf
    if plan:
        epochs, seconds = plan(loop.epochs_s(model))
        if not epochs or stop():
            return None
        loop = replace(loop, task=replace(task, config=replace(task.config, epochs=epochs)))
        deadline = clock() + seconds
    loop.run(model, deadline)
    return _write_best(original, checkpoints, task)


@dataclass(frozen=True)
class _Loop:
    """The state that all epochs of a task share."""

    task: FinetuneTask
    batches: AugmentedBatches
    held_out: HeldOutPhotos
    checkpoints: Checkpoints
    on_message: OnMessage
    stop: ShouldStop
    clock: Callable[[], float]

    def report_device(self, original: Any) -> None:
        """Report the device, the number of layers and the input sizes."""
        policy, device = network.device()
        sizes = [self.task.recipe_of_epoch(number).size for number in (1, self.task.config.epochs)]
        pixels = ", then ".join(f"{height} x {width}" for height, width in dict.fromkeys(sizes))
        layers = sum(bool(each.weights) and not network.is_norm(each) for each in original.layers)
        self.on_message(
            {"device": f"{device}, {policy}, photos of {pixels} pixels", "layers": layers}
        )

    def begin(self, model: Any) -> None:
        """Fit the head, find the learning rate and save epoch 0, unless training was stopped."""
        task, started, photo_recipe = self.task, self.clock(), self.task.recipe_of_epoch(1)
        network.fit_head(model, self.batches, task)
        correct, loss = losses.score(
            self.held_out.predict(model, photo_recipe), self.held_out.labels
        )
        rate = task.config.rate or range_test.find_rate(
            model, self.batches, photo_recipe, loss, self.stop
        )
        if not self.stop():
            seconds = round(self.clock() - started, 1)
            epoch = Epoch(0, correct, loss, seconds, rate, full_size=task.is_full_size(1))
            self.checkpoints.add(epoch, model)

    def epochs_s(self, model: Any) -> list[float]:
        """Estimate how long 1, 2, ... epochs take, in seconds, from a few steps that are undone."""
        task, size = self.task, tuple(model.input_shape[1:3])
        repeated = self.batches.repeated(replace(Recipe.from_dict(task.recipe), size=size))
        ends = [self.clock()]
        with network.restored(model):
            for batch in itertools.islice(repeated, 1 + MEASURED_STEPS):
                network.train_step(model, batch, rate=0.0)
                ends.append(self.clock())
                if self.stop():
                    break
        # In the first step the network may be compiled, which takes as long at another size.
        first_s = ends[1] - ends[0]
        step_s = (ends[-1] - ends[1]) / max(1, len(ends) - 2)
        pixel_s = step_s / math.prod(size)
        predicted = len(self.held_out.labels) / task.config.batch
        steps = len(self.batches) + PREDICTION_SHARE * predicted
        plans = [
            replace(task, config=replace(task.config, epochs=epochs)).costs
            for epochs in range(1, task.config.epochs + 1)
        ]
        return [
            steps * pixel_s * sum(costs) + max(0.0, first_s - step_s) * (len({*costs}) - 1)
            for costs in plans
        ]

    def run(self, model: Any, deadline: float) -> None:
        """Run the epochs after the last finished one, with early stopping."""
        task, epochs = self.task, self.checkpoints.epochs
        schedule = Schedule(
            epochs[0].rate, len(self.batches), task.costs, deadline=deadline, clock=self.clock
        )
        for number in range(task.config.epochs + 1):
            if number == len(epochs):
                model = network.at_size(
                    model, task.recipe_of_epoch(number).size, network.device()[0]
                )
                if not self._train_epoch(model, number, schedule):
                    return
            best = best_of(epochs[: number + 1]).number
            photos = len(self.held_out.labels)
            self.on_message({**asdict(epochs[number]), "photos": photos, "best": best})
            if best == 0 and number >= task.config.patience:
                return

    def _train_epoch(self, model: Any, number: int, schedule: Schedule) -> bool:
        """Train, evaluate and save an epoch; false if there was no time, or training was stopped.

        An unfinished epoch is not evaluated: the best complete one counts.
        """
        task, started = self.task, self.clock()
        photo_recipe, last = task.recipe_of_epoch(number), self.checkpoints.epochs[-1]
        schedule.begin_epoch(number, last.share)
        if schedule.epoch_is_over:
            return False
        for batch in self.batches.epoch(number, photo_recipe):
            if self.stop():
                return False
            if schedule.epoch_is_over:
                break
            network.train_step(model, batch, schedule.next_rate())
            steps = schedule.done + schedule.steps_left
            self.on_message({"step": schedule.done, "of": steps})
            schedule.end_step()
        trained = self.clock()
        probs = self.held_out.predict(model, photo_recipe)
        correct, loss = losses.score(probs, self.held_out.labels)
        seconds = round(last.seconds + self.clock() - started, 1)
        share, full_size = schedule.share, task.is_full_size(number)
        epoch = Epoch(number, correct, loss, seconds, schedule.rate, share, full_size)
        self.checkpoints.add(epoch, model)
        schedule.evaluation_s = self.clock() - trained
        return True


def _write_best(original: Any, checkpoints: Checkpoints, task: FinetuneTask) -> Path | None:
    """Write the best epoch, if there is one, as a network like the original and its head."""
    import keras

    best = best_of(checkpoints.epochs)
    if best.number == 0:
        return None
    trained = keras.models.load_model(checkpoints.network(best), compile=False, safe_mode=True)
    original.set_weights(trained.get_weights())
    original.trainable = True
    folder = Path(task.folder)
    Head.of_model(original, task.head["kind"]).save(folder / TRAINED_HEAD)
    # Written last: if it exists, so does the head.
    with files.atomic_file(folder / TUNED) as scratch:
        original.save(scratch)
    return folder / TUNED
