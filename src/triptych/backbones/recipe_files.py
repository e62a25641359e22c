"""Recipes that other libraries publish beside their networks, as recipes of ours.

timm's ``config.json`` (``pretrained_cfg``) and Hugging Face's ``preprocessor_config.json`` are
read. What a recipe of ours cannot do is refused by the name of its field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.preprocessing.recipe import Recipe
from triptych.preprocessing.recipe import Scaling
from triptych.preprocessing.recipe import write_scaling
from triptych.utils import validation

MAX_BYTES = 1 << 20
FILES = ("preprocessor_config.json", "config.json")
# Pillow's numbers, which Hugging Face writes.
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
# Where do_center_crop is left out: whether such a processor crops.
CROPS = {
    "BitImageProcessor": True,
    "BlipImageProcessor": False,
    "CLIPImageProcessor": True,
    "CLIPFeatureExtractor": True,
    "ConvNextImageProcessor": False,
    "ConvNextFeatureExtractor": False,
    "DINOv3ViTImageProcessor": False,
    "SiglipImageProcessor": False,
    "Siglip2ImageProcessor": False,
    "ViTImageProcessor": False,
    "ViTFeatureExtractor": False,
}
# Those that mean the shorter side where a size is one number; for others it is that of a square.
BY_SHORTER_SIDE = (
    "BitImageProcessor",
    "CLIPImageProcessor",
    "CLIPFeatureExtractor",
    "ConvNextImageProcessor",
    "ConvNextFeatureExtractor",
    "MobileNetV1ImageProcessor",
    "MobileNetV2ImageProcessor",
)
# Of timm's `global_pool`, the tokens that it takes.
POOLS = {"token": "class", "avg": "patches"}


@dataclass(frozen=True)
class PublishedRecipe:
    """What a file says of the photos that a network takes.

    Args:
        recipe: The recipe.
        tokens: Which tokens become the features, or ``None`` where it does not say.
        licence: Of the weights, or ``None``.
    """

    recipe: Recipe
    tokens: str | None = None
    licence: str | None = None


def beside(model: Path) -> Path | None:
    """The file of a recipe in the folder of a model, or ``None``."""
    return next((path for path in map(model.parent.joinpath, FILES) if path.is_file()), None)


def read(path: Path, *, size: tuple[int, int] | None = None) -> PublishedRecipe:
    """Read a published recipe.

    Args:
        path: timm's ``config.json`` or Hugging Face's ``preprocessor_config.json``.
        size: Height and width of the photos that the network takes; ``None`` for any.

    Raises:
        errors.SourceError: It cannot be read.
        errors.SettingError: It has something that a recipe of ours cannot do, or leaves out
            something that cannot be known; the message names the field.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        content = validation.parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise errors.SourceError(
            f"{path} cannot be read as a recipe: {error}. Expected JSON, such as timm's "
            "config.json or Hugging Face's preprocessor_config.json."
        ) from error
    if not isinstance(content, dict):
        raise errors.SourceError(f"{path} is no recipe: it has no fields.")
    fields = _Fields(path.name, content)
    if isinstance(content.get("pretrained_cfg"), dict) or "input_size" in content:
        return _of_timm(fields, size)
    if "image_mean" in content or "do_normalize" in content or "do_resize" in content:
        return PublishedRecipe(_of_hugging_face(fields, size))
    raise errors.SourceError(
        f"{path.name} says nothing of how photos are prepared. Expected timm's config.json, which "
        "has pretrained_cfg, or Hugging Face's preprocessor_config.json, which has image_mean."
    )


