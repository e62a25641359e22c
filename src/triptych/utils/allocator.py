"""Have the C library give large blocks of memory back to the system."""

from __future__ import annotations

import ctypes
import os

# Below the rows and bands that unpacking allocates again and again, above whole pictures.
LARGE_BYTES = 1 << 20
_M_MMAP_THRESHOLD = -3
# By these an administrator sets the same; what they say stays.
_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def return_large_blocks() -> bool:
    """Give blocks of a megabyte and more back to the system as soon as they are freed.

    glibc raises its threshold for that to the size of each large block that is freed, up to 32 MB.
    After some photos it therefore takes their pictures from the heaps of its threads, which keep
    them: one for each thread, a gigabyte or two in all. A fixed threshold prevents that. Call this
    at the start of a process; C libraries other than glibc are left as they are.

    Returns:
        Whether the threshold was set.

    Source: mallopt(3), M_MMAP_THRESHOLD.
    """
    if any(os.environ.get(variable) for variable in _VARIABLES):
        return False
    try:
        libc = ctypes.CDLL(None)
        # Other C libraries number their options otherwise.
        is_glibc = hasattr(libc, "gnu_get_libc_version")
        return is_glibc and bool(libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES))
    except (OSError, AttributeError, TypeError):
        return False
