"""Have the C library give large blocks of memory back to the system."""

from __future__ import annotations

import ctypes
import os

# Below the rows and bands that unpacking allocates again and again, above whole pictures.
LARGE_BYTES = 1 << 20
# The free end of a heap that stays: what one photo takes in blocks below `LARGE_BYTES`.
KEPT_BYTES = 4 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# By these an administrator sets the same; what they say stays.
_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def return_large_blocks() -> bool:
    """Give blocks of a megabyte and more back to the system as soon as they are freed.

    glibc raises its threshold for that to the size of each large block that is freed, up to 32 MB.
    After some photos it therefore takes their pictures from the heaps of its threads, which keep
    them: one for each thread, a gigabyte or two in all. A fixed threshold prevents that.

    Once it is fixed, glibc also returns the free end of a heap from 128 kB on, and fetches it again
    for the next photo, page by page (measured with lite at int8: 70 page faults a photo, 0.2 ms
    in the kernel; with `KEPT_BYTES` 2 faults). So the end of each heap is kept up to `KEPT_BYTES`.

    Call this at the start of a process; C libraries other than glibc are left as they are.

    Returns:
        Whether the threshold was set.

    Source: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
    """
    if any(os.environ.get(variable) for variable in _VARIABLES):
        return False
    try:
        libc = ctypes.CDLL(None)
        # Other C libraries number their options otherwise.
        is_glibc = hasattr(libc, "gnu_get_libc_version")
        if not is_glibc or not libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES):
            return False
        if not os.environ.get("MALLOC_TRIM_THRESHOLD_"):
            libc.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        return True
    except (OSError, AttributeError, TypeError):
        return False
