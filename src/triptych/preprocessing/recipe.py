"""Preprocessing as data: how a photo becomes the numbers a network was trained on.

A recipe belongs to a set of weights, as its labels do. Training, page, API, command line and
exported bundles all go through `apply`, so they cannot disagree.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any
from typing import TypeAlias

import numpy as np
from PIL import Image

from triptych import errors
from triptych.typing import Float32Array
from triptych.typing import UInt8Image
from triptych.utils import validation

# A photo, RGB: an array of shape (H, W, 3), or what Pillow unpacked, which saves a copy.
Picture: TypeAlias = "UInt8Image | Image.Image"

# The shorter side to which a photo is reduced while it is decoded. One number for all networks, the
# largest included (600 px, cropped from 686), so that the input of a network does not depend on
# which other members a committee has.
ENOUGH_PX = 720

# Pixels are averaged in whole blocks before the resizing proper, as long as so many times the
# network's size remain. Larger photos are resized faster, and smaller ones are not touched.
REDUCING_GAP = 2.0

# Part of the keys of stored features: other rules give other pixels.
SIGHT = f"shorter side {ENOUGH_PX} px, gap {REDUCING_GAP:g}"

FITS = ("crop", "square")
INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Scaling:
    """How pixel values become network inputs: ``(value - mean) / std``, per channel.

    Args:
        order: ``"rgb"`` or ``"bgr"``, the channel order the network expects.
        mean: Subtracted first, in the channel order above, on the 0..255 scale.
        std: Divided by afterwards, likewise.
    """

    order: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


# Other words by which people name a scaling.
SCALING_WORDS = {
    "0..255": "raw",
    "none": "raw",
    "0..1": "unit",
    "1/255": "unit",
    "rescale": "unit",
    "-1..1": "tf",
}


def _same(value: float) -> tuple[float, float, float]:
    return (value, value, value)


# The families' published scalings. "caffe", "tf" and "torch" are Keras's own names for them
# (keras/src/applications/imagenet_utils.py: preprocess_input); "raw" networks scale inside, and
# "unit" is the rescale=1/255 of Keras's ImageDataGenerator.
SCALINGS: dict[str, Scaling] = {
    "caffe": Scaling("bgr", (103.939, 116.779, 123.68), _same(1.0)),
    "tf": Scaling("rgb", _same(127.5), _same(127.5)),
    "torch": Scaling("rgb", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "raw": Scaling("rgb", _same(0.0), _same(1.0)),
    "unit": Scaling("rgb", _same(0.0), _same(255.0)),
    # google's efficientnet/lite: "MEAN_RGB = [127.0] * 3, STDDEV_RGB = [128.0] * 3"
    "lite": Scaling("rgb", _same(127.0), _same(128.0)),
}


# Any other scaling is written as its numbers: "123.7,116.3,103.5/58.4,57.1,57.4", BGR after "bgr ".
_THREE = ",".join([r"(-?[0-9.]+(?:e[-+]?[0-9]+)?)"] * 3)
_WRITTEN = re.compile(rf"(bgr )?{_THREE}/{_THREE}")
MAX_SCALING = 200  # characters
SCALING_FORMAT = "MEAN,MEAN,MEAN/STD,STD,STD on the scale of 0 to 255"


@functools.lru_cache(64)
def find_scaling(text: str) -> Scaling:
    """The scaling that a recipe names or writes out.

    Args:
        text: A name from `SCALINGS`, or what `write_scaling` makes of any other.

    Raises:
        errors.SettingError: It is neither.

    Example:
        >>> find_scaling("tf").mean
        (127.5, 127.5, 127.5)
        >>> find_scaling("bgr 104,117,123/1,1,1")
        Scaling(order='bgr', mean=(104.0, 117.0, 123.0), std=(1.0, 1.0, 1.0))
    """
    if text in SCALINGS:
        return SCALINGS[text]
    match = _WRITTEN.fullmatch(text) if len(text) <= MAX_SCALING else None
    try:
        numbers = tuple(map(float, match.groups()[1:])) if match else ()
    except ValueError:
        numbers = ()
    if not (numbers and all(map(math.isfinite, numbers)) and min(numbers[3:]) > 0):
        raise errors.SettingError(
            f"{validation.short_repr(text)} is not a known scaling; expected one of: "
            f"{', '.join(SCALINGS)}; or {SCALING_FORMAT}."
        )
    mean, std = (numbers[0], numbers[1], numbers[2]), (numbers[3], numbers[4], numbers[5])
    return Scaling("bgr" if match and match[1] else "rgb", mean, std)


def write_scaling(scaling: Scaling) -> str:
    """The text by which a recipe names a scaling: its name where it has one, else its numbers.

    Example:
        >>> write_scaling(Scaling("rgb", (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)))
        'unit'
        >>> write_scaling(Scaling("rgb", (0.0, 0.0, 0.0), (1.0, 2.0, 4.0)))
        '0,0,0/1,2,4'
    """
    numbers = (*scaling.mean, *scaling.std)
    for name, known in SCALINGS.items():
        # 0.485 * 255 is not the 123.675 of the table to the last bit.
        if known.order == scaling.order and np.allclose(
            numbers, (*known.mean, *known.std), rtol=1e-6, atol=1e-6
        ):
            return name
    mean, std = (",".join(f"{value:.9g}" for value in each) for each in (numbers[:3], numbers[3:]))
    return f"{'bgr ' if scaling.order == 'bgr' else ''}{mean}/{std}"


@dataclass(frozen=True)
class Recipe:
    """One way from an RGB photo to a network input.

    Args:
        size: Input of the network, (height, width) in pixels.
        scaling: A name from `SCALINGS`, or another scaling as `write_scaling` writes it.
        fit: ``"crop"`` keeps the proportions and takes the centre; ``"square"`` squeezes the
            whole photo into the size, as `keras.utils.load_img` does.
        crop_share: With ``"crop"``, the share of the photo's largest centred window (of the
            network's proportions) that is kept, in (0, 1].
        interpolation: A name from `INTERPOLATIONS`.

    Raises:
        errors.SettingError: A name or number is impossible.

    Example:
        >>> recipe = Recipe((224, 224), "tf")
        >>> apply(recipe, np.zeros((300, 400, 3), np.uint8)).shape
        (224, 224, 3)
    """

    size: tuple[int, int]
    scaling: str
    fit: str = "crop"
    crop_share: float = 0.875
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        find_scaling(self.scaling)
        for value, allowed, what in (
            (self.fit, FITS, "fit"),
            (self.interpolation, INTERPOLATIONS, "interpolation"),
        ):
            if value not in allowed:
                raise errors.SettingError(
                    f"{value!r} is not a known {what}; expected one of: {', '.join(allowed)}."
                )
        if min(self.size) < 1 or not 0 < self.crop_share <= 1:
            raise errors.SettingError(
                f"A recipe needs a size of at least 1 x 1 and a crop share in (0, 1]; "
                f"got {self.size} and {self.crop_share}."
            )

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON, for bundles and model listings."""
        return {**asdict(self), "size": list(self.size)}

    @classmethod
    def from_dict(cls, data: object) -> Recipe:
        """The recipe that `to_dict` wrote, checked.

        Args:
            data: As ``json.loads`` gives it.

        Raises:
            errors.SettingError: It is damaged; the message says where.
        """
        recipe: Recipe = validation.load(RecipeRecord, data, "recipe")
        return recipe


