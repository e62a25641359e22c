"""From a folder of drawings to a committee, through every public interface."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from click.testing import Result

import triptych
from support import networks
from support.images import SHAPES
from support.images import picture
from support.images import plain_image
from support.images import shape_image
from triptych import bundles
from triptych import errors
from triptych import features
from triptych import settings
from triptych.cli import main
from triptych.engines.options import EngineOptions
from triptych.ensemble import rules
from triptych.models import weights
from triptych.models import zoo
from triptych.web import create_app
from triptych.web.registry import Registry

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_converter")]

PER_CLASS = 12


def draw_classes(folder: Path, *, first: int = 0, count: int = PER_CLASS) -> Path:
    for kind in SHAPES:
        (folder / kind).mkdir(parents=True)
        for seed in range(first, first + count):
            (folder / kind / f"{seed}.png").write_bytes(shape_image(kind, seed))
    return folder


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes, and a text file named like a photo."""
    folder = draw_classes(tmp_path_factory.mktemp("shapes") / "shapes")
    (folder / "rays" / "broken.png").write_bytes(shape_image("rays", 0)[:200])
    return folder


@pytest.fixture(scope="module")
def trained(photos: Path, home: Path) -> Result:
    """The run of `triptych train`."""
    options = ["--backbones", "lite0", "--precision", "f32", "--home", home]
    return run("train", photos, "--name", "shapes", *options)


@pytest.fixture(scope="module")
def shapes(trained: Result, home: Path) -> bundles.Bundle:
    assert trained.exit_code == 0, trained.output
    return bundles.find(home, "shapes@1")


def test_the_command_prints_accuracy_and_how_to_classify(
    trained: Result, shapes: bundles.Bundle
) -> None:
    assert "EfficientNetLite0" in trained.stdout
    assert "to 100.0 %" in trained.stdout
    for member in ("EfficientNetLite0", "committee"):
        assert re.search(rf"{member}: \d\d to 100 % \((\d+) of \1 photos\) right", trained.stderr)
    assert str(shapes.folder) in trained.stdout
    assert "triptych classify PHOTO --committee shapes" in trained.stdout


def test_the_bundle_is_complete(shapes: bundles.Bundle) -> None:
    member = "members/EfficientNetLite0"
    files = {p.relative_to(shapes.folder).as_posix() for p in shapes.folder.rglob("*")}
    assert files == {
        "bundle.json",
        "labels.txt",
        "learned.txt",
        "answers.npz",
        "README.md",
        "metrics.json",
        "report.html",
        "members",
        member,
        f"{member}/model.keras",
        f"{member}/network.xml",
        f"{member}/network.bin",
        f"{member}/taught.npz",
    }
    assert set(shapes.about["files"]) == {
        name for name in files if not name.endswith(("bundle.json", "members", "Lite0"))
    }
    assert (shapes.folder / "labels.txt").read_text().split() == list(SHAPES)
    assert shapes.about["data"]["held_out"]
    assert shapes.about["data"]["train"] + shapes.about["data"]["val"] == 3 * PER_CLASS
    assert shapes.about["members"][0]["head"]["kind"] == "linear"
    for file in shapes.folder.rglob("*.*"):
        assert not file.read_bytes().startswith(b"\x80"), f"{file} looks like a pickle"


def test_metrics_card_and_report_agree(shapes: bundles.Bundle) -> None:
    metrics = shapes.metrics
    assert metrics["committee"]["top1"] == 1
    assert metrics["images"] == shapes.about["data"]["val"]
    assert [row["label"] for row in metrics["per_class"]] == list(SHAPES)
    curve = metrics["learning_curve"]
    assert [point["images_per_class"] for point in curve] == [1, 2, 5]
    assert [len(point["top1"]) for point in curve] == [5, 3, 3]
    assert np.mean(curve[-1]["top1"]) > 0.9
    assert "to 100 % (" in (shapes.folder / "README.md").read_text()
    assert "100.0" in (shapes.folder / "report.html").read_text()


