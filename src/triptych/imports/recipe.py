"""The recipe of a model to be imported, from the user's text and from the model's file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from triptych import errors
from triptych.imports import rules
from triptych.imports.facts import FileFacts
from triptych.imports.facts import Preprocessing
from triptych.models import zoo
from triptych.models.zoo import recognition
from triptych.preprocessing import recipe as preprocessing
from triptych.preprocessing.recipe import Recipe
from triptych.utils.text import text

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
    fit: str | None = None
    interpolation: str | None = None
    crop_share: float = 0.875


def split_recipe(words: str | None) -> RecipeParts:
    """Parse ``scaling[:size[:fit[:interpolation]]]``.

    Args:
        words: Such as ``"0..1"``, ``"raw:180"``, ``"xception:150"`` or ``":224:crop:bilinear"``.

    Raises:
        errors.SettingError: It is malformed.
        errors.UnknownName: There is no such scaling or backbone.

    Example:
        >>> split_recipe("0..1:96x128").scaling, split_recipe("resnet-50").scaling
        ('unit', 'caffe')
    """
    parts = (words or "").split(":")
    if len(parts) > 4:
        raise errors.SettingError(
            text(
                "Got the recipe {words!r}; expected {recipe}, such as 0..1:224.",
                words=words,
                recipe=RECIPE,
            )
        )
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
                text(
                    "Got the scaling {scaling!r} in a recipe; expected 0..1, -1..1, raw, caffe "
                    "or torch, or the name of a backbone. {error}",
                    scaling=scaling,
                    error=error.message,
                )
            ) from None
        scaling_name, crop_share = row.recipe.scaling, row.recipe.crop_share
        default_size = row.recipe.size
    return RecipeParts(
        scaling_name,
        _size(size) or default_size,
        bool(size),
        fit or None,
        interpolation or None,
        crop_share,
    )


def _size(words: str) -> tuple[int, int] | None:
    if not words:
        return None
    height, _, width = words.partition("x")
    try:
        return int(height), int(width or height)
    except ValueError:
        raise errors.SettingError(
            text(
                "Got the size {words!r} in a recipe; expected pixels, such as 150 or 150x200.",
                words=words,
            )
        ) from None


class RecipeUnknown(errors.SettingError):
    """A model's recipe is not in its file, and has to be said.

    Args:
        message: For people.
        likely: The scalings that it may have been trained with, the likeliest first.
    """

    def __init__(self, message: str, likely: tuple[str, ...]) -> None:
        super().__init__(message)
        self.likely = likely


@dataclass(frozen=True)
class Candidates:
    """The recipes that a model may have been trained with.

    Args:
        recipes: The likeliest first; a single one is certain, or said to be by the user.
        why: The reason for the first.
    """

    recipes: tuple[Recipe, ...]
    why: str

    @property
    def is_certain(self) -> bool:
        """Whether there is one only."""
        return len(self.recipes) == 1

    def require_one(self) -> Recipe:
        """The only recipe.

        Raises:
            RecipeUnknown: There are several; the message names them.
        """
        if self.is_certain:
            return self.recipes[0]
        words = ", ".join(describe(each.scaling) for each in self.recipes)
        raise RecipeUnknown(
            text(
                "The file does not tell how photos were scaled before the model. Say it with "
                "--recipe, the likeliest first: {words}, or a backbone such as resnet50 for "
                "its preprocess_input. Or give labelled photos with --photos, which decide "
                "it.",
                words=words,
            ),
            tuple(each.scaling for each in self.recipes),
        )


# The words of `--recipe`, and what was done to pixels.
DESCRIPTIONS = {
    "unit": text("0..1 (rescale=1/255)"),
    "tf": "-1..1",
    "raw": text("raw (0 to 255)"),
    "torch": text("torch (0..1, then ImageNet's mean and standard deviation)"),
    "caffe": text("caffe (BGR minus ImageNet's mean)"),
}
# Which scalings people train with, by the program that wrote a file: the likeliest first.
LIKELY = {
    "pytorch": ("torch", "unit", "tf", "raw", "caffe"),
    "": ("unit", "tf", "raw", "torch", "caffe"),
}


def describe(scaling: str) -> str:
    """A scaling in the words of ``--recipe``.

    Example:
        >>> describe("tf")
        '-1..1'
    """
    return DESCRIPTIONS.get(scaling, scaling)


def candidates(
    parts: RecipeParts,
    facts: dict[str, Any],
    file: FileFacts,
    known: Preprocessing | None = None,
) -> Candidates:
    """The recipes that a model may have been trained with.

    Args:
        parts: The user's recipe, which counts first.
        facts: As `triptych.engines.conversion.keras_model.inspect` or `graph_model.inspect` gives
            them.
        file: What its file says of itself.
        known: How photos were prepared, where what came with the file tells.

    Raises:
        errors.SettingError: The user's recipe does not fit the model, or its size is not known.
    """
    known = known or file.preprocessing or Preprocessing("")
    size = _size_of(parts, facts, known)
    is_pytorch = file.producer.startswith("pytorch")
    fit = parts.fit or known.fit or ("crop" if is_pytorch else FIT)
    by_default = INTERPOLATION if file.producer == "keras" else "bilinear"
    interpolation = parts.interpolation or known.interpolation or by_default
    crop_share = known.crop_share or parts.crop_share
    scalings, why = _scalings(parts, facts, file, known)
    if is_grey(facts):
        scalings = [each for each in scalings if each in ("raw", "unit", "tf")]
        if not scalings:
            raise errors.SettingError(
                text(
                    "The model takes grey pictures, and the scaling {scaling} is for colours; "
                    "expected raw, 0..1 or -1..1.",
                    scaling=parts.scaling,
                )
            )
    return Candidates(
        tuple(Recipe(size, each, fit, crop_share, interpolation) for each in scalings), why
    )


def _size_of(parts: RecipeParts, facts: dict[str, Any], known: Preprocessing) -> tuple[int, int]:
    height, width = facts["inputs"][0][1][:2]
    size = (height, width) if height and width else None
    if size and parts.size and parts.is_size_given and parts.size != size:
        raise errors.SettingError(
            text(
                "The recipe says {size} x {size_2} pixels, and the model takes {size_3} x "
                "{size_4}. Leave the size out, or give the model's.",
                size=parts.size[0],
                size_2=parts.size[1],
                size_3=size[0],
                size_4=size[1],
            )
        )
    size = size or parts.size or known.size
    if size is None:
        raise errors.SettingError(
            text(
                "The model takes photos of any size, and which one it was trained with is "
                "not in the file. Say it with --recipe, such as --recipe :224."
            )
        )
    if max(size) > preprocessing.MAX_SIZE:
        raise errors.SettingError(
            text(
                "The model takes photos of {size} x {size_2} pixels; expected at most "
                "{max_size}, as no classifier takes larger ones.",
                size=size[0],
                size_2=size[1],
                max_size=preprocessing.MAX_SIZE,
            )
        )
    return size


def _scalings(
    parts: RecipeParts, facts: dict[str, Any], file: FileFacts, known: Preprocessing
) -> tuple[list[str], str]:
    """The scalings that a model may have been trained with, and the reason for the first."""
    of_bytes = rules.byte_scaling(facts, file.input_quantization)
    if of_bytes:
        if parts.scaling not in (None, "raw", of_bytes):
            raise errors.SettingError(
                text(
                    "The recipe says {scaling}, and the model takes pixels as bytes from 0 to "
                    "255. Leave the scaling out.",
                    scaling=parts.scaling,
                )
            )
        return ["raw"], "it takes pixels as bytes"
    if parts.scaling:
        return [parts.scaling], text("its scaling as --recipe says")
    if known.scaling:
        return [preprocessing.write_scaling(known.scaling)], known.source
    if rules.takes_raw_pixels(facts["front"]):
        kinds = ", ".join(dict.fromkeys(kind for kind, _ in facts["front"]))
        return ["raw"], text("the model scales its pixels itself ({kinds})", kinds=kinds)
    likely = LIKELY["pytorch" if file.producer.startswith("pytorch") else ""]
    family = recognition.recognize(facts["names"])
    if family is None:
        return [*likely], text("likely")
    if family in recognition.FROM_MINUS_1_TO_1:
        scaling = "tf"
        why = text("its layers are those of {family} without preprocessing", family=family)
    else:
        row = next(row for row in zoo.BACKBONES.values() if row.family == family)
        scaling = row.recipe.scaling
        why = text(
            "its layers are those of {family}, taken to be fed by its preprocess_input; where "
            "it was not, name the scaling with --recipe, such as 0..1",
            family=family,
        )
    if file.producer == "keras":
        return [scaling], why
    # Names of operations are a weaker sign than Keras's layers, so it is only the likeliest.
    return [scaling, *(each for each in likely if each != scaling)], why


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
