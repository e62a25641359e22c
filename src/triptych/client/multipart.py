"""Forms with files, which are sent piece by piece: no file is held in memory.

Source: RFC 7578, Returning Values from Forms: multipart/form-data (2015).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from triptych import errors

CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class File:
    """A file to be sent.

    Args:
        name: What it is called.
        content: Its bytes, or where it is.
    """

    name: str
    content: bytes | Path

    @property
    def size_bytes(self) -> int:
        """Its size.

        Raises:
            errors.SourceError: It cannot be read.
        """
        if isinstance(self.content, bytes):
            return len(self.content)
        try:
            return self.content.stat().st_size
        except OSError as error:
            raise _unreadable(self.content, error) from error

    def chunks(self) -> Iterator[bytes]:
        """Its bytes, piece by piece.

        Raises:
            errors.SourceError: It cannot be read.
        """
        if isinstance(self.content, bytes):
            yield self.content
            return
        try:
            with self.content.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            raise _unreadable(self.content, error) from error


def _unreadable(path: Path, error: OSError) -> errors.SourceError:
    return errors.SourceError(f"{str(path)!r} cannot be read: {error.strerror}.")


@dataclass(frozen=True)
class Form:
    """A form.

    Args:
        fields: Names and values.
        files: Names of fields and files.

    Example:
        >>> form = Form([("class_name", "bees")], [("photo", File("a.jpg", b"bytes"))])
        >>> len(b"".join(form.chunks())) == form.size_bytes
        True
    """

    fields: Sequence[tuple[str, str]]
    files: Sequence[tuple[str, File]]
    boundary: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def content_type(self) -> str:
        """The value of the header."""
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def size_bytes(self) -> int:
        """Bytes of the body.

        Raises:
            errors.SourceError: A file cannot be read.
        """
        heads = sum(len(head) + len(b"\r\n") for head, _ in self._parts())
        contents = sum(
            content.size_bytes if isinstance(content, File) else len(content)
            for _, content in self._parts()
        )
        return heads + contents + len(self._end)

    def chunks(self) -> Iterator[bytes]:
        """The body, piece by piece.

        Raises:
            errors.SourceError: A file cannot be read, or has another size than before.
        """
        for head, content in self._parts():
            yield head
            if isinstance(content, File):
                size, sent = content.size_bytes, 0
                for chunk in content.chunks():
                    sent += len(chunk)
                    yield chunk
                if sent != size:
                    raise errors.SourceError(
                        f"{content.name!r} changed while it was sent: it had {size:,} bytes, then "
                        f"{sent:,}. Send it again."
                    )
            else:
                yield content
            yield b"\r\n"
        yield self._end

    @property
    def _end(self) -> bytes:
        return f"--{self.boundary}--\r\n".encode()

    def _parts(self) -> Iterator[tuple[bytes, bytes | File]]:
        for name, value in self.fields:
            yield self._head(name), value.encode()
        for name, file in self.files:
            yield self._head(name, file.name or "photo"), file

    def _head(self, name: str, file_name: str | None = None) -> bytes:
        disposition = f'form-data; name="{_escaped(name)}"'
        more = ""
        if file_name is not None:
            disposition += f'; filename="{_escaped(file_name)}"'
            more = "Content-Type: application/octet-stream\r\n"
        head = f"--{self.boundary}\r\nContent-Disposition: {disposition}\r\n{more}\r\n"
        return head.encode(errors="replace")


def _escaped(name: str) -> str:
    """A name as browsers write it into a form; what parsers disagree about becomes a low line.

    Source: HTML, section 4.10.21.8, multipart form data (WHATWG living standard).
    """
    safe = "".join("_" if each == "\\" or not each.isprintable() else each for each in name)
    return safe.replace('"', "%22")
