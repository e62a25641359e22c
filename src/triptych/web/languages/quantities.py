"""Numbers, shares, sizes, durations and dates as a language writes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from datetime import datetime

from babel import Locale
from babel import dates
from babel import numbers
from babel import units

from triptych.utils import formatting

# Decimals of a format such as ``,`` or ``.1f``; others are written as they are.
SPEC = re.compile(r"(?P<sign>\+?),?(?:\.(?P<digits>\d)f)?")
# As many decimals as there are.
ALL_DIGITS = "#,##0.######"


def _pattern(digits: int | None) -> str:
    if digits is None:
        return ALL_DIGITS
    return f"#,##0.{'0' * digits}" if digits else "#,##0"


def number(locale: Locale, value: float, spec: str) -> str:
    """A number in the format that a sentence gives it.

    Args:
        locale: Of the language.
        value: The number.
        spec: As in `format`: ``,``, ``.1f`` or ``+.1f``.

    Example:
        >>> number(Locale("de"), 2000, ","), number(Locale("de"), 1.25, "+.1f")
        ('2.000', '+1,2')
    """
    match = SPEC.fullmatch(spec)
    if not match:
        return format(value, spec)
    pattern = _pattern(int(match["digits"] or 0))
    text: str = numbers.format_decimal(value, format=pattern, locale=locale)
    return f"+{text}" if match["sign"] and value >= 0 else text


def _decimal(locale: Locale, value: float, digits: int | None) -> str:
    return str(numbers.format_decimal(value, format=_pattern(digits), locale=locale))


def _percent(locale: Locale, share: float, digits: int | None) -> str:
    pattern = locale.percent_formats[None].pattern.replace("#,##0", _pattern(digits))
    return str(numbers.format_percent(share, format=pattern, locale=locale))


def _size(locale: Locale, num_bytes: int) -> str:
    if num_bytes >= formatting.GB:
        return _unit(locale, num_bytes / formatting.GB, "digital-gigabyte", "#,##0.0")
    if num_bytes >= formatting.MB:
        return _unit(locale, num_bytes / formatting.MB, "digital-megabyte", "#,##0")
    return _unit(locale, num_bytes / formatting.KB, "digital-kilobyte", "#,##0")


def _duration(locale: Locale, spent_ms: float) -> str:
    if spent_ms < 1000:
        return _unit(locale, spent_ms, "duration-millisecond", "#,##0")
    return _unit(locale, spent_ms / 1000, "duration-second", "#,##0.0")


def _unit(locale: Locale, value: float, unit: str, pattern: str) -> str:
    return str(units.format_unit(value, unit, "short", format=pattern, locale=locale))


def _moment(locale: Locale, at_s: float) -> str:
    at = datetime.fromtimestamp(at_s)
    day = dates.format_date(at, "medium", locale=locale)
    return f"{day} {dates.format_time(at, 'short', locale=locale)}"


def _day(locale: Locale, at: str) -> str:
    try:
        return str(dates.format_date(date.fromisoformat(at), "medium", locale=locale))
    except ValueError:  # from a bundle of somebody else
        return at


# By the kind of a `Quantity`.
WRITERS: dict[str, Callable[..., str]] = {
    "decimal": _decimal,
    "change": lambda locale, value: number(locale, value, "+.1f"),
    "percent": _percent,
    "size": _size,
    "duration": _duration,
    "moment": _moment,
    "day": _day,
}
