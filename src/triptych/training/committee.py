"""From features to a trained and fitted committee, and its out-of-fold predictions."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triptych.bundles.oof_predictions import OOFPredictions
from triptych.ensemble import fit
from triptych.ensemble.fit import multilabel
from triptych.ensemble.multilabel import MultilabelParams
from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.rules import FITTED_RULE
from triptych.models import zoo
from triptych.training import heads
from triptych.training.config import COMMITTEE
from triptych.training.config import Score
from triptych.training.config import TrainingConfig
from triptych.training.config import TrainingStage
from triptych.training.feature_set import FeatureSet
from triptych.training.heads import CrossFittedHead
from triptych.typing import Array
from triptych.utils import concurrency

# Steps of each member in progress reports.
STEPS = 20


@dataclass(frozen=True)
class TrainedMember:
    """A backbone with its trained head.

    Args:
        backbone: Its row in the zoo.
        fit: The head, with its out-of-fold probabilities.
        val_probs: Its uncalibrated probabilities for the validation photos, shape (N, C).
        weight: Its weight in the committee; 0 for one that was dropped.
        temperature: Fitted on the out-of-fold probabilities.
    """

    backbone: zoo.Backbone
    fit: CrossFittedHead
    val_probs: Array
    weight: float = 1.0
    temperature: float = 1.0

    @property
    def name(self) -> str:
        """Name of its backbone."""
        return self.backbone.name

    @property
    def cost(self) -> float:
        """What a forward pass costs, in billions of multiply-adds."""
        return self.backbone.multiply_adds / 1e9


@dataclass(frozen=True)
class TrainedCommittee:
    """Trained members, and the parameters fitted for those that were selected.

    Args:
        members: All that were trained, those with weight 0 included.
        params: Fitted parameters of the selected members.
    """

    members: Sequence[TrainedMember]
    params: EnsembleParams

    @property
    def selected(self) -> list[TrainedMember]:
        """The members with a weight above 0."""
        return [member for member in self.members if member.weight]

    @property
    def val_probs(self) -> Array:
        """The committee's probabilities for the validation photos, shape (N, C)."""
        return self.combine([member.val_probs for member in self.members])

    def combine(self, probs: Sequence[Array]) -> Array:
        """Combine the probabilities of all members, those of dropped ones being ignored.

        Args:
            probs: For each member its uncalibrated probabilities, shape (N, C).
        """
        selected = [
            member_probs
            for member, member_probs in zip(self.members, probs, strict=True)
            if member.weight
        ]
        calibrated = [self.params.calibrate(index, each) for index, each in enumerate(selected)]
        return self.params.join(FITTED_RULE, np.stack(calibrated))

    @property
    def thresholds(self) -> Array | None:
        """From which probability on each class holds, shape (C,); ``None`` if single-label."""
        if not isinstance(self.params, MultilabelParams):
            return None
        return np.array([each.value for each in self.params.thresholds])

    @property
    def calibrated_val_probs(self) -> dict[str, Array]:
        """Each member's calibrated probabilities for the validation photos, shape (N, C)."""
        names = [member.name for member in self.selected]
        return {
            member.name: self.params.calibrate(names.index(member.name), member.val_probs)
            if member.weight
            else member.val_probs
            for member in self.members
        }


def train(
    features: FeatureSet, backbones: Sequence[zoo.Backbone], config: TrainingConfig
) -> TrainedCommittee:
    """Train a head for each backbone, then fit temperatures and weights out of fold.

    Args:
        features: Of the photos, by backbone.
        backbones: In the order of the features.
        config: Head, seed, progress, stop.

    Raises:
        errors.Stopped: ``config.stop`` returned true.
    """

    def train_member(index: int) -> TrainedMember:
        plain, augmented = features.train[index], features.augmented[index]
        views = 1 + len(augmented) // len(plain)
        fitted = heads.fit(
            config.head,
            np.concatenate([plain, augmented]) if len(augmented) else plain,
            np.concatenate([features.train_targets] * views),
            folds=np.tile(features.folds, views),  # all views of a photo are held out together
            classes=len(features.classes),
            seed=config.seed,
            each=threads.map,
            raise_if_stopped=threads.raise_if_ended,
            progress=functools.partial(shares.__setitem__, index),
        )
        # Only the plain photos count as out-of-fold predictions.
        fitted = dataclasses.replace(fitted, out_of_fold=fitted.out_of_fold[: len(plain)])
        return TrainedMember(backbones[index], fitted, fitted.head.probs(features.val[index]))

    def poll() -> None:
        config.progress(TrainingStage.HEADS, int(sum(shares) * STEPS), len(shares) * STEPS)
        config.raise_if_stopped()

    members = list[TrainedMember]()
    shares = [0.0] * len(backbones)
    poll()
    with concurrency.ArrayThreads() as threads:
        for member in threads.lead(train_member, range(len(backbones)), poll=poll):
            shares[len(members)] = 1.0
            members.append(member)
            report_score(member.name, member.val_probs, features, config)
    poll()
    in_folds = features.in_folds
    probs = [member.fit.out_of_fold[in_folds] for member in members]
    if features.multilabel:
        committee = fit_multilabel(members, probs, features, precision=config.label_precision)
    else:
        committee = fit_committee(members, probs, features.train_targets[in_folds])
    report_score(COMMITTEE, committee.val_probs, features, config, thresholds=committee.thresholds)
    return committee


