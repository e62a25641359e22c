"""Fine-tuning, the second step of transfer learning: train the last blocks of the backbones, too.

Each selected member is fine-tuned in a process of its own (`finetune_worker`) on the training
photos without one fold. That fold decides everything: the best epoch, the temperature, whether the
fine-tuned member replaces the frozen one, and the new weights. The validation photos, which the
report is about, decide nothing.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
import tempfile
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
from triptych.engines.conversion import convert
from triptych.engines.options import EngineOptions
from triptych.engines.options import open_engine
from triptych.features import ReadablePhoto
from triptych.preprocessing import recipe
from triptych.preprocessing.recipe import Recipe
from triptych.training import committee as committees
from triptych.training import finetune_worker as worker
from triptych.training import heads
from triptych.training.committee import TrainedCommittee
from triptych.training.committee import TrainedMember
from triptych.training.config import STOPPED
from triptych.training.config import TrainingConfig
from triptych.training.config import TrainingStage
from triptych.training.feature_set import FeatureSet
from triptych.typing import Array
from triptych.typing import ShouldStop
from triptych.utils import concurrency
from triptych.utils.worker import Worker

# With fewer held-out photos, differences of networks are hardly ever significant.
FEWEST_HELD_OUT = 10
# By how many standard errors a fine-tuned member must be better.
STANDARD_ERRORS = 2
# The share of a training canvas's side that the network's input size takes.
WINDOW_SHARE = 0.875
BATCH = 8
CONVERTED = "converted"


@dataclass(frozen=True)
class FinetuneMetrics:
    """How good a member is, before fine-tuning or after.

    Args:
        held_out: Accuracy on the held-out photos, in [0, 1].
        loss: Their mean negative log-likelihood in nats, at the best temperature.
        validation: Accuracy on the validation photos, in [0, 1].
    """

    held_out: float
    loss: float
    validation: float


@dataclass(frozen=True)
class FinetuneReport:
    """What fine-tuning a member gave, and what it cost.

    Args:
        member: Name of the member.
        epochs: How many epochs were run.
        best_epoch: The epoch that was best on the held-out photos; 0 for none.
        layers: How many layers were trained, the head's included.
        seconds: How long all of it took.
        photos: How many photos were held out.
        before: With the frozen backbone.
        after: With the fine-tuned one; as ``before`` where no epoch was better.
        kept: Whether the fine-tuned member is the one in the bundle.
    """

    member: str
    epochs: int
    best_epoch: int
    layers: int
    seconds: float
    photos: int
    before: FinetuneMetrics
    after: FinetuneMetrics
    kept: bool

    def to_dict(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return dataclasses.asdict(self)


def improve(
    folder: Path,
    committee: TrainedCommittee,
    features: FeatureSet,
    *,
    options: EngineOptions,
    config: TrainingConfig,
    finetune_config: worker.FinetuneConfig = worker.FinetuneConfig(),
) -> tuple[TrainedCommittee, list[FinetuneReport]]:
    """Fine-tune the selected members of a bundle that is being written.

    Args:
        folder: The bundle's folder, with ``members/`` in it; scratch files lie beside it.
        committee: With frozen backbones.
        features: Features of its photos.
        options: How networks run.
        config: Seed, progress, stop.
        finetune_config: Epochs and learning rate.

    Returns:
        The committee afterwards, unchanged where no member became significantly better; and a
        report for each member that was selected before.

    Raises:
        errors.SettingError: There are too few photos to hold some out.
        errors.EngineError: Training failed.
        errors.Stopped: ``config.stop`` returned true.
    """
    held_out = held_out_fold(features.folds)
    finetuner = _Finetuner(folder, features, held_out, options, config, finetune_config)
    results = {
        index: finetuner.run(member, features.train[index])
        for index, member in enumerate(committee.members)
        if member.weight
    }
    reports = [result.report for result in results.values()]
    if not any(report.kept for report in reports):
        return committee, reports
    refitted = committees.fit_committee(
        [result.member for result in results.values()],
        [result.held_out_probs for result in results.values()],
        features.train_truth[held_out],
    )
    members = list(committee.members)
    for index, member in zip(results, refitted.members, strict=True):
        members[index] = member
        if not member.weight:
            shutil.rmtree(folder / "members" / member.name)
    return TrainedCommittee(members, refitted.params), reports


def held_out_fold(folds: Array) -> Array:
    """Which training photos fine-tuning holds out: those of the last fold, bool, shape (N,).

    Raises:
        errors.SettingError: There are too few of them.

    Example:
        >>> held_out_fold(np.arange(40) % 4)[:4]
        array([False, False, False,  True])
    """
    held_out = np.asarray((folds == folds.max()) & (folds >= 0))
    if held_out.sum() < FEWEST_HELD_OUT:
        raise errors.SettingError(
            f"Fine-tuning holds out one of {folds.max() + 1} parts of the training photos, here "
            f"{held_out.sum()}, and needs {FEWEST_HELD_OUT} or more to measure what helps. Train "
            "with more photos, or without fine-tuning."
        )
    return held_out


def is_significantly_better(tuned: Array, frozen: Array, truth: Array) -> bool:
    """Whether a fine-tuned member may replace the frozen one, by a paired test.

    It must be right no less often, and its log-likelihood must be higher by two standard errors:
    of a dozen epochs on a few dozen photos some look better by luck.

    Args:
        tuned: Its probabilities for the held-out photos, shape (N, C).
        frozen: Those of the frozen member, shape (N, C).
        truth: Labels, shape (N,).
    """
    gains = worker.nll(frozen, truth) - worker.nll(tuned, truth)
    right, right_before = ((probs.argmax(axis=1) == truth).sum() for probs in (tuned, frozen))
    standard_error = gains.std(ddof=1) / np.sqrt(len(truth))
    return bool(right >= right_before and gains.mean() > STANDARD_ERRORS * standard_error)


@dataclass(frozen=True)
class _Probs:
    """A network's uncalibrated probabilities for the held-out and the validation photos."""

    held_out: Array
    validation: Array


