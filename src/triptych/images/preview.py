"""A small copy of a photo, for pages that show what was sent without keeping it."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from triptych import images

QUALITY = 82


def jpeg(
    source: Any, *, longest_px: int = 960, limits: images.Limits = images.DEFAULT_LIMITS
) -> bytes:
    """The picture that the networks were shown, small, upright and readable by every browser.

    Args:
        source: An image, as `triptych.images.load` takes it.
        longest_px: Its longer side is at most this long; it is never enlarged.
        limits: Bytes and pixels allowed.

    Returns:
        The bytes of a JPEG file without metadata.

    Raises:
        errors.ImageError: The image cannot be read.

    Example:
        >>> import numpy as np
        >>> jpeg(np.zeros((8, 8, 3), np.uint8))[:2] == bytes([0xFF, 0xD8])
        True
    """
    picture = Image.fromarray(images.load(source, limits=limits, enough=longest_px))
    picture.thumbnail((longest_px, longest_px))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
