"""Files of arrays, ``.npz``, that may come from anybody: bounded before anything is allocated."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import IO
from typing import Any

import numpy as np
from numpy.lib import format as npy

from triptych.utils import files

# Below this a file may unpack to any size; above, to so many times its own.
ALWAYS_ALLOWED_BYTES = 256 << 20
MAX_RATIO = 10
# What damaged files make NumPy raise, which reads headers as Python literals.
READ_ERRORS = (
    *files.ZIP_ERRORS,
    KeyError,
    MemoryError,
    OverflowError,
    SyntaxError,
    TypeError,
)
_READ_HEADER = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npz(path: Path) -> Mapping[str, np.ndarray[Any, Any]]:
    """Read all arrays of a file; none is a pickle.

    Args:
        path: As `numpy.savez` writes it.

    Raises:
        ValueError: It is damaged, or its arrays would take far more memory than its size explains.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "a.npz")
        >>> np.savez(path, sizes=np.array([2, 3]))
        >>> read_npz(path)["sizes"]
        array([2, 3])
    """
    try:
        with path.open("rb") as raw, zipfile.ZipFile(raw) as archive:
            members = archive.infolist()
            total, most = sum(info.file_size for info in members), path.stat().st_size * MAX_RATIO
            if total > max(ALWAYS_ALLOWED_BYTES, most):
                raise ValueError(f"its arrays would take {total >> 20:,} MB")
            for info in members:
                with archive.open(info) as file:
                    _check_header(file, info)
            raw.seek(0)
            with np.load(raw, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
    except READ_ERRORS as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _check_header(file: IO[bytes], info: zipfile.ZipInfo) -> None:
    """Refuse an array whose header promises other than what follows; NumPy would allocate it."""
    read_header = _READ_HEADER.get(npy.read_magic(file))
    if read_header is None:
        raise ValueError(f"{info.filename} is no array of a known version")
    shape, _, dtype = read_header(file)
    if dtype.hasobject or prod(shape) * dtype.itemsize != info.file_size - file.tell():
        raise ValueError(f"{info.filename} is not the array that its header promises")
