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

from triptych.utils.text import Quantity
from triptych.utils.text import Text
from triptych.web.languages import quantities

# The languages of pages, by the name of their folder, with their names in themselves.
OFFERED = {"en": "English", "de": "Deutsch", "zh_Hans": "简体中文"}
# Plural forms are told apart by their category in CLDR; these numbers meet each of them.
SAMPLES = range(201)
NO_BREAK = "\u00a0"


class Language:
    """A language that pages are written in.

    Args:
        code: As Babel writes it, such as ``zh_Hans``.
        catalog: Its texts.
        script_messages: Those that scripts need, each by plural category; ``other`` has no plural.
    """

    def __init__(
        self,
        code: str,
        catalog: gettext.NullTranslations,
        script_messages: dict[str, dict[str, str]],
    ) -> None:
        self.code = code
        self.tag = code.replace("_", "-")
        self.locale = babel.Locale.parse(code)
        self.name = OFFERED.get(code, code)
        self.script_messages = script_messages
        self.gettext = catalog.gettext
        self.ngettext = catalog.ngettext
        self._formatter = _Formatter(self)

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
            >>> load("de").write(formatting.percent(0.8341)).replace(chr(160), " ")
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

    def format_field(self, value: Any, format_spec: str) -> Any:
        if isinstance(value, str):
            value = self._language.write(value)
        elif format_spec and isinstance(value, int | float):
            return quantities.number(self._language.locale, value, format_spec)
        return super().format_field(value, format_spec)


ENGLISH = Language("en", gettext.NullTranslations(), {})


@functools.cache
def load(code: str) -> Language:
    """A language with its catalog, compiled in memory from the text file in the package.

    Args:
        code: The name of its folder.

    Example:
        >>> load("en").gettext("Cancel")
        'Cancel'
    """
    if code == "en":
        return ENGLISH
    source = resources.files(__name__.rpartition(".")[0]) / code / "messages.po"
    with source.open("rb") as file:
        catalog = pofile.read_po(file, locale=code)
    compiled = io.BytesIO()
    mofile.write_mo(compiled, catalog)
    compiled.seek(0)
    translations = gettext.GNUTranslations(compiled)
    return Language(code, translations, _script_messages(catalog, translations))


def _script_messages(
    catalog: Any, translations: gettext.GNUTranslations
) -> dict[str, dict[str, str]]:
    plural_form = catalog.locale.plural_form
    messages = dict[str, dict[str, str]]()
    for message in catalog:
        if not any(path.endswith(".js") for path, _ in message.locations):
            continue
        if not message.pluralizable:
            messages[message.id] = {"other": translations.gettext(message.id)}
            continue
        one, many = message.id
        messages[one] = {plural_form(n): translations.ngettext(one, many, n) for n in SAMPLES}
    return messages
