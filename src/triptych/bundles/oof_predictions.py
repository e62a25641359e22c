"""What a committee said of photos that it had not learned, kept in its bundle photo by photo.

Photos that were held back are answered by the committee itself. The training photos are answered
by heads that were trained on the other folds, joined and calibrated as the committee is. So no
answer knew its photo, and each can be held against the photo's class.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych import bundles
from triptych import errors

FILE = "answers.npz"
ARRAYS = ("digests", "truth", "probs", "held", "sources")
DIGEST_BYTES = 32

# What damaged files make NumPy's reader raise.
_DAMAGES = (OSError, EOFError, ValueError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Answers:
    """Answers to N photos of C classes.

    Args:
        digests: SHA-256 of each photo's bytes, uint8, shape (N, 32).
        truth: The class each photo had when the committee was taught, an index of the bundle's
            labels, shape (N,).
        probs: Calibrated, float32, shape (N, C), rows summing to 1.
        held: Which photos were held back to measure with, bool, shape (N,).
        sources: What each photo is called, for people, shape (N,).

    Raises:
        errors.SettingError: The arrays do not fit together.
    """

    digests: npt.NDArray[np.uint8]
    truth: npt.NDArray[np.int64]
    probs: npt.NDArray[np.float32]
    held: npt.NDArray[np.bool_]
    sources: npt.NDArray[np.str_]

    def __post_init__(self) -> None:
        photos, classes = self.probs.shape if self.probs.ndim == 2 else (-1, 0)
        shapes = {"digests": (photos, DIGEST_BYTES)}
        for name in ARRAYS:
            array, expected = getattr(self, name), shapes.get(name, (photos,))
            if name != "probs" and array.shape != expected:
                raise errors.SettingError(
                    f"Got {name} of shape {array.shape} for answers of shape {self.probs.shape}; "
                    f"expected {expected}."
                )
        sound = np.isfinite(self.probs).all() and (self.probs >= 0).all()
        if not sound or (photos and not 0 <= self.truth.min() <= self.truth.max() < classes):
            raise errors.SettingError(
                "Got answers with impossible numbers; expected probabilities, and a class of each "
                f"photo from 0 to {classes - 1}."
            )

    @property
    def keys(self) -> list[str]:
        """The photos' digests in hexadecimal digits, length N."""
        return [row.tobytes().hex() for row in self.digests]

    def save(self, folder: Path) -> None:
        """Write the answers into the folder of a bundle that is being written."""
        arrays: Mapping[str, Any] = {name: getattr(self, name) for name in ARRAYS}
        np.savez_compressed(folder / FILE, allow_pickle=False, **arrays)

    @classmethod
    def read(cls, taught: bundles.Bundle) -> Answers | None:
        """The answers that lie in a bundle; ``None`` where there are none, as in imported ones.

        Raises:
            errors.BundleError: They are damaged.
        """
        if FILE not in taught.about["files"]:  # as all that is read: only what has a hash
            return None
        bundles.check_files(taught.folder, taught.about, suffixes=(FILE,))
        path = taught.folder / FILE
        try:
            # Opened here: NumPy leaves open what it cannot read.
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                found = cls(**{name: _typed(name, file[name]) for name in ARRAYS})
        except (*_DAMAGES, errors.SettingError) as error:
            raise errors.BundleError(
                f"{path} cannot be read: {error}. Teach the committee anew."
            ) from error
        if found.probs.shape[1] != len(taught.labels):
            raise errors.BundleError(
                f"{path} has answers for {found.probs.shape[1]} classes, and the bundle has "
                f"{len(taught.labels)}. Teach the committee anew."
            )
        return found


_TYPES: Mapping[str, Any] = {
    "digests": np.uint8,
    "truth": np.int64,
    "probs": np.float32,
    "held": np.bool_,
    "sources": np.str_,
}


def _typed(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.astype(_TYPES[name])
