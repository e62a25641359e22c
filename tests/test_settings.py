"""One table of settings feeds the environment, the command line and the docs."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from triptych import errors
from triptych import settings
from triptych.cli import main
from triptych.ensemble import rules


def test_the_table_and_the_record_agree() -> None:
    assert [row.name for row in settings.SETTINGS] == [
        field.name for field in dataclasses.fields(settings.Settings)
    ]


def test_the_choices_of_rule_are_the_rules_table() -> None:
    row = next(row for row in settings.SETTINGS if row.name == "rule")
    assert set(row.choices) == {"auto", *rules.RULES}


def test_command_line_beats_environment_beats_default() -> None:
    assert settings.load({}).port == 5000
    assert settings.load({"TRIPTYCH_PORT": "6000"}).port == 6000
    assert settings.load({"TRIPTYCH_PORT": "6000"}, port=7000).port == 7000
    assert settings.load({"TRIPTYCH_PORT": "6000"}, port=None).port == 6000
    assert settings.load({"TRIPTYCH_PORT": ""}).port == 5000


def test_home_may_be_written_with_a_tilde() -> None:
    assert settings.load({"TRIPTYCH_HOME": "~/photos"}).home == Path.home() / "photos"


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("TRIPTYCH_PORT", "abc", "TRIPTYCH_PORT is 'abc'; expected a value of type int"),
        ("TRIPTYCH_PORT", "-1", "TRIPTYCH_PORT is '-1'; expected 0 or more"),
        ("TRIPTYCH_RULE", "best", "expected one of: auto, mean, weighted, cascade"),
        ("TRIPTYCH_PRECISION", "f16", "expected one of: auto, f32, bf16"),
        ("TRIPTYCH_MAX_IMAGE_BYTES", "0", "expected 1 or more"),
    ],
)
def test_impossible_values_are_named(variable: str, text: str, message: str) -> None:
    with pytest.raises(errors.SettingError, match=message):
        settings.load({variable: text})


def test_an_impossible_value_on_the_command_line_is_wrong_usage() -> None:
    ran = CliRunner().invoke(main, ["serve", "--port", "abc"])
    assert ran.exit_code == 2
    assert "abc" in ran.output


NOBODY = """
import os, pwd
def unknown(number): raise KeyError(number)
pwd.getpwuid = unknown
os.environ.pop("HOME", None)
from triptych import errors, settings
try:
    print(settings.load(os.environ).home)
except errors.SettingError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TRIPTYCH_HOME": "/kept"}, "/kept"),
        ({}, "no home folder, so there is no ~/triptych. Name"),
        ({"TRIPTYCH_HOME": __file__}, "is a file, and everything is kept in a folder"),
    ],
)
def test_the_home_setting_of_a_user_without_a_home_folder(
    environment: dict[str, str], message: str
) -> None:
    inherited = {
        name: value for name, value in os.environ.items() if name[:4] not in ("TRIP", "XDG_")
    }
    ran = subprocess.run(
        [sys.executable, "-c", NOBODY],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
    )
    assert message in ran.stdout, ran.stderr
