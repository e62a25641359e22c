"""The zoo: one row per backbone, as data, and the networks that Keras does not have.

Importing it loads no Keras; building a network does.
"""

from __future__ import annotations

import difflib
from typing import Any

from triptych import errors
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
    "with_features",
]

BACKBONES: dict[str, Backbone] = {row.name: row for row in ROWS}

COMMITTEES: dict[str, tuple[str, ...]] = {
    "classic": ("ResNet50", "VGG16", "Xception"),
    "lite": ("EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2"),
}


def find(name: str) -> Backbone:
    """The backbone that a person means.

    Args:
        name: As Keras spells it, in any case, with or without ``-`` and ``_``; ``lite0`` is
            short for ``EfficientNetLite0``.

    Raises:
        errors.UnknownName: There is none; the message names the nearest.

    Example:
        >>> find("resnet-50").name, find("lite0").name
        ('ResNet50', 'EfficientNetLite0')
    """
    names = {normalize(name): name for name in BACKBONES}
    wanted = normalize(name)
    if wanted.startswith("lite"):
        wanted = f"efficientnet{wanted}"
    if wanted in names:
        return BACKBONES[names[wanted]]
    nearest = difflib.get_close_matches(wanted, names, n=3, cutoff=0.0)
    raise errors.UnknownName(
        f"There is no backbone {name!r}. The nearest names are "
        f"{', '.join(names[plain] for plain in nearest)}; `triptych.models.zoo.BACKBONES` has all."
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
