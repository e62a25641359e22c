"""A language of accented letters in brackets, 40 % longer than English.

On a page in it, what is readable was not translated, and what does not fit would not fit in German.
"""

from __future__ import annotations

import re

from triptych.utils.text import Quantity
from triptych.web.languages.language import LANGUAGES
from triptych.web.languages.language import Language

CODE = "en_XA"
ACCENTED = str.maketrans("aeiouyncAEIOUYNC", "åéïöüýñçÅÉÏÖÜÝÑÇ")
# Tags, entities and values, which stay.
KEPT = re.compile(r"(<[^>]*>|&\w+;|\{\w[^{}]*\}|%\(\w+\)s|%%)")


def accented(message: str) -> str:
    """A text in that language."""
    parts = KEPT.split(message)
    words = "".join(part if n % 2 else part.translate(ACCENTED) for n, part in enumerate(parts))
    letters = sum(len(part) for part in parts[::2])
    return f"[{words}{' ·' * (letters * 2 // 10)}]"


class PseudoLanguage(Language):
    """English texts, made unreadable."""

    def __init__(self) -> None:
        super().__init__("en", accented("English"))
        self.code, self.tag = CODE, "en-XA"

    @property
    def is_english(self) -> bool:
        return False

    @property
    def catalog(self):
        return LANGUAGES["de"].catalog

    def gettext(self, message: str) -> str:
        return accented(message)

    def ngettext(self, one: str, many: str, n: int) -> str:
        return accented(one if n == 1 else many)

    def write(self, value: str) -> str:
        written = super().write(value)
        return accented(written) if isinstance(value, Quantity) else written


def offer() -> None:
    """Offer it beside the others."""
    LANGUAGES[CODE] = PseudoLanguage()
