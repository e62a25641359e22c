"""What a request calls an image: files in base64, and how many there may be."""

from __future__ import annotations

import base64

from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import RequestEntityTooLarge


def file_of(text: str, *, of: str) -> bytes:
    """The bytes of a file that came as base64.

    Raises:
        BadRequest: It is something else.

    Example:
        >>> file_of("/9j/", of="It")
        b'\\xff\\xd8\\xff'
    """
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise BadRequest(
            f"{of} is {text[:20]!r}; expected the bytes of an image file in base64."
        ) from None


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
