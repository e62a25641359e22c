"""Small files that are kept: written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def replace(path: Path, data: bytes) -> None:
    """Write a file in place of the one that is there, if any; nobody ever reads half of it.

    Args:
        path: The file; its folder is there.
        data: What it shall hold.

    Raises:
        OSError: It cannot be written; what was there is still there.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as scratch:
        whole = Path(scratch) / path.name
        with whole.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(whole, path)
