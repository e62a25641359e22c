"""What of a network becomes a backbone: found out from its shapes where they tell, else asked for.

Shapes in, decisions out; nothing here opens a file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

from triptych import errors
from triptych.models.zoo import added

Dims = Sequence["int | None"]

LAYOUTS = ("nchw", "nhwc")
TOKENS = ("class", "mean", "patches", "class+patches")
# Class and register tokens, of which networks have up to 5 today.
MAX_PREFIX = 16
# The classes of ImageNet, with or without a background, and those of its larger sets.
IMAGENET = (1000, 1001, 11221, 11821, 21841, 21843)


@dataclass(frozen=True)
class Reduction:
    """How an output becomes one vector for each photo.

    Args:
        kind: As in `triptych.engines.conversion.backbone_graph.BackboneJob`.
        prefix: How many tokens come before those of the patches.
        words: The same for people.
    """

    kind: str
    prefix: int
    words: str


def layout(shape: Dims | None, given: str | None) -> str | None:
    """Where the colours of an input are.

    Args:
        shape: Of the input, with the batch; ``None`` in it for what may be any.
        given: What the person says.

    Returns:
        ``"nchw"``, ``"nhwc"``, or ``None`` where the shape does not tell.

    Raises:
        errors.SettingError: It takes no colour photos, or has them elsewhere than said.

    Example:
        >>> layout([1, 3, 224, 224], None), layout([None, None, None, 3], None)
        ('nchw', 'nhwc')
    """
    if shape is None:
        return given
    possible = [
        name
        for name, axis in (("nchw", 1), ("nhwc", 3))
        if len(shape) == 4 and shape[axis] in (None, 3)
    ]
    # A side of 3 pixels is no photo.
    certain = [name for name in possible if shape[1 if name == "nchw" else 3] == 3]
    if not possible or (given and given not in possible):
        said = f"{given.upper()} as --layout says" if given else "NCHW or NHWC, with three colours"
        raise errors.SettingError(
            f"The network takes {describe(shape)}; expected one batch of photos, {said}."
        )
    if given:
        return given
    return certain[0] if len(certain) == 1 else None


def sides(shape: Dims | None, layout: str) -> tuple[int, int] | None:
    """Height and width of the photos that a network takes; ``None`` for any.

    Example:
        >>> sides([1, 3, 224, 192], "nchw")
        (224, 192)
    """
    if shape is None:
        return None
    height, width = shape[2:] if layout == "nchw" else shape[1:3]
    return (height, width) if height and width else None


def output(shapes: Mapping[str, Sequence[int]], given: str | None, *, penultimate: str) -> str:
    """The output that is taken.

    Args:
        shapes: Of all outputs, by name, without the batch.
        given: What the person says.
        penultimate: The name in ``shapes`` that is no output: what the last layer takes.

    Raises:
        errors.SettingError: There are several, and none was named; or it has another name.

    Example:
        >>> output({"logits": [1000], "penultimate": [512]}, None, penultimate="penultimate")
        'logits'
    """
    names = [name for name in shapes if name != penultimate]
    if given in shapes:
        return str(given)
    listed = ", ".join(f"{name[:60]} ({describe(shapes[name])})" for name in shapes)
    if given or len(names) != 1:
        said = f"no output {given!r}" if given else f"{len(names)} outputs"
        raise errors.SettingError(f"The network has {said}; name one with --output: {listed}.")
    return names[0]


def reduction(
    shape: Sequence[int],
    *,
    size: tuple[int, int],
    grid: Sequence[int] | None,
    tokens: str | None,
) -> Reduction:
    """How an output becomes a vector.

    Args:
        shape: Of the output, without the batch: (F,), (T, D), (C, H, W) or (H, W, C).
        size: Height and width of the photos in pixels.
        grid: Rows and columns of patches that the first convolution makes.
        tokens: One of `TOKENS`, said by the person or by the network's own files.

    Raises:
        errors.SettingError: It cannot be known, or there is no such output of a backbone.

    Example:
        >>> reduction([512, 7, 7], size=(224, 224), grid=None, tokens=None).kind
        'map nchw'
        >>> reduction([196, 384], size=(224, 224), grid=(14, 14), tokens=None).words
        'mean of 196 tokens'
    """
    longer = [side for side in shape if side != 1]
    if len(longer) <= 1:
        length = longer[0] if longer else 1
        _check_length(length)
        return Reduction("vector", 0, f"vector of {length}")
    if len(shape) == 3:
        return _of_map(shape, size)
    if len(shape) != 2:
        raise errors.SettingError(
            f"The output has {describe(shape)} for each photo; expected a vector, tokens (T, D) or "
            "a map of features. Name another with --output."
        )
    count, length = shape
    _check_length(length)
    patches = math.prod(grid) if grid else 0
    prefix = count - patches if 0 <= count - patches <= MAX_PREFIX else None
    if prefix is None and patches and _is_coarser(count, patches):
        prefix = 0  # of networks that join patches, layer after layer
    if prefix == 0 and tokens in (None, "mean", "patches"):
        return Reduction("mean", 0, f"mean of {count} tokens")
    choices = TOKENS if prefix else ("class", "mean")
    if tokens is None or tokens not in choices or (prefix == 0 and "class" in tokens):
        has = f", {prefix} of them before those of the patches" if prefix else ""
        none = "no class token is among them" if prefix == 0 else f"expected {', '.join(choices)}"
        raise errors.SettingError(
            f"The network gives {count} tokens of {length} numbers for each photo{has}, and which "
            f"of them to take "
            + (
                f"cannot be known. Say it with --tokens {'|'.join(choices)}."
                if tokens is None
                else f"was said to be {tokens!r}; {none}."
            )
        )
    return Reduction(tokens, prefix or 0, _WORDS[tokens].format(count=count, prefix=prefix))


_WORDS = {
    "class": "class token, the first of {count}",
    "mean": "mean of {count} tokens",
    "patches": "mean of the tokens after the first {prefix} of {count}",
    "class+patches": "class token, and mean of the tokens after the first {prefix} of {count}",
}


def _of_map(shape: Sequence[int], size: tuple[int, int]) -> Reduction:
    """The mean of a map, whose rows and columns have the proportions of the photo."""
    fits = [
        (kind, channels)
        for kind, (rows, columns), channels in (
            ("map nchw", (shape[1], shape[2]), shape[0]),
            ("map nhwc", (shape[0], shape[1]), shape[2]),
        )
        if rows <= size[0] and columns <= size[1] and abs(rows * size[1] / size[0] - columns) < 1
    ]
    if len(fits) != 1:
        raise errors.SettingError(
            f"The output has {describe(shape)} for each photo, and which of these are rows and "
            "columns cannot be known. Export the network with a global pooling at its end."
        )
    kind, channels = fits[0]
    _check_length(channels)
    where = shape[1:] if kind == "map nchw" else shape[:2]
    return Reduction(kind, 0, f"mean of a map of {where[0]} x {where[1]}")


def _is_coarser(count: int, patches: int) -> bool:
    """Whether so many tokens are patches that were joined, 4 to 1, some times."""
    while patches > count and patches % 4 == 0:
        patches //= 4
    return patches == count


def _check_length(length: int) -> None:
    if not 2 <= length <= added.MAX_FEATURES:
        raise errors.SettingError(
            f"The output has {length:,} numbers for each photo; expected features, 2 to "
            f"{added.MAX_FEATURES:,}. Name another with --output."
        )


def describe(shape: Dims) -> str:
    """A shape for people.

    Example:
        >>> describe([None, 3, 224, 224])
        'any x 3 x 224 x 224'
    """
    return " x ".join("any" if side is None else str(side) for side in shape) or "one number"
