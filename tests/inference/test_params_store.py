"""Stored fits: a user's own takes precedence, written atomically, damage is reported."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triptych import errors
from triptych.ensemble import fit
from triptych.ensemble.params import EnsembleParams
from triptych.inference import params_store
from triptych.models import zoo

PAIR = ("EfficientNetLite0", "VGG16")
LITE = zoo.COMMITTEES["lite"]


def fitted(members: int, *, photos: int = 60, seed: int = 0) -> EnsembleParams:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(4) / 3, (members, photos))
    return fit.fit(probs, rng.integers(0, 4, photos), costs=list(range(1, members + 1)))


def flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in flat(value[key])]
    return (
        [leaf for element in value for leaf in flat(element)]
        if isinstance(value, list)
        else [value]
    )


def test_parameters_are_stored_to_six_digits(tmp_path: Path) -> None:
    params = fitted(2)
    path = params_store.save(tmp_path, "custom", PAIR, params)
    stored = params_store.find(tmp_path, "lite", PAIR)
    assert stored is not None
    assert math.inf in stored.rules["mean"].quantiles
    for old, new in zip(flat(params.to_dict()), flat(stored.to_dict()), strict=True):
        assert new == (pytest.approx(old, abs=1e-6) if isinstance(old, float) else old)
    assert path.name == "EfficientNetLite0+VGG16.json"
    assert all(len(str(leaf)) < 10 for leaf in flat(stored.to_dict()) if isinstance(leaf, float))


def test_a_fit_for_other_members_or_another_order_does_not_count(tmp_path: Path) -> None:
    params_store.save(tmp_path, "custom", PAIR, fitted(2))
    assert params_store.find(tmp_path, "custom", PAIR[::-1]) is None
    assert params_store.find(tmp_path, "custom", PAIR[:1]) is None
    other = tmp_path / "fits" / "ResNet50+VGG16.json"
    (tmp_path / "fits" / "EfficientNetLite0+VGG16.json").rename(other)
    assert params_store.find(tmp_path, "custom", ("ResNet50", "VGG16")) is None


def test_a_users_fit_takes_precedence_over_the_shipped_one(tmp_path: Path) -> None:
    shipped = params_store.find(tmp_path, "lite", LITE)
    assert shipped is not None
    assert shipped.is_fitted
    users_fit = fitted(3)
    assert params_store.save(tmp_path, "lite", LITE, users_fit) == tmp_path / "fits" / "lite.json"
    stored = params_store.find(tmp_path, "lite", LITE)
    assert stored is not None
    assert stored.temperatures == pytest.approx(users_fit.temperatures, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text[: len(text) // 2], "Expecting|Unterminated|delimiter"),
        (lambda text: "", "Expecting value"),
        (lambda text: "[1, 2]", "fit is no object; expected one with: schema, committee"),
        (lambda text: "[" * 100_000, "nested too deeply"),
        (
            lambda text: text.replace('"schema": 1', '"schema": 7'),
            "schema 7, .* schema 1",
        ),
        (lambda text: text.replace('"weights"', '"weight"'), "doubt"),
        (lambda text: text.replace("VGG16", 'VGG16", "VGG19'), "3|VGG19"),
        (
            lambda text: text.replace('"members": [', '"members": 3, "m": ['),
            "fit.members is 3;",
        ),
        (lambda text: text.encode() + b"\xff", "decode"),
    ],
)
def test_a_damaged_file_is_named_with_a_remedy(tmp_path: Path, change: Any, reason: str) -> None:
    path = params_store.save(tmp_path, "custom", PAIR, fitted(2))
    text = change(path.read_text())
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(errors.FitError, match=reason) as caught:
        params_store.find(tmp_path, "custom", PAIR)
    assert str(path) in caught.value.message
    assert "Delete it, and fit anew with `triptych fit`." in caught.value.message
    path.unlink()
    assert params_store.find(tmp_path, "custom", PAIR) is None


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = params_store.save(tmp_path, "custom", PAIR, fitted(2))
    before = path.read_bytes()

    def full(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(errors.FitError, match=r"No space left on device\. Nothing was changed"):
        params_store.save(tmp_path, "custom", PAIR, fitted(2, seed=1))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_home_that_is_not_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "fits").write_text("in the way")
    with pytest.raises(errors.FitError, match=r"fits.* cannot be written"):
        params_store.save(tmp_path, "custom", PAIR, fitted(2))


def test_a_fit_has_default_permissions(tmp_path: Path) -> None:
    path = params_store.save(tmp_path, "custom", PAIR, fitted(2))
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_the_shipped_fits_match_the_current_committees() -> None:
    folder = Path(params_store.__file__).parent / "fitted"
    names = [path.stem for path in folder.iterdir()]
    assert "lite" in names
    for name in names:
        about = json.loads((folder / f"{name}.json").read_text())
        assert about["committee"] == name
        assert tuple(about["members"]) == zoo.COMMITTEES[name]
        assert {"data", "photos", "folds", "tolerance", "precision"} <= set(about["doubt"]["told"])