def test_too_few_photos_to_promise_are_reported_everywhere(
    trained: Result, shapes: bundles.Bundle
) -> None:
    train_count = shapes.about["data"]["train"]
    share = 100 * shapes.about["data"]["val"] / (3 * PER_CLASS)
    reason = (
        f"Only {train_count} photos were answered while learning; at least 59 without a mistake"
    )
    files = [(shapes.folder / name).read_text() for name in ("README.md", "report.html")]
    for text in (trained.stdout, *files):
        assert reason in text
        assert f"and train again; {share:.0f} % of all photos are held out" in text
    assert "No answer is called sure" in trained.stdout


def test_a_class_of_black_photos_is_reported_before_training(
    photos: Path, home: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(photos, tmp_path / "photos"))
    for n in range(4):
        (folder / "night").mkdir(exist_ok=True)
        (folder / "night" / f"{n}.png").write_bytes(plain_image((n, 0, 0)))
    messages: list[str] = []
    fault = "4 of 4 photos of 'night' are blank."
    with pytest.raises(errors.Stopped):
        triptych.train(
            folder,
            name="night",
            backbones=["lite0"],
            home=home,
            report=messages.append,
            stop=lambda: any(line.startswith(fault) for line in messages),
        )


def test_predictions_are_out_of_fold(shapes: bundles.Bundle, photos: Path) -> None:
    predictions = shapes.predictions()
    assert predictions is not None
    assert len(set(predictions.keys)) == 3 * PER_CLASS
    assert set(predictions.keys) & shapes.trained_on == {
        key
        for key, held_out in zip(predictions.keys, predictions.held_out, strict=True)
        if not held_out
    }
    for key, source, label in zip(
        predictions.keys, predictions.sources, predictions.targets, strict=True
    ):
        path = photos / str(source)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == key
        assert path.parent.name == shapes.labels[label].name
    np.testing.assert_allclose(predictions.probs.sum(axis=1), 1, atol=1e-5)
    correct = predictions.probs.argmax(axis=1) == predictions.targets
    assert correct[predictions.held_out].mean() == shapes.metrics["committee"]["top1"]
    assert correct[~predictions.held_out].mean() > 0.9


def test_label_issues_are_listed_on_the_command_line(shapes: bundles.Bundle, home: Path) -> None:
    command = ("label-issues", "shapes", "--limit", "5", "--home", home)
    issues = [json.loads(line) for line in run(*command, "--json").stdout.splitlines()]
    assert len(issues) == 5
    assert [facts["score"] for facts in issues] == sorted(
        (f["score"] for f in issues), reverse=True
    )
    for facts in issues:
        assert facts["source"].startswith(f"{facts['given']}/")
        assert facts["suggested"] in set(SHAPES) - {facts["given"]}
    assert issues[0]["source"] in run(*command).stdout
    old = run("suspects", *command[1:], "--json")
    assert [json.loads(line) for line in old.stdout.splitlines()] == issues
    assert "deprecated; use `triptych label-issues`" in old.stderr


def test_a_bundle_without_predictions_has_no_label_issues(
    shapes: bundles.Bundle, home: Path, tmp_path: Path
) -> None:
    older = tmp_path / "bundles" / "shapes" / "1"
    shutil.copytree(shapes.folder, older)
    (older / "answers.npz").unlink()
    about = json.loads((older / "bundle.json").read_text())
    del about["files"]["answers.npz"]
    (older / "bundle.json").write_text(json.dumps(about))
    refused = run("label-issues", "shapes", "--home", tmp_path)
    assert refused.exit_code == 1
    assert "has no out-of-fold predictions" in refused.stderr


def test_calibration_metrics_are_reported(shapes: bundles.Bundle) -> None:
    calibration = shapes.metrics["doubt"]
    assert 0 <= calibration["false_alarms"] <= 0.5
    assert set(shapes.metrics["rules"]) == set(rules.RULES)
    assert shapes.metrics["rules"]["weighted"]["top1"] == shapes.metrics["committee"]["top1"]
    assert shapes.metrics["rules"]["weighted"]["coverage"] >= 0.5
    assert "Can its confidence be trusted?" in (shapes.folder / "report.html").read_text("utf-8")


def test_an_out_of_distribution_photo_is_none_of_these(
    shapes: bundles.Bundle, home: Path, tmp_path: Path
) -> None:
    classifier = triptych.load("shapes", precision="f32", home=home)
    assert classifier.classify(shape_image("discs", 900)).novelty > 0.05
    stranger = classifier.classify(picture(5))
    assert (stranger.status, len(stranger.top)) == ("none", 3)


