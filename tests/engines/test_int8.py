"""int8 networks: made once, reused, refused if missing, and as accurate as the f32 ones."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from click.testing import Result

import triptych
from support import bundles as small
from support import networks
from support.images import picture
from support.predictions import random_predictions
from triptych import bundles
from triptych import errors
from triptych import images
from triptych.bundles import loading
from triptych.cli import main
from triptych.engines import Engine
from triptych.engines.conversion import int8
from triptych.engines.conversion import quantize
from triptych.engines.conversion import store
from triptych.engines.openvino import resolve_precision
from triptych.engines.options import EngineOptions
from triptych.ensemble import params
from triptych.evaluation import paired
from triptych.exports import checking
from triptych.exports import exporting
from triptych.exports import formats
from triptych.inference import committee
from triptych.models import zoo
from triptych.preprocessing import recipe

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_converter")]

needs_nncf = pytest.mark.skipif(
    importlib.util.find_spec("nncf") is None, reason='needs NNCF: pip install "triptych[int8]"'
)

LITE0 = zoo.find("lite0")


def load(home: Path, **options: Any) -> tuple[triptych.Classifier, list[str]]:
    messages: list[str] = []
    # Batches are not measured, which would be reported, too.
    arguments = {"precision": "int8", "rule": "mean", "home": home, "max_batch": 1, **options}
    return triptych.load(members=["lite0"], report=messages.append, **arguments), messages


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["optimize", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 75 abstract pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(75):
        (folder / f"{seed}.jpg").write_bytes(picture(seed))
    return folder


@needs_nncf
def test_random_weights_are_quantized_once(
    home: Path,
) -> None:
    first, messages = load(home, weights="random")
    assert messages[-1] == "Quantizing EfficientNetLite0 ..."
    second, messages = load(home, weights="random")
    assert messages == []
    assert first.committee.warning
    assert first.classify(picture(1)).top == second.classify(picture(1)).top
    (network,) = store.prepare([LITE0], home=home, random=True)
    int8_network = int8.int8_path(network)
    assert "FakeQuantize" in int8_network.read_text()
    assert (
        int8_network.with_suffix(".bin").stat().st_size
        < network.with_suffix(".bin").stat().st_size / 3
    )
    assert sorted(path.name for path in network.parent.iterdir()) == [
        int8.FOLDER,
        "network.bin",
        "network.sha256",
        "network.xml",
    ]


def test_missing_int8_networks_name_the_command_that_makes_them(
    home: Path,
) -> None:
    options = EngineOptions(home=home, precision="int8")
    lite = r"EfficientNetLite0, .*has no int8 networks yet.*triptych optimize lite --images photos/"
    with pytest.raises(errors.SettingError, match=lite):
        committee.from_zoo("lite", options)
    with pytest.raises(errors.SettingError, match="optimize lite --members EfficientNetLite0 --im"):
        committee.from_zoo("lite", options, members=["lite0"])


def test_int8_is_refused_before_optimize() -> None:
    with pytest.raises(errors.SettingError, match="after `triptych optimize`"):
        resolve_precision("int8")


@pytest.mark.skipif(bool(importlib.util.find_spec("nncf")), reason="NNCF is installed")
def test_missing_nncf_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(errors.SettingError, match=r'pip install "triptych\[int8\]"'):
        quantize.run(tmp_path / "network.xml", [], tmp_path / "made.xml")


@needs_nncf
def test_a_failed_quantization_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    network = tmp_path / "network.xml"
    network.write_text("<net>")
    with pytest.raises(errors.EngineError, match=r"Quantizing the network .*network.xml failed: ."):
        quantize.run(network, int8.synthetic_inputs(LITE0.recipe), tmp_path / "made.xml")
    assert list(tmp_path.iterdir()) == [network]


@needs_nncf
def test_quantizing_can_be_stopped(tmp_path: Path) -> None:
    with pytest.raises(errors.Stopped):
        quantize.run(tmp_path / "none.xml", [], tmp_path / "made.xml", stop=lambda: True)


@needs_nncf
def test_a_committee_of_the_zoo_answers_at_int8_once_it_was_optimized(
    tmp_path: Path, home: Path, pictures: Path
) -> None:
    (network,) = store.prepare([LITE0], home=home)
    shutil.copytree(network.parent, tmp_path / "engines" / network.parent.name)
    lossy = ["--max-loss", "100", "--home", tmp_path]
    ran = run("lite", "--members", "lite0", "--images", pictures, *lossy)
    assert ran.exit_code == 0, ran.output
    assert "25 others calibrated the networks" in ran.stdout
    assert "classes are not known: each photo with another answer counts as lost" in ran.stdout
    folder = tmp_path / "engines" / network.parent.name / int8.FOLDER
    assert f"Kept: {folder}" in ran.stdout
    record = json.loads((folder / int8.PROVENANCE).read_text())
    assert record["nncf"]
    # Of pictures of nothing, which nobody is sure of.
    assert record["members"][0]["agreement"] > 0.6
    classifier, said_at_start = load(tmp_path)
    assert said_at_start == []
    assert not classifier.committee.warning
    exact = triptych.load(members=["lite0"], rule="mean", precision="f32", home=home)
    verdicts = [each.classify(picture(300)) for each in (classifier, exact)]
    assert 0 < abs(verdicts[0].prob - verdicts[1].prob) < 0.2


def small_bundle(home: Path, *names: str) -> bundles.Bundle:
    """Members with random weights and 200 classes."""
    member_recipe = recipe.Recipe((32, 32), "tf").to_dict()

    def fill(folder: Path) -> dict[str, Any]:
        for seed, name in enumerate(names):
            networks.write_tiny(folder / "members" / name / "network.xml", classes=200, seed=seed)
        return {
            "labels": [{"name": f"class {n}", "id": f"c{n}"} for n in range(200)],
            "members": [{"name": name, "recipe": member_recipe, "cost": 1.0} for name in names],
            "rule": "mean",
            "doubt": None,
        }

    return bundles.write(home, "eight", fill)


@pytest.fixture(scope="module")
def optimized(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> bundles.Bundle:
    """A bundle of two members after `triptych optimize`."""
    home = tmp_path_factory.mktemp("optimized")
    small_bundle(home, "First", "Second")
    folder = shutil.copytree(pictures, home / "photos" / "class 7").parent
    ran = run("eight", "--images", folder, "--max-loss", "2", "--json", "--home", home)
    assert ran.exit_code == 0, ran.output
    report = json.loads(ran.stdout)
    assert (report["judged_by"], report["shown"], report["photos"]) == ("accuracy", 25, 50)
    assert [member["name"] for member in report["members"]] == ["First", "Second"]
    bundle = bundles.find(home, "eight")
    assert report["kept"] == [str(bundle.folder)]
    return bundle


@needs_nncf
def test_int8_networks_of_a_bundle_are_in_its_next_version_and_its_export(
    optimized: bundles.Bundle, tmp_path: Path
) -> None:
    assert optimized.version == 2
    bundles.pack(optimized, tmp_path / "eight.zip")
    travelled = bundles.unpack(tmp_path, tmp_path / "eight.zip")
    before, after = (engine_of(each, tmp_path, "int8") for each in (optimized, travelled))
    np.testing.assert_array_equal(before.run(batch(4)).probs, after.run(batch(4)).probs)


@needs_nncf
def test_at_int8_a_batch_equals_its_rows_and_is_near_f32(
    optimized: bundles.Bundle, tmp_path: Path
) -> None:
    photos = batch(8)
    engine = engine_of(optimized, tmp_path, "int8")
    whole = engine.run(photos).probs
    rows = np.concatenate([engine.run(photos[n : n + 1]).probs for n in range(len(photos))])
    np.testing.assert_allclose(whole, rows, atol=1e-5)
    exact = engine_of(optimized, tmp_path, "f32").run(photos).probs
    logs = np.log(np.stack([whole, exact]).reshape(2, -1))
    assert logs.std() > 1, "too flat to compare anything"
    assert 0.98 < np.corrcoef(logs)[0, 1] < 0.999999


def engine_of(bundle: bundles.Bundle, home: Path, precision: str) -> Engine:
    return bundle.committee(EngineOptions(home, precision=precision)).members[0].engine


def batch(count: int) -> np.ndarray:
    member_recipe = recipe.Recipe((32, 32), "tf")
    return np.stack(
        [recipe.apply(member_recipe, images.load(picture(seed))) for seed in range(count)]
    )


@needs_nncf
def test_a_changed_int8_network_is_not_run(optimized: bundles.Bundle, tmp_path: Path) -> None:
    folder = shutil.copytree(optimized.folder, tmp_path / "bundles" / "eight" / "2")
    changed = bundles.read(folder)
    numbers = int8.int8_path(changed.networks[0]).with_suffix(".bin")
    numbers.write_bytes(numbers.read_bytes()[:-1] + b"!")
    with pytest.raises(errors.BundleError, match=r"int8-1/network.bin is not the file"):
        engine_of(changed, tmp_path, "int8")


@pytest.fixture(scope="module")
def bowls(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a multi-label bundle after `triptych optimize`, by a folder with a list."""
    home = tmp_path_factory.mktemp("bowls")
    small.write_multilabel(home, sides={"small": 32})
    folder = shutil.copytree(pictures, home / "photos")
    rows = [f"{seed}.jpg,{'ant|daisy' if seed % 3 else ''}" for seed in range(75)]
    (folder / "labels.csv").write_text("\n".join(["path,label", *rows, ""]))
    ran = run("bowls", "--images", folder, "--max-loss", "100", "--home", home)
    assert ran.exit_code == 0, ran.output
    assert "micro F1" in ran.stdout
    assert "Compared on 50 photos; 25 others calibrated the networks." in ran.stdout
    assert re.search(r"^elm +- → - +0 of 0 → 0 of 0 +no$", ran.stdout, re.MULTILINE)
    assert "Their classes are not known" not in ran.stdout
    return home


