"""Pillow's antialiased resize as operations of a graph: crop, reduction, passes, 8-bit rounding.

Resize operations of the runtimes take no window with fractions of pixels, and do not reduce large
photos by whole blocks first, as `triptych.preprocessing.recipe.cut` does. So the weights of both
passes are computed in the graph, for photos of any size, and each pass is a product of matrices.

Source: Pillow, src/libImaging/Resample.c and Reduce.c, and ``Image.resize``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from triptych.exports.nodes import either
from triptych.exports.nodes import integer
from triptych.exports.nodes import integers
from triptych.exports.nodes import number
from triptych.preprocessing.recipe import REDUCING_GAP
from triptych.preprocessing.recipe import Recipe
from triptych.preprocessing.recipe import find_scaling

Node = Any

# Half the width of each filter, in pixels of the result, as in Pillow.
SUPPORT = {"nearest": 0.0, "bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}
# From version 13 on, Pillow resizes the columns first where there is much more to them.
COLUMNS_FIRST = int(metadata.version("pillow").split(".")[0]) >= 13
# At float32, what Pillow computes as a whole number may come out a hair lower or higher.
HAIR = 2.0**-8


def planes(image: Node) -> tuple[Node, Node, Node]:
    """A photo as the resize of every member takes it.

    Args:
        image: uint8, shape (H, W, 3).

    Returns:
        Its channels, uint8, shape (3, H, W), and its height and width as float32 scalars.
    """
    from openvino import opset13 as op

    shape = op.convert(op.shape_of(image), "f32")
    height, width = (op.gather(shape, integer(axis), integer(0)) for axis in (0, 1))
    return op.transpose(image, integers(2, 0, 1)), height, width


def resize(recipe: Recipe, photo: tuple[Node, Node, Node]) -> Node:
    """Crop and resize, as `triptych.preprocessing.recipe.resize` does.

    Args:
        recipe: The recipe.
        photo: As `planes` gives it.

    Returns:
        float32 in whole numbers from 0 to 255, shape (3, *recipe.size).
    """
    from openvino import opset13 as op

    # In a graph of its own: where OpenVINO computes at bf16, it rounds all that leads to a
    # convolution in the same graph, and the positions of pixels would be off by some.
    return either(
        op.greater(photo[1], number(0)),
        photo,
        lambda *photo: _resized(recipe, *photo),
        lambda *photo: op.broadcast(number(0), integers(3, *recipe.size)),
    )


def _resized(recipe: Recipe, pixels: Node, height: Node, width: Node) -> Node:
    from openvino import opset13 as op

    sides = [height, width]
    windows = _windows(recipe, height, width)
    axes = [
        _Axis.of(recipe, axis, side, *window)
        for axis, (side, window) in enumerate(zip(sides, windows, strict=True))
    ]
    if recipe.interpolation == "nearest":
        pixels = op.convert(pixels, "f32")
    else:
        is_reduced = op.greater(op.maximum(axes[0].factor, axes[1].factor), number(1))
        axes = [axis.cropped(recipe, is_reduced) for axis in axes]
        starts, ends = (
            op.concat([op.unsqueeze(_whole(each), integers(0)) for each in edges], 0)
            for edges in ([axis.start for axis in axes], [axis.end for axis in axes])
        )
        pixels = op.slice(pixels, starts, ends, integers(1, 1), integers(1, 2))
        blocks = [axis.counts() for axis in axes]
        pixels = either(
            is_reduced,
            [pixels, *blocks, *(axis.factor for axis in axes)],
            _reduce,
            lambda pixels, *others: op.convert(pixels, "f32"),
        )
        axes = [axis.reduced(each) for axis, each in zip(axes, blocks, strict=True)]
        sides = [
            op.select(is_reduced, axis.side, side) for axis, side in zip(axes, sides, strict=True)
        ]
    rows, columns = (axis.weights(recipe.interpolation) for axis in axes)
    excess = [
        op.subtract(side, number(size)) for side, size in zip(sides, recipe.size, strict=True)
    ]
    if not COLUMNS_FIRST:
        return _rows_first(pixels, rows, columns)
    is_tall = op.greater(excess[0], op.maximum(op.multiply(excess[1], number(2)), number(0)))
    return either(is_tall, [pixels, rows, columns], _columns_first, _rows_first)


def _rows_first(pixels: Node, rows: Node, columns: Node) -> Node:
    from openvino import opset13 as op

    across = _round(op.matmul(pixels, columns, False, True))  # (3, h, width)
    return _round(op.matmul(rows, across, False, False))  # (3, height, width)


def _columns_first(pixels: Node, rows: Node, columns: Node) -> Node:
    from openvino import opset13 as op

    down = _round(op.matmul(rows, pixels, False, False))  # (3, height, w)
    return _round(op.matmul(down, columns, False, True))


def scale(recipe: Recipe, pixels: Node) -> Node:
    """Scale pixel values as the weights expect, as `triptych.preprocessing.recipe.scale` does.

    Args:
        recipe: The recipe.
        pixels: As `resize` gives them.

    Returns:
        Input of the network, float32, shape (1, *recipe.size, 3).
    """
    from openvino import opset13 as op

    rule = find_scaling(recipe.scaling)
    if rule.order == "bgr":
        pixels = op.gather(pixels, integers(2, 1, 0), integer(0))
    if any(rule.mean):
        pixels = op.subtract(pixels, _by_channel(rule.mean))
    if rule.std != (1.0, 1.0, 1.0):
        pixels = op.divide(pixels, _by_channel(rule.std))
    return op.unsqueeze(op.transpose(pixels, integers(1, 2, 0)), integers(0))


@dataclass(frozen=True)
class _Axis:
    """One side of a resize; what depends on the photo is a scalar of the graph, float32.

    Args:
        size: Of the result, in pixels.
        side: Of the photo, in pixels.
        low: Where the window begins, in pixels of the photo.
        high: Where it ends.
        factor: How many pixels are averaged to one before the resize.
        start: First pixel that is needed.
        end: The one after the last.
    """

    size: int
    side: Node
    low: Node
    high: Node
    factor: Node
    start: Node | None = None
    end: Node | None = None

    @classmethod
    def of(cls, recipe: Recipe, axis: int, side: Node, low: Node, high: Node, ratio: Node) -> _Axis:
        from openvino import opset13 as op

        factor = op.maximum(op.floor(op.add(ratio, number(1e-5))), number(1))
        return cls(recipe.size[axis], side, low, high, factor)

    def cropped(self, recipe: Recipe, is_reduced: Node) -> _Axis:
        """With the pixels that are needed: where Pillow reduces, those that it does."""
        from openvino import opset13 as op

        support, scale = SUPPORT[recipe.interpolation], self._scale()
        margin = op.select(
            is_reduced,
            op.multiply(scale, number(support - 0.5)),
            op.add(op.multiply(op.maximum(scale, number(1)), number(support)), number(1)),
        )
        first, last = op.subtract(self.low, margin), op.add(self.high, margin)
        start = op.maximum(op.floor(op.add(first, number(HAIR))), number(0))
        end = op.minimum(op.ceiling(op.subtract(last, number(HAIR))), self.side)
        return _Axis(self.size, self.side, self.low, self.high, self.factor, start, end)

    def reduced(self, blocks: Node) -> _Axis:
        """What is left after the reduction to these blocks."""
        from openvino import opset13 as op

        low, high = (
            op.divide(op.subtract(edge, self.start), self.factor) for edge in (self.low, self.high)
        )
        side = op.convert(op.gather(op.shape_of(blocks), integer(0), integer(0)), "f32")
        return _Axis(self.size, side, low, high, self.factor)

    def counts(self) -> Node:
        """How many pixels each block has, shape (blocks,): at the end there may be fewer."""
        from openvino import opset13 as op

        pixels, factor = _whole(op.subtract(self.end, self.start)), _whole(self.factor)
        rest = op.subtract(pixels, op.range(integer(0), pixels, factor, "i64"))
        return op.convert(op.minimum(rest, factor), "f32")

    def weights(self, interpolation: str) -> Node:
        """The share of each pixel in each of the result, shape (size, side), rows sum to 1."""
        from openvino import opset13 as op

        scale = self._scale()
        steps = op.constant(np.arange(self.size, dtype=np.float32)[:, None] + 0.5)
        centres = op.add(op.multiply(steps, scale), self.low)  # (size, 1)
        pixels = op.range(number(0), self.side, number(1), "f32")  # (side,)
        if interpolation == "nearest":
            return op.convert(op.equal(pixels, op.floor(centres)), "f32")
        gaps = op.subtract(op.add(pixels, number(0.5)), centres)
        distances = op.abs(op.divide(gaps, op.maximum(scale, number(1))))
        shares = FILTERS[interpolation](distances)
        return op.divide(shares, op.reduce_sum(shares, integers(1), True))

    def _scale(self) -> Node:
        from openvino import opset13 as op

        return op.divide(op.subtract(self.high, self.low), number(self.size))


def _windows(recipe: Recipe, height: Node, width: Node) -> list[tuple[Node, Node, Node]]:
    """By axis where the window begins and ends, and the factor of the reduction, not yet whole."""
    from openvino import opset13 as op

    rows, columns = recipe.size
    if recipe.fit == "square":
        return [
            (number(0), side, op.divide(side, number(size * REDUCING_GAP)))
            for side, size in ((height, rows), (width, columns))
        ]
    # Products before quotients: so the factor is exact where it is a whole number.
    kept = op.multiply(
        op.minimum(op.divide(height, number(rows)), op.divide(width, number(columns))),
        number(recipe.crop_share),
    )
    ratio = op.minimum(
        *(
            op.divide(op.multiply(side, number(recipe.crop_share)), number(size * REDUCING_GAP))
            for side, size in ((height, rows), (width, columns))
        )
    )
    windows = []
    for side, size in ((height, rows), (width, columns)):
        length = op.multiply(kept, number(size))
        low = op.maximum(op.multiply(op.subtract(side, length), number(0.5)), number(0))
        windows.append((low, op.minimum(op.add(low, length), side), ratio))
    return windows


def _reduce(pixels: Node, rows: Node, columns: Node, *factors: Node) -> Node:
    """Average blocks of pixels, rounded as Pillow rounds.

    Args:
        pixels: uint8, shape (3, h, w).
        rows: How many rows of pixels each row of blocks has, shape (H,).
        columns: Likewise, shape (W,).
        factors: How many rows and columns all have but the last.

    Returns:
        float32, shape (3, H, W).
    """
    from openvino import opset13 as op

    sizes = [op.unsqueeze(_whole(factor), integers(0)) for factor in factors]
    numbers = [op.shape_of(each) for each in (rows, columns)]
    full = op.multiply(op.concat(numbers, 0), op.concat(sizes, 0))
    missing = op.subtract(
        full, op.slice(op.shape_of(pixels), integers(1), integers(3), integers(1))
    )
    missing = op.concat([integers(0), missing], 0)
    padded = op.pad(pixels, integers(0, 0, 0), missing, "constant", op.constant(np.uint8(0)))
    shape = op.concat([integers(3), numbers[0], sizes[0], numbers[1], sizes[1]], 0)
    grouped = op.convert(op.reshape(padded, shape, False), "f32")
    sums = op.reduce_sum(grouped, integers(2, 4), False)
    counts = op.multiply(op.unsqueeze(rows, integers(1)), columns)
    sums = op.add(sums, op.floor(op.multiply(counts, number(0.5))))
    means = op.floor(op.divide(sums, counts))
    # Pillow multiplies by a rounded reciprocal in fixed point, which is a hair too small where the
    # count is no power of two: there, what divides without a rest comes out one lower.
    whole = number(2**24)
    is_short = op.not_equal(op.multiply(op.floor(op.divide(whole, counts)), counts), whole)
    is_exact = op.equal(op.multiply(means, counts), sums)
    lower = op.convert(op.logical_and(is_exact, is_short), "f32")
    return op.maximum(op.subtract(means, lower), number(0))


def _bilinear(distances: Node) -> Node:
    from openvino import opset13 as op

    return op.maximum(op.subtract(number(1), distances), number(0))


def _bicubic(distances: Node) -> Node:
    from openvino import opset13 as op

    a = -0.5
    near, x = op.minimum(distances, number(1)), op.clamp(distances, 1.0, 2.0)
    # Two cubics that are 0 outside of their ranges, but for the constant 1 of the inner one.
    inner = op.add(_polynomial(near, (a + 2, -(a + 3), 0.0)), number(1))
    return op.add(inner, op.add(_polynomial(x, (a, -5 * a, 8 * a)), number(-4 * a)))


def _polynomial(x: Node, coefficients: tuple[float, float, float]) -> Node:
    """ax³ + bx² + cx."""
    from openvino import opset13 as op

    a, b, c = map(number, coefficients)
    return op.multiply(op.add(op.multiply(op.add(op.multiply(x, a), b), x), c), x)


def _lanczos(distances: Node) -> Node:
    from openvino import opset13 as op

    def sinc(x: Node) -> Node:
        angle = op.maximum(op.multiply(x, number(math.pi)), number(1e-6))
        return op.divide(op.sin(angle), angle)

    shares = op.multiply(sinc(distances), sinc(op.multiply(distances, number(1 / 3))))
    return op.select(op.less(distances, number(3)), shares, number(0))


FILTERS = {"bilinear": _bilinear, "bicubic": _bicubic, "lanczos": _lanczos}


def _round(pixels: Node) -> Node:
    from openvino import opset13 as op

    return op.clamp(op.floor(op.add(pixels, number(0.5))), 0.0, 255.0)


def _whole(value: Node) -> Node:
    from openvino import opset13 as op

    return op.convert(value, "i64")


def _by_channel(values: tuple[float, ...]) -> Node:
    from openvino import opset13 as op

    return op.constant(np.array(values, np.float32)[:, None, None])
