"""Packages that come with an extra of triptych: they may not be installed, and some are large."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
from collections.abc import Iterator

from triptych import errors
from triptych.utils.text import text


def require(what: str, *packages: str, extra: str) -> None:
    """Refuse at once what cannot be done without certain packages.

    Args:
        what: What needs them, as the beginning of a sentence.
        packages: The names to import them by.
        extra: The extra of triptych that brings them.

    Raises:
        errors.SettingError: One is not installed; the message says how to install it.

    Example:
        >>> require("Counting", "math", extra="teach")
        >>> require("Counting", "math", "abacus", extra="teach")
        Traceback (most recent call last):
        triptych.errors.SettingError: Counting needs abacus. Install what is missing with: \
pip install "triptych[teach]"
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise errors.SettingError(
            text(
                "{what} needs {missing}. Install what is missing with: pip install "
                '"triptych[{extra}]"',
                what=what,
                missing=" and ".join(missing),
                extra=extra,
            )
        )


@contextlib.contextmanager
def large_import() -> Iterator[None]:
    """Import a large library in a block; for processes of our own, soon after their start.

    The cyclic garbage collector pauses meanwhile: what an import makes stays, and the collector
    would traverse it again and again, which is 1.9 of the 6.5 s of a core that Keras with
    TensorFlow takes. It does not traverse it later either.

    Example:
        >>> with large_import():
        ...     import json
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