def test_similar_photos_and_heat_maps_of_a_trained_committee(
    shapes: bundles.Bundle, photos: Path, home: Path
) -> None:
    classifier = triptych.load("shapes", precision="f32", home=home)
    by_digest = {hashlib.sha256(p.read_bytes()).hexdigest(): p for p in photos.rglob("*.png")}
    learned = next(by_digest[digest] for digest in sorted(shapes.trained_on))
    verdict = classifier.classify(learned, similar=6)
    assert by_digest[verdict.similar[0].digest] == learned
    assert verdict.similar[0].distance < 0.01
    for photo in verdict.similar:
        assert by_digest[photo.digest].parent.name == photo.label.name
    assert [photo.label.name for photo in verdict.similar].count(learned.parent.name) >= 4
    assert classifier.explain(learned).method == "class activation map"


def test_fit_leaves_out_training_photos(
    shapes: bundles.Bundle, photos: Path, home: Path, tmp_path: Path
) -> None:
    refused = run("fit", photos, "--committee", "shapes", "--home", home)
    assert refused.exit_code == 1
    learned = shapes.about["data"]["train"]
    assert f"{learned} more were left out, as the members were trained on them" in refused.output
    assert bundles.find(home, "shapes").version == 1
    fresh = draw_classes(tmp_path / "fresh", first=100, count=20)
    for kind in SHAPES:
        shutil.copy(photos / kind / "0.png", fresh / kind / "old.png")
    repeated = sum(
        hashlib.sha256(path.read_bytes()).hexdigest() in shapes.trained_on
        for path in fresh.glob("*/old.png")
    )
    ran = run("fit", fresh, "--committee", "shapes", "--json", "--dry-run", "--home", home)
    report = json.loads(ran.stdout)
    assert repeated > 0
    assert report["photos"] == 63 - repeated
    assert [item["error"]["code"] for item in report["skipped"]] == ["learned"] * repeated


def test_bad_files_are_skipped_and_listed(shapes: bundles.Bundle) -> None:
    (finding,) = [f for f in shapes.metrics["findings"] if f["kind"] == "unreadable"]
    assert [Path(source).name for source in finding["sources"]] == ["broken.png"]
    assert "broken.png" in (shapes.folder / "report.html").read_text()


