"""`triptych fit`: what it prints, what it keeps, what it refuses."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from click.testing import Result
from PIL import Image

import triptych
from support.images import picture
from triptych import bundles
from triptych import data
from triptych import errors
from triptych.cli import main
from triptych.engines.fake import FakeEngine
from triptych.ensemble import params
from triptych.ensemble.rules import RULES
from triptych.inference import params_store
from triptych.inference.classifier import Classifier
from triptych.inference.classifier import Scores
from triptych.inference.committee import Committee
from triptych.inference.committee import Member
from triptych.preprocessing.recipe import Recipe
from triptych.results import Label
from triptych.tuning import fit
from triptych.tuning import predictions

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_converter")]

WORDNET_IDS = ("n01443537", "n02129165", "n02391049")
COLOURS = ("rosso", "verde", "blu")
PER_CLASS = 17  # 51 photos: hardly more than are needed


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def tinted(seed: int, channel: int) -> bytes:
    """A picture whose colour depends on its class."""
    with Image.open(io.BytesIO(picture(seed, format="PNG"))) as image:
        pixels = np.asarray(image, np.uint8).copy()
    pixels[..., [other for other in range(3) if other != channel]] //= 4
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def classes_of(
    folder: Path, names: tuple[str, ...], *, first: int = 0, count: int = PER_CLASS
) -> Path:
    for channel, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number in range(first, first + count):
            data = tinted(100 * channel + number, channel)
            (folder / name / f"{number}.png").write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = classes_of(tmp_path_factory.mktemp("photos") / "animals", WORDNET_IDS)
    (folder / WORDNET_IDS[0] / "liar.jpg").write_bytes(b"just text")
    return folder


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classes_of(tmp_path_factory.mktemp("photos") / "colours", COLOURS)


@pytest.fixture
def own_fits(home: Path) -> Iterator[Path]:
    yield home / "fits"
    for path in (home / "fits").glob("*.json"):
        path.unlink()


def test_figures_are_printed_kept_and_used_from_then_on(imagenet: Path, own_fits: Path) -> None:
    ran = run("fit", imagenet, "--members", "lite0,lite1", "--precision", "f32")
    assert ran.exit_code == 0, ran.output
    path = own_fits / "EfficientNetLite0+EfficientNetLite1.json"
    assert f"Kept: {path}" in ran.stdout
    for name in ("EfficientNetLite0", "EfficientNetLite1", *(f"rule {rule}" for rule in RULES)):
        assert f"\n{name}" in ran.stdout
    assert "51 photos in 5 folds" in ran.stdout
    # Of few photos, those called sure are counted, and the interval says what that proves.
    assert re.search(r"called sure +of those right +95 % interval", ran.stdout)
    assert re.search(r"^rule weighted +\d+ of 51 ", ran.stdout, re.M)
    assert "1 skipped" in ran.stdout
    assert "liar.jpg" in ran.stdout
    committee = triptych.load(members=["lite0", "lite1"], precision="f32").committee
    assert committee.params.is_fitted
    assert committee.rule == "weighted"
    provenance = committee.params.provenance
    assert (provenance["data"], provenance["photos"], provenance["folds"]) == (
        "animals, 3 classes",
        51,
        5,
    )


def test_a_dry_run_keeps_nothing_and_json_says_all(
    imagenet: Path, own_fits: Path, tmp_path: Path
) -> None:
    options = ("--members", "lite0", "--dry-run", "--json", "--coverage", "0.8", "--folds", "3")
    ran = run("fit", imagenet, *options, "--plots", tmp_path / "deep" / "plots")
    assert ran.exit_code == 0, ran.output
    report = json.loads(ran.stdout)
    assert "kept" not in report
    assert not list(own_fits.glob("*"))
    assert (report["photos"], report["folds"]) == (51, 3)
    assert report["rules"][0]["sets"]["coverage"] == 0.8
    assert [failure["error"]["code"] for failure in report["skipped"]] == ["not_an_image"]
    assert sorted(Path(file).name for file in report["plots"]) == [
        "reliability.png",
        "risk_coverage.png",
    ]
    assert all(Path(file).stat().st_size > 5000 for file in report["plots"])


def test_tolerance_precision_and_keep_weights_are_used(imagenet: Path, tmp_path: Path) -> None:
    target = tmp_path / "fit.json"
    config = ("--tolerance", "2", "--precision-of-sure", "80", "--keep-weights")
    ran = run("fit", imagenet, "--members", "lite0,lite1", *config, "--output", target)
    assert ran.exit_code == 0, ran.output
    doubt = json.loads(target.read_text())["doubt"]
    assert doubt["told"]["tolerance"] == 0.02
    assert doubt["told"]["precision"] == 0.8
    # The published accuracies' log-odds, as in a committee that was not fitted.
    assert doubt["weights"][1] / doubt["weights"][0] == pytest.approx(
        np.log(0.767 / 0.233) / np.log(0.751 / 0.249), abs=1e-4
    )


@pytest.mark.parametrize("count", [1, 16])
def test_too_few_photos_are_refused(tmp_path: Path, count: int) -> None:
    folder = classes_of(tmp_path / "few", WORDNET_IDS, count=count)
    ran = run("fit", folder, "--members", "lite0")
    assert ran.exit_code == 1
    assert f"Got {3 * count} photos of known classes" in ran.stderr
    assert "expected 50 or more" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--folds", "1"], "1 is not in the range x>=2"),
        (["--precision-of-sure", "100"], "100.0 is not in the range"),
        (["--coverage", "1.5"], "1.5"),
        (["--members", "resnet5"], "ResNet50"),
        (["--committee", "garden", "--members", "lite0"], "Leave out --members and --output"),
        (["--choose", "--backbones", "resnet5"], "ResNet50"),
        (["--choose", "--backbones", ","], "Got 0 networks"),
        (["--choose", "--backbones", "lite0", "--budget-ms", "0.001"], "EfficientNetLite0, takes"),
    ],
)
def test_contradictory_options_are_usage_errors(
    imagenet: Path, arguments: list[str], message: str
) -> None:
    ran = run("fit", imagenet, *arguments, "--dry-run")
    assert ran.exit_code == 2, ran.output
    assert message in ran.stderr


def test_a_bundle_gets_its_fit_as_the_next_version(
    colours: Path, home: Path, tmp_path: Path
) -> None:
    training = run("train", colours, "--name", "hues", "--backbones", "lite0")
    fresh = classes_of(tmp_path / "colours", COLOURS, first=50)
    try:
        assert training.exit_code == 0, training.output
        ran = run("fit", fresh, "--committee", "hues")
        assert ran.exit_code == 0, ran.output
        newest = bundles.find(home, "hues")
        assert newest.version == 2
        assert f"Kept: {newest.folder}" in ran.stdout
        assert newest.about["doubt"]["told"]["data"] == "colours, 3 classes"
        assert triptych.load("hues").committee.params.provenance["folds"] == 5
    finally:
        bundles.remove(home, "hues")


def test_choose_with_imagenet_classes(imagenet: Path, tmp_path: Path) -> None:
    options = ("--backbones", "lite1,lite0", "--budget-ms", "10000", "--json")
    ran = run("fit", imagenet, "--choose", *options, "--plots", tmp_path)
    assert ran.exit_code == 0, ran.output
    report = json.loads(ran.stdout)
    assert report["answers"] == "imagenet"
    assert len(report["options"]) == 4
    assert any(option["front"] for option in report["options"])
    recommended = report["recommended"]
    names = ",".join(recommended["members"])
    assert recommended["commands"][1].startswith(f"triptych serve --members {names}")
    assert (tmp_path / "costs.png").stat().st_size > 5000
    costs = {tuple(o["members"]): o["multiply_adds"] for o in report["options"] if not o["cascade"]}
    assert costs[("EfficientNetLite0",)] == 0.385


def test_choose_with_other_classes(colours: Path) -> None:
    options = ("--backbones", "lite0", "--budget-ms", "10000")
    ran = run("fit", colours, "--choose", *options)
    assert ran.exit_code == 0, ran.output
    assert "Linear heads for 51 photos they were not trained on" in ran.stdout
    assert f"triptych train {colours} --name NAME --backbones EfficientNetLite0" in ran.stdout
    (row,) = [line for line in ran.stdout.splitlines() if line.startswith("*")]
    assert int(row.split()[2]) > 48  # of 51: colours are no riddle


def fake(members: int = 2) -> Classifier:
    labels = tuple(Label(name, name, number) for number, name in enumerate("abc"))
    seated = tuple(
        Member(f"Fake{number}", FakeEngine(3), Recipe((8, 8), "tf")) for number in range(members)
    )
    plain = params.unfitted([1.0] * members, [1.0] * members)
    return Classifier(Committee("demo", seated, labels, plain))


def test_scores_are_the_members_probabilities_in_order(tmp_path: Path) -> None:
    folder = classes_of(tmp_path / "abc", ("a", "b", "c"))
    (folder / "b" / "00.png").write_bytes(b"")
    classifier = fake()
    photos = data.labelled(folder, classifier.committee.labels)
    steps: list[tuple[int, int]] = []
    scored = predictions.score(classifier, photos, progress=lambda *done: steps.append(done))
    assert scored.probs.shape == (2, 3 * PER_CLASS, 3)
    assert scored.targets.tolist() == [0] * PER_CLASS + [1] * PER_CLASS + [2] * PER_CLASS
    assert [failure.code for failure in scored.skipped] == ["empty_image"]
    assert steps[-1] == (52, 52)
    (alone,) = classifier.score_many([("x", scored.paths[33])])
    assert isinstance(alone, Scores)
    np.testing.assert_allclose(scored.probs[:, 33], alone.probs, atol=1e-6)


def test_copies_of_a_photo_share_a_fold(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(60)]
    for number, path in enumerate(paths):
        path.write_bytes(b"%d" % (number // 3))
    folds = predictions.folds(paths, 4, seed=0)
    assert sorted(set(folds.tolist())) == [0, 1, 2, 3]
    assert all(len(set(folds[start : start + 3])) == 1 for start in range(0, 60, 3))
    assert (folds == predictions.folds(paths, 4, seed=0)).all()
    assert (folds != predictions.folds(paths, 4, seed=1)).any()


def test_more_folds_than_different_photos_are_refused(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(50)]
    for number, path in enumerate(paths):
        path.write_bytes(b"%d" % (number % 4))
    with pytest.raises(errors.FitError, match="5 folds, and among the 50 photos there are only 4"):
        predictions.folds(paths, 5, seed=0)


def test_very_many_photos_are_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "MOST", 3 * 50)
    folder = classes_of(tmp_path / "abc", ("a", "b", "c"))
    classifier = fake(1)
    photos = data.labelled(folder, classifier.committee.labels)
    first, second = (predictions.score(classifier, photos, seed=seed) for seed in (0, 1))
    assert len(first.targets) == len(second.targets) == 50
    assert first.paths != second.paths
    assert list(first.paths) == sorted(first.paths)


def test_a_fit_of_a_zoo_committee_is_used_afterwards(tmp_path: Path) -> None:
    folder = classes_of(tmp_path / "abc", ("a", "b", "c"))
    classifier = fake()
    photos = data.labelled(folder, classifier.committee.labels)
    scored = predictions.score(classifier, photos)
    fitted = fit.fit(scored, [1, 2], fit.FitConfig(folds=3), data="abc")
    assert len(fitted.crossed.fold_params) == 3
    fit.keep(tmp_path, "auto", classifier.committee, fitted.params)
    stored = params_store.find(tmp_path, "lite", ["Fake0", "Fake1"])
    assert stored is not None
    assert stored.provenance == fitted.params.provenance
