"""The features that heads are trained on, computed once for each photo and backbone."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triptych import data
from triptych import features
from triptych.engines.conversion import convert
from triptych.engines.options import EngineOptions
from triptych.models import zoo
from triptych.preprocessing import augment
from triptych.training.config import TrainingConfig
from triptych.training.config import TrainingStage
from triptych.typing import Array

FOLDS = 5
VALIDATION_SHARE = 0.2


@dataclass(frozen=True)
class FeatureSet:
    """Features and labels of a data set's photos.

    Args:
        classes: Names of the classes.
        train: For each backbone, features of the N training photos, shape (N, F).
        augmented: For each backbone, features of V augmented views of them, shape (V * N, F),
            view after view.
        train_targets: Labels of the training photos, shape (N,); where a photo may have any number
            of them, which classes hold, bool, shape (N, C).
        folds: Cross-validation fold of each training photo, shape (N,); -1 for those that are
            never held out.
        train_photos: The training photos.
        val: For each backbone, features of the validation photos.
        val_targets: Their labels.
        val_photos: The validation photos.
    """

    classes: tuple[str, ...]
    train: list[Array]
    augmented: list[Array]
    train_targets: Array
    folds: Array
    train_photos: Sequence[data.LabelledPhoto]
    val: list[Array]
    val_targets: Array
    val_photos: Sequence[data.LabelledPhoto]

    @property
    def multilabel(self) -> bool:
        """Whether a photo may have any number of classes."""
        return self.train_targets.ndim == 2

    @property
    def in_folds(self) -> Array:
        """Which training photos are held out in some fold, bool, shape (N,)."""
        return self.folds >= 0


def compute(
    dataset: data.Dataset,
    backbones: Sequence[zoo.Backbone],
    options: EngineOptions,
    config: TrainingConfig,
    converter: convert.Converter,
) -> FeatureSet:
    """Compute features of all photos, or read those that were computed before.

    Args:
        dataset: Photos with labels. If it has no validation photos, `VALIDATION_SHARE` of the
            photos are held out.
        backbones: Networks that the photos pass through.
        options: How they run, and the home folder, where features are stored.
        config: Files of weights, augmentations, seed, progress, stop.
        converter: Converts the networks that were not converted before.

    Raises:
        errors.WeightsMissing: A backbone's weights have to be fetched first.
        errors.Stopped: ``config.stop`` returned true; features computed so far are stored.
    """
    extractors = features.open_extractors(
        backbones, options, weights_by_backbone=config.weights_by_backbone, converter=converter
    )
    train, val = dataset.train, dataset.val
    if not val:
        train, val = data.split(train, share=VALIDATION_SHARE, seed=config.seed)
    extract = functools.partial(
        features.extract,
        store=features.FeatureStore(options.home / "features.sqlite"),
        stop=config.stop,
        compute=config.compute,
    )
    by_backbone = extract(
        [*train, *val],
        extractors,
        progress=functools.partial(config.progress, TrainingStage.FEATURES),
    )
    views = [name for name in augment.of(config.augment) if name != augment.PLAIN]
    augmented = [array[:0] for array in by_backbone]
    if views:
        by_view = extract(
            train,
            [
                dataclasses.replace(extractor, view=view, space=f"{extractor.space} {view}")
                for extractor in extractors
                for view in views
            ],
            progress=functools.partial(config.progress, TrainingStage.AUGMENTED_FEATURES),
        )
        augmented = [
            np.concatenate(by_view[start : start + len(views)])
            for start in range(0, len(by_view), len(views))
        ]
    return FeatureSet(
        classes=dataset.classes,
        train=[array[: len(train)] for array in by_backbone],
        augmented=augmented,
        train_targets=dataset.targets(train),
        folds=data.folds(train, FOLDS, seed=config.seed),
        train_photos=train,
        val=[array[len(train) :] for array in by_backbone],
        val_targets=dataset.targets(val),
        val_photos=val,
    )
