"""The configuration of a training job, checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.engines.conversion import store
from triptych.studio.projects import Project
from triptych.training import pipeline
from triptych.training.config import TrainingConfig
from triptych.utils import validation
from triptych.utils.text import text

# A conversion under way cannot be stopped; after this time the process is killed.
GRACE_S = 20.0
# The least to train with: one photo of each class is held out for evaluation.
FEWEST_CLASSES = 2
FEWEST_PHOTOS = 2


class _ConfigRecord(validation.Record):
    # Files of weights are not among the fields: a page must not name files of the server.
    backbones = validation.Items(validation.Text())
    head = validation.Text()
    augment = validation.Items(validation.Text())
    fine_tune = validation.Flag()
    budget_s = validation.Number(least=1)
    seed = validation.Integer(least=0, most=2**31 - 1)
    label_precision = validation.Number(above=0, most=1, allow_none=True)

    @validation.post_load
    def _make(self, parts: dict[str, Any], **_: Any) -> TrainingConfig:
        return TrainingConfig(**parts)


FIELDS = tuple(_ConfigRecord().fields)


def training_config(fields: Mapping[str, Any]) -> TrainingConfig:
    """A training configuration from JSON.

    Args:
        fields: Those of `FIELDS` that differ from their defaults.

    Raises:
        errors.SettingError: There is no such field, or its value is impossible.

    Example:
        >>> training_config({"backbones": ["lite0"]}).backbones
        ('lite0',)
    """
    config: TrainingConfig = validation.load(_ConfigRecord, fields, "training")
    return config


def for_kind(project: Project, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a training configuration, without those that are for projects of the other kind.

    Args:
        project: Whose photos have one class, or any number.
        fields: Those of an earlier training, perhaps from before that was changed.
    """
    others = ("head", "fine_tune", "budget_s") if project.multilabel else ("label_precision",)
    return {name: value for name, value in fields.items() if name not in others}


def check(project: Project, fields: Mapping[str, Any], home: Path) -> None:
    """Refuse at once a project that cannot be trained, or an impossible configuration.

    Args:
        project: The project, with its classes and counts.
        fields: Fields of the training configuration.
        home: Home folder.

    Raises:
        errors.SourceError: There are too few classes or photos.
        errors.SettingError: The configuration is impossible.
        errors.UnknownName: There is no such backbone, head or augmentation.
        errors.WeightsMissing: A backbone's weights have to be fetched first.
    """
    usable = [each for each in project.classes if each.photos >= FEWEST_PHOTOS]
    if len(usable) < FEWEST_CLASSES:
        counts = ", ".join(f"{each.name}: {each.photos}" for each in project.classes) or text(
            "no class"
        )
        raise errors.SourceError(
            text(
                "There are too few photos to train on ({counts}); expected at least "
                "{fewest_classes} classes with {fewest_photos} photos or more each. Add "
                "photos, 10 or more a class.",
                counts=counts,
                fewest_classes=FEWEST_CLASSES,
                fewest_photos=FEWEST_PHOTOS,
            )
        )
    pipeline.check_multilabel(project.multilabel, training_config(fields))
    for row in pipeline.check(project.key, training_config(fields), home):
        store.weights_of(row, {})
