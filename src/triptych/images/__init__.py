"""From the bytes of a photo to an RGB array, or to an error that says what is wrong.

    formats     the one table of formats that are read: to add a format, add a row
    decoding    read, check and unpack an image: `load`, `picture`, `decode`
    signatures  what a file is, by its first bytes
    containers  what can be read off a file without unpacking it
    orientation which way up a photo is
    tiff/       TIFF, whose pixels are understood here
    deep_png    PNG of 16 bits
    depth       from deep samples to 8 bits
    pixels      from a Pillow image of any mode to an RGB array
    limits      how large an image may be
    preview     a small copy of a photo
    quality     whether a photo is blank, nearly black or white, or blurred
    heat        a heat map laid over a photo

Everything that reaches a network passes through here: web page, API, command line and training
folders, so the same bytes give the same pixels everywhere. Pillow is imported when the first image
is read: the settings take their defaults from `limits`, and ``triptych --help`` reads the settings.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING
from typing import Any

from triptych.images.limits import CHECKED_BEFORE
from triptych.images.limits import DEFAULT_LIMITS
from triptych.images.limits import MB
from triptych.images.limits import SCANNED_PX
from triptych.images.limits import Limits
from triptych.images.limits import check_bytes

if TYPE_CHECKING:
    from triptych.images.decoding import Source
    from triptych.images.decoding import decode
    from triptych.images.decoding import load
    from triptych.images.decoding import picture
    from triptych.images.decoding import read
    from triptych.images.decoding import size

__all__ = [
    "CHECKED_BEFORE",
    "DEFAULT_LIMITS",
    "MB",
    "SCANNED_PX",
    "Limits",
    "Source",
    "check_bytes",
    "decode",
    "load",
    "picture",
    "read",
    "size",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module("triptych.images.decoding"), name)
    globals()[name] = value
    return value
