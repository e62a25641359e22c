"""What all members of a committee share while they are fine-tuned."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triptych import features as extract
from triptych.engines.conversion import convert
from triptych.engines.options import EngineOptions
from triptych.features import Extractor
from triptych.training.committee import TrainedMember
from triptych.training.config import TrainingConfig
from triptych.training.feature_set import FeatureSet
from triptych.training.finetune.task import FinetuneConfig
from triptych.typing import Array


@dataclass(frozen=True)
class FinetuneContext:
    """A committee that is fine-tuned, and how.

    Args:
        folder: The bundle's folder, with ``members/`` in it.
        features: Of the frozen networks, with their photos and labels.
        held_out: Which training photos no network is trained on, bool, shape (N,).
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

    def extractors(
        self,
        member: TrainedMember,
        *,
        home: Path | None = None,
        weights: Mapping[str, Path] | None = None,
    ) -> list[Extractor]:
        """The extractor of a member's features, as a list of one.

        Args:
            member: The member.
            home: Where the converted network is kept; by default in the home folder.
            weights: The network's weights by backbone; by default the frozen network's.
        """
        return extract.open_extractors(
            [member.backbone],
            dataclasses.replace(self.options, home=home or self.options.home),
            weights_by_backbone=self.config.weights_by_backbone if weights is None else weights,
            converter=self.converter,
        )
