"""The file with the classes of a model to be imported, as text or JSON."""

from __future__ import annotations

import re
from pathlib import Path

from triptych import errors
from triptych.utils import validation
from triptych.utils.text import text


def read_labels(path: Path) -> list[str]:
    """The classes in a file, in the order of the outputs.

    A text file has one class a line; empty lines at its end do not count. Lines may be numbered
    from 0, before the name (``0 cat``, as Teachable Machine has them) or after it (``cat,0``): the
    numbers count then, not the order. A JSON file has a list of names, or names and numbers, such
    as the ``class_indices`` of Keras.

    Raises:
        errors.SourceError: It cannot be read, names a class twice or not at all, or has numbers
            that are not those of the outputs.
    """
    try:
        data = path.read_bytes()
        content = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        lines = parse(content)
    except (OSError, ValueError) as error:
        raise errors.SourceError(
            text(
                "{path} cannot be read: {error}. Expected a text file with one class a line.",
                path=path,
                error=error,
            )
        ) from error
    return check(lines, str(path))


def parse(text: str | bytes) -> list[str]:
    r"""The classes in the text of such a file; see `read_labels`.

    Args:
        text: In UTF-8, where it is bytes.

    Raises:
        ValueError: It has numbers that are not those of the outputs, or is damaged.

    Example:
        >>> parse("0 cat\n1 dog\n")
        ['cat', 'dog']
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    is_json = text.lstrip()[:1] in ("{", "[")
    return _names_of_json(text) if is_json else _names_of_lines(text)


def check(names: list[str], source: str) -> list[str]:
    """The same names, if they are those of classes.

    Args:
        names: In the order of the outputs.
        source: Where they come from, for the message.

    Raises:
        errors.SourceError: There are fewer than two, or one is empty or there twice.
    """
    if len(names) < 2 or "" in names or len(set(names)) < len(names):
        raise errors.SourceError(
            text(
                "{source} has {names} lines, {names_2} of them different; expected one class "
                "a line, at least two, none empty and none twice.",
                source=source,
                names=len(names),
                names_2=len(set(names)),
            )
        )
    return names


# A number and a name, in forms that are unambiguous, and in one that may also be a name.
_NUMBERED = (
    re.compile(r"(?P<number>\d+)\s*[:,;]\s*(?P<name>\S.*)"),
    re.compile(r"(?P<name>.*\S)\s*[,;\t]\s*(?P<number>\d+)"),
)
_SPACED = re.compile(r"(?P<number>\d+)\s+(?P<name>\S.*)")


def _names_of_lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    for form in (*_NUMBERED, _SPACED):
        matches = [form.fullmatch(line) for line in lines]
        if form is not _SPACED and matches and not matches[0]:
            matches = matches[1:]  # a header
        numbered = [(int(match["number"]), match["name"]) for match in matches if match]
        numbers = [number for number, _ in numbered]
        if not numbers or len(numbers) < len(matches) or set(numbers) != {*range(len(numbers))}:
            continue
        if form is _SPACED and numbers != sorted(numbers):
            raise ValueError(
                f"its lines begin with the numbers from 0 to {len(numbers) - 1}, and not in this "
                "order, so whether the numbers or the lines count cannot be known; write "
                f"{lines[0]!r} as {numbered[0][1] + ',' + str(numbers[0])!r} where the numbers do"
            )
        return [name for _, name in sorted(numbered)]
    return lines


def _names_of_json(text: str) -> list[str]:
    content = validation.parse_json(text)
    if isinstance(content, list):
        names = dict(enumerate(content))
    elif all(isinstance(value, int) for value in content.values()):
        names = {number: name for name, number in content.items()}
    else:
        names = {int(number): name for number, name in content.items()}
    if sorted(names) != list(range(len(names))) or not all(
        isinstance(name, str) for name in names.values()
    ):
        raise ValueError("expected a list of names, or names with the numbers from 0 on")
    return [names[number].strip() for number in range(len(names))]
