"""Decode noise and mutilated images by `images.decode`; print the outcomes, as JSON.

Run alone, so that the peak memory is that of the decoding:

    python tests/support/fuzz_images.py fuzz 10000 2000
    python tests/support/fuzz_images.py large PATH
"""

from __future__ import annotations

import collections
import contextlib
import json
import random
import sys
import time
import warnings
from collections.abc import Iterator

import numpy as np

from support import image_formats
from triptych import errors
from triptych import images

SEED = 20240607

STARTS = [
    b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    b"\xff\xd8\xff\xc0\0\x11\x08\0\x40\0\x40\3\1\x22\0\2\x11\1\3\x11\1",
    b"\x89PNG\r\n\x1a\n",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"GIF89a\x40\0\x40\0\x80\0\0",
    b"RIFF\x40\x10\0\0WEBPVP8 ",
    b"RIFF\x40\x10\0\0WEBPVP8X\x0a\0\0\0",
    b"II*\0\x08\0\0\0\x09\0",
    b"MM\0*\0\0\0\x08\0\x09",
    b"BM\x40\x10\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x40\0\0\0\x40\0\0\0\1\0\x18\0",
    b"\0\0\0\x1cftypavif\0\0\0\0mif1miafMA1A",
    b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf",
]


def noise(chance: random.Random, count: int) -> Iterator[bytes]:
    """Random bytes of assorted lengths, a third of them behind the start of a real format."""
    for number in range(count):
        body = chance.randbytes(int(10 ** chance.uniform(0, 4.3)))
        yield (chance.choice(STARTS) if number % 3 == 0 else b"") + body


def mutilated(chance: random.Random, count: int) -> Iterator[bytes]:
    """Real files of every format after up to four accidents."""
    files = list(image_formats.valid().values())
    with contextlib.suppress(ImportError):
        files.append(image_formats.heic())
    for number in range(count):
        data = files[number % len(files)]
        for _ in range(chance.randint(1, 4)):
            data = chance.choice(ACCIDENTS)(chance, data, files)
        yield data


def _place(chance: random.Random, data: bytes) -> int:
    # Every other time near the start, where the headers are.
    return chance.randrange(min(len(data), 200) if chance.random() < 0.5 else len(data))


def flip(chance: random.Random, data: bytes, files: list[bytes]) -> bytes:
    at = _place(chance, data)
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def overwrite(chance: random.Random, data: bytes, files: list[bytes]) -> bytes:
    at, length = _place(chance, data), chance.choice([1, 2, 4, 16])
    return data[:at] + chance.choice([bytes, _full, chance.randbytes])(length) + data[at + length :]


def _full(length: int) -> bytes:
    return b"\xff" * length


def insert(chance: random.Random, data: bytes, files: list[bytes]) -> bytes:
    at = _place(chance, data)
    return data[:at] + chance.randbytes(chance.randint(1, 64)) + data[at:]


def delete(chance: random.Random, data: bytes, files: list[bytes]) -> bytes:
    at = _place(chance, data)
    return data[:at] + data[at + chance.randint(1, 64) :] or b"\0"


def cut(chance: random.Random, data: bytes, files: list[bytes]) -> bytes:
    return data[: max(1, int(len(data) * chance.uniform(0.5, 1)))]


def splice(chance: random.Random, data: bytes, files: list[bytes]) -> bytes:
    other = chance.choice(files)
    return data[: 1 + _place(chance, data)] + other[_place(chance, other) :]


ACCIDENTS = [flip, flip, flip, overwrite, overwrite, insert, delete, cut, splice]


def outcome(data: bytes) -> str:
    """The kind of outcome; errors other than `ImageError` are raised."""
    try:
        pixels = images.decode(data)
    except errors.ImageError as error:
        if not str(error).endswith((".", ")")):
            raise AssertionError(f"no sentence: {error}") from error
        return type(error).__name__
    sound = pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size
    if not sound:
        raise AssertionError(f"not a picture: {pixels.dtype} {pixels.shape}")
    return "array"


def peak_mb() -> float:
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(inputs: Iterator[bytes]) -> dict[str, object]:
    counts: collections.Counter[str] = collections.Counter()
    slowest = 0.0
    for data in inputs:
        start = time.process_time()
        counts[outcome(data)] += 1
        slowest = max(slowest, time.process_time() - start)
    return {"outcomes": dict(counts), "slowest_s": round(slowest, 3)}


def fuzz(noises: int, mutilations: int) -> dict[str, object]:
    chance = random.Random(SEED)
    for data in image_formats.valid().values():
        outcome(data)
    base_mb = peak_mb()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        noisy = run(noise(chance, noises))
        broken = run(mutilated(chance, mutilations))
    return {
        "noise": noisy,
        "mutilated": broken,
        "warnings": sorted({str(warning.message) for warning in caught}),
        "peak_growth_mb": round(peak_mb() - base_mb, 1),
    }


def large(path: str) -> dict[str, object]:
    images.decode(image_formats.valid()["png"])
    base_mb = peak_mb()
    height, width = images.load(path).shape[:2]
    return {"pixels": height * width, "peak_growth_mb": round(peak_mb() - base_mb, 1)}


if __name__ == "__main__":
    if sys.argv[1] == "fuzz":
        print(json.dumps(fuzz(int(sys.argv[2]), int(sys.argv[3])), indent=1))
    else:
        print(json.dumps(large(sys.argv[2])))
