"""Freed memory returns to the system; tested in a child, as the setting is per process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

# How each program begins.
LIBC = """
import ctypes, resource, sys, threading
from triptych.utils import allocator
is_set = allocator.return_large_blocks() if sys.argv[1] == "on" else None
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
"""

# Blocks as pictures are, freed in the order that lets glibc raise its threshold: without the switch
# they are taken from the heap, where the last one keeps all before it.
PROGRAM = f"""{LIBC}
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

# Blocks as the inputs of networks are, in a thread, which has a heap of its own.
FAULTS = f"""{LIBC}
def work():
    for _ in range(50):
        blocks = [libc.malloc(600 * 2**10) for _ in range(3)]
        for block in blocks:
            ctypes.memset(block, 1, 600 * 2**10)
        for block in reversed(blocks):
            libc.free(block)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(is_set, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def counted(switch: str, program: str = PROGRAM, **environment: str) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", program, switch],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    is_set, count = done.stdout.split()
    return is_set, int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_blocks_go_back_to_the_system() -> None:
    assert counted("off")[1] > 150, "glibc does so by itself: the switch is needed no more"
    is_set, megabytes = counted("on")
    assert is_set == "True"
    assert megabytes < 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_smaller_blocks_are_not_fetched_from_the_system_again_and_again() -> None:
    once = 3 * 600 * 1024 // os.sysconf("SC_PAGE_SIZE")
    is_set, faults = counted("on", FAULTS)
    assert is_set == "True"
    assert faults < 4 * once  # 50 times where the heap is returned each time


def test_what_an_administrator_set_stays() -> None:
    assert counted("on", MALLOC_MMAP_THRESHOLD_=str(64 * 2**20))[0] == "False"
