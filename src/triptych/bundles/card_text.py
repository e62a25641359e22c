"""Texts for a bundle's model card, written by people; its figures cannot be edited."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triptych.bundles import model_card
from triptych.bundles import registry
from triptych.bundles.reading import CARD
from triptych.bundles.reading import read_card_texts
from triptych.bundles.reading import read_metrics
from triptych.utils import files

README = "README.md"


def save_card_texts(home: Path, name: str, words: Mapping[str, object]) -> None:
    """Save the card texts of a bundle, for all its versions, future ones included.

    Args:
        home: Home folder.
        name: Of the bundle.
        words: Texts by the fields of `model_card.FIELDS`; they replace all earlier ones.

    Raises:
        errors.UnknownName: There is no such bundle.
        errors.SettingError: A text is invalid.
    """
    if not registry.versions(home, name):
        raise registry.unknown(home, name)
    _keep(home, name, model_card.check_texts(words))


def keep_imported(home: Path, name: str, words: Mapping[str, str]) -> None:
    """Save the texts of an imported version, unless there are some already."""
    if words and not (registry.folder(home, name) / CARD).exists():
        _keep(home, name, words)


def _keep(home: Path, name: str, words: Mapping[str, str]) -> None:
    text = json.dumps(words, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with files.atomic_file(registry.folder(home, name) / CARD) as new:
        new.write_bytes(text.encode())


def card_texts(
    home: Path, name: str, imported: Mapping[str, str] = types.MappingProxyType({})
) -> dict[str, str]:
    """The card texts of a bundle, by the fields of `model_card.FIELDS`.

    Args:
        home: Home folder.
        name: Of the bundle.
        imported: The texts of an imported version; used until others are saved here.

    Raises:
        errors.BundleError: It is damaged.
    """
    beside = registry.folder(home, name) / CARD
    return read_card_texts(beside) if beside.exists() else dict(imported)


def write_card(
    folder: Path,
    about: dict[str, Any],
    words: Mapping[str, str],
    *,
    figures: Path,
    address: str = "",
) -> dict[str, Any]:
    """Write the model card of a version again, with these texts.

    Args:
        folder: Folder to write the card to.
        about: What ``bundle.json`` says.
        words: The card texts.
        figures: The folder with its metrics.
        address: As for `model_card.render`.

    Returns:
        The new content of ``bundle.json``.

    Raises:
        errors.BundleError: The metrics are damaged.
    """
    text = model_card.render(about, read_metrics(figures, about), words, address=address)
    (folder / README).write_text(text, encoding="utf-8")
    others = {key: value for key, value in about.items() if key != "card"}
    return {**others, "card": dict(words)} if words else others
