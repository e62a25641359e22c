"""One language: its catalog of texts, and how it writes numbers."""

from __future__ import annotations

import functools
import gettext
import io
import string
from importlib import resources
from typing import Any

import babel
from babel.messages import mofile
from babel.messages import pofile
from babel.messages.catalog import Catalog

from triptych.utils.text import Quantity
from triptych.utils.text import Text
from triptych.web.languages import quantities

# Plural forms are told apart by their category in CLDR; these numbers meet each of them.
SAMPLES = range(201)
NO_BREAK = "\u00a0"


class Language:
    """A language that pages are written in.

    Args:
        code: As Babel writes it, such as ``zh_Hans``, and the name of its folder.
        name: In the language itself.
        quotes: Its quotation marks.
    """

    def __init__(self, code: str, name: str, quotes: str = "''") -> None:
        self.code = code
        self.name = name
        self.quotes = quotes
        self.tag = code.replace("_", "-")
        self.locale = babel.Locale.parse(code)
        self._formatter = _Formatter(self)

    @functools.cached_property
    def catalog(self) -> Catalog:
        """Its texts, as they are in the package; none for English."""
        if self.is_english:
            return Catalog(self.locale)
        folder = resources.files(__name__.rpartition(".")[0]) / self.code
        with (folder / "messages.po").open("rb") as file:
            return pofile.read_po(file, locale=self.code)

    @functools.cached_property
    def translations(self) -> gettext.NullTranslations:
        """The catalog, compiled in memory when it is first needed: 0.03 to 0.05 s."""
        if self.is_english:
            return gettext.NullTranslations()
        compiled = io.BytesIO()
        mofile.write_mo(compiled, self.catalog)
        compiled.seek(0)
        return gettext.GNUTranslations(compiled)

    def gettext(self, message: str) -> str:
        """A text in this language.

        Args:
            message: In English, with its values by name.
        """
        return self.translations.gettext(message)

    def ngettext(self, one: str, many: str, n: int) -> str:
        """A text that depends on a number.

        Args:
            one: In English, for the number 1.
            many: In English, for all other numbers.
            n: The number.
        """
        return self.translations.ngettext(one, many, n)

    @functools.cached_property
    def script_messages(self) -> dict[str, dict[str, str]]:
        """The texts of scripts, by plural category; those without a plural as ``other``."""
        messages = dict[str, dict[str, str]]()
        for message in self.catalog:
            if not any(path.endswith(".js") for path, _ in message.locations):
                continue
            if isinstance(message.id, tuple):
                one, many = message.id
                category = self.locale.plural_form
                messages[one] = {category(n): self.ngettext(one, many, n) for n in SAMPLES}
            else:
                text = str(message.id)
                messages[text] = {"other": self.gettext(text)}
        return messages

    @property
    def is_english(self) -> bool:
        """Whether texts are shown as they are."""
        return self.code == "en"

    def write(self, value: str) -> str:
        """A sentence or a quantity in this language.

        Args:
            value: A `Text` or a `Quantity`; other strings stay what they are.

        Example:
            >>> from triptych.utils import formatting
            >>> LANGUAGES["de"].write(formatting.percent(0.8341)).replace(chr(160), " ")
            '83,4 %'
        """
        if self.is_english:
            return str(value)
        if isinstance(value, Quantity):
            return quantities.WRITERS[value.kind](self.locale, *value.values)
        if not isinstance(value, Text):
            return value
        if value.plural is not None:
            template = self.ngettext(value.singular, value.plural, value.values["n"])
        elif NO_BREAK in value.singular:
            template = self.gettext(value.singular.replace(NO_BREAK, " ")).replace(" ", NO_BREAK)
        else:
            template = self.gettext(value.singular)
        return self._formatter.vformat(template, (), value.values)


class _Formatter(string.Formatter):
    """Fills in values: sentences and quantities among them in the language, numbers as it does."""

    def __init__(self, language: Language) -> None:
        self._language = language

    def convert_field(self, value: Any, conversion: str | None) -> Any:
        converted = super().convert_field(value, conversion)
        if conversion == "r" and isinstance(value, str):
            quotes = self._language.quotes
            return f"{quotes[0]}{converted[1:-1]}{quotes[1]}"
        return converted

    def format_field(self, value: Any, format_spec: str) -> Any:
        if isinstance(value, str):
            value = self._language.write(value)
        elif format_spec and isinstance(value, int | float):
            return quantities.number(self._language.locale, value, format_spec)
        return super().format_field(value, format_spec)


ENGLISH = Language("en", "English")
# Those that a person can choose, by their code. A new one needs a line here and its catalog.
LANGUAGES = {
    language.code: language
    for language in (
        ENGLISH,
        Language("de", "Deutsch", "„“"),
        Language("zh_Hans", "简体中文", "“”"),
    )
}