def test_new_drawings_are_recognised(shapes: bundles.Bundle, tmp_path: Path) -> None:
    new = draw_classes(tmp_path / "new", first=100, count=4)
    options = ["--committee", "shapes", "--json"]
    answers = [json.loads(line) for line in run("classify", new, *options).stdout.splitlines()]
    assert len(answers) == 12
    wrong = [a["source"] for a in answers if Path(a["source"]).parent.name != a["verdict"]["label"]]
    assert wrong == []
    report = json.loads(run("evaluate", new, *options).stdout)
    assert report["committee"]["name"] == "shapes"
    assert report["committee"]["top1"] == 1
    assert report["images"] == 12


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what may differ between two interfaces."""
    return {key: value for key, value in answer.items() if key not in ("timing", "source")}


def test_every_interface_gives_the_same_answer(
    shapes: bundles.Bundle, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIPTYCH_PRECISION", "f32")
    path, data = tmp_path / "new.png", shape_image("rays", 200)
    path.write_bytes(data)
    expected = plain(triptych.load("shapes").classify(data).to_dict())
    assert expected["verdict"]["label"] == "rays"
    stdout = run("classify", path, "--committee", "shapes", "--json").stdout
    assert plain(json.loads(stdout)) == expected
    registry = Registry(triptych.load, lambda: {"shapes": [1]}, "shapes")
    client = create_app(settings.load({}), registry).test_client()
    reply = client.post("/api/v1/classify", data=data, content_type="image/png").json
    assert plain(reply["results"][0]) == expected
    bundles.pack(shapes, tmp_path / "shapes.zip")
    bundles.unpack(tmp_path / "other", tmp_path / "shapes.zip")
    taken = triptych.load("shapes", home=tmp_path / "other")
    assert plain(taken.classify(path).to_dict()) == expected
    page = client.post("/", data={"image": (io.BytesIO(data), "new.png")})
    assert page.status_code == 200
    assert "rays" in page.text
    assert f"{100 * expected['verdict']['prob']:.1f}" in page.text


# Runs where Triptych is nowhere to be found.
PLAIN_KERAS = """
import sys
import keras, numpy
model = keras.models.load_model(sys.argv[1])
numpy.save(sys.argv[3], model.predict_on_batch(numpy.load(sys.argv[2])))
print("triptych" in sys.modules)
"""


def test_the_keras_file_opens_in_plain_keras_and_equals_the_engine(
    shapes: bundles.Bundle, home: Path, tmp_path: Path
) -> None:
    (member,) = shapes.committee(EngineOptions(home=home, precision="f32")).members
    batch = np.random.default_rng(0).uniform(-1, 1, (3, 224, 224, 3)).astype(np.float32)
    np.save(tmp_path / "in.npy", batch)
    model = shapes.folder / "members" / member.name / "model.keras"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-W", "ignore", "-c", PLAIN_KERAS, model]
    ran = subprocess.run(
        [*command, tmp_path / "in.npy", tmp_path / "out.npy"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    assert ran.stdout.splitlines()[-1] == "False"
    by_keras = np.load(tmp_path / "out.npy")
    assert by_keras.shape == (3, 3)
    np.testing.assert_allclose(member.engine.run(batch).probs, by_keras, atol=1e-4)


def test_training_again_computes_no_feature_and_gives_the_same_figures(
    shapes: bundles.Bundle, photos: Path
) -> None:
    steps: list[tuple[str, int, int]] = []
    again = triptych.train(
        photos,
        name="again",
        backbones=["lite0"],
        precision="f32",
        progress=lambda *step: steps.append(step),
    )
    assert [step for step in steps if step[0] == "Computing features"] == [
        ("Computing features", 0, 0)
    ]
    assert list(dict.fromkeys(stage for stage, _, _ in steps)) == [
        "Reading photos",
        "Computing features",
        "Training heads",
        "Learning curve",
        "Writing the bundle",
    ]
    assert steps[-1] == ("Writing the bundle", 1, 1)
    assert again.metrics == shapes.metrics
    assert again.about["data"] == shapes.about["data"]
    assert again.about["members"] == shapes.about["members"]
    arrays, as_before = arrays_of(again.folder), arrays_of(shapes.folder)
    assert arrays.keys() == as_before.keys()
    assert len(arrays) > 100, "are the weights of the network among them?"
    assert [name for name in arrays if arrays[name] != as_before[name]] == []


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_the_same_seed_gives_the_same_bundle(photos: Path, home: Path, head: str) -> None:
    """Every file, but for dates and the time that it took."""
    twins = [
        triptych.train(photos, name=head, backbones=["lite0"], precision="f32", head=head, seed=5)
        for _ in range(2)
    ]
    assert twins[0].folder != twins[1].folder
    first, second = (files_of(bundle) for bundle in twins)
    assert first.keys() == second.keys()
    assert {"metrics.json", "report.html", "members/EfficientNetLite0/network.bin"} < {
        name.split()[0] for name in first
    }
    assert [name for name in first if first[name] != second[name]] == []


# What is in a bundle.json besides: dates, and the hashes of files that have dates.
DATED = ("created", "taught_in_s", "files")


def files_of(bundle: bundles.Bundle) -> dict[str, Any]:
    """The files of a bundle by name, without dates; of archives, what is in them."""
    files = dict[str, Any]()
    spent = f"{bundle.about['taught_in_s']} s"
    for path in sorted(path for path in bundle.folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(bundle.folder))
        if path.suffix in (".npz", ".keras"):
            with zipfile.ZipFile(path) as archive:
                files |= {f"{name} {n}": archive.read(n) for n in archive.namelist()}
            files.pop(f"{name} metadata.json", None)  # Keras's version and the date
        elif path.name == "network.xml":
            # OpenVINO numbers the nodes of all networks that a process converts.
            files[name] = re.sub(r'(?<=[A-Za-z_])\d+(?=")', "", path.read_text())
        elif name == "bundle.json":
            about = json.loads(path.read_text())
            files[name] = {k: v for k, v in about.items() if k not in DATED}
        elif name == "report.html":
            files[name] = path.read_text().replace(spent, "").replace(bundle.about["created"], "")
        else:
            files[name] = path.read_bytes()
    return files


def arrays_of(folder: Path) -> dict[str, bytes]:
    """All arrays in the files of a bundle, by file and name, as bytes."""
    arrays = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.suffix == ".npz":
            with np.load(path) as file:
                arrays |= {f"{name} {key}": file[key].tobytes() for key in file}
        elif path.suffix == ".keras":
            weights_file = io.BytesIO(zipfile.ZipFile(path).read("model.weights.h5"))
            with h5py.File(weights_file) as file:
                keys = list[str]()
                file.visit(keys.append)
                items = {key: file[key] for key in keys}
                arrays |= {
                    f"{name} {key}": item[()].tobytes()
                    for key, item in items.items()
                    if isinstance(item, h5py.Dataset)
                }
        elif path.suffix in (".bin", ".txt"):
            arrays[name] = path.read_bytes()
    return arrays


def test_augmented_views_are_additional_passes(
    shapes: bundles.Bundle, photos: Path, home: Path
) -> None:
    ran = run(
        *("train", photos, "--name", "views", "--backbones", "lite0", "--precision", "f32"),
        *("--augment", "crops,flips", "--home", home),
    )
    assert ran.exit_code == 0, ran.output
    spaces = features.FeatureStore(home / "features.sqlite").spaces()
    learned = shapes.about["data"]["train"]
    counts = [s.photos for s in spaces if s.name.endswith(("flip", "upper left", "lower right"))]
    assert counts == [learned] * 3
    bundle = bundles.find(home, "views")
    assert bundle.about["augment"] == ["crops", "flips"]
    assert bundle.metrics["committee"]["top1"] == 1.0
    assert bundle.about["doubt"]["temperatures"] != shapes.about["doubt"]["temperatures"]
    assert "Augmented by" in (bundle.folder / "report.html").read_text(encoding="utf-8")
    bundles.remove(home, "views")


def test_bundles_are_listed_shown_exported_imported_and_removed(
    shapes: bundles.Bundle, tmp_path: Path
) -> None:
    (line,) = [
        fact
        for fact in map(json.loads, run("bundles", "list", "--json").stdout.splitlines())
        if fact["name"] == "shapes"
    ]
    assert (line["version"], line["classes"], line["top1"]) == (1, list(SHAPES), 1)
    assert "to 100 % (" in run("bundles", "list").stdout
    facts = json.loads(run("bundles", "show", "shapes").stdout)
    assert facts["metrics"] == json.loads(json.dumps(shapes.metrics))
    packed = tmp_path / "shapes.zip"
    assert run("bundles", "export", "shapes", packed).stdout == f"{packed}\n"
    there = ["--home", tmp_path / "other"]
    taken = run("bundles", "import", packed, "--name", "copy", *there)
    assert taken.stdout.startswith("copy, version 1: ")
    assert run("bundles", "remove", "copy", *there).stdout == "Removed copy.\n"
    assert "There are no bundles yet" in run("bundles", "list", *there).stdout
    gone = run("bundles", "remove", "copy", *there)
    assert gone.exit_code == 2
    assert "There is no committee 'copy'" in gone.stderr


def test_stopping_writes_no_bundle_and_keeps_features(photos: Path, home: Path) -> None:
    for stage in ("Computing features", "Training heads", "Learning curve"):
        reached: list[str] = []
        with pytest.raises(errors.Stopped, match="computed so far are kept"):
            triptych.train(
                photos,
                name="stopped",
                backbones=["lite0"],
                precision="f32",
                progress=lambda now, done, total, stages=reached: stages.append(now),
                # Where features are all there, the next stage is asked.
                stop=lambda stages=reached, stage=stage: stage in stages,
            )
        assert stage in reached
        assert not (home / "bundles" / "stopped").exists()


def test_two_photos_a_class_are_enough(home: Path, tmp_path: Path) -> None:
    few = draw_classes(tmp_path / "few", count=2)
    bundle = triptych.train(few, name="again", backbones=["lite0"], precision="f32")
    assert bundle.about["data"]["train"] == bundle.about["data"]["val"] == 3
    assert bundle.about["doubt"] is None
    assert bundle.metrics["committee"]["top1"] > 0.5


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["SHAPES/rays", "--name", "x"], 1, "Expected a folder of photos per class"),
        (["SHAPES/nowhere", "--name", "x"], 1, "cannot be opened"),
        (["SHAPES"], 2, "Missing option '--name'"),
        (["SHAPES", "--name", "lite"], 2, "A bundle cannot be called 'lite'"),
        (["SHAPES", "--name", "x", "--backbones", "resnet5"], 2, "There is no backbone 'resnet5'"),
        (["SHAPES", "--name", "x", "--backbones", ","], 2, "at least one"),
        (["SHAPES", "--name", "x", "--backbones", "vgg16"], 1, "triptych pull VGG16"),
        (["SHAPES", "--name", "x", "--head", "forest"], 2, "'forest' is not one of"),
        (["SHAPES", "--name", "x", "--weights", "lite0"], 2, "expected NAME=FILE"),
        (["SHAPES", "--name", "x", "--weights", "lite9=x.h5"], 2, "There is no backbone 'lite9'"),
        (["SHAPES", "--name", "x", "--weights", "lite0=/nowhere.h5"], 1, "no file /nowhere.h5"),
        (["SHAPES", "--name", "x", "--weights", "vgg16=x.h5"], 2, "VGG16 is not among"),
    ],
)
def test_usage_errors_are_one_clear_message(
    arguments: list[str], code: int, message: str, photos: Path, home: Path
) -> None:
    ran = run("train", *(argument.replace("SHAPES", str(photos)) for argument in arguments))
    assert (ran.exit_code, message in ran.stderr) == (code, True), ran.stderr
    assert not (home / "bundles" / "x").exists()


@pytest.fixture(scope="module")
def custom_model(keras: Any) -> Any:
    """A MobileNetV2 with random weights."""
    model = zoo.find("MobileNetV2").build()
    networks.randomize(model, seed=5)
    return model


@pytest.fixture(scope="module")
def finetuned(custom_model: Any, keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuned model as people save it: a backbone with another last layer."""
    features = zoo.features_output(custom_model)
    backbone = keras.Model(custom_model.inputs, features, name="my_backbone")
    model = keras.Sequential([keras.Input((224, 224, 3)), backbone, keras.layers.Dense(5)])
    return networks.save_keras(model, tmp_path_factory.mktemp("own") / "mine.keras")


