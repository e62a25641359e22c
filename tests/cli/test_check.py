"""``triptych check`` as people and programs use it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from click.testing import Result

from support.images import picture
from support.images import plain_image
from triptych.cli import main


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["check", *arguments], catch_exceptions=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, twelve files that are not images, an unreadable photo, a duplicate, a val."""
    folder = tmp_path / "bugs"
    for side, count, start in (("train", 6, 0), ("val", 2, 50)):
        for at, name in enumerate(("ants", "bees")):
            (folder / side / name).mkdir(parents=True)
            for i in range(count):
                data = picture(start + 10 * at + i)
                (folder / side / name / f"{i}.jpg").write_bytes(data)
    for i in range(12):
        (folder / "train" / "ants" / f"{i:02}.txt").write_bytes(b"x")
    (folder / "train" / "ants" / "text.jpg").write_bytes(b"a text")
    (folder / "train" / "bees" / "twice.jpg").write_bytes(picture(10))
    (folder / "train" / "bees" / "thrice.jpg").write_bytes(picture(11))
    return folder


def test_classes_and_findings_for_people(folder: Path) -> None:
    ran = run(str(folder))
    assert ran.exit_code == 0
    lines = [line.rstrip() for line in ran.stdout.splitlines()]
    assert lines[0].split() == ["class", "train", "val"]
    assert lines[2].split() == ["ants", "6", "2"]
    assert lines[3].split() == ["bees", "8", "2"]
    assert "bugs: 2 classes, 14 training photos, 4 held out." in lines
    at = lines.index("ignored")
    assert lines[at + 2 :] == [
        *(f"    train/ants/{i:02}.txt" for i in range(10)),
        "    and 2 more",
    ]
    at = lines.index("exact duplicate")
    assert lines[at + 2 : at + 4] == [
        "    train/bees/0.jpg  train/bees/twice.jpg",
        "    train/bees/1.jpg  train/bees/thrice.jpg",
    ]
    at = lines.index("unreadable")
    assert "not an image" in lines[at + 1] or "no image" in lines[at + 1]
    assert lines[at + 2] == "    train/ants/text.jpg"


def test_an_entirely_black_class_is_reported(folder: Path) -> None:
    for name in ("ants", "bees"):
        for i in range(3):
            (folder / "train" / name / f"dark-{i}.png").write_bytes(plain_image((0, 0, 0)))
    for i in range(4):
        path = folder / "train" / "moths" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(plain_image((0, 0, i)))
    lines = [line.strip() for line in run(str(folder)).stdout.splitlines()]
    at = lines.index("faulty class")
    assert lines[at + 1].startswith("4 of 4 photos of 'moths' are blank.")
    at = lines.index("blank")
    assert lines[at + 1].startswith("Blank: one colour, or hardly more.")
    assert "train/moths/0.png" in lines[at:]


def test_a_clean_folder_has_no_findings(folder: Path) -> None:
    for path in [*folder.rglob("*.txt"), *folder.rglob("t*.jpg")]:
        path.unlink()
    assert "No findings." in run(str(folder)).stdout


def test_json_has_the_promised_keys(folder: Path) -> None:
    ran = run(str(folder), "--json")
    assert ran.exit_code == 0
    answer = json.loads(ran.stdout)
    assert set(answer) == {"name", "classes", "findings", "fingerprint"}
    assert answer["name"] == "bugs"
    assert answer["classes"] == [
        {"name": "ants", "train": 6, "val": 2},
        {"name": "bees", "train": 8, "val": 2},
    ]
    kinds = {finding["kind"]: finding for finding in answer["findings"]}
    assert set(kinds) == {"unreadable", "exact_duplicate", "ignored"}
    assert set(kinds["ignored"]) == {"kind", "message", "sources"}
    assert len(kinds["ignored"]["sources"]) == 12


def test_a_zip_is_checked_like_its_folder(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bugs.zip", "w") as archive:
        for path in folder.rglob("*.*"):
            archive.write(path, path.relative_to(tmp_path))
    packed = json.loads(run(str(tmp_path / "bugs.zip"), "--json").stdout)
    plain = json.loads(run(str(folder), "--json").stdout)
    assert packed["fingerprint"] == plain["fingerprint"]
    assert packed["classes"] == plain["classes"]


def test_a_source_that_cannot_be_opened_exits_with_1(tmp_path: Path) -> None:
    ran = run(str(tmp_path / "gone"))
    assert ran.exit_code == 1
    assert "cannot be opened" in ran.stderr
    (tmp_path / "a.jpg").write_bytes(picture())
    ran = run(str(tmp_path))
    assert ran.exit_code == 1
    assert "photos per class" in ran.stderr
    assert ran.stdout == ""


def test_wrong_usage_exits_with_2() -> None:
    assert run().exit_code == 2
    assert run("a", "b").exit_code == 2


def test_names_that_are_not_valid_text_can_be_printed(folder: Path) -> None:
    name = folder / "train" / "ants" / "\udcff\x1b[31m.txt"
    name.write_bytes(b"x")
    ran = subprocess.run(
        [sys.executable, "-m", "triptych", "check", str(folder), "--json"],
        capture_output=True,
        check=True,
    )
    (ignored,) = [f for f in json.loads(ran.stdout)["findings"] if f["kind"] == "ignored"]
    assert "train/ants/%FF%1B[31m.txt" in ignored["sources"]
