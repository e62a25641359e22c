"""Out-of-fold (OOF) predictions: predictions for photos by models not trained on them.

Held-out photos are predicted by the committee itself. Each training photo is predicted by heads
that were trained on the other folds, combined and calibrated like the committee. So each prediction
can be compared with the photo's label: it comes from a model that was not trained on the photo.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych import errors
from triptych.typing import Float32Array
from triptych.typing import Int64Array
from triptych.typing import Mask
from triptych.typing import UInt8Array
from triptych.utils import arrays

FILE = "answers.npz"
# Type of each array. In the file two of them keep the names that version 0.1.0 wrote.
DTYPES: Mapping[str, Any] = {
    "digests": np.uint8,
    "targets": np.int64,
    "probs": np.float32,
    "held_out": np.bool_,
    "sources": np.str_,
}
NAMES_IN_FILE = {name: name for name in DTYPES} | {"targets": "truth", "held_out": "held"}
DIGEST_BYTES = 32


@dataclass(frozen=True)
class OOFPredictions:
    """Out-of-fold predictions for N photos of C classes.

    Args:
        digests: SHA-256 of each photo's bytes, uint8, shape (N, 32).
        targets: The label each photo had when the committee was trained, an index of the bundle's
            labels, shape (N,); of a multi-label bundle whether each class held, 0 or 1, shape
            (N, C).
        probs: Calibrated probabilities, float32, shape (N, C), rows summing to 1 unless it is
            multi-label.
        held_out: Which photos were held out for evaluation, bool, shape (N,).
        sources: Name of each photo for people, shape (N,).

    Raises:
        errors.SettingError: The arrays do not fit together.

    Example:
        >>> OOFPredictions(
        ...     digests=np.zeros((1, 32), np.uint8),
        ...     targets=np.array([1]),
        ...     probs=np.array([[0.2, 0.8]], np.float32),
        ...     held_out=np.array([True]),
        ...     sources=np.array(["bees/1.jpg"]),
        ... ).keys[0][:8]
        '00000000'
    """

    digests: UInt8Array
    targets: Int64Array
    probs: Float32Array
    held_out: Mask
    sources: npt.NDArray[np.str_]

    def __post_init__(self) -> None:
        photos, classes = self.probs.shape if self.probs.ndim == 2 else (-1, 0)
        shapes = {"digests": (photos, DIGEST_BYTES)}
        if self.multilabel:
            shapes["targets"] = self.probs.shape
        for name in DTYPES:
            array, expected = getattr(self, name), shapes.get(name, (photos,))
            if name != "probs" and array.shape != expected:
                raise errors.SettingError(
                    f"Got {name} of shape {array.shape} for probs of shape {self.probs.shape}; "
                    f"expected {expected}."
                )
        are_probs = np.isfinite(self.probs).all() and (self.probs >= 0).all()
        values = 2 if self.multilabel else classes
        if not are_probs or (
            self.targets.size and not 0 <= self.targets.min() <= self.targets.max() < values
        ):
            what = "each class 0 or 1" if self.multilabel else f"a class from 0 to {classes - 1}"
            raise errors.SettingError(
                "Got predictions with impossible numbers; expected probabilities, and for each "
                f"photo {what}."
            )

    @property
    def multilabel(self) -> bool:
        """Whether they are those of a multi-label bundle."""
        return self.targets.ndim == 2

    @property
    def truth(self) -> Int64Array:
        """The old name of `targets`."""
        message = "OOFPredictions.truth is now OOFPredictions.targets"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return self.targets

    @property
    def held(self) -> Mask:
        """The old name of `held_out`."""
        message = "OOFPredictions.held is now OOFPredictions.held_out"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return self.held_out

    @property
    def keys(self) -> list[str]:
        """The photos' digests as hexadecimal digits, length N."""
        return [row.tobytes().hex() for row in self.digests]

    def save(self, folder: Path) -> None:
        """Write ``answers.npz`` into the folder of a bundle that is being written."""
        content: Mapping[str, Any] = {
            name_in_file: getattr(self, name) for name, name_in_file in NAMES_IN_FILE.items()
        }
        np.savez_compressed(folder / FILE, allow_pickle=False, **content)

    @classmethod
    def read(cls, path: Path, *, classes: int, multilabel: bool = False) -> OOFPredictions:
        """Read the file that `save` wrote; `Bundle.predictions` also checks its hash.

        Args:
            path: An ``answers.npz``.
            classes: How many classes its bundle has.
            multilabel: Whether its bundle is.

        Raises:
            errors.BundleError: It is damaged, or has another number of classes.
        """
        try:
            file = arrays.read_npz(path)
            predictions = cls(
                **{name: file[NAMES_IN_FILE[name]].astype(dtype) for name, dtype in DTYPES.items()}
            )
        except (KeyError, ValueError, errors.SettingError) as error:
            raise errors.BundleError(
                f"{path} cannot be read: {error}. Train the committee again."
            ) from error
        if predictions.multilabel != multilabel:
            raise errors.BundleError(
                f"{path} has targets of shape {predictions.targets.shape}; expected one "
                f"{'per class' if multilabel else 'class'} for each photo. Train the committee "
                "again."
            )
        if predictions.probs.shape[1] != classes:
            raise errors.BundleError(
                f"{path} has predictions for {predictions.probs.shape[1]} classes, and the bundle "
                f"has {classes}. Train the committee again."
            )
        return predictions