# Bounds of what a file may ask for: no classifier takes larger photos, or a smaller part of one.
MAX_SIZE = 2048
MIN_CROP_SHARE = 0.05


class _ScalingText(validation.Text):
    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> str:
        text = super()._deserialize(value, attr, data, **options)
        try:
            find_scaling(text)
        except errors.SettingError:
            expected = f"one of: {', '.join(SCALINGS)}; or {SCALING_FORMAT}"
            raise validation.wrong(value, expected) from None
        return text


class RecipeRecord(validation.Record):
    """`Recipe` in JSON."""

    size = validation.Items(
        validation.Integer(least=1, most=MAX_SIZE), least=2, most=2, required=True
    )
    scaling = _ScalingText(required=True)
    fit = validation.Text(choices=FITS)
    crop_share = validation.Number(least=MIN_CROP_SHARE, most=1)
    interpolation = validation.Text(choices=tuple(INTERPOLATIONS))

    @validation.post_load
    def _make(self, parts: dict[str, Any], **_: Any) -> Recipe:
        return Recipe(**parts)


def size(image: Picture) -> tuple[int, int]:
    """(height, width) of a photo, in pixels.

    Example:
        >>> size(np.zeros((30, 40, 3), np.uint8))
        (30, 40)
    """
    if isinstance(image, Image.Image):
        return image.height, image.width
    return image.shape[0], image.shape[1]


