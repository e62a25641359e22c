"""Requests to a studio: over a pool of connections, with time limits, retried where that is safe.

A studio that is busy says when to try again, and has done nothing. A connection that was lost
leaves open what was done: only requests that may be repeated are sent again then.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import TypeVar
from urllib.parse import quote
from urllib.parse import urlencode
from urllib.parse import urlsplit

from triptych import errors
from triptych.client import records
from triptych.client.multipart import Form
from triptych.typing import Progress
from triptych.utils import extras
from triptych.utils import files

if TYPE_CHECKING:
    import urllib3

BUSY = (429, 503)
TOO_LARGE = 413
CONNECT_S = 10.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
CONNECTIONS = 8
CHUNK_BYTES = 1 << 18

T = TypeVar("T")
R = TypeVar("R")
Query = Mapping[str, Any] | Sequence[tuple[str, Any]]


class Transport:
    """Sends requests to a studio; thread-safe.

    Args:
        url: Where the studio is, with its path prefix if it has one.
        key: The key to send; empty for a studio without.
        timeout_s: Longest wait for a studio that sends nothing.
        retries: How often a request is sent again.
        ca_file: Certificates that the studio's is signed by; by default those of the system.
        pause: Waits so many seconds.

    Raises:
        errors.SettingError: The address is none, or urllib3 is missing.
        errors.SourceError: The file of certificates cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        timeout_s: float = 120.0,
        retries: int = 5,
        ca_file: Path | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        extras.require("The client of a studio", "urllib3", extra="client")
        import urllib3

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise errors.SettingError(
                f"The studio's address is {url[:80]!r}; expected one such as "
                "'http://127.0.0.1:5000' or 'https://studio.example'."
            )
        if ca_file and not ca_file.is_file():
            raise errors.SourceError(f"There is no file of certificates {str(ca_file)!r}.")
        if not key.isascii() or not key.isprintable():
            raise errors.SettingError("The key has characters that no key has. Copy it again.")
        self._base = url.rstrip("/")
        self._retries = retries
        self._pause = pause
        self._headers = {"Accept": "application/json", "User-Agent": "triptych-client"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._pool = urllib3.PoolManager(
            maxsize=CONNECTIONS,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_S, read=timeout_s),
            cert_reqs="CERT_REQUIRED",
            ca_certs=str(ca_file) if ca_file else None,
        )

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def get(self, path: str, query: Query = ()) -> Any:
        """The JSON at an address.

        Raises:
            errors.TriptychError: The studio refuses it, by the kind of its error.
            errors.RemoteError: It cannot be reached, or answers with something else.
        """
        return self._json(self._send("GET", path, query=query, repeats=True))

    def change(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a change in JSON; it is not sent again once it may have been received.

        Raises:
            As `get`.
        """
        return self._json(self._send(method, path, body=body))

    def upload(
        self,
        path: str,
        form: Form,
        *,
        query: Query = (),
        wanted: str = "",
        repeats: bool = True,
    ) -> Any:
        """Send a form with files.

        Args:
            path: The address.
            form: Streamed.
            query: Options in the address.
            wanted: A field; an error that has it is an answer, too.
            repeats: Whether it may be sent again after it may have been received: photos that a
                project has already stay the same.

        Raises:
            As `get`.
        """
        response = self._send("POST", path, query=query, body=form, repeats=repeats)
        return self._json(response, wanted)

    def download(
        self, path: str, target: Path, progress: Progress = lambda done, total: None
    ) -> None:
        """Save what is at an address, whole or not at all.

        Args:
            path: The address.
            target: The file, which is replaced if it is there.
            progress: Called with the bytes that came, and those that are to come; 0 if unknown.

        Raises:
            As `get`; and errors.SourceError: The file cannot be written.
        """
        with contextlib.ExitStack() as stack:
            response = stack.enter_context(self.stream(path))
            try:
                new = stack.enter_context(files.atomic_file(target))
                length = response.headers.get("Content-Length", "")
                total = int(length) if length.isascii() and length.isdecimal() else 0
                with new.open("wb") as file:
                    for chunk in self._chunks(response):
                        file.write(chunk)
                        progress(file.tell(), total)
            except OSError as error:
                raise errors.SourceError(
                    f"{str(target)!r} cannot be written: {error.strerror}."
                ) from error

    def read(self, path: str) -> bytes:
        """The bytes at an address.

        Raises:
            As `get`.
        """
        with self.stream(path) as response:
            return b"".join(self._chunks(response))

    @contextlib.contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str] = {}
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """An answer that is read piece by piece, and given up if it is not read to its end.

        Raises:
            As `get`.
        """
        response = self._send("GET", path, headers=headers, repeats=True)
        if response.status >= 300:
            self._json(response)
        try:
            yield response
        finally:
            response.close()

    def _chunks(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        from urllib3 import exceptions

        try:
            yield from response.stream(CHUNK_BYTES)
        except exceptions.HTTPError as error:
            raise self.lost(error) from error

    def lost(self, error: Exception) -> errors.RemoteError:
        """The error for a connection that failed."""
        return errors.RemoteError(
            f"The studio at {self._base} cannot be reached: {error}. See that it runs, and that "
            "its address and certificate are right."
        )

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Mapping[str, Any] | Form | None = None,
        headers: Mapping[str, str] = {},
        repeats: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        """Send a request, again if the studio is busy or was not reached.

        Args:
            method: Of HTTP.
            path: The address below the studio's.
            query: Options in the address.
            body: JSON or a form.
            headers: More headers.
            repeats: Whether it may be sent again after it may have been received.
        """
        from urllib3 import exceptions

        address = f"{self._base}{quote(path)}"
        if query:
            address += f"?{urlencode(query, doseq=True)}"
        last: Exception | None = None
        for attempt in range(self._retries + 1):
            pause_s = min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S)
            content, about = _content(body)
            try:
                response = self._pool.request(
                    method,
                    address,
                    body=content,
                    headers={**self._headers, **about, **headers},
                    preload_content=False,
                    redirect=False,
                )
            except (exceptions.SSLError, exceptions.LocationValueError) as error:
                raise self.lost(error) from error
            except exceptions.HTTPError as error:
                last = error
                # A timeout of connecting, too: nothing was sent.
                unsent = (exceptions.NewConnectionError, exceptions.ConnectTimeoutError)
                if not repeats and not isinstance(error, unsent):
                    raise errors.RemoteError(
                        f"The connection was lost before the studio at {self._base} answered: "
                        f"{error}. It may have done what it was asked for: look before you repeat "
                        "it."
                    ) from error
            else:
                wait_s = response.headers.get("Retry-After", "")
                is_busy = response.status in BUSY and wait_s.isascii() and wait_s.isdecimal()
                if not is_busy or attempt == self._retries:
                    return response
                response.drain_conn()
                pause_s = min(max(float(wait_s[:9]), pause_s), LONGEST_PAUSE_S)
            if attempt < self._retries:
                self._pause(pause_s)
        raise self.lost(last or errors.RemoteError("no answer")) from last

    def _json(self, response: urllib3.BaseHTTPResponse, wanted: str = "") -> Any:
        """The JSON of an answer, or its error."""
        from urllib3 import exceptions

        try:
            data = response.read()
        except exceptions.HTTPError as error:
            raise self.lost(error) from error
        finally:
            response.release_conn()
        try:
            body = json.loads(data)
        except ValueError:
            body = None
        if isinstance(body, dict) and (response.status < 300 or wanted in body):
            return body
        raise self.error(response.status, body, response.headers.get("Retry-After", ""))

    def error(self, status: int, body: Any, retry_after: str = "") -> errors.TriptychError:
        """The error in an answer.

        Args:
            status: Of HTTP.
            body: The JSON of the answer, if it is JSON.
            retry_after: The header.
        """
        about = body.get("error") if isinstance(body, dict) else None
        if not isinstance(about, dict) or not isinstance(about.get("message"), str):
            return errors.RemoteError(
                f"{self._base} answered with status {status} and no answer of a studio. See that "
                "the address is that of a studio, with its path prefix.",
                status=status,
            )
        code, message = str(about.get("code")), about["message"]
        kind = _kinds().get(code)
        if kind is None or issubclass(kind, errors.RemoteError):
            return errors.RemoteError(message, code=code, status=status)
        if issubclass(kind, errors.Overloaded):
            wait_s = int(retry_after) if retry_after.isascii() and retry_after.isdecimal() else 1
            return kind(message, retry_after_s=wait_s)
        if issubclass(kind, errors.Conflict):
            photos = records.read_all(records.Photo, body.get("photos", ()))
            return kind(message, photos=photos)
        return kind(message)


def _content(body: Mapping[str, Any] | Form | None) -> tuple[Any, dict[str, str]]:
    """A body as urllib3 takes it, and the headers that describe it."""
    if body is None:
        return None, {}
    if isinstance(body, Form):
        length = str(body.size_bytes)
        return body.chunks(), {"Content-Type": body.content_type, "Content-Length": length}
    data = json.dumps(body, allow_nan=False).encode()
    return data, {"Content-Type": "application/json"}


@functools.cache
def _kinds() -> dict[str, type[errors.TriptychError]]:
    """The errors of `triptych.errors` by their codes."""
    kinds, todo = {}, [errors.TriptychError]
    for kind in todo:
        kinds[kind.code] = kind
        todo += [each for each in kind.__subclasses__() if each.__module__ == errors.__name__]
    return kinds


def in_parts(items: Sequence[T], send: Callable[[Sequence[T]], R]) -> list[R]:
    """Send things at once, or in smaller parts if they are too much for one request.

    Args:
        items: At least one.
        send: Sends some of them.

    Raises:
        errors.RemoteError: A single one is too much; and what else `send` raises.
    """
    try:
        return [send(items)]
    except errors.RemoteError as error:
        if error.status != TOO_LARGE or len(items) == 1:
            raise
    half = len(items) // 2
    return [*in_parts(items[:half], send), *in_parts(items[half:], send)]
