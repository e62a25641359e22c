"""The uploads: real photos, one of them in two sizes, and typical mistakes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from triptych import images

PHOTOS = 48
SEED = 0
LARGE_PX = (4000, 3000)
SMALL_PX = (516, 387)
TOO_MANY_PX = (8000, 7000)
NOISE = 6.0  # standard deviation in levels of 255; without it a 12-megapixel JPEG decodes too fast


@dataclass(frozen=True)
class Upload:
    """One file to post.

    Args:
        file: Its path.
        kind: A description, for people.
        type: ``None`` posts it in a form; a content type posts it as the body.
        good: Whether it can be classified.
    """

    file: Path
    kind: str = "photo"
    type: str | None = None
    good: bool = True


def photos(folder: Path) -> list[Upload]:
    """Some photos of a folder, evenly spaced, always the same.

    Raises:
        SystemExit: There are none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not paths:
        raise SystemExit(f"There are no .jpg photos in {folder}; name a folder with --photos.")
    return [Upload(path) for path in paths[:: max(1, len(paths) // PHOTOS)][:PHOTOS]]


def two_sizes(photo: Upload, folder: Path) -> dict[str, Upload]:
    """The same photo with 0.2 and with 12 megapixels."""
    return {
        name: Upload(_write(folder / f"{name}.jpg", _enlarged(photo.file, size)), name)
        for name, size in (("0.2 MP", SMALL_PX), ("12 MP", LARGE_PX))
    }


def mistakes(photo: Upload, folder: Path) -> list[Upload]:
    """Six mistakes of clients."""
    data = photo.file.read_bytes()
    plain = io.BytesIO()
    # A JPEG of this size would be unpacked at a reduced scale.
    Image.new("L", TOO_MANY_PX).save(plain, "PNG")
    files = {
        "text": b"This is not a photo.\n" * 100,
        "truncated": data[: len(data) // 3],
        "empty": b"",
        "too many bytes": data + bytes(images.DEFAULT_LIMITS.max_bytes),
        "too many pixels": plain.getvalue(),
    }
    bad = [Upload(_write(folder / kind, body), kind, good=False) for kind, body in files.items()]
    return [*bad, Upload(photo.file, "wrong content type", "text/html", good=False)]


def _enlarged(path: Path, size: tuple[int, int]) -> bytes:
    with Image.open(path) as photo:
        pixels = np.asarray(photo.convert("RGB").resize(size, Image.Resampling.BICUBIC))
    noise = np.random.default_rng(SEED).normal(0, NOISE, pixels.shape)
    noisy = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    written = io.BytesIO()
    Image.fromarray(noisy).save(written, "JPEG", quality=92)
    return written.getvalue()


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
