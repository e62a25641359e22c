"""Names of any kind in a terminal, pipe or file: written, or escaped if they cannot be."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from click.testing import Result

from support.images import picture
from triptych.cli import common
from triptych.cli import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ["фото 🐝.jpg", '=HYPERLINK("x","y").jpg', "@sum.jpg", "a\x1b[31m.jpg"]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(picture(number))
    # No text in UTF-8: a name from an old disk.
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.jpg")).write_bytes(picture(9))
    return tmp_path


def classify(encoding: str, *arguments: str) -> Result:
    ran = CliRunner(charset=encoding).invoke(
        main, ["classify", *arguments, "--members", "EfficientNetLite0"], catch_exceptions=False
    )
    assert ran.exit_code == 0, ran.stderr
    return ran


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "latin-1", "ascii"])
def test_json_lines_are_valid_in_every_encoding(folder: Path, encoding: str) -> None:
    ran = classify(encoding, str(folder), "--json")
    lines = [json.loads(line) for line in ran.stdout_bytes.decode(encoding).splitlines()]
    names = {Path(line["source"]).name for line in lines}
    assert {"фото 🐝.jpg", "bad%FF.jpg", "a\x1b[31m.jpg"} < names
    for name in names:
        name.encode()  # no half of a letter, which strict readers refuse


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_csv_is_written_in_every_encoding_without_formulas(
    folder: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    ran = classify(encoding, "@sum.jpg", *sorted(p.name for p in folder.iterdir()), "--csv")
    rows = list(csv.DictReader(io.StringIO(ran.stdout_bytes.decode(encoding))))
    sources = [row["source"] for row in rows]
    assert len(rows) == 6
    # A spreadsheet takes what begins with one of these for a formula (OWASP, "CSV Injection").
    assert not [cell for row in rows for cell in row.values() if cell[:1] in "=+@" and cell]
    assert {"'@sum.jpg", '\'=HYPERLINK("x","y").jpg', "bad%FF.jpg"} < set(sources)
    bee = "фото 🐝.jpg" if encoding == "utf-8" else "\\u0444\\u043e\\u0442\\u043e \\U0001f41d.jpg"
    assert bee in sources


def test_control_characters_in_names_are_escaped(folder: Path) -> None:
    ran = classify("ascii", str(folder))
    assert b"\x1b" not in ran.stdout_bytes
    assert b"a%1B[31m.jpg" in ran.stdout_bytes


def test_few_answers_called_sure_are_counted_and_have_their_interval() -> None:
    # SciPy: binomtest(18, 20).proportion_ci(method="wilson"), binomtest(576, 600) likewise.
    assert common.sure_cells(0.5, 0.9, 40) == ("20 of 40", "18 of 20", "69.9 to 97.3 %")
    assert common.sure_cells(0.75, 0.96, 800) == ("75.0 %", "96.0 %", "94.1 to 97.3 %")
    assert common.sure_cells(0.0, None, 40) == ("0 of 40", "", "")
