"""Photos with any number of classes: from scenes of fruit to answers, through public interfaces."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from click.testing import Result
from sklearn import metrics as sk

import triptych
from support import foreign_networks as foreign
from support import scenes
from triptych import backbones
from triptych import bundles
from triptych import errors
from triptych import settings
from triptych.backbones import ForeignNetwork
from triptych.batch import shards
from triptych.bundles import writing
from triptych.bundles.oof_predictions import OOFPredictions
from triptych.cli import main
from triptych.inference import answer_schemas
from triptych.inference.classifier import Classifier
from triptych.inference.classifier import ClassifyOptions
from triptych.results import Verdict
from triptych.typing import Mask
from triptych.web import create_app
from triptych.web import response_schemas
from triptych.web.registry import Discovery
from triptych.web.registry import Registry

PHOTOS = 70
RULES_FOR_ONE_CLASS = ["mean", "cascade", "vote", "max"]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The list of the scenes."""
    return scenes.write(tmp_path_factory.mktemp("scenes"), PHOTOS)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With two small backbones, so that nothing takes long; their features are drawn by lot."""
    folder = tmp_path_factory.mktemp("home")
    network = foreign.conv(folder / "conv.onnx", batch=1, end="map")
    backbones.add(ForeignNetwork(network, "torch:32", licence="Apache-2.0"), home=folder)
    network = foreign.transformer(folder / "vit.onnx")
    backbones.add(ForeignNetwork(network, "tf:32", "class+patches"), home=folder)
    return folder


def train(photos: Path, home: Path, name: str = "fruit", **options: Any) -> bundles.Bundle:
    return triptych.train(
        photos, name=name, backbones=("conv", "vit"), precision="f32", home=home, **options
    )


@pytest.fixture(scope="module")
def fruit(photos: Path, home: Path) -> bundles.Bundle:
    return train(photos, home)


@pytest.fixture(scope="module")
def predictions(fruit: bundles.Bundle) -> OOFPredictions:
    predictions = fruit.predictions()
    assert predictions is not None
    return predictions


@pytest.fixture(scope="module")
def classifier(fruit: bundles.Bundle, home: Path) -> Classifier:
    return triptych.load("fruit", precision="f32", home=home)


def held_out(fruit: bundles.Bundle, predictions: OOFPredictions) -> tuple[Mask, Mask]:
    """What the held-out photos are answered with, and what is true."""
    rows = predictions.held_out
    values = np.array([threshold.value for threshold in fruit.params.thresholds])
    return predictions.probs[rows] >= values, predictions.targets[rows].astype(bool)


def test_the_bundle_says_what_it_is_for(fruit: bundles.Bundle) -> None:
    assert (fruit.about["schema"], fruit.about["task"]) == (3, "multi-label")
    assert fruit.multilabel
    assert fruit.accuracy is None
    assert fruit.facts["task"] == "multi-label"
    assert fruit.facts["macro_f1"] == fruit.metrics["committee"]["macro"]["f1"]
    assert fruit.facts["images"] == fruit.metrics["images"]
    assert {threshold.chosen_for for threshold in fruit.params.thresholds} == {"f1"}
    card = (fruit.folder / "README.md").read_text(encoding="utf-8")
    assert "multi-label image classifier: of 6 classes, any number may hold" in card
    assert "| apples | " in card
    assert "- multi-label" in card
    report = (fruit.folder / "report.html").read_text(encoding="utf-8")
    assert "Confusion" not in report
    assert "strawberries" in report


def test_its_figures_are_those_of_scikit_learn(
    fruit: bundles.Bundle, predictions: OOFPredictions
) -> None:
    holds, targets = held_out(fruit, predictions)
    figures = fruit.metrics["committee"]
    assert figures["subset_accuracy"] == pytest.approx(sk.accuracy_score(targets, holds))
    assert figures["hamming_loss"] == pytest.approx(sk.hamming_loss(targets, holds))
    for average in ("micro", "macro", "samples"):
        score = sk.f1_score(targets, holds, average=average, zero_division=0)
        assert figures[average]["f1"] == pytest.approx(score)
    recalls = sk.recall_score(targets, holds, average=None, zero_division=0)
    assert [row["recall"] for row in fruit.metrics["per_class"]] == pytest.approx(recalls)


def test_its_networks_answer_as_its_heads_did(
    fruit: bundles.Bundle, predictions: OOFPredictions, classifier: Classifier, photos: Path
) -> None:
    rows = np.flatnonzero(predictions.held_out)
    named = [(str(row), photos.parent / str(predictions.sources[row])) for row in rows]
    holds, _ = held_out(fruit, predictions)
    answers = classifier.classify_many(named, ClassifyOptions(top=6))
    for row, expected, verdict in zip(rows, holds, answers, strict=True):
        assert isinstance(verdict, Verdict)
        assert verdict.labels is not None
        probs = {guess.label.index: guess.prob for guess in verdict.top}
        ours = [probs[label] for label in range(6)]
        assert ours == pytest.approx(predictions.probs[row].tolist(), abs=2e-3)
        assert {guess.label.index for guess in verdict.labels} == set(np.flatnonzero(expected))
        assert [guess.prob for guess in verdict.labels] == sorted(
            (guess.prob for guess in verdict.labels), reverse=True
        )


def test_a_batch_is_answered_as_its_photos(classifier: Classifier, photos: Path) -> None:
    named = [(str(n), photos.parent / f"{n:04}.jpg") for n in range(5)]
    together = list(classifier.classify_many(named))
    for (_, photo), verdict in zip(named, together, strict=True):
        alone = classifier.classify(photo)
        assert isinstance(verdict, Verdict)
        assert alone.classes == verdict.classes
        probs = [guess.prob for guess in alone.top]
        assert probs == pytest.approx([guess.prob for guess in verdict.top])


def test_an_answer_in_json_fits_its_schema(classifier: Classifier, photos: Path) -> None:
    verdict = classifier.classify(photos.parent / "0001.jpg", similar=2)
    answer = verdict.to_dict()
    assert not answer_schemas.Verdict().validate(answer)
    assert answer["verdict"]["set"] is None
    assert answer["verdict"]["status"] in (None, "none")
    assert verdict.similar[0].labels is not None
    known = {f"{n:04}.jpg": kinds for n, kinds in ((n, scenes.kinds_of(n)) for n in range(PHOTOS))}
    assert set(answer["verdict"]["similar"][0]["labels"]) in [set(each) for each in known.values()]


@pytest.mark.parametrize("rule", RULES_FOR_ONE_CLASS)
def test_rules_for_one_class_are_refused(classifier: Classifier, photos: Path, rule: str) -> None:
    with pytest.raises(errors.SettingError, match=f"The rule '{rule}' chooses one class"):
        classifier.classify(photos.parent / "0001.jpg", rule=rule)


def test_prediction_sets_are_refused(classifier: Classifier, photos: Path) -> None:
    with pytest.raises(errors.SettingError, match=r"prediction sets with a coverage of 0\.9"):
        classifier.classify(photos.parent / "0001.jpg", coverage=0.9)


def test_some_members_can_answer_alone(classifier: Classifier, photos: Path) -> None:
    verdict = classifier.classify(photos.parent / "0001.jpg", members=["vit"])
    assert [member.name for member in verdict.members] == ["vit"]
    assert verdict.labels is not None
    assert verdict.top == verdict.members[0].top


def test_the_evidence_of_each_class_is_shown(classifier: Classifier, photos: Path) -> None:
    photo = photos.parent / "0002.jpg"
    maps = [classifier.explain(photo, label=kind) for kind in ("apples", "plums")]
    assert [each.label.name for each in maps] == ["apples", "plums"]
    assert not np.array_equal(maps[0].heat, maps[1].heat)
    assert "class activation map" in maps[0].methods["conv"]


def test_a_stated_precision_is_promised_or_said_not_to_be(
    photos: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HOME": str(home), "PRECISION": "f32"}.items():
        monkeypatch.setenv(f"TRIPTYCH_{name}", value)
    two = ("--backbones", "conv,vit")
    result = run("train", photos, "--name", "precise", *two, "--precision-of-labels", "90")
    precise = bundles.find(home, "precise")
    thresholds = precise.params.thresholds
    assert {(each.chosen_for, each.target) for each in thresholds} == {("precision", 0.9)}
    # So few photos prove nothing: at least 29 answers have to be right.
    assert {each.status for each in thresholds} == {"too_few_to_promise"}
    assert {each["status"] for each in precise.metrics["thresholds"]} == {"too_few_to_promise"}
    assert "Not promised, fewer than 29 photos with the class: apples (" in result.output
    report = (precise.folder / "report.html").read_text(encoding="utf-8")
    assert "as precise as was asked for" in report
    assert "It is not promised of every class." in report
    assert "at least 29 photos" in report
    card = (precise.folder / "README.md").read_text(encoding="utf-8")
    assert "| photos with it | promised |" in card


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "mlp"}, "the head 'linear' only"),
        ({"label_precision": 1.5}, "label_precision is 1.5"),
    ],
)
def test_impossible_configurations_are_refused(
    photos: Path, home: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(errors.SettingError, match=message):
        train(photos, home, "never", **options)
    assert "never" not in bundles.names(home)


def test_fine_tuning_is_refused(photos: Path, home: Path) -> None:
    with pytest.raises(errors.SettingError, match=r"fine-tuning is for photos with exactly one"):
        train(photos, home, "never", fine_tune=True, multilabel=True)


def test_a_precision_of_labels_is_for_several_classes(photos: Path, home: Path) -> None:
    single = photos.with_name("single.csv")
    single.write_text("path,label\n" + "".join(f"{n:04}.jpg,{n % 2}\n" for n in range(12)))
    with pytest.raises(errors.SettingError, match="these have exactly one"):
        train(single, home, "never", label_precision=0.9)


def test_a_bundle_goes_elsewhere(
    fruit: bundles.Bundle, classifier: Classifier, photos: Path, tmp_path: Path
) -> None:
    bundles.pack(fruit, tmp_path / "fruit.zip")
    again = bundles.unpack(tmp_path / "home", tmp_path / "fruit.zip")
    assert again.params == fruit.params
    loaded = triptych.load("fruit", precision="f32", home=tmp_path / "home")
    photo = photos.parent / "0003.jpg"
    assert loaded.classify(photo).labels == classifier.classify(photo).labels


def test_a_bundle_without_its_task_is_refused(fruit: bundles.Bundle, tmp_path: Path) -> None:
    about = json.loads((fruit.folder / "bundle.json").read_text())
    for changes, message in (
        ({"schema": 2}, "schema 2 for the task 'multi-label'"),
        ({"task": "boxes"}, "schema 3 for the task 'boxes'"),
        ({"doubt": None}, "doubt"),
        ({"rule": "mean"}, "rule is 'mean'; expected one of: weighted"),
        ({"labels": about["labels"][:2]}, "6; expected 2 thresholds"),
    ):
        (tmp_path / "bundle.json").write_text(json.dumps({**about, **changes}))
        with pytest.raises(errors.BundleError, match=message):
            bundles.reading.read_about(tmp_path)


def test_parameters_for_one_class_are_not_kept(fruit: bundles.Bundle, home: Path) -> None:
    from triptych.ensemble import params

    with pytest.raises(errors.SettingError, match="fruit is multi-label"):
        bundles.with_params(fruit, home, params.unfitted([1, 1], [1, 1]))


@pytest.mark.parametrize(("prob", "is_doubtful"), [(0.9, False), (0.6, True), (0.1, False)])
def test_a_class_that_may_hold_or_not_is_to_be_reviewed(
    classifier: Classifier, photos: Path, prob: float, is_doubtful: bool
) -> None:
    verdict = classifier.classify(photos.parent / "0001.jpg")
    guess = dataclasses.replace(verdict.top[0], prob=prob)
    changed = dataclasses.replace(verdict, top=(guess,), status=None)
    assert changed.is_doubtful == is_doubtful
    assert dataclasses.replace(changed, status="none").is_doubtful


class TestCommands:
    """`classify`, `evaluate`, `label-issues` and `fit`."""

    @pytest.fixture(autouse=True)
    def _home(self, fruit: bundles.Bundle, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRIPTYCH_HOME", str(home))
        monkeypatch.setenv("TRIPTYCH_PRECISION", "f32")

    def test_classify(self, photos: Path, classifier: Classifier) -> None:
        photo = photos.parent / "0000.jpg"
        expected = classifier.classify(photo)
        text = run("classify", photo, "--committee", "fruit").output
        assert expected.answer in text
        answer = json.loads(run("classify", photo, "--committee", "fruit", "--json").output)
        assert answer["verdict"]["labels"] == expected.to_dict()["verdict"]["labels"]
        table = run("classify", photo, "--committee", "fruit", "--csv").output
        (row,) = csv.DictReader(io.StringIO(table))
        assert row["labels"] == expected.classes

    def test_a_rule_is_refused_in_a_sentence(self, photos: Path) -> None:
        result = run("classify", photos.parent / "0000.jpg", "--committee", "fruit", "--rule=vote")
        assert result.exit_code != 0
        assert "multi-label" in result.output

    def test_parquet(self, photos: Path, classifier: Classifier, tmp_path: Path) -> None:
        files = [photos.parent / f"{n:04}.jpg" for n in range(3)]
        result = run("classify", *files, "--committee", "fruit", "--out", tmp_path / "out")
        assert result.exit_code == 0, result.output
        rows = shards.read(str(tmp_path / "out"), 0)
        for file, row in zip(files, rows, strict=True):
            verdict = classifier.classify(file).to_dict()["verdict"]
            assert row["verdict"]["labels"] == verdict["labels"]

    def test_evaluate(self, photos: Path, classifier: Classifier) -> None:
        result = run("evaluate", photos, "--committee", "fruit", "--json")
        report = json.loads(result.output)
        assert report["images"] == PHOTOS
        names = [label.name for label in classifier.committee.labels]
        targets = np.array([[n in scenes.kinds_of(p) for n in names] for p in range(PHOTOS)])
        answers = [classifier.classify(photos.parent / f"{n:04}.jpg") for n in range(PHOTOS)]
        holds = np.array([[n in v.classes.split("|") for n in names] for v in answers])
        micro = sk.f1_score(targets, holds, average="micro")
        assert report["committee"]["micro"]["f1"] == pytest.approx(micro)
        assert "strawberries" in run("evaluate", photos, "--committee", "fruit").output

    def test_evaluate_wants_all_classes_of_a_photo(self, tmp_path: Path, photos: Path) -> None:
        for kind in ("apples", "pears"):
            (tmp_path / kind).mkdir()
            (tmp_path / kind / "1.jpg").write_bytes((photos.parent / "0000.jpg").read_bytes())
        result = run("evaluate", tmp_path, "--committee", "fruit")
        assert result.exit_code != 0
        assert "one class for each photo, and the committee answers any number" in result.output

    def test_label_issues(self, predictions: OOFPredictions) -> None:
        lines = run("label-issues", "fruit", "--limit", "5", "--json").output.splitlines()
        issues = [json.loads(line) for line in lines]
        assert len(issues) == 5
        keys = predictions.keys
        names = list(scenes.KINDS)
        for issue in issues:
            row = keys.index(issue["digest"])
            label = sorted(names).index(issue["label"])
            assert issue["given"] == bool(predictions.targets[row, label])

    def test_fit_is_refused(self, photos: Path) -> None:
        result = run("fit", photos.parent, "--committee", "fruit")
        assert result.exit_code != 0
        assert "fruit is multi-label" in result.output

    def test_choosing_networks_is_refused(self, photos: Path) -> None:
        result = run("fit", photos, "--choose", "--backbones", "conv,vit")
        assert result.exit_code != 0
        assert "any number of classes" in result.output

    def test_check(self, photos: Path) -> None:
        result = run("check", photos)
        assert result.exit_code == 0, result.output
        assert "strawberries" in result.output


@pytest.fixture(scope="module")
def client(fruit: bundles.Bundle, home: Path) -> Any:
    registry = Registry(
        lambda name: triptych.load(name, precision="f32", home=home),
        lambda: {"fruit": [1]},
        "fruit",
    )
    return create_app(settings.load({}, home=home), registry).test_client()


class TestServer:
    """The API and the inference protocols."""

    def test_the_api_answers_all_that_hold(
        self, client: Any, photos: Path, classifier: Classifier
    ) -> None:
        photo = photos.parent / "0000.jpg"
        response = client.post(
            "/api/v1/classify", data=photo.read_bytes(), content_type="image/jpeg"
        )
        expected = classifier.classify(photo).to_dict()["verdict"]["labels"]
        assert response.json["results"][0]["verdict"]["labels"] == expected

    def test_bundles_are_described_by_their_schema(self, client: Any) -> None:
        described = client.get("/api/v1/bundles/fruit").json
        assert not response_schemas.BundleWithMetrics().validate(described)
        assert described["top1"] is None

    @pytest.mark.parametrize("option", ["rule=vote", "coverage=0.9"])
    def test_what_is_for_one_class_is_a_bad_request(
        self, client: Any, photos: Path, option: str
    ) -> None:
        data = (photos.parent / "0000.jpg").read_bytes()
        response = client.post(f"/api/v1/classify?{option}", data=data, content_type="image/jpeg")
        assert response.status_code == 400
        assert "multi-label" in response.json["error"]["message"]

    def test_protocols_give_a_probability_for_each_class(
        self, client: Any, photos: Path, classifier: Classifier
    ) -> None:
        photo = photos.parent / "0000.jpg"
        verdict = classifier.classify(photo, top=6)
        expected = sorted((guess.label.index, guess.prob) for guess in verdict.top)
        tensor = {
            "name": "image",
            "datatype": "BYTES",
            "shape": [1],
            "data": [base64(photo.read_bytes())],
        }
        v2 = client.post("/v2/models/fruit/infer", json={"inputs": [tensor]}).json
        outputs = {output["name"]: output["data"] for output in v2["outputs"]}
        assert outputs["probs"] == pytest.approx([prob for _, prob in expected])
        assert outputs["labels"] == [verdict.classes]
        tf = client.post(
            "/v1/models/fruit:predict", json={"instances": [{"b64": base64(photo.read_bytes())}]}
        ).json
        assert tf["predictions"][0] == pytest.approx([prob for _, prob in expected])

    def test_metrics_count_each_class_that_holds(
        self, client: Any, photos: Path, classifier: Classifier
    ) -> None:
        def counts() -> dict[str, float]:
            lines = client.get("/metrics").text.splitlines()
            rows = [line for line in lines if line.startswith("triptych_answers_total{")]
            return {row.split('class="')[1].split('"')[0]: float(row.split()[-1]) for row in rows}

        photo = photos.parent / "0000.jpg"
        before = counts()
        client.post("/api/v1/classify", data=photo.read_bytes(), content_type="image/jpeg")
        after = counts()
        added = {name for name in after if after[name] > before.get(name, 0)}
        assert added == set(classifier.classify(photo).classes.split("|"))

    def test_a_shadow_is_compared_by_all_that_hold(
        self, fruit: bundles.Bundle, home: Path, photos: Path, classifier: Classifier
    ) -> None:
        thresholds = [{**each.to_dict(), "value": 0.0} for each in fruit.params.thresholds]
        writing.copy(fruit, home, "twin")
        writing.copy(fruit, home, "twin", doubt={**fruit.about["doubt"], "thresholds": thresholds})
        bundles.activate(home, "twin", 1)
        registry = Registry(
            lambda name: triptych.load(name, precision="f32", home=home), Discovery(home), "twin"
        )
        in_force = settings.load({}, home=home, shadow="twin@2", shadow_share=1.0)
        client = create_app(in_force, registry).test_client()
        shadow = client.application.extensions["triptych"].shadow
        all_names = {label.name for label in classifier.committee.labels}
        others = 0
        for number in range(3):
            photo = photos.parent / f"{number:04}.jpg"
            others += set(classifier.classify(photo).classes.split("|")) != all_names
            client.post("/api/v1/classify", data=photo.read_bytes(), content_type="image/jpeg")
            wait_until(lambda expected=number + 1: shadow.counts.photos == expected)
        assert shadow.counts.disagreements == others > 0


def wait_until(is_done: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not is_done():
        assert time.monotonic() < end, "the shadow did not classify"
        time.sleep(0.02)


def base64(content: bytes) -> str:
    import base64

    return base64.b64encode(content).decode()
