"""Read torch's weight files of 2020 and before, without torch and without trusting them.

Such a file is five pickles (magic number, protocol, machine, state dict, list of storage keys) and
then, for each key, a count and that many raw numbers (torch/serialization.py: _legacy_save). A
pickle is a program. This reader lets it call four harmless names only, so a file can describe
tensors and nothing else.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
import reprlib
from pathlib import Path
from typing import Any
from typing import ClassVar
from typing import NamedTuple

import numpy as np

from triptych import errors
from triptych.typing import Array

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
DTYPES: dict[str, np.dtype[Any]] = {
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.LongStorage": np.dtype("<i8"),
}
MAX_RANK = 8


class Storage(NamedTuple):
    """A flat array of numbers that one tensor is a view of."""

    key: str
    dtype: str
    length: int


class View(NamedTuple):
    """A tensor before its storage is read; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: str | Path) -> dict[str, Array]:
    """Read the tensors of a ``.pth`` file, and refuse the file if it holds anything else.

    Args:
        path: A state dict saved by torch in its format of 2020 and before.

    Returns:
        New contiguous arrays, float32 or int64, by name.

    Raises:
        errors.WeightsDamaged: The file is in another format, cut off, inconsistent, or calls for
            something that is no tensor; the message names it.
        OSError: The file cannot be opened.
    """
    # Whole in memory: a size claimed in the file can then not take more than the file has.
    stream = io.BytesIO(Path(path).read_bytes())
    try:
        _check_header(stream)
        views = _views(_load(stream))
        numbers = _storages(stream, views)
        return {name: _array(name, view, numbers[view.storage]) for name, view in views.items()}
    except errors.WeightsDamaged as error:
        raise errors.WeightsDamaged(
            f"{Path(path).name} is refused: {error} Expected tensors as torch saved them in 2020; "
            "fetch the file again from where it was published."
        ) from None


# Why not the public `pickle.Unpickler`: it is written in C, and allocates its memo up to any index
# that a damaged file names, so a few bytes could take all memory. The one written in Python, which
# the standard library keeps as its reference, has a dictionary.
class _Unpickler(pickle._Unpickler):
    """Runs a pickle that may build tensors and dictionaries of them."""

    # BYTEARRAY8 allocates any size that a file names, too; torch never writes it.
    dispatch: ClassVar = {
        opcode: step
        for opcode, step in pickle._Unpickler.dispatch.items()
        if opcode != pickle.BYTEARRAY8[0]
    }

    def find_class(self, module: str, name: str) -> Any:
        """Resolve the few names that a state dict needs, and refuse all others."""
        wanted = f"{module}.{name}"
        if wanted == "collections.OrderedDict":
            return collections.OrderedDict
        if wanted == "torch._utils._rebuild_tensor_v2":
            return self._view
        if wanted in DTYPES:
            return wanted  # a string: it cannot be called, and takes no attributes
        raise errors.WeightsDamaged(f"It calls {wanted!r}, which is no tensor.")

    def persistent_load(self, pid: Any) -> Storage:
        """A storage: ("storage", type, key, place, length, whose part it is or None)."""
        kind, dtype, key, _, length, whose_part = pid
        if kind != "storage" or dtype not in DTYPES or type(key) is not str or whose_part:
            raise errors.WeightsDamaged(f"It describes a storage as {reprlib.repr(pid)}.")
        return Storage(key, dtype, _natural(length))

    def _view(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> View:
        if type(storage) is not Storage or not len(shape) == len(strides) <= MAX_RANK:
            raise errors.WeightsDamaged("It describes a tensor without a storage or a layout.")
        return View(
            storage,
            _natural(offset),
            tuple(_natural(size) for size in shape),
            tuple(_natural(stride) for stride in strides),
        )


def _natural(number: Any) -> int:
    if type(number) is not int or number < 0:
        excerpt = reprlib.repr(number)
        raise errors.WeightsDamaged(f"It has {excerpt} where a size or position belongs.")
    return number


def _load(stream: io.BytesIO) -> Any:
    """The next pickle, which ends where it says so itself."""
    start = stream.tell()
    try:
        return _Unpickler(stream).load()
    except errors.WeightsDamaged:
        raise
    except Exception as error:  # a damaged pickle may raise anything, says pickle's manual
        raise errors.WeightsDamaged(
            f"It has no whole pickle at byte {start} ({type(error).__name__}: {error})."
        ) from None


def _check_header(stream: io.BytesIO) -> None:
    if stream.read(2) == b"PK":
        raise errors.WeightsDamaged("It is an archive, the format of newer torch.")
    stream.seek(0)
    if _load(stream) != MAGIC or _load(stream) != PROTOCOL:
        raise errors.WeightsDamaged("It does not begin like a file of torch.")
    machine = _load(stream)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise errors.WeightsDamaged("It does not say that its numbers are little-endian.")


def _views(content: Any) -> dict[str, View]:
    if not isinstance(content, dict):
        raise errors.WeightsDamaged(f"It holds a {type(content).__name__}, no state dict.")
    # Not `content.items()`: a pickle can set any attribute of an OrderedDict, also that one.
    views = dict(dict.items(content))
    for name, view in views.items():
        if type(name) is not str or type(view) is not View:
            what = f"a {type(view).__name__} under {reprlib.repr(name)}"
            raise errors.WeightsDamaged(f"It holds {what}.")
    return views


def _storages(stream: io.BytesIO, views: dict[str, View]) -> dict[Storage, Array]:
    """The raw numbers, which follow the pickles in the order of the last one's keys."""
    keys = _load(stream)
    by_key = {view.storage.key: view.storage for view in views.values()}
    # Each tensor has its own storage: many views of one would let a small file fill the memory.
    if type(keys) is not list or not len(keys) == len(by_key) == len(views):
        raise errors.WeightsDamaged("Its list of storages does not match its tensors.")
    if any(type(key) is not str or key not in by_key for key in keys):
        raise errors.WeightsDamaged("Its list of storages does not match its tensors.")
    numbers = {by_key[key]: _numbers(stream, by_key[key]) for key in keys}
    if stream.read(1):
        raise errors.WeightsDamaged("It goes on after its last number.")
    return numbers


def _numbers(stream: io.BytesIO, storage: Storage) -> Array:
    dtype = DTYPES[storage.dtype]
    size_bytes = storage.length * dtype.itemsize
    length = int.from_bytes(stream.read(8), "little")
    data = stream.getbuffer()[stream.tell() :][:size_bytes]
    stream.seek(len(data), io.SEEK_CUR)
    if length != storage.length or len(data) != size_bytes:
        raise errors.WeightsDamaged(f"Its storage {storage.key!r} is cut off or misplaced.")
    return np.frombuffer(data, dtype)


def _array(name: str, view: View, numbers: Array) -> Array:
    """The tensor as an array of its own, after checking that it stays inside its storage."""
    steps = [(n - 1) * step for n, step in zip(view.shape, view.strides, strict=True)]
    # At most as many elements as the storage has: more would mean strides of 0.
    fits = 0 < math.prod(view.shape) <= len(numbers) and view.offset + sum(steps) < len(numbers)
    if not fits:
        raise errors.WeightsDamaged(f"Its tensor {name!r} reaches outside its storage.")
    # The stride of an axis of length 1 is never used, and may be any number.
    strides = [
        stride * numbers.itemsize if n > 1 else 0
        for n, stride in zip(view.shape, view.strides, strict=True)
    ]
    strided = np.lib.stride_tricks.as_strided(numbers[view.offset :], view.shape, strides)
    return strided.copy()
