"""Parsing the body of a request: compression, JSON and binary data, with limits checked first."""

from __future__ import annotations

import gc
import json
import re
import zlib
from typing import Any
from typing import NoReturn

import flask
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import ClientDisconnected
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.formparser import FormDataParser

from triptych.utils.text import text

# A few bytes of JSON can become a hundred bytes of objects; so many values take 100 MB at most.
MAX_VALUES = 2_000_000
# Objects take more memory than lists, and only options and images are sent in them.
MAX_KEYS = 20_000
# Enough to move ten thousand photos to another class at once.
MAX_FORM_BYTES = 1 << 20
MAX_FORM_FIELDS = 20_000

# Memory is claimed by what a client says that it will send, up to this size.
MAX_PIECE_BYTES = 32 << 20

# Larger bodies are parsed in a worker thread.
LARGE_BYTES = 1 << 16

# Lets zlib detect gzip or its own format from the first bytes.
_EITHER_FORM = zlib.MAX_WBITS | 32


class Request(flask.Request):
    """A request whose form is limited before it is parsed, which takes 35 bytes for each byte."""

    def _load_form_data(self) -> None:
        if self.mimetype == "application/x-www-form-urlencoded" and "form" not in vars(self):
            most = min(MAX_FORM_BYTES, self.max_content_length or MAX_FORM_BYTES)
            self.max_content_length = most
            if (self.content_length or 0) > most:
                raise _too_large_a_form(most)
            data = self.get_data()
            if len(data) == most or data.count(b"&") >= MAX_FORM_FIELDS:
                raise _too_large_a_form(most)
        try:
            super()._load_form_data()
        except ValueError as error:
            # Whoever reads the form again, such as the page with the error, finds it empty.
            vars(self).update(form=ImmutableMultiDict(), files=ImmutableMultiDict())
            raise _unreadable_form(error) from error

    def make_form_data_parser(self) -> FormDataParser:
        """The parser of forms; what it cannot parse is an error, and not a form without files."""
        parser = super().make_form_data_parser()
        parser.silent = False
        return parser


def _unreadable_form(error: ValueError) -> BadRequest:
    if isinstance(error, UnicodeDecodeError):
        return BadRequest(
            text(
                "A file came with a name that is not in UTF-8. Rename the file and send it again; "
                "curl sends it under another name by -F 'image=@FILE;filename=photo.jpg'."
            )
        )
    return BadRequest(
        text(
            "The form cannot be read: {error}. Expected multipart/form-data with its boundary, "
            "complete.",
            error=str(error).rstrip("."),
        )
    )


def _too_large_a_form(most: int) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(
        f"The form is too large; at most {most:,} bytes and {MAX_FORM_FIELDS:,} fields are taken. "
        "Send files as multipart/form-data, and fewer choices at a time."
    )


def receive(request: flask.Request) -> bytes:
    """Receive the body of a request, into one piece of memory where its length is known.

    werkzeug joins a body from pieces of 64 kB and copies it three times, into fresh memory: a
    request of 4 MB takes 6.6 ms of the server's CPU that way, and 3.3 in one piece.

    Args:
        request: Its body has not been read yet.

    Raises:
        RequestEntityTooLarge: It has too many bytes.
        ClientDisconnected: The client disconnected before all of them were sent.
    """
    length = request.content_length
    _ = request.stream  # refuses a body that is too large
    if length is None or length > MAX_PIECE_BYTES:
        return request.get_data()
    try:
        data: bytes = request.environ["wsgi.input"].read(length)
    except (OSError, ValueError) as error:
        raise ClientDisconnected from error
    if len(data) < length:
        raise ClientDisconnected
    return data


