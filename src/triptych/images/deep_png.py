"""PNGs of 16 bits a sample, scaled to 8 by what their samples use.

Pillow keeps all 16 bits of grey samples, and of colours only the higher eight. Where those show a
picture too dark to need all 16, or where one colour is transparent, the lower eight are read in a
second pass.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from PIL import PngImagePlugin

from triptych.images import depth
from triptych.typing import Array

# For each of Pillow's unpackers: one that takes the lower bytes, the mode it wants, and where in
# that the lower bytes are. Of grey and alpha it takes all four bytes.
_LOWER: dict[str, tuple[str, str, list[int]]] = {
    "RGB;16B": ("RGB;16L", "RGB", [0, 1, 2]),
    "RGBA;16B": ("RGBA;16L", "RGBA", [0, 1, 2, 3]),
    "LA;16B": ("RGBA", "RGBA", [1, 1, 1, 3]),
}
# Higher bytes below this leave at least two bits unused.
_DARK = 64
_BAND_PIXELS = 2**17


class DeepPng(PngImagePlugin.PngImageFile):
    """Pillow's reader for a PNG of 16 bits a sample.

    Args:
        data: The file, without metadata.
        significant: How many bits the file states to be significant, if it does.
    """

    def __init__(self, data: bytes, significant: int | None) -> None:
        super().__init__(io.BytesIO(data))
        self._data = data
        self._significant = significant
        key = self.info.get("transparency")
        self._key = None if key is None else np.atleast_1d(np.array(key, np.uint16))

    def load(self) -> Any:
        """Unpack the pixels, and scale them."""
        tiles = self.tile
        super().load()
        if tiles:
            self._scale(tiles[0])
        return Image.Image.load(self)

    def _scale(self, tile: Any) -> None:
        lower: Image.Image | None = None
        self._low_channels: list[int] = []
        if tile.args in _LOWER:
            extrema = np.reshape(self.getextrema(), (-1, 2))[: self._colours]
            if extrema[:, 1].max() >= _DARK and self._key is None:
                return
            unpacker, mode, self._low_channels = _LOWER[tile.args]
            second = PngImagePlugin.PngImageFile(io.BytesIO(self._data))
            second._mode = mode
            second.tile = [tile._replace(args=unpacker)]
            second.load()
            lower = second
        count = self._colours
        extent = depth.measure(samples[..., :count] for _, samples in self._bands(lower))
        span = depth.span(extent, np.uint16, significant=self._significant)
        # Alpha that goes beyond white has a scale of its own.
        alphas = depth.measure(samples[..., count:] for _, samples in self._bands(lower))
        alpha_span = depth.Span(0, 65535) if alphas.high > span.high else span
        mode = "L" if lower is None else self.mode
        picture = Image.new(mode, self.size)
        for top, samples in self._bands(lower):
            colours, alpha = samples[..., :count], samples[..., count:]
            parts = [depth.scale(colours, span), depth.scale(alpha, alpha_span)]
            band = np.concatenate(parts, axis=2)
            if self._key is not None:
                band[(samples == self._key).all(axis=2)] = 255  # clear pixels become white
            picture.paste(Image.fromarray(band.squeeze(2) if mode == "L" else band), (0, top))
        self.im = picture.im
        self._mode = mode
        self.info.pop("transparency", None)
        self.info["depth_guess"] = span.guess

    @property
    def _colours(self) -> int:
        return 3 if self.mode.startswith("RGB") else 1

    def _bands(self, lower: Image.Image | None) -> Iterator[tuple[int, Array]]:
        """All 16 bits of some rows at a time, shape (rows, width, samples)."""
        rows = max(1, _BAND_PIXELS // self.width)
        for top in range(0, self.height, rows):
            box = (0, top, self.width, min(self.height, top + rows))
            samples = np.atleast_3d(np.asarray(self.crop(box)))
            if lower is not None:
                low = np.asarray(lower.crop(box))[..., self._low_channels]
                samples = samples.astype(np.uint16) << 8 | low
            yield top, samples
