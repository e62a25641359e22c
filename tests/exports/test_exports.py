"""An exported committee answers as the committee does, in the format's own runtime."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino
import pytest
from click.testing import CliRunner
from PIL import Image

from support import bundles as small
from triptych import cli
from triptych import errors
from triptych.bundles import loading
from triptych.engines.options import EngineOptions
from triptych.ensemble import rules
from triptych.exports import checking
from triptych.exports import exporting
from triptych.exports import formats
from triptych.inference.classifier import Classifier

WHOLE = ("onnx", "openvino")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    small.write_runnable(home)
    return home


@pytest.mark.parametrize("form", WHOLE)
@pytest.mark.parametrize("rule", rules.RULES)
def test_a_committee_answers_the_same_by_every_rule(
    home: Path, tmp_path: Path, form: str, rule: str
) -> None:
    path = tmp_path / f"tiny{formats.FORMATS[form].ending}"
    options = exporting.ExportOptions(rule=rule)
    done = exporting.export("tiny", path, EngineOptions(home), options)

    assert done.comparison.photos == len(checking.SHAPES)
    assert done.comparison.largest < 1e-3
    assert done.comparison.verdicts == 0
    assert done.files[0] == path


@pytest.mark.parametrize("form", WHOLE)
def test_the_program_beside_it_turns_a_photo_and_prints_its_verdict(
    home: Path, tmp_path: Path, form: str
) -> None:
    exporting.export("tiny", tmp_path / f"tiny{formats.FORMATS[form].ending}", EngineOptions(home))
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=exif)

    command = [sys.executable, "classify.py", "photo.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)

    classifier = loading.load_classifier("tiny", EngineOptions(home, precision="f32"))
    verdict = classifier.classify(tmp_path / "photo.png")
    answer = json.loads(done.stdout)
    assert answer["label"] == verdict.label.name
    assert answer["prob"] == pytest.approx(verdict.prob, abs=1e-3)
    assert answer["status"] == verdict.status
    assert verdict.prediction_set
    names = {guess.label.name for guess in verdict.prediction_set.guesses}
    assert set(answer["set"]) == names
    assert (tmp_path / "labels.txt").read_text().split() == list(small.RUNNABLE_CLASSES)
    assert "This export" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("form", WHOLE)
def test_a_multilabel_committee_answers_all_classes_that_hold(
    home: Path, tmp_path: Path, form: str
) -> None:
    path = tmp_path / f"bowls{formats.FORMATS[form].ending}"
    small.write_multilabel(home)
    done = exporting.export("bowls", path, EngineOptions(home))
    assert done.comparison.largest < 1e-3
    assert done.comparison.verdicts == 0

    run = formats.FORMATS[form].open(path)
    photos = checking.draw_photos()[:8]  # the large ones were compared by the export
    answers = [run(photo) for photo in photos]
    assert len({answer.holds.sum() for answer in answers}) > 1  # so it could have failed
    assert all(answer.prediction_set is None for answer in answers)

    Image.fromarray(photos[0]).save(tmp_path / "photo.png")
    command = [sys.executable, "classify.py", "photo.png"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    classifier = loading.load_classifier("bowls", EngineOptions(home, precision="f32"))
    verdict = classifier.classify(tmp_path / "photo.png")
    assert json.loads(ran.stdout) == {
        "photo": "photo.png",
        "status": None,
        "labels": [
            {"label": guess.label.name, "prob": pytest.approx(guess.prob, abs=1e-3)}
            for guess in verdict.labels
        ],
    }


def test_what_chooses_one_class_is_refused_for_a_multilabel_committee(
    home: Path, tmp_path: Path
) -> None:
    small.write_multilabel(home)
    with pytest.raises(errors.SettingError, match="chooses one class a photo"):
        exporting.export(
            "bowls",
            tmp_path / "bowls.xml",
            EngineOptions(home),
            exporting.ExportOptions(rule="max"),
        )
    loaded = loading.load_committee("bowls", EngineOptions(home, precision="f32"))
    source = exporting.source_of(loaded, "f32", 0.9)
    assert source.metadata["task"] == "multi-label"
    assert [each["value"] for each in source.metadata["thresholds"]] == [0.3, 0.5, 0.6, 0.05, 2.0]
    # Another threshold in the file than in the bundle is found before it is handed over.
    lower = dataclasses.replace(loaded.multilabel.thresholds[0], value=0.0)
    params = dataclasses.replace(
        loaded.multilabel, thresholds=(lower, *loaded.multilabel.thresholds[1:])
    )
    wrong = dataclasses.replace(source, committee=dataclasses.replace(loaded, params=params))
    formats.FORMATS["openvino"].write(wrong, tmp_path / "wrong.xml")
    run = formats.FORMATS["openvino"].open(tmp_path / "wrong.xml")
    with pytest.raises(
        errors.EngineError, match=r"the class ant holds with .* its threshold is 0\.3"
    ):
        checking.compare(Classifier(loaded), run, source, checking.draw_photos())


@pytest.mark.parametrize("rule", ["mean", "cascade"])
def test_at_bf16_the_positions_of_pixels_are_exact(home: Path, tmp_path: Path, rule: str) -> None:
    """Where processors have it, OpenVINO computes with it, unless a program asks for f32."""
    path = tmp_path / "tiny.xml"
    exporting.export("tiny", path, EngineOptions(home), exporting.ExportOptions(rule=rule))
    half = {"INFERENCE_PRECISION_HINT": "bf16"}
    network = openvino.Core().compile_model(path, "CPU", half)
    run = formats.FORMATS["openvino"].open(path)
    for photo in checking.draw_photos():
        probs = network({"image": photo})["probs"]
        np.testing.assert_allclose(probs, run(photo).probs, atol=0.1)


def test_files_that_are_there_are_not_replaced_unasked(home: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("mine\n")
    with pytest.raises(errors.SettingError, match=r"has labels\.txt already.*--overwrite"):
        exporting.export("tiny", tmp_path / "tiny.xml", EngineOptions(home))
    assert [path.name for path in tmp_path.iterdir()] == ["labels.txt"]


def test_an_ending_of_no_format_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.SettingError, match=r"tiny\.pb does not say its format"):
        exporting.export("tiny", tmp_path / "tiny.pb", EngineOptions(home))
    with pytest.raises(errors.UnknownName, match="There is no format 'coreml'"):
        formats.find("tiny.pb", "coreml")


def test_an_export_that_answers_otherwise_is_refused(home: Path, tmp_path: Path) -> None:
    """One of another committee, with the same classes."""
    small.write_runnable(home, "other", {"large": 48, "small": 32})
    written = tmp_path / "tiny.xml"
    exporting.export("tiny", written, EngineOptions(home))
    classifier = loading.load_classifier("other", EngineOptions(home, precision="f32"))
    source = exporting.source_of(classifier.committee, "f32", 0.9)
    run = formats.FORMATS["openvino"].open(written)
    with pytest.raises(errors.EngineError, match="does not answer as the committee does"):
        checking.compare(classifier, run, source, checking.draw_photos())


def test_the_command_prints_how_far_the_export_is_off(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIPTYCH_HOME", str(home))
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (50, 40), "red").save(tmp_path / "photos" / "red.png")
    folder = tmp_path / "exported"
    command = ["export", "tiny", str(folder / "tiny.onnx"), "--photos", str(tmp_path / "photos")]
    done = CliRunner().invoke(cli.main, command)
    assert done.exit_code == 0, done.output
    assert f"Compared on {len(checking.SHAPES) + 1} photos" in done.output
    names = {path.name for path in folder.iterdir()}
    assert names >= {"README.md", "classify.py", "labels.txt", "tiny.onnx"}

    again = CliRunner().invoke(cli.main, [*command, "--rule", "mean"])
    assert again.exit_code == 2
    assert "--overwrite" in again.output
    again = CliRunner().invoke(cli.main, [*command, "--rule", "mean", "--overwrite"])
    assert again.exit_code == 0, again.output