def fit_committee(
    members: Sequence[TrainedMember], probs: Sequence[Array], targets: Array
) -> TrainedCommittee:
    """Select members, and fit the committee's parameters.

    Args:
        members: Candidates.
        probs: For each, its uncalibrated probabilities for photos it was not trained on, shape
            (N, C).
        targets: Labels of those photos, shape (N,); with N = 0 nothing is fitted.
    """
    weights, params = fit.fit_and_prune(
        np.stack(probs), targets, [member.cost for member in members]
    )
    temperatures = iter(params.temperatures)  # of the selected members only
    return TrainedCommittee(
        [
            dataclasses.replace(
                member, weight=weight, temperature=next(temperatures) if weight else 1.0
            )
            for member, weight in zip(members, weights, strict=True)
        ],
        params,
    )


def fit_multilabel(
    members: Sequence[TrainedMember],
    probs: Sequence[Array],
    features: FeatureSet,
    *,
    precision: float | None,
) -> TrainedCommittee:
    """Select members, and fit calibrations and thresholds of a multi-label committee.

    The figures of each threshold are cross-fitted over the folds of the heads.

    Args:
        members: Candidates.
        probs: For each, its uncalibrated probabilities for the photos that are held out in some
            fold, shape (N, C).
        features: Of the photos, with their labels and folds.
        precision: See `multilabel.choose_thresholds`.
    """
    targets, folds = (
        of_photos[features.in_folds] for of_photos in (features.train_targets, features.folds)
    )
    stacked, costs = np.stack(probs), [member.cost for member in members]
    weights, params = multilabel.fit_and_prune(stacked, targets, costs, precision=precision)
    if len(np.unique(folds)) > 1:
        selected = [index for index, weight in enumerate(weights) if weight]
        crossed = multilabel.cross_fit(
            stacked[selected],
            targets,
            [costs[index] for index in selected],
            folds,
            weights=params.weights,
            precision=precision,
        )
        params = multilabel.with_reached(params, crossed.holds, targets)
    weighted = zip(members, weights, strict=True)
    return TrainedCommittee(
        [dataclasses.replace(member, weight=weight) for member, weight in weighted], params
    )


def report_score(
    member: str,
    probs: Array,
    features: FeatureSet,
    config: TrainingConfig,
    *,
    thresholds: Array | None = None,
) -> None:
    """Report the validation accuracy of a member, or of the committee, if there are photos.

    A multi-label answer is correct if it has all classes of the photo, and no other.
    """
    if not len(probs):
        return
    if features.multilabel:
        half = np.full(probs.shape[1], 0.5) if thresholds is None else thresholds
        right = ((probs >= half) == features.val_targets).all(axis=1)
    else:
        right = probs.argmax(axis=1) == features.val_targets
    config.on_score(member, Score(int(right.sum()), len(probs), multilabel=features.multilabel))


def oof_predictions(
    features: FeatureSet, before: TrainedCommittee, after: TrainedCommittee
) -> OOFPredictions:
    """Predict each photo by models that were not trained on it.

    Args:
        features: Of the photos.
        before: The committee before fine-tuning. Fine-tuned networks were trained on nearly all
            training photos, whose predictions therefore come from this one.
        after: The committee in the bundle, which predicts the validation photos.
    """
    in_folds = features.in_folds
    train_probs = before.combine([member.fit.out_of_fold[in_folds] for member in before.members])
    photos = [*itertools.compress(features.train_photos, in_folds), *features.val_photos]
    targets = np.concatenate([features.train_targets[in_folds], features.val_targets])
    return OOFPredictions(
        digests=np.array([list(photo.digest) for photo in photos], np.uint8),
        targets=targets.astype(np.int64),
        probs=np.concatenate([train_probs, after.val_probs]).astype(np.float32),
        held_out=np.arange(len(photos)) >= len(train_probs),
        sources=np.array([photo.source for photo in photos], np.str_),
    )
