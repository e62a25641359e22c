"""Durations as people write them: ``90s``, ``10m``, ``1h30m``."""

from __future__ import annotations

import re

_PARTS = re.compile(
    r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m(?:in)?)?(?:(?P<s>\d+(?:\.\d+)?)s)?",
    re.ASCII,
)
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}
# A year: nobody waits longer.
LONGEST_S = 366 * 24 * 3600.0


def parse(text: str) -> float:
    """Read a duration.

    Args:
        text: Hours, minutes and seconds, each left out where it is 0; spaces do not matter.

    Returns:
        Seconds, above 0.

    Raises:
        ValueError: It is none, or is 0; the message says what was expected.

    Example:
        >>> parse("90s"), parse("10m"), parse("1h30m"), parse("1.5 h")
        (90.0, 600.0, 5400.0, 5400.0)
    """
    match = _PARTS.fullmatch("".join(text.split()).lower())
    parts = {unit: part for unit, part in match.groupdict().items() if part} if match else {}
    if not parts:
        raise ValueError(f"{text[:40]!r} is no duration; expected such as 90s, 10m or 1h30m")
    seconds = sum(float(part) * _SECONDS[unit] for unit, part in parts.items())
    if not 0 < seconds <= LONGEST_S:
        raise ValueError(f"{text[:40]!r} is out of range; expected from 1s to a year")
    return seconds
