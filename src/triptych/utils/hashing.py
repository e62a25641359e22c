"""Hashes of files, read in pieces."""

from __future__ import annotations

import hashlib
from pathlib import Path

CHUNK_BYTES = 1 << 20


def digest(path: Path, algorithm: str = "sha256") -> str:
    """The hash of a file, in hexadecimal.

    Args:
        path: The file.
        algorithm: ``"sha256"``, or ``"md5"`` where an origin publishes nothing better.
    """
    found = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()
