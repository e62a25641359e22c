"""The recipe of a model to be imported, from the user's text and from the model's file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from triptych import errors
from triptych.bundles import import_rules
from triptych.models import zoo
from triptych.preprocessing import recipe as preprocessing
from triptych.preprocessing.recipe import Recipe

# The defaults of keras.utils.load_img: resize without keeping the aspect ratio, nearest pixel.
FIT = "square"
INTERPOLATION = "nearest"
RECIPE = "SCALING[:SIZE[:FIT[:INTERPOLATION]]]"


@dataclass(frozen=True)
class RecipeParts:
    """A recipe as given by the user; ``None`` is to be determined from the model.

    Args:
        scaling: A name from `triptych.preprocessing.recipe.SCALINGS`.
        size: (height, width) in pixels; that of a named backbone is only a default.
        is_size_given: Whether the user gave the size.
        fit: As in `Recipe`.
        interpolation: As in `Recipe`.
        crop_share: As in `Recipe`.
    """

    scaling: str | None = None
    size: tuple[int, int] | None = None
    is_size_given: bool = False
    fit: str = FIT
    interpolation: str = INTERPOLATION
    crop_share: float = 0.875


def split_recipe(text: str | None) -> RecipeParts:
    """Parse ``scaling[:size[:fit[:interpolation]]]``.

    Args:
        text: Such as ``"0..1"``, ``"raw:180"``, ``"xception:150"`` or ``":224:crop:bilinear"``.

    Raises:
        errors.SettingError: It is malformed.
        errors.UnknownName: There is no such scaling or backbone.

    Example:
        >>> split_recipe("0..1:96x128").scaling, split_recipe("resnet-50").scaling
        ('unit', 'caffe')
    """
    parts = (text or "").split(":")
    if len(parts) > 4:
        raise errors.SettingError(f"Got the recipe {text!r}; expected {RECIPE}, such as 0..1:224.")
    scaling, size, fit, interpolation = (*parts, *[""] * (4 - len(parts)))
    word = scaling.strip().lower()
    scaling_name = preprocessing.SCALING_WORDS.get(word, word) or None
    crop_share, default_size = RecipeParts.crop_share, None
    is_written = "/" in (scaling_name or "")  # as its numbers
    if scaling_name and not is_written and scaling_name not in preprocessing.SCALINGS:
        try:
            row = zoo.find(scaling)
        except errors.UnknownName as error:
            raise errors.UnknownName(
                f"Got the scaling {scaling!r} in a recipe; expected 0..1, -1..1, raw, caffe or "
                f"torch, or the name of a backbone. {error.message}"
            ) from None
        scaling_name, crop_share = row.recipe.scaling, row.recipe.crop_share
        default_size = row.recipe.size
    return RecipeParts(
        scaling_name,
        _size(size) or default_size,
        bool(size),
        fit or FIT,
        interpolation or INTERPOLATION,
        crop_share,
    )


def _size(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    height, _, width = text.partition("x")
    try:
        return int(height), int(width or height)
    except ValueError:
        raise errors.SettingError(
            f"Got the size {text!r} in a recipe; expected pixels, such as 150 or 150x200."
        ) from None


def decide_recipe(parts: RecipeParts, facts: dict[str, Any]) -> tuple[Recipe, str]:
    """The recipe of a model, and the reason for its scaling.

    Args:
        parts: The user's recipe.
        facts: As `triptych.engines.conversion.keras_model.inspect` gives them.

    Raises:
        errors.SettingError: It does not fit the model, or cannot be determined.
    """
    height, width = facts["inputs"][0][1][:2]
    size = (height, width) if height and width else None
    if size and parts.size and parts.is_size_given and parts.size != size:
        raise errors.SettingError(
            f"The recipe says {parts.size[0]} x {parts.size[1]} pixels, and the model takes "
            f"{size[0]} x {size[1]}. Leave the size out, or give the model's."
        )
    size = size or parts.size
    if size is None:
        raise errors.SettingError(
            "The model takes photos of any size, and which one it was trained with is not in the "
            "file. Say it with --recipe, such as --recipe :224."
        )
    scaling, why = parts.scaling, "its scaling as --recipe says"
    if scaling is None:
        scaling, why = import_rules.scaling_of(facts)
    if is_grey(facts) and scaling not in ("raw", "unit", "tf"):
        raise errors.SettingError(
            f"The model takes grey pictures, and the scaling {scaling} is for colours; expected "
            "raw, 0..1 or -1..1."
        )
    return Recipe(size, scaling, parts.fit, parts.crop_share, parts.interpolation), why


def is_grey(facts: dict[str, Any]) -> bool:
    """Whether a model takes grey pictures, from the facts of `keras_model.inspect`."""
    shape = facts["inputs"][0][1]
    return len(shape) == 2 or shape[2] == 1


def as_served(recipe: Recipe, facts: dict[str, Any]) -> tuple[Recipe, tuple[float, float]]:
    """The recipe for serving, and the mean and standard deviation of grey values.

    Photos are served in colour. A network that takes grey pictures converts and scales them itself.
    """
    scaling = preprocessing.find_scaling(recipe.scaling)
    if not is_grey(facts):
        return recipe, (0.0, 1.0)
    raw = Recipe(recipe.size, "raw", recipe.fit, recipe.crop_share, recipe.interpolation)
    return raw, (scaling.mean[0], scaling.std[0])
