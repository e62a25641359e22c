"""Which recipe is right, decided by labelled photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from support import onnx_models
from support.images import squares
from triptych import errors
from triptych import images
from triptych import imports
from triptych.imports import photo_proof
from triptych.preprocessing import recipe

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

CLASSES = ("ant", "bee", "cat")


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_test_is_the_exact_one_of_scipy(wins: int, losses: int) -> None:
    one = np.repeat([True, False], [wins, losses])
    expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert photo_proof.mcnemar(one, ~one) == pytest.approx(expected, abs=1e-12)


def photos(folder: Path, network: Path, *, count: int, scale: float) -> Path:
    """Photos in the folders of the classes that a network gives them at a scaling."""
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    made_for = recipe.Recipe((32, 32), "raw", "square", interpolation="bilinear")
    for n in range(count):
        data = squares(n)
        pixels = recipe.resize(made_for, images.decode(data)) * np.float32(scale)
        (probs,) = session.run(None, {"image": pixels.transpose(2, 0, 1)[np.newaxis]})
        (folder / CLASSES[probs[0].argmax()]).mkdir(parents=True, exist_ok=True)
        (folder / CLASSES[probs[0].argmax()] / f"{n}.png").write_bytes(data)
    return folder


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return onnx_models.write(tmp_path / "guest.onnx", front=(8.0, -2.0))


def take(network: Path, home: Path, folder: Path, messages: list[str]) -> str:
    (home / "labels.txt").write_text("\n".join(CLASSES))
    external = imports.ExternalModel(network, home / "labels.txt", photos=folder)
    bundle = imports.import_model(external, name="guest", home=home, report=messages.append)
    scaling: str = bundle.about["members"][0]["recipe"]["scaling"]
    return scaling


def test_photos_decide_and_the_counts_are_said(network: Path, tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", network, count=300, scale=1 / 255)
    assert len(list(folder.iterdir())) > 1, "all of one class would tell nothing"
    messages: list[str] = []
    assert take(network, tmp_path, folder, messages) == "unit"
    assert "of 300 photos, the model has right by 0..1 (rescale=1/255): 300" in messages[0]
    assert "beyond chance" in messages[0]


def test_too_few_photos_and_wrong_labels_decide_nothing(network: Path, tmp_path: Path) -> None:
    few = photos(tmp_path / "few", network, count=5, scale=1 / 255)
    with pytest.raises(errors.SettingError, match=r"The photos do not tell the recipe: of 5"):
        take(network, tmp_path, few, [])
    (tmp_path / "other" / "dog").mkdir(parents=True)
    (tmp_path / "other" / "dog" / "1.png").write_bytes(squares(1))
    with pytest.raises(errors.SourceError, match="no photo of the model's classes"):
        take(network, tmp_path, tmp_path / "other", [])
    assert not (tmp_path / "bundles").exists()