@dataclass(frozen=True)
class _Fields:
    """The fields of a file, and what is said where one of them is wrong."""

    file: str
    content: Mapping[str, Any]

    def refused(self, field: str, expected: str) -> errors.SettingError:
        value = validation.short_repr(self.content.get(field))
        return errors.SettingError(
            f"{self.file} has {field}: {value}; expected {expected}. "
            "Write the recipe by hand instead, such as --recipe torch:224:crop:bicubic."
        )

    def number(self, field: str, default: float) -> float:
        value = self.content.get(field)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise self.refused(field, "a number above 0")
        return float(value)

    def three(self, field: str) -> tuple[float, float, float]:
        value = self.content.get(field)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = [value] * 3
        numbers = value if isinstance(value, list) else []
        if len(numbers) == 3 and all(isinstance(each, (int, float)) for each in numbers):
            return (float(numbers[0]), float(numbers[1]), float(numbers[2]))
        raise self.refused(field, "three numbers, one for each colour")

    def pair(self, field: str, first: str, second: str) -> tuple[int, int] | None:
        """A number, or a pair by its keys, as (height, width); ``None`` where it has others."""
        value = self.content.get(field)
        if isinstance(value, int) and not isinstance(value, bool):
            return value, value
        if isinstance(value, dict) and {first, second} <= set(value):
            sides = value[first], value[second]
            if all(isinstance(side, int) and side > 0 for side in sides):
                return sides[0], sides[1]
        return None

    def is_set(self, field: str, default: bool) -> bool:
        value = self.content.get(field, default)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.refused(field, "true or false")
        return value


def _of_timm(fields: _Fields, size: tuple[int, int] | None) -> PublishedRecipe:
    whole, inner = fields.content, fields.content.get("pretrained_cfg")
    # What a person changed at the outer level counts, as in timm.
    cfg = _Fields(fields.file, {**inner, **_outer(whole)} if isinstance(inner, dict) else whole)
    published = _sides(cfg, "input_size")
    if published is None:
        raise cfg.refused("input_size", "[3, height, width]")
    is_test = size is not None and size != published and size == _sides(cfg, "test_input_size")
    height, width = sides = size if is_test and size else published
    _check_size(fields.file, sides, size)
    share = cfg.number("crop_pct", 0.875)
    if is_test:
        share = cfg.number("test_crop_pct", share)
    mode = cfg.content.get("crop_mode") or "center"
    if mode not in ("center", "squash") or (mode == "squash" and share < 1):
        raise cfg.refused(
            "crop_mode",
            '"center", or "squash" with a crop_pct of 1: the photo is not cut after it is squeezed',
        )
    # timm resizes to a whole number of pixels, of which the centre is taken.
    shorter = math.floor(min(height, width) / share)
    return PublishedRecipe(
        Recipe(
            sides,
            _scaling(cfg, "mean", "std", 1 / 255, "rgb"),
            fit="square" if mode == "squash" else "crop",
            crop_share=min(1.0, min(height, width) / shorter),
            interpolation=_interpolation(
                cfg, "interpolation", str(cfg.content.get("interpolation", "bicubic"))
            ),
        ),
        POOLS.get(str(whole.get("global_pool"))),
        str(cfg.content["license"])[:200] if cfg.content.get("license") else None,
    )


def _outer(whole: Mapping[str, Any]) -> dict[str, Any]:
    names = ("input_size", "crop_pct", "crop_mode", "interpolation", "mean", "std")
    return {name: whole[name] for name in names if whole.get(name) is not None}


def _sides(fields: _Fields, field: str) -> tuple[int, int] | None:
    value = fields.content.get(field)
    if not isinstance(value, list) or len(value) != 3 or value[0] != 3:
        return None
    if not all(isinstance(side, int) and side > 0 for side in value):
        return None
    return value[1], value[2]


