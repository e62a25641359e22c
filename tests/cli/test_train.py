"""The command line of training: how options are read; training itself is tested elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import triptych
from triptych.cli import main


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `triptych.train` is called with."""
    options: dict[str, Any] = {}

    def begin(source: Path, **keywords: Any) -> None:
        options.update(keywords, source=source)
        raise click.ClickException("read")

    monkeypatch.setattr(triptych, "train", begin)
    return options


@pytest.mark.parametrize(
    ("arguments", "fine_tune", "budget_s"),
    [
        (["photos"], False, None),
        (["photos", "--fine-tune"], True, None),
        (["--fine-tune", "photos"], True, None),  # as before it took a value
        (["--fine-tune", "--seed", "1", "photos"], True, None),
        (["photos", "--fine-tune", "always"], True, None),
        (["photos", "--fine-tune", "auto"], "auto", None),
        (["--fine-tune=auto", "photos"], "auto", None),
        (["photos", "--budget", "1h30m"], True, 5400.0),
        (["photos", "--fine-tune", "auto", "--budget", "90s"], "auto", 90.0),
    ],
)
def test_fine_tuning_with_and_without_a_value(
    options: dict[str, Any], arguments: list[str], fine_tune: bool | str, budget_s: float | None
) -> None:
    CliRunner().invoke(main, ["train", "--name", "garden", *arguments])
    assert str(options["source"]) == "photos"
    assert (options["fine_tune"], options["budget_s"]) == (fine_tune, budget_s)


@pytest.mark.parametrize("text", ["10", "soon", "0s", "-5m"])
def test_invalid_durations_are_refused(options: dict[str, Any], text: str) -> None:
    ran = CliRunner().invoke(main, ["train", "photos", "--name", "garden", f"--budget={text}"])
    assert ran.exit_code == 2
    assert "expected" in ran.output
    assert "Traceback" not in ran.output
    assert not options
