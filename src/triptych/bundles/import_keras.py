"""Import a Keras classifier from elsewhere: its model, labels and recipe become a bundle."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import bundles
from triptych import errors
from triptych.bundles import model_card
from triptych.engines import openvino
from triptych.engines.conversion import convert
from triptych.models import zoo
from triptych.preprocessing.recipe import Recipe
from triptych.typing import Notify
from triptych.utils import validation

# The defaults of keras.utils.load_img: resize without keeping the aspect ratio, nearest pixel.
FIT = "square"
INTERPOLATION = "nearest"


@dataclass(frozen=True)
class ExternalModel:
    """A Keras classifier from elsewhere, and what must be known about it.

    Args:
        model: Its ``.keras`` file.
        labels: A text file, one class a line, in the order of the outputs.
        recipe: ``backbone[:size[:fit[:interpolation]]]``; ``None`` guesses it from the backbone
            found inside.
        logits: Whether it ends in logits; ``None`` detects that.
    """

    model: Path
    labels: Path
    recipe: str | None = None
    logits: bool | None = None


def import_model(
    model: ExternalModel,
    *,
    name: str,
    home: Path,
    report: Notify = lambda line: None,
) -> bundles.Bundle:
    """Import a classifier as a bundle.

    Args:
        model: The model file, labels and recipe.
        name: What to call it.
        home: Folder for everything that is kept.
        report: Called with a line for people.

    Raises:
        errors.SourceError: A file is missing, or no ``.keras`` file.
        errors.SettingError: The recipe or the number of labels does not fit.
        errors.WeightsDamaged: Keras cannot load the model in safe mode.
    """
    bundles.check_name(name)
    labels = read_labels(model.labels)
    config = read_config(model.model)
    recipe = parse_recipe(model.recipe, config)
    report(f"Recipe: {recipe.to_dict()}")

    def fill(folder: Path) -> dict[str, Any]:
        target = folder / "members" / name
        convert.run([convert.ImportJob(str(model.model), str(target), model.logits)], report)
        outputs = openvino.count_classes(target / convert.NETWORK)
        if outputs != len(labels):
            raise errors.SettingError(
                f"The model has {outputs} outputs, and the labels file {len(labels)} lines; "
                "expected as many lines as outputs."
            )
        (folder / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
        member = {"name": name, "recipe": recipe.to_dict(), "cost": 1.0}
        about = {
            "labels": [{"name": label, "id": label} for label in labels],
            "rule": "mean",
            "doubt": None,
            "members": [member],
            "imported_from": model.model.name,
        }
        text = model_card.render({"name": name, **about}, {})
        (folder / "README.md").write_text(text, encoding="utf-8")
        return about

    return bundles.write(home, name, fill)


def read_labels(path: Path) -> list[str]:
    """The classes in a text file, one a line; empty lines at its end do not count.

    Raises:
        errors.SourceError: It cannot be read, or names a class twice or not at all.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise errors.SourceError(
            f"{path} cannot be read: {error}. Expected a text file with one class a line."
        ) from error
    while lines and not lines[-1]:
        lines.pop()
    if len(lines) < 2 or "" in lines or len(set(lines)) < len(lines):
        raise errors.SourceError(
            f"{path} has {len(lines)} lines, {len(set(lines))} of them different; expected one "
            "class a line, at least two, none empty and none twice."
        )
    return lines


def read_config(path: Path) -> dict[str, Any]:
    """What a ``.keras`` file says of its layers, without building them.

    Raises:
        errors.SourceError: It is no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            content = json.loads(archive.read("config.json"))
        config: dict[str, Any] = validation.load(
            validation.Table(), content, "config", error=ValueError
        )
        return config
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise errors.SourceError(
            f"{path} is no .keras file: {str(error).rstrip('.')}. In Keras 3, save the model with "
            "model.save('model.keras')."
        ) from error


def parse_recipe(text: str | None, config: dict[str, Any]) -> Recipe:
    """The recipe in ``backbone[:size[:fit[:interpolation]]]``, or the one the model suggests.

    Args:
        text: What a person wrote, such as ``"xception:150"``; ``None`` guesses.
        config: What the model says of its layers.

    Raises:
        errors.SettingError: It cannot be understood, or nothing could be guessed.
        errors.UnknownName: There is no such backbone.
    """
    model_size = input_size(config)
    parts = (text or _guess(config)).split(":")
    if len(parts) > 4:
        raise errors.SettingError(
            f"Got the recipe {text!r}; expected backbone[:size[:fit[:interpolation]]], such as "
            "xception:150 or resnet50:224:crop:bilinear."
        )
    backbone = zoo.find(parts[0])
    size = _size(parts[1]) if len(parts) > 1 else model_size or backbone.recipe.size
    if model_size and size != model_size:
        raise errors.SettingError(
            f"The recipe says {size[0]} x {size[1]} pixels, and the model takes "
            f"{model_size[0]} x {model_size[1]}. Leave the size out, or give the model's."
        )
    fit = parts[2] if len(parts) > 2 else FIT
    interpolation = parts[3] if len(parts) > 3 else INTERPOLATION
    return Recipe(size, backbone.recipe.scaling, fit, backbone.recipe.crop_share, interpolation)


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    try:
        return int(height), int(width or height)
    except ValueError:
        raise errors.SettingError(
            f"Got the size {text!r} in a recipe; expected pixels, such as 150 or 150x200."
        ) from None


def input_size(config: dict[str, Any]) -> tuple[int, int] | None:
    """The (height, width) a model takes; ``None`` where it takes any or does not say."""
    for layer in _layers(config):
        shape = layer.get("config", {}).get("batch_shape")
        if layer.get("class_name") == "InputLayer" and shape and len(shape) == 4:
            height, width = shape[1:3]
            return (height, width) if height and width else None
    return None


def _guess(config: dict[str, Any]) -> str:
    names = {zoo.normalize(name): name for name in zoo.BACKBONES}
    for layer in _layers(config):
        known = names.get(zoo.normalize(str(layer.get("config", {}).get("name", ""))))
        if known:
            return known
    raise errors.SettingError(
        "No known backbone was found inside the model, so its recipe cannot be guessed. "
        "Name its preprocessing with --recipe, such as --recipe resnet50:224."
    )


def _layers(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The model and all layers in it, nested ones too, outer ones first."""
    layers = [config]
    for layer in config.get("config", {}).get("layers", []):
        layers += _layers(layer)
    return layers
