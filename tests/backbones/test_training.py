"""Added backbones in training, selection, committees and bundles, beside those of the zoo."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import triptych
from support import foreign_networks as foreign
from support.images import SHAPES
from support.images import shape_image
from triptych import backbones
from triptych import bundles
from triptych import errors
from triptych import settings
from triptych.backbones import ForeignNetwork
from triptych.engines.options import EngineOptions
from triptych.inference import committee
from triptych.models import zoo
from triptych.results import Verdict
from triptych.tuning import candidates
from triptych.web import create_app
from triptych.web.registry import Registry

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_converter", "one_reader")]

PER_CLASS = 20


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    for kind in SHAPES:
        (folder / kind).mkdir()
        for seed in range(PER_CLASS):
            (folder / kind / f"{seed}.png").write_bytes(shape_image(kind, seed))
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, one_reader: None) -> Path:
    folder = tmp_path_factory.mktemp("home")
    network = foreign.conv(folder / "conv.onnx", batch=1)
    backbones.add(ForeignNetwork(network, "torch:32", licence="Apache-2.0"), home=folder)
    network = foreign.transformer(folder / "vit.onnx")
    backbones.add(ForeignNetwork(network, "tf:32", "class+patches"), home=folder)
    return folder


@pytest.fixture(scope="module")
def trained(photos: Path, home: Path, one_converter: None) -> bundles.Bundle:
    return triptych.train(
        photos,
        name="shapes",
        backbones=("VIT", "conv"),
        head="mlp",
        augment=("flips",),
        precision="f32",
        home=home,
    )


def test_a_bundle_answers_in_a_home_that_lacks_its_backbones(
    trained: bundles.Bundle, photos: Path, home: Path, tmp_path: Path
) -> None:
    assert {row["name"] for row in trained.metrics["members"]} == {"vit", "conv"}
    assert not list(trained.folder.rglob("model.keras"))
    bundles.pack(trained, tmp_path / "shapes.zip")
    elsewhere = tmp_path / "elsewhere"
    bundles.unpack(elsewhere, tmp_path / "shapes.zip")
    photo = next((photos / "rays").iterdir())
    answers = [
        triptych.load("shapes", home=where, precision="f32").classify(photo)
        for where in (home, elsewhere)
    ]
    assert answers[0].top == answers[1].top
    assert not (elsewhere / "backbones").exists()


def test_its_head_gives_what_training_measured(
    trained: bundles.Bundle, photos: Path, home: Path
) -> None:
    """The networks in the bundle predict the held-out photos as the heads did in training."""
    predictions = trained.predictions()
    assert predictions is not None
    classifier = triptych.load("shapes", home=home, precision="f32", rule="weighted")
    held_out = np.flatnonzero(predictions.held_out)
    named = [(str(n), photos / predictions.sources[n]) for n in held_out]
    verdicts = list(classifier.classify_many(named))
    names = [label.name for label in trained.labels]
    for n, verdict in zip(held_out, verdicts, strict=True):
        assert isinstance(verdict, Verdict)
        expected = predictions.probs[n].max()
        assert verdict.top[0].label.name == names[int(predictions.probs[n].argmax())]
        assert verdict.top[0].prob == pytest.approx(expected, abs=1e-3)


def test_the_card_says_how_to_use_a_network_without_keras(trained: bundles.Bundle) -> None:
    text = (trained.folder / "README.md").read_text(encoding="utf-8")
    assert "compile_model" in text
    assert "load_model" not in text


def test_it_is_not_fine_tuned_and_has_no_weights_beside_its_own(photos: Path, home: Path) -> None:
    for wrong, words in (
        ({"fine_tune": "auto"}, "vit cannot be fine-tuned: .*graph without layers"),
        ({"weights": {"vit": Path("vit.h5")}}, "added from a file that has its own"),
    ):
        with pytest.raises(errors.SettingError, match=words):
            triptych.train(photos, name="x", backbones=("vit",), home=home, **wrong)


def test_it_is_chosen_from(photos: Path, home: Path) -> None:
    options = EngineOptions(home, "f32")
    rows = candidates.resolve_backbones(["conv", "vit"], home)
    scored = candidates.evaluate_candidates(photos, rows, options, folds=3)
    assert [each.name for each in scored.candidates] == ["conv", "vit"]
    assert scored.probs.shape == (2, len(scored.targets), len(SHAPES))
    assert not scored.is_imagenet


def test_it_has_no_classes_of_imagenet(home: Path) -> None:
    with pytest.raises(errors.SettingError, match="conv gives features and no classes of ImageNet"):
        committee.from_zoo("lite", EngineOptions(home), members=["lite0", "conv"])


def test_the_studio_and_the_api_list_it(home: Path, registry: Registry) -> None:
    app = create_app(settings.load({}, home=home), registry)
    projects = app.extensions["triptych"].projects
    key = projects.make("Garden").key
    page = app.test_client().get(f"/projects/{key}/teach").text
    assert 'value="conv"' in page
    assert "added here" in page
    rows = json.loads(app.test_client().get("/api/v1/models").data)["models"]
    assert [row["name"] for row in rows][-2:] == ["conv", "vit"]
    assert rows[-1]["top1"] is None
    assert rows[-1]["here"]
    assert len(rows) == len(zoo.BACKBONES) + 2
