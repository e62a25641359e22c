"""The images of a request: files of a form, the body itself, or base64 in JSON.

Nothing is stored or fetched, and no name from a request is ever used as a path.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import TypeVar

import flask
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.exceptions import UnsupportedMediaType

from triptych import errors
from triptych.utils import formatting
from triptych.utils import validation
from triptych.utils.text import text
from triptych.web import body as web_body
from triptych.web import context
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
# Limit of values in JSON with images: far more than all images and options have.
MOST_VALUES = 50_000


T = TypeVar("T")


class Base64:
    """An image as base64, decoded in the image's thread, so that a bad one fails separately.

    Args:
        text: May have line breaks, and ``data:image/jpeg;base64,`` in front.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def read(self) -> bytes:
        """The bytes of the file.

        Raises:
            errors.DamagedImage: It is not base64.
        """
        encoded = self._text.partition(",")[2] if self._text.startswith("data:") else self._text
        try:
            return base64.b64decode("".join(encoded.split()), validate=True)
        except ValueError as error:
            raise errors.DamagedImage(
                text(
                    "This is no base64: {error}. Expected the bytes of an image file in base64, "
                    "in the alphabet with + and /, padded with =.",
                    error=error,
                )
            ) from None


# A name for people and a file: as received, and as answered.
Unnamed = Sequence[tuple[str | None, bytes | Base64]]
Named = tuple[str, bytes | Base64]


def images(request: flask.Request) -> tuple[list[Named], dict[str, Any]]:
    """Find the images of a request, each with a name, and the options beside them in JSON.

    Args:
        request: Its body is multipart/form-data, the bytes of one image, or JSON.

    Raises:
        BadRequest: There is no image in it; the description says why.
        RequestEntityTooLarge: Too many bytes.
    """
    kind = request.mimetype
    unnamed: Unnamed
    others: dict[str, Any] = {}
    if kind == "multipart/form-data":
        unnamed = _files(request)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        unnamed = [(None, _one_image(request))]
    elif kind == "application/json":
        unnamed, others = read_json(request, _encoded)
    else:
        description = text("without a Content-Type")
        if kind:
            description = text("as {kind}, which carries no files", kind=kind)
        raise BadRequest(
            text(
                "The request came {description}. {expected}",
                description=description,
                expected=EXPECTED,
            )
        )
    named = [(base_name(name, number), data) for number, (name, data) in enumerate(unnamed, 1)]
    return named, others


def body(request: flask.Request) -> bytes:
    """The decompressed body of a request; decompression runs in a worker thread.

    Raises:
        RequestEntityTooLarge: It has too many bytes, compressed or decompressed.
        UnsupportedMediaType: Its compression is unknown.
        BadRequest: Its compression is damaged.
        errors.Overloaded: Too much is waiting.
    """
    studio, data = context.current(), web_body.receive(request)
    most = request.max_content_length or studio.settings.max_request_bytes
    # A body of unknown length is cut at the limit silently, and would seem damaged.
    if request.content_length is None and len(data) == most:
        raise RequestEntityTooLarge
    encoding = _encoding(request)
    if encoding == "identity":
        return data
    return studio.do(lambda: web_body.inflate(data, encoding, max_bytes=most))


def _encoding(request: flask.Request) -> str:
    return request.headers.get("Content-Encoding", "identity").lower()


def _one_image(request: flask.Request) -> bytes:
    """The body of a request that is one image, received up to the limit of an image."""
    most = context.current().settings.max_image_bytes
    if most >= (request.max_content_length or math.inf):
        return body(request)
    request.max_content_length = most + 1
    try:
        return body(request)
    except RequestEntityTooLarge:
        raise errors.ImageTooLarge(
            text(
                "The file has more than {most}, which is the limit. Send a smaller or more "
                "strongly compressed image.",
                most=formatting.size(most),
            )
        ) from None


def read_json(request: flask.Request, parse: Callable[[bytes], T]) -> T:
    """Parse a JSON body, in a worker thread if it is large.

    Args:
        request: The request.
        parse: Parses its body, without access to the request.
    """
    data = body(request)
    if len(data) <= web_body.LARGE_BYTES:
        return parse(data)
    return context.current().do(lambda: parse(data))


def check_count(count: int, *, most: int) -> None:
    """Check that a request has images, and not too many.

    Raises:
        BadRequest: There is none.
        RequestEntityTooLarge: There are too many.
    """
    if not count:
        raise BadRequest(text("There is no image in the request."))
    if count > most:
        raise RequestEntityTooLarge(
            text(
                "{count} images came in one request; at most {most} are taken. Send them in "
                "several requests.",
                count=count,
                most=most,
            )
        )


def _encoded(body: bytes) -> tuple[Unnamed, dict[str, Any]]:
    """The images of a JSON request, and the options beside them."""
    fields = web_body.parse(body, most=MOST_VALUES, hint=EXPECTED_JSON)
    images = fields.pop("images", None)
    if not images:
        raise BadRequest(
            text("There is no image in the request. {expected_json}", expected_json=EXPECTED_JSON)
        )
    wrong = request_schemas.EncodedImage(many=True).validate(images)
    if wrong:
        path, message = validation.first_problem(wrong)
        raise BadRequest(
            text(
                "The JSON at images{path}: {message} {expected_json}",
                path=path,
                message=message,
                expected_json=EXPECTED_JSON,
            )
        )
    return [(image.get("name"), Base64(image["b64"])) for image in images], fields


def _files(request: flask.Request) -> Unnamed:
    """The images of a form."""
    if _encoding(request) != "identity":
        raise UnsupportedMediaType(
            text(
                "A form came compressed, which is not undone: photos are compressed already. "
                "Send it without Content-Encoding."
            )
        )
    if FIELD in request.form:
        raise BadRequest(
            text(
                "The field 'image' came as text instead of a file. With curl, write the @: "
                "-F image=@photo.jpg"
            )
        )
    others = [name for name, file in request.files.items() if name != FIELD and file.filename]
    if others:
        raise BadRequest(
            text(
                "A file came in the field {others!r}; expected all files in the field 'image'.",
                others=others[0],
            )
        )
    files: list[FileStorage] = request.files.getlist(FIELD)
    images = [(file.filename, file.read()) for file in files]
    # A form without a selected file sends one part without name and bytes.
    images = [(name, data) for name, data in images if name or data]
    if not images:
        raise BadRequest(text("There is no image in the request. {expected}", expected=EXPECTED))
    return images


def base_name(name: str | None, number: int) -> str:
    """The name of an image in answers: the last part of its sender's name for it.

    Args:
        name: The name as sent; it may be a path of another system, or malicious.
        number: Position of the image in its request, from 1; names an image that has no name.

    Example:
        >>> base_name("../../etc/passwd", 1), base_name(None, 2)
        ('passwd', 'image 2')
    """
    last = re.split(r"[/\\]", name or "")[-1]
    # Unprintable characters can disguise a name: line breaks, or marks that change the direction.
    printable = "".join(filter(str.isprintable, last)).strip()
    return printable[:LONGEST_NAME] or f"image {number}"