@dataclass(frozen=True)
class _FinetunedMember:
    member: TrainedMember
    held_out_probs: Array
    report: FinetuneReport


@dataclass(frozen=True)
class _Finetuner:
    """What fine-tuning one member shares with fine-tuning the next."""

    folder: Path
    features: FeatureSet
    held_out: Array
    options: EngineOptions
    config: TrainingConfig
    finetune_config: worker.FinetuneConfig

    def run(self, member: TrainedMember, features: Array) -> _FinetunedMember:
        """Fine-tune one member; where that helps, its files in the bundle are replaced."""
        started = time.perf_counter()
        progress = _ProgressListener(member.name, self.config, self.options)
        frozen = _Probs(member.fit.out_of_fold[self.held_out], member.val_probs)
        model_folder = self.folder / "members" / member.name
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix="tuning-") as scratch:
            self._write_inputs(member, features, Path(scratch))
            task = worker.FinetuneTask(
                folder=scratch,
                model=str(model_folder / convert.MODEL),
                recipe=member.backbone.recipe.to_dict(),
                classes=len(self.features.classes),
                seed=self.config.seed,
                config=self.finetune_config,
            )
            run(task, progress, stop=self.config.stop, threads=self.options.threads)
            tuned = self._predict(member, Path(scratch)) if progress.best_epoch else frozen
            truth = self.features.train_truth[self.held_out]
            kept = is_significantly_better(tuned.held_out, frozen.held_out, truth)
            if kept:
                shutil.rmtree(model_folder)
                (Path(scratch) / CONVERTED).rename(model_folder)
        probs = tuned if kept else frozen
        report = FinetuneReport(
            member=member.name,
            epochs=progress.epoch,
            best_epoch=progress.best_epoch,
            layers=progress.layers,
            seconds=round(time.perf_counter() - started, 1),
            photos=int(self.held_out.sum()),
            before=self._metrics(frozen),
            after=self._metrics(tuned),
            kept=kept,
        )
        changed = dataclasses.replace(member, val_probs=probs.validation)
        return _FinetunedMember(changed, probs.held_out, report)

    def _write_inputs(self, member: TrainedMember, features: Array, scratch: Path) -> None:
        """Write the photos as arrays, and a head that was not trained on the held-out ones."""
        truth, held_out = self.features.train_truth, self.held_out
        photos = self.features.train_photos
        trained_on, evaluated_on = (
            list(itertools.compress(photos, mask)) for mask in (~held_out, held_out)
        )
        network_recipe = member.backbone.recipe
        self._write_pixels(trained_on, canvas(network_recipe), scratch / worker.CANVASES)
        self._write_pixels(evaluated_on, network_recipe, scratch / worker.INPUTS)
        np.savez(
            scratch / worker.TRUTH,
            allow_pickle=False,
            train=truth[~held_out],
            held=truth[held_out],
        )
        heads.refit(
            member.fit.head,
            features[~held_out],
            truth[~held_out],
            classes=len(self.features.classes),
            seed=self.config.seed,
        ).save(scratch / worker.HEAD)

    def _write_pixels(
        self, photos: Sequence[ReadablePhoto], photo_recipe: Recipe, path: Path
    ) -> None:
        # One by one to disk: all of them may be more than memory holds.
        array = np.lib.format.open_memmap(
            path, mode="w+", dtype=np.uint8, shape=(len(photos), *photo_recipe.size, 3)
        )
        for index, pixels in enumerate(_resized(photos, photo_recipe)):
            self.config.raise_if_stopped()
            array[index] = pixels
        array.flush()

    def _predict(self, member: TrainedMember, scratch: Path) -> _Probs:
        """Predict with the fine-tuned network, run as it will be served."""
        converted = scratch / CONVERTED
        job = convert.ImportJob(str(scratch / worker.TUNED), str(converted))
        convert.run([job], lambda line: None)
        engine = open_engine(converted / convert.NETWORK, self.options, cache=False)
        network_recipe = member.backbone.recipe

        def predict(inputs: Iterator[Array]) -> Array:
            probs = []
            while batch := list(itertools.islice(inputs, BATCH)):
                probs.append(engine.run(recipe.scale(network_recipe, np.stack(batch))).probs)
            return np.concatenate(probs)

        return _Probs(
            held_out=predict(iter(np.load(scratch / worker.INPUTS))),
            validation=predict(_resized(self.features.val_photos, network_recipe)),
        )

    def _metrics(self, probs: _Probs) -> FinetuneMetrics:
        score = worker.score(probs.held_out, self.features.train_truth[self.held_out])
        right = probs.validation.argmax(axis=1) == self.features.val_truth
        return FinetuneMetrics(
            score.right / int(self.held_out.sum()), score.loss, float(right.mean())
        )