def test_a_custom_keras_file_replaces_the_published_weights(
    finetuned: Path, custom_model: Any, photos: Path, home: Path
) -> None:
    ran = run(
        "train", photos, "--name", "own", "--backbones", "mobilenet-v2", "--precision", "f32",
        "--weights", f"mobilenetv2={finetuned}",
    )  # fmt: skip
    assert ran.exit_code == 0, ran.output
    (member,) = (
        bundles.find(home, "own").committee(EngineOptions(home=home, precision="f32")).members
    )
    batch = np.random.default_rng(0).uniform(-1, 1, (2, 224, 224, 3)).astype(np.float32)
    expected = networks.run(zoo.with_features(custom_model), batch)[1]
    computed = member.engine.run(batch).features
    np.testing.assert_allclose(computed, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_a_custom_h5_file_fits_whatever_its_layer_names(custom_model: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.h5"
    networks.save_applications_weights(custom_model, path)
    fresh = zoo.find("MobileNetV2").build()
    weights.load_into(fresh, zoo.find("MobileNetV2"), path)
    batch = np.random.default_rng(0).uniform(-1, 1, (2, 224, 224, 3)).astype(np.float32)
    first, second = (networks.run(zoo.with_features(m), batch)[1] for m in (custom_model, fresh))
    np.testing.assert_array_equal(first, second)


def test_a_file_of_another_backbone_is_refused(finetuned: Path) -> None:
    row = zoo.find("MobileNet")
    with pytest.raises(errors.WeightsDamaged, match=r"mine\.keras holds no MobileNet: "):
        weights.load_into(row.build(), row, finetuned)


def test_files_without_weights_are_refused(custom_model: Any, tmp_path: Path) -> None:
    row = zoo.find("MobileNetV2")
    for name in ("x.keras", "x.h5"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(errors.WeightsDamaged, match=rf"{name} cannot be read"):
            weights.load_into(custom_model, row, tmp_path / name)
