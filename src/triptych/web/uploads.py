"""A request read into images and a question: the one way that page and API share.

Nothing is kept, and nothing is ever written under a name that came from outside.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import flask
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import RequestEntityTooLarge

from triptych import errors
from triptych.classifier import Question

FIELD = "image"
OPTIONS = ("committee", "members", "rule", "top", "fit", "coverage")
EXPECTED = (
    "Send images as multipart/form-data in the field 'image' (curl -F image=@photo.jpg), "
    "or one image as the body with its type (Content-Type: image/jpeg)."
)
LONGEST_NAME = 200


@dataclass(frozen=True)
class Upload:
    """What a request asks.

    Args:
        images: Pairs of a name for people and the bytes of a file, in order.
        committee: The committee's name; ``None`` means the default.
        question: Who is asked, and how.
    """

    images: list[tuple[str, bytes]]
    committee: str | None
    question: Question


def read(request: flask.Request, *, max_images: int) -> Upload:
    """Read a request.

    Args:
        request: Its body is multipart/form-data, or the bytes of one image.
        max_images: Most images in one request.

    Raises:
        BadRequest: There is no image in it; the description says why.
        RequestEntityTooLarge: Too many images or bytes.
        errors.SettingError: An option that does not exist, or an impossible value.
    """
    images = _images(request)
    if len(images) > max_images:
        raise RequestEntityTooLarge(
            f"{len(images)} images came in one request; at most {max_images} are taken. "
            "Send them in several requests."
        )
    named = [(base_name(name, number), data) for number, (name, data) in enumerate(images, 1)]
    return Upload(named, request.values.get("committee") or None, _question(request))


def _images(request: flask.Request) -> list[tuple[str | None, bytes]]:
    kind = request.mimetype
    if kind == "multipart/form-data":
        return _parts(request)
    if kind.startswith("image/") or kind == "application/octet-stream":
        return [(None, body(request))]
    came = f"as {kind}, which carries no files" if kind else "without a Content-Type"
    raise BadRequest(f"The request came {came}. {EXPECTED}")


def body(request: flask.Request) -> bytes:
    """The body of a request.

    Raises:
        RequestEntityTooLarge: It has too many bytes.
    """
    data = request.get_data()
    # A body of unknown length is cut at the limit without a word, and would pass for damaged.
    if request.content_length is None and len(data) == request.max_content_length:
        raise RequestEntityTooLarge
    return data


def _parts(request: flask.Request) -> list[tuple[str | None, bytes]]:
    _refuse_other_fields(request)
    files: list[FileStorage] = request.files.getlist(FIELD)
    images = [(file.filename, file.read()) for file in files]
    # A form in which no file was chosen sends one part with neither name nor bytes.
    images = [(name, data) for name, data in images if name or data]
    if not images:
        raise BadRequest(f"There is no image in the request. {EXPECTED}")
    return images


def _refuse_other_fields(request: flask.Request) -> None:
    if FIELD in request.form:
        raise BadRequest(
            "The field 'image' came as text instead of a file. "
            "With curl, write the @: -F image=@photo.jpg"
        )
    others = [name for name, file in request.files.items() if name != FIELD and file.filename]
    if others:
        raise BadRequest(
            f"A file came in the field {others[0]!r}; expected all files in the field 'image'."
        )


def _question(request: flask.Request) -> Question:
    values = request.values
    unknown = [name for name in values if name not in OPTIONS]
    if unknown:
        raise errors.SettingError(
            f"There is no option {unknown[0]!r}; expected only: {', '.join(OPTIONS)}."
        )
    members = [name.strip() for name in ",".join(values.getlist("members")).split(",")]
    return Question(
        members=tuple(filter(None, members)) or None,
        rule=values.get("rule") or None,
        top=_whole("top", values.get("top") or str(Question.top)),
        fit=values.get("fit") or None,
        coverage=coverage(values.get("coverage")),
    )


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise errors.SettingError(
            f"The option {name} is {text!r}; expected a whole number, such as 3."
        ) from None


def coverage(text: str | None) -> float | None:
    """The option ``coverage``: how often a set shall hold the true class; ``None`` if left alone.

    Raises:
        errors.SettingError: It is no share.

    Example:
        >>> coverage("0.95"), coverage("")
        (0.95, None)
    """
    if not text:
        return None
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise errors.SettingError(
            f"The option coverage is {text!r}; expected a share above 0 and below 1, such as 0.9."
        )
    return share


def base_name(name: str | None, number: int) -> str:
    """What an image is called in answers: the last part of the name its sender gave.

    Args:
        name: As it came; it may be a path of another system, or hostile.
        number: Position of the image in its request, from 1; names an image that has no name.

    Example:
        >>> base_name("../../etc/passwd", 1), base_name(None, 2)
        ('passwd', 'image 2')
    """
    last = re.split(r"[/\\]", name or "")[-1]
    # What cannot be printed can disguise a name: line breaks, or marks that turn text around.
    shown = "".join(char for char in last if char.isprintable()).strip()
    return shown[:LONGEST_NAME] or f"image {number}"