def enough(recipes: Iterable[Recipe]) -> int:
    """The shorter side, in pixels, that a photo needs for all of some recipes.

    Args:
        recipes: Of the networks that share one decoded photo.

    Example:
        >>> enough([Recipe((224, 224), "tf"), Recipe((299, 299), "tf")])
        720
        >>> enough([Recipe((224, 224), "tf"), Recipe((1024, 896), "tf", crop_share=0.8)])
        1280
    """
    return max(ENOUGH_PX, *(math.ceil(max(each.size) / each.crop_share) for each in recipes))


def window(recipe: Recipe, height: int, width: int) -> tuple[float, float, float, float]:
    """The part of the photo that the network sees: (left, top, right, bottom) in pixels.

    Args:
        recipe: Its ``fit``, ``size`` and ``crop_share`` decide.
        height: Of the photo, in pixels.
        width: Of the photo, in pixels.

    Example:
        >>> window(Recipe((224, 224), "tf", crop_share=0.5), 100, 300)
        (125.0, 25.0, 175.0, 75.0)
    """
    if recipe.fit == "square":
        return (0.0, 0.0, float(width), float(height))
    rows, columns = recipe.size
    scale = recipe.crop_share * min(height / rows, width / columns)
    kept_height, kept_width = rows * scale, columns * scale
    # Of a whole side, rounding errors may be outside.
    left, top = max(0.0, (width - kept_width) / 2), max(0.0, (height - kept_height) / 2)
    return (left, top, min(width, left + kept_width), min(height, top + kept_height))


def resize(recipe: Recipe, image: Picture) -> UInt8Image:
    """Crop and resize, in one step, without scaling the values.

    Args:
        recipe: The recipe.
        image: RGB.

    Returns:
        A new array, shape (*recipe.size, 3), uint8.
    """
    picture = _of_pillow(image)
    return cut(recipe, picture, window(recipe, picture.height, picture.width))


def _of_pillow(image: Picture) -> Image.Image:
    return image if isinstance(image, Image.Image) else Image.fromarray(image)


def cut(recipe: Recipe, image: Picture, part: tuple[float, float, float, float]) -> UInt8Image:
    """Crop a given part and resize it; training varies the part.

    Args:
        recipe: The recipe.
        image: RGB.
        part: As `window` gives it.

    Returns:
        A new array, shape (*recipe.size, 3), uint8.
    """
    resized = _of_pillow(image).resize(
        size=recipe.size[::-1],
        resample=INTERPOLATIONS[recipe.interpolation],
        box=part,
        reducing_gap=REDUCING_GAP,
    )
    return np.array(resized, dtype=np.uint8)


def scale(recipe: Recipe, images: UInt8Image) -> Float32Array:
    """Scale pixel values as the weights expect.

    Args:
        recipe: The recipe.
        images: RGB, shape (..., 3), uint8.

    Returns:
        A new array of the same shape, float32.
    """
    rule = find_scaling(recipe.scaling)
    ordered = images
    if rule.order == "bgr":  # channel by channel: copying a reversed view takes four times as long
        ordered = np.stack([images[..., channel] for channel in (2, 1, 0)], axis=-1)
    *others, width, channels = images.shape
    # Whole rows at a time: NumPy is six times as fast on long rows as on threes.
    scaled = ordered.reshape(*others, width * channels).astype(np.float32)
    if any(rule.mean):
        scaled -= _of_row(rule.mean, width)
    if rule.std != _same(1.0):
        scaled /= _of_row(rule.std, width)
    return scaled.reshape(images.shape)


@functools.lru_cache(32)
def _of_row(values: tuple[float, float, float], width: int) -> np.float32 | Float32Array:
    """The values of the channels for a row of pixels; one number where they are the same."""
    if values == _same(values[0]):
        return np.float32(values[0])
    return np.tile(np.asarray(values, np.float32), width)


def apply(recipe: Recipe, image: Picture) -> Float32Array:
    """The whole recipe: an RGB photo to one network input.

    Args:
        recipe: The recipe.
        image: RGB; left as it is.

    Returns:
        A new array, shape (*recipe.size, 3), float32.
    """
    return scale(recipe, resize(recipe, image))
