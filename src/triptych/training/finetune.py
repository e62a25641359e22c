"""Fine-tuning, transfer learning's second step: the last blocks of the backbones learn, too.

Each seated member is tuned in a process of its own (`finetune_child`) on the training photos
without one fold. That fold decides everything: the best epoch, the temperature, whether the tuned
member takes the place of the one that came, and how much each member counts after that. The
photos the report is about have no say in it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych import errors
from triptych import images
from triptych.engines import Engine
from triptych.engines.conversion import convert
from triptych.engines.options import EngineOptions
from triptych.engines.options import open_engine
from triptych.ensemble.params import EnsembleParams
from triptych.features import Photo
from triptych.preprocessing import recipe
from triptych.preprocessing.recipe import Recipe
from triptych.training import finetune_worker as child
from triptych.training import heads
from triptych.training.config import Figures
from triptych.training.config import Lesson
from triptych.training.config import Material
from triptych.training.config import Outcome
from triptych.training.config import Pupil
from triptych.training.config import Record
from triptych.training.config import weigh
from triptych.typing import Array
from triptych.typing import ShouldStop
from triptych.utils import concurrency

# Fewer held-out photos could not tell a better network from a luckier one.
FEWEST_HELD = 10
# Standard errors by which a tuned member must be better.
CLEARLY = 2
# A canvas has that much of its side in a window of the network's size.
WINDOW_SHARE = 0.875
BATCH = 8
POLL_S = 0.2
CONVERTED = "converted"
STOPPED = "Stopped; the features computed so far are kept."


@dataclass(frozen=True)
class Tuning:
    """What a member's tuning came to.

    Args:
        pupil: The member as it is now.
        held: Its own answers to the held-out photos, shape (M, C).
        record: Gain and cost.
    """

    pupil: Pupil
    held: Array
    record: Record


def improve(
    folder: Path,
    pupils: Sequence[Pupil],
    params: EnsembleParams,
    material: Material,
    *,
    options: EngineOptions,
    lesson: Lesson,
    plan: child.Plan = child.Plan(),
) -> Outcome:
    """Tune the seated members of a bundle that is being written.

    Args:
        folder: The bundle's; ``members/`` lies in it, and scratch files may lie beside it.
        pupils: Those with weight 0 are left alone.
        params: What was fitted for the others.
        material: Their photos.
        options: How networks run.
        lesson: Seed, progress, stop.
        plan: How to tune.

    Returns:
        The committee afterwards; as it was, where no tuned member was clearly better.

    Raises:
        errors.SettingError: There are too few photos to hold some back.
        errors.EngineError: Training failed.
        errors.Stopped: ``lesson.stop`` said so.
    """
    held = held_out(material.folds)
    workshop = _Workshop(folder, material, held, options, lesson, plan)
    tunings = {
        number: workshop.tune(pupil, material.train[number])
        for number, pupil in enumerate(pupils)
        if pupil.weight
    }
    records = [tuning.record for tuning in tunings.values()]
    if not any(record.kept for record in records):
        return Outcome(pupils, params, records)
    weighed, params = weigh(
        [tuning.pupil for tuning in tunings.values()],
        [tuning.held for tuning in tunings.values()],
        material.train_truth[held],
    )
    changed = list(pupils)
    for number, pupil in zip(tunings, weighed, strict=True):
        changed[number] = pupil
        if not pupil.weight:
            shutil.rmtree(folder / "members" / pupil.backbone.name)
    return Outcome(changed, params, records)


def held_out(folds: Array) -> Array:
    """Which training photos decide and are not learned: those of the last fold, shape (N,).

    Raises:
        errors.SettingError: There are too few of them.
    """
    held = np.asarray((folds == folds.max()) & (folds >= 0))
    if held.sum() < FEWEST_HELD:
        raise errors.SettingError(
            f"Fine-tuning holds back one of {folds.max() + 1} parts of the training photos, here "
            f"{held.sum()}, and needs {FEWEST_HELD} or more to tell what helps. Teach with more "
            "photos, or without fine-tuning."
        )
    return held


def betters(tuned: Array, frozen: Array, truth: Array) -> bool:
    """Whether a tuned member may take the place of the frozen one.

    It must give no fewer right answers, and more likely ones by two standard errors: of a dozen
    epochs on a few dozen photos some look better by luck, and it has learned from fewer photos.

    Args:
        tuned: Answers to the held-out photos, shape (N, C).
        frozen: Likewise.
        truth: Shape (N,).
    """
    gains = child.losses(frozen, truth) - child.losses(tuned, truth)
    right, right_before = ((probs.argmax(axis=1) == truth).sum() for probs in (tuned, frozen))
    error = gains.std(ddof=1) / np.sqrt(len(truth))
    return bool(right >= right_before and gains.mean() > CLEARLY * error)


@dataclass(frozen=True)
class _Workshop:
    """What tuning one member shares with tuning the next."""

    folder: Path
    material: Material
    held: Array
    options: EngineOptions
    lesson: Lesson
    plan: child.Plan

    def tune(self, pupil: Pupil, features: Array) -> Tuning:
        """Tune one member; where that helps, its files in the bundle are replaced."""
        started = time.perf_counter()
        heard = _Heard(pupil.backbone.name, self.lesson, self.options)
        frozen = _Answers(pupil.fit.out_of_fold[self.held], pupil.answers)
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix="tuning-") as scratch:
            self._prepare(pupil, features, Path(scratch))
            self._train(pupil, Path(scratch), heard)
            tuned = self._answers(pupil, Path(scratch)) if heard.best_epoch else frozen
            kept = betters(tuned.held, frozen.held, self.material.train_truth[self.held])
            if kept:
                place = self.folder / "members" / pupil.backbone.name
                shutil.rmtree(place)
                (Path(scratch) / CONVERTED).rename(place)
        answers = tuned if kept else frozen
        record = Record(
            member=pupil.backbone.name,
            epochs=heard.epoch,
            best_epoch=heard.best_epoch,
            layers=heard.layers,
            seconds=round(time.perf_counter() - started, 1),
            photos=int(self.held.sum()),
            before=self._figures(frozen),
            after=self._figures(tuned),
            kept=kept,
        )
        after = dataclasses.replace(pupil, answers=answers.validation)
        return Tuning(after, answers.held, record)

    def _prepare(self, pupil: Pupil, features: Array, scratch: Path) -> None:
        """Photos as arrays, and a head that has not seen those held out."""
        own, truth, held = pupil.backbone.recipe, self.material.train_truth, self.held
        learned = _chosen(self.material.train_photos, ~held)
        self._write(learned, canvas(own), scratch / child.CANVASES)
        back = _chosen(self.material.train_photos, held)
        self._write(back, own, scratch / child.INPUTS)
        np.savez(scratch / child.TRUTH, allow_pickle=False, train=truth[~held], held=truth[held])
        start = heads.refit(
            pupil.fit.head,
            features[~held],
            truth[~held],
            classes=len(self.material.classes),
            seed=self.lesson.seed,
        )
        start.save(scratch / child.HEAD)

    def _write(self, photos: Sequence[Photo], own: Recipe, path: Path) -> None:
        # One by one to disk: all of them may be more than memory holds.
        array = np.lib.format.open_memmap(
            path, mode="w+", dtype=np.uint8, shape=(len(photos), *own.size, 3)
        )
        for number, pixels in enumerate(_resized(photos, own)):
            if self.lesson.stop():
                raise errors.Stopped(STOPPED)
            array[number] = pixels
        array.flush()

    def _train(self, pupil: Pupil, scratch: Path, heard: _Heard) -> None:
        task = child.Task(
            folder=str(scratch),
            model=str(self.folder / "members" / pupil.backbone.name / convert.MODEL),
            recipe=pupil.backbone.recipe.to_dict(),
            classes=len(self.material.classes),
            seed=self.lesson.seed,
            plan=self.plan,
        )
        run(task, heard, stop=self.lesson.stop, threads=self.options.threads)

    def _answers(self, pupil: Pupil, scratch: Path) -> _Answers:
        """What the tuned member says, run as it will be served."""
        converted = scratch / CONVERTED
        job = convert.Import(str(scratch / child.TUNED), str(converted), logits=False)
        convert.run([job], lambda line: None)
        engine = open_engine(converted / convert.NETWORK, self.options, cache=False)
        own = pupil.backbone.recipe
        held = _ask(engine, own, iter(np.load(scratch / child.INPUTS)))
        val = _ask(engine, own, _resized(self.material.val_photos, own))
        return _Answers(held, val)

    def _look(self, answers: _Answers) -> child.Look:
        return child.look(answers.held, self.material.train_truth[self.held])

    def _figures(self, answers: _Answers) -> Figures:
        look = self._look(answers)
        right = answers.validation.argmax(axis=1) == self.material.val_truth
        return Figures(look.right / int(self.held.sum()), look.loss, float(right.mean()))


@dataclass(frozen=True)
class _Answers:
    """Of one network: its own probs of the held-out photos, and of the validation photos."""

    held: Array
    validation: Array


@dataclass
class _Heard:
    """What the child has said so far; passes it on to whoever waits."""

    name: str
    lesson: Lesson
    options: EngineOptions
    layers: int = 0
    epoch: int = 0
    best_epoch: int = 0

    def __call__(self, message: dict[str, Any]) -> None:
        if "layers" in message:
            self.layers = len(message["layers"])
        elif "step" in message:
            self.lesson.progress(f"Fine-tuning {self.name}", message["step"], message["of"])
        else:
            self.epoch, self.best_epoch = message["epoch"], message["best"]
            self.options.report(
                f"{self.name}, epoch {self.epoch}: {message['right']} of {message['photos']} "
                f"held-out photos right, loss {message['loss']:.4f}"
            )


def run(
    task: child.Task,
    hear: Callable[[dict[str, Any]], None],
    *,
    stop: ShouldStop = lambda: False,
    threads: int = 0,
) -> None:
    """Tune in a child process, which ends with this call whatever happens.

    Args:
        task: What to tune and how.
        hear: Called with each message of the child.
        stop: Asked several times a second whether to stop.
        threads: Processor threads; 0 takes every core.

    Raises:
        errors.EngineError: The child failed.
        errors.Stopped: ``stop`` said so.
    """
    command = [sys.executable, "-m", child.__name__, json.dumps(dataclasses.asdict(task))]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=_environment(threads)
        ) as process,
    ):
        try:
            for line in _lines(process, stop):
                hear(json.loads(line))
        except BaseException:
            process.kill()
            raise
        if process.wait():
            log.seek(0)
            reason = (log.read().strip().splitlines() or ["no reason given"])[-1]
            raise errors.EngineError(
                f"Fine-tuning {Path(task.model).parent.name} failed with exit code "
                f"{process.returncode}: {reason}"
            )


def _environment(threads: int) -> dict[str, str]:
    return {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "PYTHONWARNINGS": "ignore",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_DETERMINISTIC_OPS": "1",
        # A GPU is shared with whoever else is on it.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        **({"TF_NUM_INTRAOP_THREADS": str(threads)} if threads else {}),
    }


def _lines(process: subprocess.Popen[str], stop: ShouldStop) -> Iterator[str]:
    """Lines of the child as they come, asking in between whether to stop."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        if stop():
            raise errors.Stopped(STOPPED)
        with contextlib.suppress(queue.Empty):
            line = lines.get(timeout=POLL_S)
            if line is None:
                return
            yield line


def canvas(own: Recipe) -> Recipe:
    """A recipe for training: the photo's whole largest window, with room around the network's.

    Example:
        >>> canvas(Recipe((224, 224), "tf")).size
        (256, 256)
    """
    height, width = (round(side / WINDOW_SHARE) for side in own.size)
    return dataclasses.replace(own, size=(height, width), crop_share=1.0)


def _chosen(photos: Sequence[Photo], which: Array) -> list[Photo]:
    return [photo for photo, chosen in zip(photos, which, strict=True) if chosen]


def _resized(photos: Iterable[Photo], own: Recipe) -> Iterator[Array]:
    enough = recipe.enough([own])
    with ThreadPoolExecutor(concurrency.cores()) as pool:
        yield from concurrency.map_ahead(
            pool,
            lambda photo: recipe.resize(own, images.decode(photo.read(), enough=enough)),
            photos,
            ahead=2 * BATCH,
        )


def _ask(engine: Engine, own: Recipe, inputs: Iterator[Array]) -> Array:
    answers = []
    while batch := list(itertools.islice(inputs, BATCH)):
        answers.append(engine.run(recipe.scale(own, np.stack(batch))).probs)
    return np.concatenate(answers)
