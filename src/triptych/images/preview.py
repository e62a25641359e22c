"""Photos as every browser shows them: small copies, and photos as they came where that will do."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from triptych import images
from triptych.images import formats
from triptych.images import signatures

QUALITY = 82
LONGEST_PX = 960
FULL_PX = 4096


def jpeg(
    source: Any, *, longest_px: int = LONGEST_PX, limits: images.Limits = images.DEFAULT_LIMITS
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


def displayable(data: bytes, *, limits: images.Limits = images.DEFAULT_LIMITS) -> tuple[bytes, str]:
    """A photo as it came, or as a JPEG where browsers do not show its format.

    Args:
        data: The bytes of a photo's file.
        limits: Bytes and pixels allowed.

    Returns:
        The bytes of a file, and its MIME type, which is always one of an image.

    Raises:
        errors.ImageError: It has to be read and cannot be.

    Example:
        >>> displayable(b"GIF89a...")
        (b'GIF89a...', 'image/gif')
    """
    row = formats.BY_NAME.get(signatures.identify(data).name)
    if row and row.in_browsers:
        return data, row.mime_type
    return jpeg(data, longest_px=FULL_PX, limits=limits), "image/jpeg"
