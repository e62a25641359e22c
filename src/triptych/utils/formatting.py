"""Numbers in words for people: on pages, in reports and on the command line.

A probability stays a float in [0, 1] everywhere else.
"""

from __future__ import annotations

import math
import unicodedata
from datetime import datetime
from fractions import Fraction

from triptych.utils.text import Quantity
from triptych.utils.text import Text
from triptych.utils.text import ntext
from triptych.utils.text import text

KB = 1024
MB = 1024 * KB
GB = 1024 * MB
# Control characters, marks that are not seen, halves of a letter, and ends of lines.
_NOT_SHOWN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Persian, Hindi and emoji are written with them.
JOINERS = "\u200c\u200d"

# From so many photos on, the share of right answers is the headline; with fewer it is the interval
# in which the accuracy lies. Below 100 a single photo moves the share by more than a point, and
# the interval is wider than ten points at the usual 90 to 95 %.
SHARE_FROM = 100


def percent(share: float, digits: int | None = 1) -> str:
    """A share or a probability, in per cent.

    Args:
        share: In [0, 1].
        digits: Decimals to show; ``None`` shows those that there are.

    Example:
        >>> percent(0.8341), percent(0.72, 0), percent(0.975, None)
        ('83.4 %', '72 %', '97.5 %')
    """
    english = f"{100 * share:g} %" if digits is None else f"{100 * share:.{digits}f} %"
    return Quantity(english, "percent", share, digits)


def decimal(value: float, digits: int) -> str:
    """A number with decimals.

    Args:
        value: The number.
        digits: How many decimals to show.

    Example:
        >>> decimal(83.41, 1)
        '83.4'
    """
    return Quantity(f"{value:.{digits}f}", "decimal", value, digits)


def change(value: float) -> str:
    """A difference with its sign.

    Args:
        value: The number.

    Example:
        >>> change(1.25), change(-3)
        ('+1.2', '-3.0')
    """
    return Quantity(f"{value:+.1f}", "change", value)


def outwards(low: float, high: float, digits: int = 1) -> tuple[float, float]:
    """The ends of an interval in per cent or in points, rounded so that it never gets narrower.

    All that shows an interval rounds it here: rounded in two ways, one page would contradict
    another. Ends count as stored, with four decimals.

    Args:
        low: Its lower end, as a share.
        high: Its upper end, as a share.
        digits: Decimals to show.

    Example:
        >>> outwards(0.565, 0.9755), outwards(0.565, 0.9755, 0)
        ((56.5, 97.6), (56.0, 98.0))
    """
    scale = 10**digits
    # Products of floats may be off in the last place: 0.57 * 100 is below 57.
    first, last = (round(100 * scale * round(end, 4), 2) for end in (low, high))
    return math.floor(first) / scale, math.ceil(last) / scale


def percent_range(low: float, high: float, digits: int = 1) -> str:
    """An interval of shares, in per cent, rounded outwards.

    Args:
        low: Its lower end, in [0, 1].
        high: Its upper end, in [0, 1].
        digits: Decimals to show.

    Example:
        >>> percent_range(0.8341, 1.0), percent_range(0.565, 0.975, 0)
        ('83.4 to 100.0 %', '56 to 98 %')
    """
    first, last = outwards(low, high, digits)
    return text("{low} to {high}", low=decimal(first, digits), high=percent(last / 100, digits))


def share_of(share: float, photos: int) -> str:
    """The share of some photos, in a table that has the interval beside it.

    Args:
        share: In [0, 1].
        photos: How many there are; few are counted instead, as no per cent of them is exact.

    Example:
        >>> share_of(0.9, 10), share_of(0.834, 500)
        ('9 of 10', '83.4 %')
    """
    if photos >= SHARE_FROM:
        return percent(share)
    return text("{count} of {total}", count=round(share * photos), total=photos)


def accuracy(share: float, interval: tuple[float, float], photos: int) -> str:
    """How often answers are right; the interval first where there are few photos.

    Args:
        share: Of right answers, in [0, 1].
        interval: The two ends of its 95 % interval.
        photos: How many were answered.

    Example:
        >>> accuracy(0.9, (0.596, 0.982), 10)
        '59 to 99 % (9 of 10 photos)'
        >>> accuracy(0.834, (0.799, 0.864), 500)
        '83.4 % (79.9 to 86.4 %, 500 photos)'
    """
    if photos < SHARE_FROM:
        return text(
            "{interval} ({right} of {photos})",
            interval=percent_range(*interval, 0),
            right=round(share * photos),
            photos=counted(photos, "photo"),
        )
    return text(
        "{share} ({interval}, {photos})",
        share=percent(share),
        interval=percent_range(*interval),
        photos=counted(photos, "photo"),
    )


def odds(share: float) -> str:
    """How often something happens.

    Args:
        share: In [0, 1].

    Example:
        >>> odds(0.9), odds(0.95)
        ('9 times in 10', '19 times in 20')
    """
    few = Fraction(round(1000 * share), 1000)
    return text("{times} times in {all}", times=few.numerator, all=few.denominator)