@needs_nncf
def test_an_export_at_int8_answers_all_classes_that_hold_at_int8(
    bowls: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnx")
    path, options = tmp_path / "bowls.onnx", EngineOptions(bowls, precision="int8")
    done = exporting.export("bowls", path, options)
    assert done.comparison.verdicts <= 1  # where a probability is at its threshold
    classifier = loading.load_classifier("bowls", options)
    answered = formats.FORMATS[done.format.name].open(path)
    held = set()
    for photo in checking.draw_photos()[:8]:  # the large ones were compared by the export
        verdict = classifier.classify(photo, top=5)
        probs = checking.probs_of(verdict)
        np.testing.assert_allclose(answered(photo).probs, probs, atol=0.1)
        held.add(tuple(answered(photo).holds))
    assert len(held) > 1
    source = exporting.source_of(classifier.committee, "int8", 0.9)
    # The precision of the last class was tested on answers at f32.
    last = source.metadata["thresholds"][4]
    assert (last["target"], last["status"]) == (0.95, None)
    assert "precision of classes was tested on answers at f32" in (
        (tmp_path / "README.md").read_text()
    )


@needs_nncf
def test_networks_that_lose_too_much_are_not_kept(pictures: Path, tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path, "Alone")
    ran = run("eight", "--images", pictures, "--max-loss", "0", "--home", tmp_path)
    assert ran.exit_code == 1
    lost = r"At int8, eight loses \d+\.\d\d points \(95 % interval .*\), and 0\.00 are allowed"
    assert re.search(lost, ran.stderr)
    assert "Kept" not in ran.stdout
    assert "classes are not known: each photo with another answer counts as lost" in ran.stdout
    assert bundles.versions(tmp_path, "eight") == [1]
    with pytest.raises(errors.SettingError, match="triptych optimize eight --images photos/"):
        engine_of(bundle, tmp_path, "int8")


@needs_nncf
def test_optimize_needs_enough_photos(tmp_path: Path) -> None:
    small_bundle(tmp_path, "Alone")
    without = run("eight", "--home", tmp_path)
    assert without.exit_code == 2
    assert "triptych optimize eight --images photos/" in without.stderr
    (tmp_path / "photos").mkdir()
    for seed in range(10):
        (tmp_path / "photos" / f"{seed}.jpg").write_bytes(picture(seed))
    few = run("eight", "--images", tmp_path / "photos", "--home", tmp_path)
    assert few.exit_code == 1
    assert "has 7 different photos to evaluate int8 with" in few.stderr
    assert "Expected 50 or more" in few.stderr


def test_the_paired_loss_and_its_interval() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        worse, better, _ = rng.multinomial(300, [0.03, 0.02, 0.95])
        low, high = paired.paired(worse, better, 300)[1:]
        covered += low <= 0.01 <= high
    assert 0.93 < covered / 2000 < 0.98


def test_the_comparison_has_members_and_rules() -> None:
    probs, targets = random_predictions([3, 1], photos=400, classes=5)
    worse = probs.copy()
    worse[:, :20] = np.roll(probs[:, :20], 1, axis=2)  # all of them answer otherwise
    fitted = params.unfitted([1, 1], [1, 3])
    how = {"names": ["A", "B"], "costs": [1, 3], "params": fitted, "rule": "mean"}
    report = paired.compare((probs, worse), targets, **how)
    assert [each["name"] for each in report["members"]] == ["A", "B"]
    assert [each["name"] for each in report["rules"]] == ["mean", "cascade"]
    rule = report["rules"][0]
    assert rule["agreement"] == 0.95
    assert rule["loss"] == pytest.approx(rule["f32"]["top1"] - rule["int8"]["top1"])
    assert 0.02 < rule["loss"] <= 0.05
    assert report["rules"][1]["int8"]["cost"] == 1
    unknown = paired.compare((probs, worse), None, **how)
    assert unknown["judged_by"] == "agreement"
    assert unknown["rules"][0]["loss"] == pytest.approx(0.05)
