"""The heads of a member before and after fine-tuning, none of them trained on held-out photos."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np

from triptych import features as extract
from triptych.models.head import Head
from triptych.training import heads
from triptych.training.committee import TrainedMember
from triptych.training.config import TrainingStage
from triptych.training.finetune import decisions
from triptych.training.finetune import task as files_of
from triptych.training.finetune.context import FinetuneContext
from triptych.typing import Array


def without_held_out(
    context: FinetuneContext, member: TrainedMember, features: Array
) -> tuple[TrainedMember, Head]:
    """Predict the held-out photos of a frozen member by a head trained on all others.

    So it is compared fairly with a tuned network, which is trained on all of those, too; the heads
    of cross-validation are trained on fewer.

    Args:
        context: The committee.
        member: The member with the frozen network.
        features: Of the training photos by the frozen network, shape (N, F).

    Returns:
        The member with those predictions, and that head.
    """
    held_out, targets = context.held_out, context.features.train_targets
    head = heads.refit(
        member.fit.head,
        features[~held_out],
        targets[~held_out],
        classes=len(context.features.classes),
        seed=context.config.seed,
    )
    out_of_fold = member.fit.out_of_fold.copy()
    out_of_fold[held_out] = head.probs(features[held_out])
    fitted = dataclasses.replace(member.fit, out_of_fold=out_of_fold)
    return dataclasses.replace(member, fit=fitted), head


def of_tuned_network(
    context: FinetuneContext, member: TrainedMember, state: Path
) -> tuple[TrainedMember, Array, Array]:
    """Fit a head to the tuned network's features of all photos, computed as for serving.

    Args:
        context: The committee.
        member: The member with the frozen network.
        state: Folder of its task, with the tuned network.

    Returns:
        The member with the better of that head and the one that was trained with the network, its
        predictions out of fold on the held-out photos; features of the training photos, shape
        (N, F); those of the validation photos.
    """
    weights = {member.name: state / files_of.TUNED}
    train, targets = context.features.train_photos, context.features.train_targets
    (computed,) = extract.extract(
        [*train, *context.features.val_photos],
        context.extractors(member, home=state, weights=weights),
        extract.FeatureStore(state / "features.sqlite"),
        progress=functools.partial(
            context.config.progress, f"{TrainingStage.FINE_TUNING} {member.name}: features"
        ),
    )
    fitted = heads.fit(
        member.fit.head.kind,
        computed[: len(train)],
        targets,
        # One fold: the network was trained on all the others.
        folds=np.where(context.held_out, 0, -1),
        classes=len(context.features.classes),
        seed=context.config.seed,
    )
    fitted = decisions.better_head(
        fitted,
        Head.read(state / files_of.TRAINED_HEAD),
        computed[: len(train)],
        targets,
        context.held_out,
    )
    val = computed[len(train) :]
    tuned = dataclasses.replace(member, fit=fitted, val_probs=fitted.head.probs(val))
    return tuned, computed[: len(train)], val
