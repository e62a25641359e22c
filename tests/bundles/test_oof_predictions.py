"""Out-of-fold predictions in a bundle: written, read, and refused if their hash is wrong."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.bundles import fill
from triptych import bundles
from triptych import errors
from triptych.bundles import oof_predictions
from triptych.bundles.oof_predictions import OOFPredictions

PHOTOS = 6


def some(classes: int = 2) -> OOFPredictions:
    rng = np.random.default_rng(1)
    return OOFPredictions(
        digests=rng.integers(0, 256, (PHOTOS, 32), dtype=np.uint8),
        targets=np.arange(PHOTOS) % classes,
        probs=rng.dirichlet([1] * classes, PHOTOS).astype(np.float32),
        held_out=np.arange(PHOTOS) > 3,
        sources=np.array([f"Käfer/{number}.jpg" for number in range(PHOTOS)]),
    )


def written(home: Path, change: Callable[[Path], Any]) -> bundles.Bundle:
    def filled(folder: Path) -> dict[str, Any]:
        change(folder)
        return fill(folder)

    return bundles.write(home, "garden", filled)


def test_predictions_survive_writing_and_reading(tmp_path: Path) -> None:
    saved = some()
    loaded = written(tmp_path, saved.save).predictions()
    assert loaded is not None
    for name in oof_predictions.DTYPES:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))
    assert loaded.keys == [bytes(row).hex() for row in saved.digests]


def test_the_old_names_of_arrays_are_deprecated() -> None:
    predictions = some()
    with pytest.deprecated_call(match=r"now OOFPredictions\.targets"):
        assert predictions.truth is predictions.targets
    with pytest.deprecated_call(match=r"now OOFPredictions\.held_out"):
        assert predictions.held is predictions.held_out


def test_a_bundle_without_predictions_has_none(tmp_path: Path) -> None:
    assert written(tmp_path, lambda folder: None).predictions() is None


def test_predictions_without_a_listed_hash_are_not_read(tmp_path: Path) -> None:
    bundle = written(tmp_path, lambda folder: None)
    some().save(bundle.folder)
    assert bundle.predictions() is None


def test_predictions_with_a_wrong_hash_are_refused(tmp_path: Path) -> None:
    bundle = written(tmp_path, some().save)
    dataclasses.replace(some(), held_out=np.ones(PHOTOS, bool)).save(bundle.folder)
    with pytest.raises(errors.BundleError, match="its hash differs"):
        bundle.predictions()


def _arrays(**changed: Any) -> Callable[[Path], None]:
    names = oof_predictions.NAMES_IN_FILE
    arrays = {**{key: getattr(some(), name) for name, key in names.items()}, **changed}
    present = {name: array for name, array in arrays.items() if array is not None}
    return lambda folder: np.savez(folder / oof_predictions.FILE, allow_pickle=True, **present)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize(
    "change",
    [
        _arrays(probs=None),
        _arrays(probs=some().probs[:, 0]),
        _arrays(probs=np.full((PHOTOS, 2), np.nan)),
        _arrays(probs=-some().probs),
        _arrays(truth=np.full(PHOTOS, 2)),
        _arrays(truth=np.full(PHOTOS, -1)),
        _arrays(held=np.ones(3, bool)),
        _arrays(digests=np.ones((PHOTOS, 20), np.uint8)),
        _arrays(sources=np.array([Bomb()] * PHOTOS, object)),
        lambda folder: (folder / oof_predictions.FILE).write_bytes(pickle.dumps(Bomb())),
        lambda folder: (folder / oof_predictions.FILE).write_bytes(b""),
        lambda folder: (folder / oof_predictions.FILE).write_bytes(b"PK\x03\x04 and no more"),
    ],
)
def test_damaged_predictions_are_refused(change: Callable[[Path], Any], tmp_path: Path) -> None:
    bundle = written(tmp_path, change)
    with pytest.raises(errors.BundleError, match=r"answers\.npz cannot be read: .*Train"):
        bundle.predictions()


def test_predictions_for_other_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.BundleError, match="for 3 classes, and the bundle has 2"):
        written(tmp_path, some(classes=3).save).predictions()


def test_predictions_contain_no_pickle(tmp_path: Path) -> None:
    some().save(tmp_path)
    with np.load(tmp_path / oof_predictions.FILE, allow_pickle=False) as file:
        assert json.dumps(sorted(file)) == json.dumps(
            ["digests", "held", "probs", "sources", "truth"]
        )
