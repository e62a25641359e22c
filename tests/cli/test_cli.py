"""The command line with the real committee `lite`: every output format, every exit code."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from click.testing import Result
from PIL import Image

from support import imagenet_drawings
from support import studios
from support.images import picture
from support.images import plain_image
from triptych.cli import main
from triptych.models import zoo


def run(*arguments: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(main, list(arguments), input=stdin, catch_exceptions=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos, one in a subfolder, and a text file named like a photo."""
    (tmp_path / "deeper").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "a.jpg").write_bytes(picture(1))
    (tmp_path / "deeper" / "b ü.png").write_bytes(picture(2, format="PNG"))
    (tmp_path / "deeper" / "c.webp").write_bytes(picture(3, format="WEBP"))
    (tmp_path / "liar.jpg").write_bytes(b"just text")
    (tmp_path / "notes.txt").write_bytes(b"not a photo, and not asked about")
    (tmp_path / ".hidden" / "d.jpg").write_bytes(picture(4))
    return tmp_path


def verdict_of(ran: Result) -> str:
    """The class that `classify` prints first, which depends on the precision."""
    return ran.stdout.splitlines()[1].strip().split("  ")[0]


def test_one_photo_is_described_for_people(folder: Path) -> None:
    ran = run("classify", str(folder / "a.jpg"), "--committee", "lite")
    assert ran.exit_code == 0
    assert "weighted of 3, surest: EfficientNetLite" in ran.stdout
    assert f"unsure; one of (90 %): {verdict_of(ran)}, " in ran.stdout
    assert ran.stdout.count("%") == 1 + 1 + 9


def test_json_is_one_object_per_line_with_the_promised_keys(folder: Path) -> None:
    ran = run("classify", str(folder), "--committee", "lite", "--json", "--top", "2")
    assert ran.exit_code == 1
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    by_name = {Path(line["source"]).name: line for line in lines}
    assert sorted(by_name) == ["a.jpg", "b ü.png", "c.webp", "liar.jpg"]
    assert by_name["liar.jpg"]["error"]["code"] == "not_an_image"
    good = by_name["b ü.png"]
    assert set(good) == {"source", "verdict", "members", "skipped", "slept", "reason", "timing"}
    assert {"label", "id", "index", "prob", "rule", "top"} <= set(good["verdict"])
    assert set(good["verdict"]["top"][0]) == {"label", "id", "index", "prob"}
    assert [member["name"] for member in good["members"]] == list(zoo.COMMITTEES["lite"])
    assert all(len(member["top"]) == 2 for member in good["members"])
    assert "3 classified, 1 failed" in ran.stderr


def test_csv_has_a_row_per_photo_failures_included(folder: Path) -> None:
    ran = run("classify", str(folder), "--committee", "lite", "--csv")
    assert ran.exit_code == 1
    rows = list(csv.DictReader(io.StringIO(ran.stdout)))
    assert len(rows) == 4
    bad = next(row for row in rows if row["error_code"])
    assert bad["source"].endswith("liar.jpg")
    assert all(0 <= float(row["prob"]) <= 1 for row in rows if row is not bad)