def inflate(data: bytes, encoding: str, *, max_bytes: int) -> bytes:
    """Undo the compression of a body.

    Args:
        data: The compressed body.
        encoding: ``"gzip"`` or ``"deflate"``, as the header Content-Encoding says.
        max_bytes: Limit of decompressed bytes.

    Raises:
        UnsupportedMediaType: Another encoding.
        BadRequest: It is damaged or truncated.
        RequestEntityTooLarge: It has more decompressed bytes.

    Example:
        >>> inflate(zlib.compress(b"{}"), "deflate", max_bytes=100)
        b'{}'
    """
    if encoding not in ("gzip", "deflate"):
        raise UnsupportedMediaType(
            f"The body came with Content-Encoding {encoding!r}; expected gzip, deflate or none."
        )
    unpacking = zlib.decompressobj(_EITHER_FORM)
    try:
        plain = unpacking.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise BadRequest(f"The body is no {encoding}, or damaged: {error}.") from None
    if len(plain) > max_bytes:
        raise RequestEntityTooLarge
    if not unpacking.eof or unpacking.unused_data:
        raise BadRequest(f"The {encoding} of the body ends too early, or something follows it.")
    return plain


# Two of these are a character, one is none: as escapes, in UTF-8 (which the library lets pass), or
# in UTF-16, which has zeros.
HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]|\x00")


def split(body: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    """Split a body into its JSON and the binary data after it.

    Args:
        body: The body.
        header_length: Bytes of JSON, as the header Inference-Header-Content-Length says; ``None``
            means all.

    Raises:
        BadRequest: The length is impossible.

    Example:
        >>> header, rest = split(b"{}abc", "2")
        >>> header, bytes(rest)
        (b'{}', b'abc')
    """
    if header_length is None:
        return body, memoryview(b"")
    # No length has more digits; Python refuses to parse very long numbers.
    is_number = header_length.isascii() and header_length.isdigit() and len(header_length) < 20
    if not is_number or int(header_length) > len(body):
        raise BadRequest(
            f"Inference-Header-Content-Length is {header_length[:40]!r}; expected the bytes of "
            f"JSON at the beginning of a body of {len(body)} bytes."
        )
    length = int(header_length)
    return body[:length], memoryview(body)[length:]


def parse(text: bytes, *, most: int = MAX_VALUES, hint: str = "") -> dict[str, Any]:
    """Parse a JSON object.

    Args:
        text: JSON.
        most: Limit of values in it.
        hint: Sentence to add to the error message.

    Raises:
        BadRequest: It is something else.
        RequestEntityTooLarge: There are too many values in it.

    Example:
        >>> parse(b'{"id": "7"}')
        {'id': '7'}
    """
    if text.count(b",") + text.count(b"[") + text.count(b"{") > most:
        raise RequestEntityTooLarge(
            f"The JSON has more than {most:,} values. Send pixels as binary data, or send "
            "the file of the photo."
        )
    if text.count(b":") > MAX_KEYS:
        raise RequestEntityTooLarge(f"The JSON has more than {MAX_KEYS:,} keys or colons.")
    try:
        value = _loads(text)
    except RecursionError:
        raise BadRequest(f"The JSON is nested too deeply. {hint}".rstrip()) from None
    except ValueError as error:
        raise BadRequest(f"The request is not JSON: {error}. {hint}".rstrip()) from None
    if HALF_CHARACTER.search(text):
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError:  # no database, file name or answer could hold it
            raise BadRequest(
                "The JSON has half a character, such as \\ud800 alone; expected both halves."
            ) from None
        except ValueError:
            raise BadRequest("The JSON has a number beyond 1.8e308.") from None
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise BadRequest(f"The request is a JSON {kind}; expected an object. {hint}".rstrip())
    return value


def _loads(text: bytes) -> Any:
    # Nothing else runs while JSON is parsed. The garbage collector would traverse all lists again
    # and again (measured for a million lists: 0.8 s, without it 0.13 s).
    was_enabled = gc.isenabled()
    if len(text) > LARGE_BYTES:
        gc.disable()
    try:
        return json.loads(text, parse_constant=_refuse)
    finally:
        if was_enabled:
            gc.enable()


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
