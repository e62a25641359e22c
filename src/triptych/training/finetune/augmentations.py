"""Which random changes keep the class of a data set's photos, as measured before fine-tuning.

A mirrored ant is an ant, a mirrored letter may be another one.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from triptych import features as extract
from triptych.models.head import Head
from triptych.preprocessing import augment
from triptych.training.committee import TrainedMember
from triptych.training.finetune import decisions
from triptych.training.finetune.context import FinetuneContext
from triptych.typing import Array

# Held-out photos on which it is measured.
ENOUGH_PHOTOS = 128


def measure(
    context: FinetuneContext, member: TrainedMember, head: Head, features: Array
) -> tuple[str, ...]:
    """Find the random changes after which the frozen network still recognises held-out photos.

    Args:
        context: The committee.
        member: The member with the frozen network.
        head: A head that was not trained on held-out photos.
        features: Of the training photos by the frozen network, shape (N, F).

    Returns:
        Names from `augment.RANDOM`.
    """
    (extractor,) = context.extractors(member)
    sample = np.flatnonzero(context.held_out)
    if len(sample) > ENOUGH_PHOTOS:
        rng = np.random.default_rng(context.config.seed)
        sample = np.sort(rng.choice(sample, ENOUGH_PHOTOS, replace=False))
    changed = extract.extract(
        [context.features.train_photos[int(number)] for number in sample],
        [
            dataclasses.replace(extractor, view=view, space=f"{extractor.space} {view}")
            for view in augment.RANDOM
        ],
        extract.FeatureStore(context.options.home / "features.sqlite"),
        compute=context.config.compute,
    )
    plain, targets = head.probs(features[sample]), context.features.train_targets[sample]
    return tuple(
        view
        for view, array in zip(augment.RANDOM, changed, strict=True)
        if decisions.keeps_class(head.probs(array), plain, targets)
    )
