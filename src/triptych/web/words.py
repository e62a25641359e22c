"""Numbers as people read them: filters of the templates, and the only place where a probability
becomes a percentage."""

from __future__ import annotations

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


def size(num_bytes: int) -> str:
    """A number of bytes in words for people.

    Example:
        >>> size(32 * 1024 * 1024), size(2048)
        ('32 MB', '2 kB')
    """
    return f"{num_bytes / MB:.0f} MB" if num_bytes >= MB else f"{num_bytes / KB:.0f} kB"


def duration(spent_ms: float) -> str:
    """A time in words for people.

    Example:
        >>> duration(17.4)
        '17 ms'
    """
    return f"{spent_ms:.0f} ms"


def register(app: flask.Flask) -> None:
    """Give these filters to the templates of an application."""
    for filter in (percent, size, duration):
        app.add_template_filter(filter)
