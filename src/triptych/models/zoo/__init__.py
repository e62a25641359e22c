"""The zoo: one row per backbone, as data, and the networks that Keras does not have.

The rows of a home are those of the zoo and the backbones that were added there from files.
Importing this loads no Keras; building a network does.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.models.zoo import added
from triptych.models.zoo.backbone import Backbone
from triptych.models.zoo.backbone import WeightsSource
from triptych.models.zoo.network import backbone_layers
from triptych.models.zoo.network import features_output
from triptych.models.zoo.network import multiply_adds
from triptych.models.zoo.network import with_features
from triptych.models.zoo.table import ROWS

__all__ = [
    "BACKBONES",
    "COMMITTEES",
    "Backbone",
    "WeightsSource",
    "backbone_layers",
    "facts",
    "features_output",
    "find",
    "multiply_adds",
    "normalize",
    "rows",
    "with_features",
]

BACKBONES: dict[str, Backbone] = {row.name: row for row in ROWS}

COMMITTEES: dict[str, tuple[str, ...]] = {
    "classic": ("ResNet50", "VGG16", "Xception"),
    "lite": ("EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2"),
}


def rows(home: Path | None = None) -> list[Backbone]:
    """All backbones: those of the zoo, and those that were added to a home.

    Args:
        home: Home folder; ``None`` for the zoo alone.
    """
    here = [each.row for each in added.listed(home)] if home else []
    return [*BACKBONES.values(), *here]


def find(name: str, home: Path | None = None) -> Backbone:
    """The backbone that a person means.

    Args:
        name: As Keras spells it, or as it was added, in any case, with or without ``-`` and
            ``_``; ``lite0`` is short for ``EfficientNetLite0``.
        home: Home folder with added backbones; ``None`` for the zoo alone.

    Raises:
        errors.UnknownName: There is none; the message names the nearest.

    Example:
        >>> find("resnet-50").name, find("lite0").name
        ('ResNet50', 'EfficientNetLite0')
    """
    by_name = {normalize(row.name): row for row in rows(home)}
    wanted = normalize(name)
    if wanted not in by_name and wanted.startswith("lite"):
        wanted = f"efficientnet{wanted}"
    if wanted in by_name:
        return by_name[wanted]
    nearest = difflib.get_close_matches(wanted, by_name, n=3, cutoff=0.0)
    raise errors.UnknownName(
        f"There is no backbone {name!r}. The nearest names are "
        f"{', '.join(by_name[plain].name for plain in nearest)}; `triptych models` lists all."
    )


def normalize(name: str) -> str:
    """A name as it is compared: lower case, without ``-`` and ``_``."""
    return name.lower().replace("-", "").replace("_", "")


def facts(row: Backbone) -> dict[str, Any]:
    """The facts about a network for lists, as a JSON object.

    Example:
        >>> facts(find("lite0"))["size"]
        [224, 224]
    """
    return {
        "name": row.name,
        "committees": [name for name, members in COMMITTEES.items() if row.name in members],
        "size": list(row.recipe.size),
        "top1": row.top1,
        "multiply_adds": row.multiply_adds,
        "parameters": row.parameters,
        "feature_length": row.feature_length,
        "size_mb": row.weights.size_mb,
        "licence": row.licence,
        "paper": row.paper,
    }
