"""What a model's file says of itself, beside its network."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

from triptych import errors
from triptych.preprocessing.recipe import SCALINGS
from triptych.preprocessing.recipe import Scaling
from triptych.utils.text import text


@dataclass(frozen=True)
class Preprocessing:
    """How photos were prepared for a model, as its file says; ``None`` where it does not.

    Args:
        source: What says so, for people.
        scaling: What is done to pixels.
        size: (height, width) in pixels.
        fit: As in `triptych.preprocessing.recipe.Recipe`.
        crop_share: Likewise.
        interpolation: Likewise.
    """

    source: str
    scaling: Scaling | None = None
    size: tuple[int, int] | None = None
    fit: str | None = None
    crop_share: float | None = None
    interpolation: str | None = None


@dataclass(frozen=True)
class FileFacts:
    """What a model's file says of itself.

    Args:
        producer: The program that wrote it; empty where it is not known.
        labels: Its classes, in the order of the outputs; empty for none.
        preprocessing: How photos were prepared; ``None`` where it is not said.
        input_quantization: (scale, zero point) of an input in integers.
        output_quantizations: The same of each output.
    """

    producer: str = ""
    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    input_quantization: tuple[float, int] | None = None
    output_quantizations: tuple[tuple[float, int] | None, ...] = field(default=())


# Windows ML's names of the range of pixels, in the metadata of ONNX files that Azure Custom Vision
# and other tools write (onnx/docs/MetadataProps.md).
RANGES = {"NominalRange_0_255": "raw", "Normalized_0_1": "unit", "Normalized_1_1": "tf"}
CHANNELS = {"Rgb8": "rgb", "Bgr8": "bgr"}


def of_metadata(metadata: Mapping[str, str]) -> tuple[Preprocessing | None, tuple[str, ...]]:
    """What the metadata of an ONNX file says of preprocessing and classes.

    Args:
        metadata: Texts by name.

    Raises:
        errors.SettingError: It is a model that does not classify photos, or a whole committee.

    Example:
        >>> of_metadata({"Image.NominalPixelRange": "Normalized_0_1"})[0].scaling.std
        (255.0, 255.0, 255.0)
    """
    if "triptych" in metadata:
        raise errors.SettingError(
            text(
                "This file is a committee that Triptych exported, with its preprocessing "
                "inside. Import the bundle itself, which `triptych bundles export` writes."
            )
        )
    if "task" in metadata and "names" in metadata:  # Ultralytics
        return _of_ultralytics(metadata)
    pixels = RANGES.get(metadata.get("Image.NominalPixelRange", ""))
    if pixels is None:
        return None, ()
    order = CHANNELS.get(metadata.get("Image.BitmapPixelFormat", "Rgb8"), "rgb")
    scaling = Scaling(order, SCALINGS[pixels].mean, SCALINGS[pixels].std)
    return Preprocessing("its metadata (Image.NominalPixelRange)", scaling), ()


def _of_ultralytics(
    metadata: Mapping[str, str],
) -> tuple[Preprocessing | None, tuple[str, ...]]:
    if metadata["task"] != "classify":
        raise errors.SettingError(
            text(
                "The metadata says that the model was made to {metadata}; expected one that "
                "classifies photos, which Ultralytics calls classify.",
                metadata=metadata["task"],
            )
        )
    labels: tuple[str, ...] = ()
    try:
        names = ast.literal_eval(metadata["names"])
        labels = tuple(str(names[n]).strip() for n in range(len(names)))
        height, width = (int(side) for side in re.findall(r"\d+", metadata.get("imgsz", "")))
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError):
        return None, labels
    # ultralytics/data/augment.py: classify_transforms: the shorter side to the size, the centre,
    # bilinear, a mean of 0 and a spread of 1 for values from 0 to 1.
    about = "its metadata, which Ultralytics wrote"
    return Preprocessing(about, SCALINGS["unit"], (height, width), "crop", 1.0, "bilinear"), labels
