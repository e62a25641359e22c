"""Valid names of projects and classes, and keys made from titles."""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections.abc import Iterator

from triptych import errors
from triptych.data import layout
from triptych.utils import storage
from triptych.utils.formatting import JOINERS
from triptych.utils.formatting import plain_text
from triptych.utils.text import text

MAX_TITLE = 80
MAX_CLASS = 60
_MAX_KEY = 40
# Systems allow 255; " (12345)" and an extension may be added.
_MAX_FILE_BYTES = 200

# Not allowed in folder names on some systems.
_BAD_LETTERS = '/\\<>:"|?*'
# Their wide forms are, and look like them.
_WIDE = {ord(letter): ord(letter) + 0xFEE0 for letter in _BAD_LETTERS}
# Names of devices on Windows, with any extension.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def title(raw: str) -> str:
    """A project's title, normalised.

    Raises:
        errors.SettingError: It is empty or too long.

    Example:
        >>> title("  My   garden ")
        'My garden'
    """
    return _tidy(raw, text("A project's title"), MAX_TITLE, "my garden")


def class_name(raw: str) -> str:
    """A class's name, normalised; it is a valid folder name on all systems.

    Raises:
        errors.SettingError: It is empty, too long, or not a valid folder name.

    Example:
        >>> class_name(" bees ")
        'bees'
    """
    name = _tidy(raw, text("A class's name"), MAX_CLASS, "bees")
    bad = sorted(set(name) & set(_BAD_LETTERS))
    if bad:
        raise errors.SettingError(
            text(
                "{name!r} has {bad} in it, which no folder's name may have everywhere. Leave "
                "it out.",
                name=name,
                bad=" ".join(bad),
            )
        )
    if not name.strip("."):
        raise errors.SettingError(
            text(
                "{name!r} has dots only, and a class is a folder when the project is exported. "
                "Choose another name, such as 'bees'.",
                name=name,
            )
        )
    if storage.is_hidden(name) or name.endswith(".") or _DEVICES.fullmatch(name):
        raise errors.SettingError(
            text(
                "No folder can be called {name!r} everywhere, and a class is a folder when "
                "the project is exported. Choose another name, such as {other!r}.",
                name=name,
                other="the " + name.strip(". "),
            )
        )
    if layout.side_of(name) == "val":
        raise errors.SettingError(
            text(
                "{name!r} is the name of a folder of evaluation photos. Choose another name.",
                name=name,
            )
        )
    return name


def as_class_name(text: str) -> str:
    """A valid class name, similar to the name of a folder; different ones stay different.

    A letter that folders may not have becomes its wide form, so that ``<5`` and ``>5`` are two
    classes; and a long name loses its middle, as names of species begin alike.

    Example:
        >>> as_class_name("a:b"), as_class_name("con"), as_class_name("bees")
        ('a：b', 'class con', 'bees')
        >>> as_class_name("Animalia_Arthropoda_Insecta_Hymenoptera_Apidae_Bombus_impatiens")
        'Animalia_Arthropoda_Insect…era_Apidae_Bombus_impatiens'
    """
    plain = "".join(letter if _is_shown(letter) else "_" for letter in plain_text(text))
    name = " ".join(plain.translate(_WIDE).split()).strip(" .")
    longest = MAX_CLASS - len("class ")
    if len(name) > longest:
        name = f"{name[:26].strip()}…{name[27 - longest :].strip()}"
    try:
        return class_name(name)
    except errors.SettingError:
        return class_name(f"class {name}".strip())


def as_title(text: str) -> str:
    """A valid title, similar to the name of a folder.

    Example:
        >>> as_title(""), as_title("garden")
        ('Photos', 'garden')
    """
    return " ".join(plain_text(text).split())[:MAX_TITLE].strip() or "Photos"


def file_name(text: str) -> str:
    """The name of a photo's file, safe to show and to write, with its extension.

    Example:
        >>> file_name("C:\\\\photos\\\\a?b.JPG"), file_name("../..")
        ('a_b.JPG', 'photo')
    """
    last = plain_text(text).replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join("_" if letter in _BAD_LETTERS else letter for letter in last).strip(" .")
    if _DEVICES.fullmatch(name) or storage.is_hidden(name):
        name = f"_{name}"
    stem, ending = os.path.splitext(name)
    if len(ending.encode()) >= _MAX_FILE_BYTES:
        stem, ending = name, ""
    most_bytes = _MAX_FILE_BYTES - len(ending.encode())
    stem = stem.encode()[:most_bytes].decode(errors="ignore").rstrip(" .")
    return stem + ending or "photo"


def keys(text: str) -> Iterator[str]:
    """Possible keys for a title, the simplest first.

    Example:
        >>> list(itertools.islice(keys("Käfer & Co."), 2))
        ['kafer-co', 'kafer-co-2']
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    key = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_MAX_KEY].strip("-") or "project"
    yield key
    yield from (f"{key}-{number}" for number in itertools.count(2))


def folded(name: str) -> str:
    """A name in the form for comparison, without case, nor marks that only join letters."""
    joined = "".join(letter for letter in name if letter not in JOINERS)
    return unicodedata.normalize("NFC", joined.casefold())


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or letter in JOINERS


def _tidy(raw: str, what: str, longest: int, example: str) -> str:
    name = " ".join(unicodedata.normalize("NFC", raw).split())
    if not name.strip(JOINERS):
        raise errors.SettingError(
            text("{what} is empty; expected one such as {example!r}.", what=what, example=example)
        )
    if len(name) > longest:
        raise errors.SettingError(
            text(
                "{what} has {count} letters; expected at most {longest}. Shorten it.",
                what=what,
                count=len(name),
                longest=longest,
            )
        )
    if not all(map(_is_shown, name)):
        raise errors.SettingError(
            text(
                "{what} has letters that cannot be shown: {name!r}. Type it anew.",
                what=what,
                name=plain_text(name),
            )
        )
    return name
