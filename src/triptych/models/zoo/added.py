"""Backbones that a person added from files: rows like those of the zoo, kept in the home.

A folder each, ``<home>/backbones/<name>-<digest>``: the network as an OpenVINO graph whose one
output are the features, and ``backbone.json`` with what is known of it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.models.zoo.backbone import Backbone
from triptych.models.zoo.backbone import WeightsSource
from triptych.preprocessing.recipe import RecipeRecord
from triptych.utils import validation

logger = logging.getLogger("triptych")

FAMILY = "added"
FOLDER = "backbones"
ABOUT = "backbone.json"
NETWORK = "network.xml"
SCHEMA = 1
MAX_FEATURES = 65536
MAX_TEXT = 200


@dataclass(frozen=True)
class Added:
    """A backbone that was added, and where it came from.

    Args:
        row: The backbone.
        folder: Where it is kept.
        source: The name of the file that it was made of.
        taken: What was taken from that file as its features, in words.
    """

    row: Backbone
    folder: Path
    source: str
    taken: str


class _AboutRecord(validation.OpenRecord):
    schema = validation.Integer(least=SCHEMA, most=SCHEMA, required=True)
    name = validation.Text(longest=MAX_TEXT, required=True)
    recipe = validation.Object(RecipeRecord, required=True)
    feature_length = validation.Integer(least=1, most=MAX_FEATURES, required=True)
    parameters = validation.Integer(least=0, required=True)
    multiply_adds = validation.Integer(least=1, required=True)
    size_mb = validation.Number(least=0, required=True)
    licence = validation.Text(longest=MAX_TEXT, required=True)
    source = validation.Text(required=True)
    taken = validation.Text(required=True)


def describe(row: Backbone, *, source: str, taken: str) -> str:
    """The content of ``backbone.json``, as JSON."""
    about = {
        "schema": SCHEMA,
        "name": row.name,
        "recipe": row.recipe.to_dict(),
        "feature_length": row.feature_length,
        "parameters": row.parameters,
        "multiply_adds": row.multiply_adds,
        "size_mb": row.weights.size_mb,
        "licence": row.licence,
        "source": source,
        "taken": taken,
    }
    return json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read(folder: Path) -> Added:
    """Read what a folder says of its backbone.

    Raises:
        errors.SourceError: It is damaged.
    """
    path = folder / ABOUT
    hint = f"Delete {folder}, and add the backbone again."
    try:
        content = validation.parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise errors.SourceError(f"{path} cannot be read: {error}. {hint}") from error
    about: dict[str, Any] = validation.load(
        _AboutRecord, content, str(path), error=errors.SourceError, hint=hint
    )
    row = Backbone(
        name=about["name"],
        family=FAMILY,
        builder="",
        recipe=about["recipe"],
        feature_length=about["feature_length"],
        parameters=about["parameters"],
        multiply_adds=about["multiply_adds"],
        top1=None,
        weights=WeightsSource(about["source"], None, None, None, about["size_mb"]),
        licence=about["licence"],
        paper="",
        network=folder / NETWORK,
    )
    return Added(row, folder, about["source"], about["taken"])


def listed(home: Path) -> Iterator[Added]:
    """All backbones that were added, by name; a damaged one is left out, and logged.

    Args:
        home: Home folder.
    """
    for path in sorted((home / FOLDER).glob(f"*/{ABOUT}")):
        try:
            yield read(path.parent)
        except errors.SourceError as error:
            logger.warning("%s", error.message)
