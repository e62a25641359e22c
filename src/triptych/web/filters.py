"""Numbers as people read them: filters of the templates, and the only place where a probability
becomes a percentage."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction

import flask

from triptych.settings import MB

KB = 1024


def percent(prob: float) -> str:
    """A probability in words for people.

    Example:
        >>> percent(0.8341)
        '83.4%'
    """
    return f"{prob:.1%}"


def odds(share: float) -> str:
    """How often something happens, in words for people.

    Example:
        >>> odds(0.9), odds(0.95)
        ('9 times in 10', '19 times in 20')
    """
    few = Fraction(round(1000 * share), 1000)
    return f"{few.numerator} times in {few.denominator}"


def size(num_bytes: int) -> str:
    """A number of bytes in words for people.

    Example:
        >>> size(32 * 1024 * 1024), size(2048)
        ('32 MB', '2 kB')
    """
    return f"{num_bytes / MB:.0f} MB" if num_bytes >= MB else f"{num_bytes / KB:.0f} kB"


def counted(count: int, one: str, many: str | None = None) -> str:
    """So many things in words for people.

    Args:
        count: How many.
        one: What one is called.
        many: What several are called, where an s does not do.

    Example:
        >>> counted(1, "photo"), counted(2000, "photo"), counted(2, "class", "classes")
        ('1 photo', '2,000 photos', '2 classes')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def duration(spent_ms: float) -> str:
    """A time in words for people.

    Example:
        >>> duration(17.4)
        '17 ms'
    """
    return f"{spent_ms:.0f} ms"


def moment(at_s: float) -> str:
    """A moment by the clock of this machine, in words for people.

    Args:
        at_s: In seconds since 1970.

    Example:
        >>> len(moment(0.0))
        16
    """
    return datetime.fromtimestamp(at_s).strftime("%Y-%m-%d %H:%M")


def register(app: flask.Flask) -> None:
    """Give these filters to the templates of an application."""
    for filter in (percent, odds, size, counted, duration, moment):
        app.add_template_filter(filter)