def test_explain_draws_a_class_activation_map(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "why.png"
    ran = run("classify", str(folder / "a.jpg"), "--committee", "lite", "--explain", str(target))
    assert ran.exit_code == 0
    label = verdict_of(ran)
    described = f"evidence for {label} according to the committee lite, by class activation map."
    assert described in ran.stderr
    with Image.open(target) as drawn:
        assert (drawn.format, drawn.size) == ("PNG", (120, 90))


@pytest.fixture
def garden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos, and a fitted committee that replaces any other."""
    monkeypatch.setattr("triptych.load", lambda **options: studios.fake_classifier(studios.GARDEN))
    for name in ("SURE", "TWO_ASKED", "MANY_CLASSES", "NONE_OF_THESE"):
        shade = getattr(studios, name)
        (tmp_path / f"{name.lower()}.png").write_bytes(plain_image(shade))
    return tmp_path


def test_status_and_prediction_set_are_one_line(garden: Path) -> None:
    stdout = run("classify", str(garden)).stdout
    many, none, sure, two = stdout.split(f"{garden}/")[1:]
    assert "daisy  11.5 %" in many
    assert (
        "    unsure; one of (90 %): daisy, tulip, poppy, crocus, iris, dahlia and 2 more\n" in many
    )
    assert "  None of these; at best daisy  42.9 %" in none
    assert "    unlike all training photos\n" in none
    assert "    sure\n" in sure
    assert "    unsure; one of (90 %): daisy, tulip\n" in two


def test_status_and_prediction_set_have_columns(garden: Path) -> None:
    stdout = run("classify", str(garden), "--csv").stdout
    many, none, sure, two = csv.DictReader(io.StringIO(stdout))
    assert [row["status"] for row in (many, none, sure, two)] == [
        "unsure",
        "none",
        "sure",
        "unsure",
    ]
    assert two["set"] == "daisy|tulip"
    assert sure["set"] == "daisy"
    assert float(none["novelty"]) <= 0.05 < float(sure["novelty"])
    assert sure["asked"] == "|".join(zoo.COMMITTEES["lite"])


def test_the_reason_for_promising_nothing_is_given_once(
    garden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triptych.load", lambda **options: studios.fake_classifier(studios.NURSERY))
    ran = run("classify", str(garden))
    assert ran.stderr.count("No answer is called sure. Only 23 photos were answered") == 1
    assert ran.stdout.count("    nothing promised yet") == 3
    assert "unsure" not in ran.stdout
    rows = csv.DictReader(io.StringIO(run("classify", str(garden), "--csv").stdout))
    reasons = [(row["status"], row["status_reason"]) for row in rows]
    assert sorted(set(reasons)) == [("none", ""), ("unsure", "too_few_to_promise")]


def test_skipped_members_are_named(tmp_path: Path) -> None:
    imagenet_drawings.DRAWINGS["umbrella.png"]().save(tmp_path / "umbrella.png")
    arguments = (str(tmp_path / "umbrella.png"), "--committee", "lite", "--rule", "cascade")
    stdout = run("classify", *arguments).stdout
    assert "cascade of 3, surest: EfficientNetLite" in stdout
    assert "; skipped: EfficientNetLite" in stdout
    (row,) = csv.DictReader(io.StringIO(run("classify", *arguments, "--csv").stdout))
    skipped = stdout.rpartition("skipped: ")[2].splitlines()[0].split(", ")
    assert row["asked"].split("|") + skipped == list(zoo.COMMITTEES["lite"])


def test_the_coverage_of_prediction_sets_is_an_option(folder: Path) -> None:
    def size(*options: str) -> int:
        ran = run("classify", str(folder / "a.jpg"), "--committee", "lite", "--json", *options)
        return len(json.loads(ran.stdout)["verdict"]["set"]["labels"])

    assert size("--coverage", "0.8") < size() < size("--coverage", "0.99")
    refused = run("classify", str(folder / "a.jpg"), "--coverage", "1.5")
    assert refused.exit_code == 2
    assert "above 0 and at most 0.999" in refused.stderr


def test_standard_input_members_and_rule() -> None:
    ran = run(
        "classify", "-", "--json", "--members", "lite1,LITE-0", "--rule", "max", stdin=picture()
    )
    assert ran.exit_code == 0
    answer = json.loads(ran.stdout)
    assert answer["source"] == "-"
    assert answer["verdict"]["rule"] == "max"
    names = [member["name"] for member in answer["members"]]
    assert names == ["EfficientNetLite1", "EfficientNetLite0"]


def test_a_missing_file_fails_alone(folder: Path) -> None:
    ran = run("classify", str(folder / "a.jpg"), str(folder / "nope.jpg"), "--json")
    assert ran.exit_code == 1
    first, second = (json.loads(line) for line in ran.stdout.splitlines())
    assert "verdict" in first
    assert second["error"]["code"] == "source"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classify"], "Missing argument"),
        (["classify", "x.jpg", "--committee", "jury"], "expected one of: auto, classic, lite"),
        (["classify", "x.jpg", "--members", "resnet5"], "ResNet50"),
        (["classify", "x.jpg", "--rule", "best"], "'best' is not one of"),
        (["classify", "x.jpg", "--top", "0"], "0 is not in the range"),
        (["pull", "nothing"], "nothing"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_was_expected(
    arguments: list[str], message: str
) -> None:
    ran = run(*arguments)
    assert ran.exit_code == 2
    assert message in ran.stderr


def test_classic_without_weights_says_how_to_get_them_and_exits_with_1() -> None:
    ran = run("classify", "x.jpg", "--committee", "classic")
    assert ran.exit_code == 1
    assert "triptych pull ResNet50" in ran.stderr


def test_a_pipe_that_closes_early_is_no_traceback(folder: Path) -> None:
    command = f"{sys.executable} -m triptych classify {folder}/a.jpg{f' {folder}/a.jpg' * 400}"
    ran = subprocess.run(
        f"({command} --json --members lite0; echo status $? >&2) | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.count("\n") == 1
    assert "Traceback" not in ran.stderr


def test_evaluate_lists_skipped_photos(tmp_path: Path) -> None:
    for name in ("goldfish", "n01484850", "no such class"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(picture(5))
    (tmp_path / "goldfish" / "broken.jpg").write_bytes(picture(5)[:300])
    ran = run("evaluate", str(tmp_path), "--committee", "lite", "--json")
    assert ran.exit_code == 0
    report = json.loads(ran.stdout)
    assert report["images"] == 2
    assert sorted(item["error"]["code"] for item in report["skipped"]) == [
        "truncated_image",
        "unknown_class",
    ]
    assert [member["name"] for member in report["members"]] == list(zoo.COMMITTEES["lite"])
    assert set(report["rules"]) == {"max", "vote", "mean", "weighted", "cascade"}
    assert {"ece", "cost", "coverage", "set_size"} <= set(report["rules"]["cascade"])
    assert {"rule", "top1", "top5"} <= set(report["committee"])
    table = run("evaluate", str(tmp_path), "--committee", "lite")
    assert "rule weighted" in table.stdout
    assert "2 skipped" in table.stdout


def test_evaluate_of_a_folder_without_classes_says_what_was_expected(folder: Path) -> None:
    ran = run("evaluate", str(folder))
    assert ran.exit_code == 1
    assert "expected a folder per class" in ran.stderr


def test_models_lists_the_zoo_and_which_weights_exist() -> None:
    facts = [json.loads(line) for line in run("models", "--json").stdout.splitlines()]
    assert [fact["name"] for fact in facts] == list(zoo.BACKBONES)
    here = {fact["name"] for fact in facts if fact["cached"]}
    assert here == set(zoo.COMMITTEES["lite"])
    assert "ResNet50" in run("models").stdout


def test_pull_lite_needs_no_network() -> None:
    ran = run("pull", "lite")
    assert ran.exit_code == 0
    assert ran.stdout.count("efficientnet-lite") == 3


def test_python_m_triptych_is_the_command() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "triptych", "--version"], capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith("triptych, version")


def test_the_second_start_loads_no_keras(folder: Path) -> None:
    run("classify", str(folder / "a.jpg"), "--committee", "lite")
    probe = (
        "import sys; from triptych.cli import main\n"
        f"try: main(['classify', {str(folder / 'a.jpg')!r}, '--committee', 'lite'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'keras', 'tensorflow', 'h5py', 'flask'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


IMPORTED_SLOWLY = """
import runpy, sys

class Slow:
    def find_spec(self, name, *of):
        if name == "triptych.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Slow())
runpy.run_module("triptych", run_name="__main__")
"""


def test_ctrl_c_during_imports_shows_no_traceback() -> None:
    ran = subprocess.run([sys.executable, "-c", IMPORTED_SLOWLY], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (1, "Aborted!\n")