def plain_text(name: str) -> str:
    """A name from elsewhere as it is safe to show: a terminal obeys nothing in it.

    A letter written in two ways becomes the same one; what cannot be shown, such as ESC, marks
    that turn the direction of writing and bytes that are no text, is escaped as in URLs. Two
    names that differ in more than that stay different.

    Example:
        >>> plain_text("a\\x1b[2Jb"), plain_text("u\\u0308") == "\\u00fc", plain_text("a\\nb")
        ('a%1B[2Jb', True, 'a%0Ab')
    """
    if name.isascii() and name.isprintable():  # nearly all, and tables have a million
        return str(name)
    letters = unicodedata.normalize("NFC", name)
    return "".join(
        _escaped(letter)
        if unicodedata.category(letter) in _NOT_SHOWN and letter not in JOINERS
        else letter
        for letter in letters
    )


def _escaped(letter: str) -> str:
    # Python holds a byte of a file's name that is no text as one of these.
    is_byte = "\udc80" <= letter <= "\udcff"
    encoded = letter.encode("utf-8", "surrogateescape" if is_byte else "surrogatepass")
    return "".join(f"%{byte:02X}" for byte in encoded)


def size(num_bytes: int) -> str:
    """A number of bytes.

    Example:
        >>> size(32 * 1024 * 1024), size(2048), size(5 * 1024**3)
        ('32 MB', '2 kB', '5.0 GB')
    """
    if num_bytes >= GB:
        english = f"{num_bytes / GB:.1f} GB"
    else:
        english = f"{num_bytes / MB:.0f} MB" if num_bytes >= MB else f"{num_bytes / KB:.0f} kB"
    return Quantity(english, "size", num_bytes)


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number of things, in the singular or the plural.

    Args:
        count: How many.
        one: The singular.
        many: The plural, where it is not the singular with an s.

    Example:
        >>> counted(1, "photo"), counted(2000, "photo"), counted(2, "class", "classes")
        ('1 photo', '2,000 photos', '2 classes')
    """
    # Extracted for translators by tools/translations.py, from each call.
    return Text(f"{{n:,}} {one}", f"{{n:,}} {many or one + 's'}", {"n": count})


def duration(spent_ms: float) -> str:
    """A time, in milliseconds or from one second on in seconds.

    Example:
        >>> duration(17.4), duration(1401.0)
        ('17 ms', '1.4 s')
    """
    english = f"{spent_ms:.0f} ms" if spent_ms < 1000 else f"{spent_ms / 1000:.1f} s"
    return Quantity(english, "duration", spent_ms)


def about(seconds: float) -> str:
    """A rough time that is still to come.

    Example:
        >>> about(0.2), about(12.4), about(100)
        ('1 second', '13 seconds', '2 minutes')
    """
    if seconds < 90:
        return counted(max(1, math.ceil(seconds)), "second")
    return ntext("{n} minute", "{n} minutes", round(seconds / 60))


def moment(at_s: float) -> str:
    """A date and a time of day by the clock of this machine.

    Args:
        at_s: In seconds since 1970.

    Example:
        >>> len(moment(0.0))
        16
    """
    return Quantity(datetime.fromtimestamp(at_s).strftime("%Y-%m-%d %H:%M"), "moment", at_s)


def day(at: str) -> str:
    """A date.

    Args:
        at: In ISO 8601, with or without a time.

    Example:
        >>> day("2026-11-30T07:30:00+00:00")
        '2026-11-30'
    """
    return Quantity(at[:10], "day", at[:10])


def _unbroken(words: str) -> str:
    """With a no-break space, as lines of a page break anywhere else."""
    english = words.replace(" ", "\u00a0")
    if isinstance(words, Quantity):
        return Quantity(english, words.kind, *words.values)
    if isinstance(words, Text):
        return Text(words.singular.replace(" ", "\u00a0"), None, words.values)
    return english


def _percent_range(ends: tuple[float, float], digits: int = 1) -> str:
    """For pages, whose lines may break around the "to" alone."""
    first, last = outwards(*ends, digits)
    high = _unbroken(percent(last / 100, digits))
    return text("{low} to {high}", low=decimal(first, digits), high=high)


# For templates.
FILTERS = {
    "outwards": lambda ends: outwards(*ends),
    "percent": lambda share, digits=1: _unbroken(percent(share, digits)),
    "percent_range": _percent_range,
    "share_of": lambda share, photos: _unbroken(share_of(share, photos)),
    "odds": odds,
    "size": size,
    "counted": counted,
    "duration": duration,
    "about": about,
    "moment": moment,
    "day": day,
    # For `datetime=""`, the same in all languages.
    "timestamp": lambda at_s: str(moment(at_s)),
    "decimal": decimal,
    "change": change,
}