@dataclass
class _ProgressListener:
    """Passes on what the worker reports, and remembers the latest of it."""

    member: str
    config: TrainingConfig
    options: EngineOptions
    layers: int = 0
    epoch: int = 0
    best_epoch: int = 0

    def __call__(self, message: dict[str, Any]) -> None:
        if "layers" in message:
            self.layers = len(message["layers"])
        elif "step" in message:
            stage = f"{TrainingStage.FINE_TUNING} {self.member}"
            self.config.progress(stage, message["step"], message["of"])
        else:
            self.epoch, self.best_epoch = message["epoch"], message["best"]
            self.options.report(
                f"{self.member}, epoch {self.epoch}: {message['right']} of {message['photos']} "
                f"held-out photos right, loss {message['loss']:.4f}"
            )


def run(
    task: worker.FinetuneTask,
    on_message: Callable[[dict[str, Any]], None],
    *,
    stop: ShouldStop = lambda: False,
    threads: int = 0,
) -> None:
    """Fine-tune in a worker process, which ends with this call whatever happens.

    Args:
        task: What to fine-tune, and how.
        on_message: Called with each message of the worker.
        stop: Polled several times a second.
        threads: Processor threads; 0 takes every core.

    Raises:
        errors.EngineError: The worker failed.
        errors.Stopped: ``stop`` returned true.
    """

    def poll() -> None:
        if stop():
            raise errors.Stopped(STOPPED)

    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "PYTHONWARNINGS": "ignore",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_DETERMINISTIC_OPS": "1",
        # A GPU is shared with whoever else is on it.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        **({"TF_NUM_INTRAOP_THREADS": str(threads)} if threads else {}),
    }
    with Worker(worker.__name__, environment=environment) as child:
        child.send(dataclasses.asdict(task))
        for message in child.messages(poll):
            on_message(message)
        if code := child.wait():
            raise errors.EngineError(
                f"Fine-tuning {Path(task.model).parent.name} failed with exit code {code}: "
                f"{child.reason}"
            )


def canvas(network_recipe: Recipe) -> Recipe:
    """The recipe of training photos: the largest window, with a margin around the input size.

    Example:
        >>> canvas(Recipe((224, 224), "tf")).size
        (256, 256)
    """
    height, width = (round(side / WINDOW_SHARE) for side in network_recipe.size)
    return dataclasses.replace(network_recipe, size=(height, width), crop_share=1.0)


def _resized(photos: Iterable[ReadablePhoto], photo_recipe: Recipe) -> Iterator[Array]:
    enough = recipe.enough([photo_recipe])

    def resized(photo: ReadablePhoto) -> Array:
        pixels = images.decode(photo.read(), limits=images.CHECKED_BEFORE, enough=enough)
        return recipe.resize(photo_recipe, pixels)

    with ThreadPoolExecutor(concurrency.cpu_count()) as pool:
        yield from concurrency.map_ahead(pool, resized, photos, ahead=2 * BATCH)