def _of_hugging_face(fields: _Fields, size: tuple[int, int] | None) -> Recipe:
    content = fields.content
    kind = str(content.get("image_processor_type") or content.get("feature_extractor_type") or "")
    kind = kind.removesuffix("Fast").removesuffix("Pil")
    if not fields.is_set("do_resize", True):
        raise fields.refused("do_resize", "true: photos come in all sizes")
    if fields.is_set("do_pad", False):
        raise fields.refused("do_pad", "false: no borders are put around photos")
    if fields.is_set("rescale_offset", False):
        raise fields.refused("rescale_offset", "false")
    order = "bgr" if fields.is_set("do_flip_channel_order", kind.startswith("MobileViT")) else "rgb"
    sides, fit, share = _resizing(fields, kind)
    _check_size(fields.file, sides, size)
    factor = fields.number("rescale_factor", 1 / 255)
    if not fields.is_set("do_rescale", True):
        factor = 1.0
    if fields.is_set("do_normalize", "image_mean" in content):
        scaling = _scaling(fields, "image_mean", "image_std", factor, order)
    else:
        scaling = write_scaling(Scaling(order, (0.0, 0.0, 0.0), (1 / factor,) * 3))
    resample = content.get("resample")
    if resample not in RESAMPLE or isinstance(resample, bool):
        raise fields.refused("resample", "0 (nearest), 1 (lanczos), 2 (bilinear) or 3 (bicubic)")
    interpolation = _interpolation(fields, "resample", RESAMPLE[resample])
    return Recipe(sides, scaling, fit=fit, crop_share=share, interpolation=interpolation)


def _resizing(fields: _Fields, kind: str) -> tuple[tuple[int, int], str, float]:
    """The size of the input, and how a photo is fitted into it."""
    content = fields.content
    if kind.startswith("LevitImage"):
        raise fields.refused("image_processor_type", "one that resizes to the size that it names")
    if "do_center_crop" not in content and "crop_pct" not in content and kind not in CROPS:
        raise fields.refused("do_center_crop", "true or false, which it leaves out")
    size = content.get("size")
    shortest = size.get("shortest_edge") if isinstance(size, dict) else None
    crops = fields.is_set("do_center_crop", CROPS.get(kind, False))
    if isinstance(size, int) and not isinstance(size, bool) and kind in BY_SHORTER_SIDE:
        shortest = size  # older files
    if isinstance(shortest, int) and not isinstance(shortest, bool) and shortest > 0:
        if "crop_pct" in content and not crops:
            # ConvNeXt: large inputs are squeezed, and small ones cut from a larger photo.
            share = fields.number("crop_pct", 0.875)
            if shortest >= 384:
                return (shortest, shortest), "square", 1.0
            return (shortest, shortest), "crop", shortest / int(shortest / share)
        cut = fields.pair("crop_size", "height", "width") if crops else None
        if cut is None:
            raise fields.refused("do_center_crop", "true with a crop_size: inputs have one size")
        if max(cut) > shortest:
            raise fields.refused("crop_size", f"at most the shortest_edge of {shortest}")
        return cut, "crop", min(cut) / shortest
    sides = fields.pair("size", "height", "width")
    if sides is None:
        raise fields.refused("size", "a height and a width, or a shortest_edge")
    if crops and fields.pair("crop_size", "height", "width") not in (None, sides):
        raise fields.refused(
            "crop_size", f"the size, {sides[0]} x {sides[1]}: the photo is not cut after squeezing"
        )
    return sides, "square", 1.0


def _check_size(file: str, published: tuple[int, int], size: Sequence[int] | None) -> None:
    if size is not None and tuple(size) != published:
        raise errors.SettingError(
            f"{file} is for photos of {published[0]} x {published[1]} pixels, and the network "
            f"takes {size[0]} x {size[1]}. Export it for the size that it was trained with, or "
            "write the recipe by hand, such as --recipe torch:224:crop:bicubic."
        )


def _scaling(fields: _Fields, mean: str, std: str, factor: float, order: str) -> str:
    """(value * factor - mean) / std, as a scaling of values from 0 to 255."""
    means, stds = ([each / factor for each in fields.three(name)] for name in (mean, std))
    if min(stds) <= 0:
        raise fields.refused(std, "three numbers above 0")
    three_means, three_stds = (means[0], means[1], means[2]), (stds[0], stds[1], stds[2])
    return write_scaling(Scaling(order, three_means, three_stds))


def _interpolation(fields: _Fields, field: str, name: str) -> str:
    if name not in ("nearest", "bilinear", "bicubic", "lanczos"):
        raise fields.refused(field, "nearest, bilinear, bicubic or lanczos")
    return name
