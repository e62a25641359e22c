"""Type aliases used by several rooms; NumPy itself is imported only for type checkers.

Shapes are in the docstrings of what takes or returns an array: N photos, M members, C classes, D
features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from typing import TypeAlias

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[Any]"
Float32Array: TypeAlias = "npt.NDArray[np.float32]"
Float64Array: TypeAlias = "npt.NDArray[np.float64]"
Int64Array: TypeAlias = "npt.NDArray[np.int64]"
UInt8Array: TypeAlias = "npt.NDArray[np.uint8]"

# Upright RGB pixels, (height, width, 3).
UInt8Image: TypeAlias = "npt.NDArray[np.uint8]"
# Probabilities, each row sums to 1: (N, C) of one member, (M, N, C) of a committee.
Probs: TypeAlias = "npt.NDArray[np.floating[Any]]"
# The index of a class for each photo, (N,).
Labels: TypeAlias = "npt.NDArray[np.integer[Any]]"
# Positions in another array.
Indices: TypeAlias = "npt.NDArray[np.intp]"
Mask: TypeAlias = "npt.NDArray[np.bool_]"

# Called with the number done and the total.
Progress = Callable[[int, int], None]
# The same, with the name of the stage first.
StageProgress = Callable[[str, int, int], None]
# Bytes so far, and all bytes where they are known.
ByteProgress = Callable[[int, "int | None"], None]
# Called with a line of text for people.
Notify = Callable[[str], None]
# Polled now and then: whether the work is to stop.
ShouldStop = Callable[[], bool]
