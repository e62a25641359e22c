"""Freed memory returns to the system; tested in a child, as the setting is per process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

# Blocks as pictures are, freed in the order that lets glibc raise its threshold: without the switch
# they are taken from the heap, where the last one keeps all before it.
PROGRAM = """
import ctypes, sys
from triptych.utils import allocator
is_set = allocator.return_large_blocks() if sys.argv[1] == "on" else None
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
def rss():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20
libc.free(libc.malloc(30 * 2**20))
before, blocks = rss(), []
for _ in range(10):
    large, last = libc.malloc(20 * 2**20), libc.malloc(600 * 2**10)
    ctypes.memset(large, 1, 20 * 2**20)
    blocks.append(large)
for large in blocks:
    libc.free(large)
print(is_set, round(rss() - before))
"""


def memory_after(switch: str, **environment: str) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, switch],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    is_set, megabytes = done.stdout.split()
    return is_set, int(megabytes)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_blocks_go_back_to_the_system() -> None:
    assert memory_after("off")[1] > 150, "glibc does so by itself: the switch is needed no more"
    is_set, megabytes = memory_after("on")
    assert is_set == "True"
    assert megabytes < 20


def test_what_an_administrator_set_stays() -> None:
    assert memory_after("on", MALLOC_MMAP_THRESHOLD_=str(64 * 2**20))[0] == "False"
