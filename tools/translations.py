"""Collects the texts of pages and updates the catalogs of all languages.

    python tools/translations.py            # updates src/triptych/web/languages/*/messages.po
    python tools/translations.py de         # also says what is still to be translated

New texts are added empty, those that are gone are removed. A test fails while a catalog is not
complete.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
from babel.messages import extract
from babel.messages import pofile
from babel.messages.catalog import Catalog
from babel.messages.catalog import Message

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "triptych"
CATALOGS = SOURCE / "web" / "languages"
KEYWORDS = {
    "_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "text": None,
    "ntext": (1, 2),
}
# Pages that are exported are in English, as other programs show them.
EXCLUDED = SOURCE / "exports" / "page"
EXTRACTORS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("*.py", "python", {}),
    ("*.js", "javascript", {"parse_template_string": "true"}),
    ("*.html", "jinja2.ext:babel_extract", {"newstyle_gettext": "true", "trimmed": "true"}),
)
PYTHON_VALUE = re.compile(r"\{(\w+)[^{}]*\}")
JINJA_VALUE = re.compile(r"%\((\w+)\)s")


def collect() -> Catalog:
    """All texts in the source, as a catalog without translations."""
    catalog = Catalog(fuzzy=False)
    for pattern, method, options in EXTRACTORS:
        for path in sorted(SOURCE.rglob(pattern)):
            if path.is_relative_to(EXCLUDED):
                continue
            name = path.relative_to(ROOT).as_posix()
            with path.open("rb") as file:
                for line, message, *_ in extract.extract(method, file, KEYWORDS, options=options):
                    catalog.add(message, locations=[(name, line)])
            for message in _counted(path):
                catalog.add(message, locations=[(name, 1)])
    return catalog


def _counted(path: Path) -> Iterator[tuple[str, str]]:
    """The nouns that `formatting.counted` is called with, as it makes sentences of them."""
    source = path.read_text(encoding="utf-8")
    nouns = list[list[object]]()
    if path.suffix == ".py" and "counted(" in source:
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        for call in calls:
            if ast.unparse(call.func).rpartition(".")[2] == "counted":
                nouns.append([ast.literal_eval(arg) for arg in call.args[1:] if _is_text(arg)])
    elif path.suffix == ".html" and "counted(" in source:
        environment = jinja2.Environment(extensions=["jinja2.ext.i18n", "jinja2.ext.do"])
        for node in environment.parse(source).find_all(jinja2.nodes.Filter):
            if node.name == "counted":
                nouns.append([arg.as_const() for arg in node.args])
    for one, *many in filter(None, nouns):
        yield f"{{n:,}} {one}", f"{{n:,}} {many[0] if many else f'{one}s'}"


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def values_of(message: Message, text: str) -> set[str]:
    """The names of the values in a text or its translation.

    Args:
        message: Whose text it is.
        text: The text.
    """
    is_of_template = "python-format" in message.flags or "%(" in str(message.id)
    return set((JINJA_VALUE if is_of_template else PYTHON_VALUE).findall(text))


def faults(language: str, source: Any) -> list[str]:
    """What is wrong with the catalog of a language, each with the text.

    Args:
        language: The name of its folder.
        source: The texts, from `collect`.
    """
    catalog: Any = read(language)
    found = [f"obsolete: {id}" for id in catalog.obsolete]
    found += [
        f"not in the source: {message.id}"
        for message in catalog
        if message.id and message.id not in source
    ]
    for message in source:
        if not message.id:
            continue
        translated = catalog.get(message.id)
        if translated is None:
            found.append(f"missing: {message.id}")
            continue
        if translated.fuzzy:
            found.append(f"fuzzy: {message.id}")
        forms = translated.string if message.pluralizable else (translated.string,)
        if not all(forms):
            found.append(f"empty: {message.id}")
            continue
        expected = values_of(message, message.id[1] if message.pluralizable else message.id)
        for form in forms:
            values = values_of(message, form)
            # A form that is for one number only need not say it.
            if values != expected and values | {"n", "num"} != expected | {"n", "num"}:
                found.append(f"values differ: {message.id} -> {form}")
    return found


def path_of(language: str) -> Path:
    """The catalog of a language.

    Args:
        language: The name of its folder.
    """
    return CATALOGS / language / "messages.po"


def read(language: str) -> Catalog:
    """The catalog of a language as it is on disk.

    Args:
        language: The name of its folder.
    """
    with path_of(language).open("rb") as file:
        return pofile.read_po(file, locale=language)


def languages() -> list[str]:
    """The languages that have a catalog."""
    return sorted(path.parent.name for path in CATALOGS.glob("*/messages.po"))


def write(language: str, catalog: Catalog) -> None:
    """Write the catalog of a language.

    Args:
        language: The name of its folder.
        catalog: It.
    """
    with path_of(language).open("wb") as file:
        pofile.write_po(
            file, catalog, width=100, sort_by_file=True, include_lineno=False, ignore_obsolete=True
        )


def main() -> None:
    """Update the catalogs, and say what is to be translated."""
    source = collect()
    for language in languages():
        catalog = read(language)
        catalog.update(source, no_fuzzy_matching=True, update_creation_date=False)
        catalog.obsolete.clear()
        write(language, catalog)
        to_do = faults(language, source)
        print(f"{language}: {len(source)} texts, {len(to_do)} to do")
        if language in sys.argv[1:]:
            print(*to_do, sep="\n")


if __name__ == "__main__":
    main()
