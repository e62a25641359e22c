"""A request read into images and a question: the one way that page and API share.

Nothing is kept, nothing is fetched, and nothing is ever written under a name that came from
outside.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flask
import marshmallow
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import RequestEntityTooLarge

from triptych import errors
from triptych.inference.classifier import Question
from triptych.web import body as web_body
from triptych.web import options
from triptych.web import request_schemas

FIELD = "image"
EXPECTED = (
    "Send images as multipart/form-data in the field 'image' (curl -F image=@photo.jpg), "
    "one image as the body with its type (Content-Type: image/jpeg), or JSON."
)
EXPECTED_JSON = (
    'Expected {"images": [{"b64": "...", "name": "photo.jpg"}]} and the options beside the images; '
    "the bytes themselves, as nothing is fetched from a url."
)
LONGEST_NAME = 200

Images = Sequence[tuple[str | None, "bytes | Base64"]]


class Base64:
    """An image as a text in base64: a file to read, so that one that is damaged fails alone, and
    in the thread that looks at it.

    Args:
        text: May have line breaks, and ``data:image/jpeg;base64,`` in front.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def read(self) -> bytes:
        """The bytes of the file.

        Raises:
            errors.DamagedImage: It is no base64.
        """
        text = self._text.partition(",")[2] if self._text.startswith("data:") else self._text
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except ValueError as error:
            raise errors.DamagedImage(
                f"This is no base64: {error}. Expected the bytes of an image file in base64, in "
                "the alphabet with + and /, padded with =."
            ) from None


# A name for people, and a file.
Named = tuple[str, bytes | Base64]


@dataclass(frozen=True)
class Upload:
    """What a request asks.

    Args:
        images: Pairs of a name for people and a file, in order.
        committee: The committee's name; ``None`` means the default.
        question: Who is asked, and how.
        keep: Whether images may be kept for review.
    """

    images: list[Named]
    committee: str | None
    question: Question
    keep: bool = False


def read(request: flask.Request, *, max_images: int) -> Upload:
    """Read a request.

    Args:
        request: Its body is multipart/form-data, the bytes of one image, or JSON.
        max_images: Most images in one request.

    Raises:
        BadRequest: There is no image in it; the description says why.
        RequestEntityTooLarge: Too many images or bytes.
        errors.SettingError: An option that does not exist, or an impossible value.
    """
    images, beside = _images(request)
    check_count(len(images), most=max_images)
    asked = _asked(request, beside, options.SCHEMA)
    keep = asked.get("keep", False)
    return Upload(_named(images), asked.get("committee"), options.question(asked), keep)


def read_one(request: flask.Request) -> tuple[Named, dict[str, Any]]:
    """Read a request to explain an image: the image, and the options.

    Args:
        request: As for `read`.

    Raises:
        BadRequest: There is no image in it, or several; the description says why.
        RequestEntityTooLarge: Too many bytes.
        errors.SettingError: An option that does not exist, or an impossible value.
    """
    images, beside = _images(request)
    if len(images) > 1:
        raise BadRequest(f"{len(images)} images came; expected one. Send one request for each.")
    (image,) = _named(images)
    return image, _asked(request, beside, options.WHY)


def _named(images: Images) -> list[Named]:
    return [(base_name(name, number), data) for number, (name, data) in enumerate(images, 1)]


def _asked(
    request: flask.Request, beside: dict[str, Any], schema: marshmallow.Schema
) -> dict[str, Any]:
    # Each place by itself, so that what is wrong in one is not hidden by the other.
    asked = options.check(options.from_text(request.args), schema)
    return asked | options.check(options.from_form(request.form) | beside, schema)


def _images(request: flask.Request) -> tuple[Images, dict[str, Any]]:
    """The images, and the options that came beside them in JSON."""
    kind = request.mimetype
    if kind == "multipart/form-data":
        return _parts(request), {}
    if kind.startswith("image/") or kind == "application/octet-stream":
        return [(None, body(request))], {}
    if kind == "application/json":
        return _encoded(web_body.parse(body(request), hint=EXPECTED_JSON))
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


def check_count(count: int, *, most: int) -> None:
    """Look whether a request brought images, and not too many.

    Raises:
        BadRequest: There is none.
        RequestEntityTooLarge: There are more than the most.
    """
    if not count:
        raise BadRequest("There is no image in the request.")
    if count > most:
        raise RequestEntityTooLarge(
            f"{count} images came in one request; at most {most} are taken. "
            "Send them in several requests."
        )


def _encoded(given: dict[str, Any]) -> tuple[Images, dict[str, Any]]:
    images = given.pop("images", None)
    if not images:
        raise BadRequest(f"There is no image in the request. {EXPECTED_JSON}")
    wrong = request_schemas.EncodedImage(many=True).validate(images)
    if wrong:
        place, what = request_schemas.complaint(wrong)
        raise BadRequest(f"The JSON at images{place}: {what} {EXPECTED_JSON}")
    return [(image.get("name"), Base64(image["b64"])) for image in images], given


def _parts(request: flask.Request) -> Images:
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
