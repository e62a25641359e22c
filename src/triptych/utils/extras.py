"""Packages that come with an extra of triptych, and so may not be installed."""

from __future__ import annotations

import importlib.util

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
