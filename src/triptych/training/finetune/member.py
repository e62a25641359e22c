"""Fine-tuning one member: its photos, its process, its new head, and whether it replaces the old.

The network is fine-tuned in a process of its own (`worker`) on the training photos without some
that are held out, at a smaller size first and at its full size last. Then all photos pass through
the tuned network, and a head is fitted to those features as to any others. The held-out photos
decide everything: the best epoch, the head's penalty, whether it or the head that was trained with
the network is better, and whether the fine-tuned member replaces the frozen one.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from triptych import features as extract
from triptych.engines.conversion import convert
from triptych.engines.conversion import store
from triptych.engines.options import EngineOptions
from triptych.features import Extractor
from triptych.models.head import Head
from triptych.preprocessing import augment
from triptych.preprocessing.recipe import Recipe
from triptych.training import heads
from triptych.training.committee import TrainedMember
from triptych.training.config import TrainingConfig
from triptych.training.config import TrainingStage
from triptych.training.feature_set import FeatureSet
from triptych.training.finetune import budget
from triptych.training.finetune import decisions
from triptych.training.finetune import losses
from triptych.training.finetune import pace
from triptych.training.finetune import process
from triptych.training.finetune import range_test
from triptych.training.finetune import task as files_of
from triptych.training.finetune.checkpoints import Checkpoints
from triptych.training.finetune.report import FinetuneMetrics
from triptych.training.finetune.report import FinetuneReport
from triptych.training.finetune.task import FinetuneConfig
from triptych.training.finetune.task import FinetuneTask
from triptych.typing import Array
from triptych.utils import files

# Folder of unfinished fine-tuning, in the home folder.
STATES = pace.FOLDER
# Photos on which it is measured what may be changed at random.
ENOUGH_TO_MEASURE = 128
# Photos that are learned from to probe whether fine-tuning pays, and those by which the time of
# computing features is measured.
PROBE_PHOTOS = 1024
TIMED_PHOTOS = 32


@dataclass(frozen=True)
class FinetunedMember:
    """A member after fine-tuning.

    Args:
        member: As it was before where it did not become better.
        train: Features of the training photos by the tuned network, shape (N, F).
        val: Those of the validation photos.
        report: What fine-tuning gave.
        state: Folder of its finished epochs.
    """

    member: TrainedMember
    train: Array
    val: Array
    report: FinetuneReport
    state: Path


@dataclass(frozen=True)
class MemberFinetuner:
    """What fine-tuning one member shares with fine-tuning the next.

    Args:
        folder: The bundle's folder, with ``members/`` in it.
        features: Of the frozen networks, with their photos and labels.
        held_out: Which training photos decide, bool, shape (N,).
        options: How networks run.
        config: Seed, progress, stop.
        converter: Converts the fine-tuned networks.
        finetune_config: Epochs and learning rate.
    """

    folder: Path
    features: FeatureSet
    held_out: Array
    options: EngineOptions
    config: TrainingConfig
    converter: convert.Converter
    finetune_config: FinetuneConfig

    def without_held_out(
        self, member: TrainedMember, features: Array
    ) -> tuple[TrainedMember, Head]:
        """A frozen member whose held-out predictions are by a head trained on all other photos.

        A tuned network learns from all of them, too; a head of cross-validation has fewer.
        """
        held_out, targets = self.held_out, self.features.train_targets
        head = heads.refit(
            member.fit.head,
            features[~held_out],
            targets[~held_out],
            classes=len(self.features.classes),
            seed=self.config.seed,
        )
        out_of_fold = member.fit.out_of_fold.copy()
        out_of_fold[held_out] = head.probs(features[held_out])
        fitted = dataclasses.replace(member.fit, out_of_fold=out_of_fold)
        return dataclasses.replace(member, fit=fitted), head

    def augmentations(self, member: TrainedMember, head: Head, features: Array) -> tuple[str, ...]:
        """Measure on held-out photos what may be changed at random, by the frozen network."""
        (extractor,) = self._extractors(member, self.options.home, self.config.weights_by_backbone)
        sample = np.flatnonzero(self.held_out)
        if len(sample) > ENOUGH_TO_MEASURE:
            rng = np.random.default_rng(self.config.seed)
            sample = np.sort(rng.choice(sample, ENOUGH_TO_MEASURE, replace=False))
        changed = extract.extract(
            [self.features.train_photos[int(number)] for number in sample],
            [
                dataclasses.replace(extractor, view=view, space=f"{extractor.space} {view}")
                for view in augment.RANDOM
            ],
            extract.FeatureStore(self.options.home / "features.sqlite"),
            compute=self.config.compute,
        )
        plain, targets = head.probs(features[sample]), self.features.train_targets[sample]
        return tuple(
            view
            for view, array in zip(augment.RANDOM, changed, strict=True)
            if decisions.keeps_class(head.probs(array), plain, targets)
        )

    def features_s(self, member: TrainedMember) -> float:
        """How long the features of all photos take, by a few of them."""
        extractors = self._extractors(member, self.options.home, self.config.weights_by_backbone)
        photos = [*self.features.train_photos, *self.features.val_photos]
        first, *timed = [(photo, [True]) for photo in photos[: 1 + TIMED_PHOTOS]]
        list(extract.extract_locally([first], extractors))  # loads the network
        started = time.perf_counter()
        list(extract.extract_locally(timed, extractors))
        return (time.perf_counter() - started) * len(photos) / len(timed)

    def pays(self, member: TrainedMember, augmentations: tuple[str, ...]) -> bool:
        """Whether a short run lowers the loss on the held-out photos: an epoch of some photos.

        At the lowest rate, where the loss goes where the gradient points. At higher ones it rises
        for an epoch or two even where the whole run lowers it by far (omniglot136, whose frozen
        network gets 171 of 299 held-out photos right: 177 and a higher loss at 3e-4, 184 and a
        lower one at 1e-4).
        """
        config = dataclasses.replace(
            self.finetune_config, epochs=1, full_size_epochs=0, rate=range_test.LEAST_RATE
        )
        probe = dataclasses.replace(self, finetune_config=config)
        learned = np.flatnonzero(~self.held_out)
        rng = np.random.default_rng(self.config.seed)
        learned = np.sort(rng.permutation(learned)[:PROBE_PHOTOS])
        task = probe._task(member, augmentations)
        state = Path(task.folder)
        silent = dataclasses.replace(self.config, on_epoch=lambda epoch: None)
        progress = _ProgressListener(member.name, silent, self.options)
        self.options.report(
            f"Fine-tuning {member.name} on {len(learned):,} photos to see whether it pays"
        )
        with files.file_lock(state.with_suffix(".lock")):
            self._write_inputs(task, state, learned)
            process.run(task, progress, stop=self.config.stop, threads=self.options.threads)
        shutil.rmtree(state, ignore_errors=True)
        if self.config.stop():
            return False
        before, after = progress.curve[0], progress.curve[-1]
        pays = bool(after["loss"] < before["loss"])
        result = "pays, and goes on" if pays else "does not pay, and is left out"
        self.options.report(
            f"Fine-tuning {result}: loss {before['loss']:.4f} -> {after['loss']:.4f}, "
            f"{before['right']} -> {after['right']} of {before['photos']} held-out photos right"
        )
        return pays

    def run(
        self,
        member: TrainedMember,
        augmentations: tuple[str, ...],
        planner: budget.Planner | None = None,
    ) -> FinetunedMember | None:
        """Fine-tune one member; where that helps, its files in the bundle are replaced.

        Returns:
            ``None`` where there was no time for it.
        """
        started = time.perf_counter()
        if planner and not planner.begin(member.name):
            return None
        self.config.progress(f"{TrainingStage.FINE_TUNING} {member.name}: preparing photos", 0, 0)
        progress = _ProgressListener(member.name, self.config, self.options)
        task = self._task(member, augmentations)
        state = Path(task.folder)
        targets = self.features.train_targets[self.held_out]
        with files.file_lock(state.with_suffix(".lock")):
            self._write_inputs(task, state, np.flatnonzero(~self.held_out))
            plan = functools.partial(planner.plan, member.name) if planner else None
            resumed = bool(Checkpoints(state).epochs)
            process.run(
                task, progress, stop=self.config.stop, plan=plan, threads=self.options.threads
            )
            if not progress.curve:  # there is no time, or it was stopped
                return None
            tuned, train, val = member, np.empty(0), np.empty(0)
            if (state / files_of.TUNED).exists():
                tuned, train, val = self._with_new_head(member, state)
            kept = tuned is not member and decisions.is_better(
                tuned.fit.out_of_fold[self.held_out], member.fit.out_of_fold[self.held_out], targets
            )
            if kept:
                self._replace_model(tuned, state)
        ended = time.perf_counter()
        if not (resumed or self.config.stop()):
            pace.record(
                self.options.home,
                start_s=progress.first_epoch_s - started,
                rest_s=ended - progress.first_epoch_s,
                photos=len(self.features.train_photos) + len(self.features.val_photos),
                cost=member.cost,
            )
        report = FinetuneReport(
            member=member.name,
            epochs=len(progress.curve) - 1,
            best_epoch=progress.best_epoch,
            layers=progress.layers,
            seconds=round(ended - started, 1),
            photos=int(self.held_out.sum()),
            before=self._metrics(member),
            after=self._metrics(tuned),
            kept=kept,
            device=progress.device,
            rate=progress.rate,
            augment=list(augmentations),
            curve=progress.curve,
        )
        return FinetunedMember(tuned, train, val, report, state)

    def _task(self, member: TrainedMember, augmentations: tuple[str, ...]) -> FinetuneTask:
        network_recipe = member.backbone.recipe
        weights = store.weights_of(member.backbone, self.config.weights_by_backbone)
        task = FinetuneTask(
            folder="",
            model=str(self.folder / "members" / member.name / convert.MODEL),
            recipe=network_recipe.to_dict(),
            size=decisions.tuning_size(network_recipe.size, self.finetune_config.size_share),
            classes=len(self.features.classes),
            head={"kind": member.fit.head.kind, "notes": member.fit.head.notes},
            augment=augmentations,
            seed=self.config.seed,
            config=self.finetune_config,
        )
        # Everything that the epochs depend on: the same training goes on where it was killed.
        key = hashlib.sha256(
            json.dumps(
                [
                    {**dataclasses.asdict(task), "model": member.name},
                    [weights.stat().st_size, weights.stat().st_mtime_ns],
                    self.features.train_targets.tolist(),
                    self.held_out.tolist(),
                    [metadata.version(name) for name in ("triptych", "keras")],
                    self.config.budget_s,
                ],
                allow_nan=False,
            ).encode()
        )
        for photo in self.features.train_photos:
            key.update(photo.digest)
        state = self.options.home / STATES / f"{member.name}-{key.hexdigest()[:16]}"
        return dataclasses.replace(task, folder=str(state))

    def _write_inputs(self, task: FinetuneTask, state: Path, learned: Array) -> None:
        """Write the photos as arrays, unless an earlier run has done so.

        Args:
            task: Its sizes count.
            state: Folder to write to.
            learned: Numbers of the photos that the network is trained on.
        """
        if (state / files_of.LABELS).exists():
            return
        state.mkdir(parents=True, exist_ok=True)
        targets, held_out = self.features.train_targets, self.held_out
        photos = self.features.train_photos
        trained_on = [photos[int(number)] for number in learned]
        evaluated_on = list(itertools.compress(photos, held_out))
        network_recipe = Recipe.from_dict(task.recipe)
        process.write_photos(trained_on, process.canvas(network_recipe), state / files_of.CANVASES)
        process.write_photos(evaluated_on, network_recipe, state / files_of.INPUTS)
        # Last, so that it is there when the others are.
        with files.atomic_file(state / files_of.LABELS) as scratch:
            np.savez(scratch, allow_pickle=False, train=targets[learned], holdout=targets[held_out])

    def _extractors(
        self, member: TrainedMember, home: Path, weights: Mapping[str, Path]
    ) -> list[Extractor]:
        return extract.open_extractors(
            [member.backbone],
            dataclasses.replace(self.options, home=home),
            weights_by_backbone=weights,
            converter=self.converter,
        )

    def _with_new_head(
        self, member: TrainedMember, state: Path
    ) -> tuple[TrainedMember, Array, Array]:
        """Fit a head to the tuned network's features of all photos, as it will be served.

        Returns:
            The member, out of fold on the held-out photos; features of the training photos; those
            of the validation photos.
        """
        weights = {member.name: state / files_of.TUNED}
        train, targets = self.features.train_photos, self.features.train_targets
        (computed,) = extract.extract(
            [*train, *self.features.val_photos],
            self._extractors(member, state, weights),
            extract.FeatureStore(state / "features.sqlite"),
            progress=functools.partial(
                self.config.progress, f"{TrainingStage.FINE_TUNING} {member.name}: features"
            ),
        )
        fitted = heads.fit(
            member.fit.head.kind,
            computed[: len(train)],
            targets,
            # One fold: the network was trained on all the others.
            folds=np.where(self.held_out, 0, -1),
            classes=len(self.features.classes),
            seed=self.config.seed,
        )
        fitted = decisions.better_head(
            fitted,
            Head.read(state / files_of.TRAINED_HEAD),
            computed[: len(train)],
            targets,
            self.held_out,
        )
        val = computed[len(train) :]
        tuned = dataclasses.replace(member, fit=fitted, val_probs=fitted.head.probs(val))
        return tuned, computed[: len(train)], val

    def _replace_model(self, member: TrainedMember, state: Path) -> None:
        target = self.folder / "members" / member.name
        member.fit.head.save(state / "head.npz")
        shutil.rmtree(target)
        self.converter.run(
            [
                convert.ConversionJob(
                    member.name, str(state / files_of.TUNED), str(target), str(state / "head.npz")
                )
            ]
        )

    def _metrics(self, member: TrainedMember) -> FinetuneMetrics:
        probs = member.fit.out_of_fold[self.held_out]
        right, loss = losses.score(probs, self.features.train_targets[self.held_out])
        right_val = member.val_probs.argmax(axis=1) == self.features.val_targets
        return FinetuneMetrics(right / len(probs), loss, float(right_val.mean()))


@dataclass
class _ProgressListener:
    """Passes on what the worker reports, and remembers it."""

    member: str
    config: TrainingConfig
    options: EngineOptions
    layers: int = 0
    device: str = ""
    rate: float = 0.0
    best_epoch: int = 0
    first_epoch_s: float = 0.0
    curve: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, message: dict[str, Any]) -> None:
        if "device" in message:
            self.device, self.layers = message["device"], message["layers"]
            self.options.report(f"Fine-tuning {self.member} on {self.device}")
        elif "step" in message:
            stage = f"{TrainingStage.FINE_TUNING} {self.member}"
            self.config.progress(stage, message["step"], message["of"])
        else:
            self.rate, self.best_epoch = message["rate"], message["best"]
            fields = ("number", "right", "loss", "seconds", "photos", "full_size")
            epoch = {name: message[name] for name in fields}
            self.curve.append(epoch)
            self.first_epoch_s = self.first_epoch_s or time.perf_counter()
            self.config.on_epoch({"member": self.member, **epoch})
            self.options.report(
                f"{self.member}, epoch {message['number']}: {message['right']} of "
                f"{message['photos']} held-out photos right, loss {message['loss']:.4f}"
            )
