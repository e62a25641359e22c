"""Documentation under test: generated pages are fresh, the README's commands are real."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from triptych.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_generated_pages_are_fresh() -> None:
    ran = subprocess.run(
        [sys.executable, ROOT / "tools" / "generate_docs.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def commands(page: Path) -> list[str]:
    """Every `triptych ...` and `make ...` line of the page's shell blocks."""
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", page.read_text(), re.S)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [
        line for line in lines if line.startswith(("triptych ", ".venv/bin/triptych ", "make "))
    ]


SAID = [(page.name, line) for page in PAGES for line in commands(page)]


@pytest.mark.parametrize(("page", "line"), SAID)
def test_a_command_in_the_docs_exists_with_its_options(page: str, line: str) -> None:
    words = shlex.split(line.split(" | ")[0].split(" > ")[0], comments=True)
    if words[0] == "make":
        targets = [word for word in words[1:] if "=" not in word]
        ran = subprocess.run(["make", "-n", *targets], cwd=ROOT, capture_output=True, check=False)
        assert ran.returncode == 0
        return
    command: click.Command = main
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"{page}: no command {rest[0]}"
        command = command.commands[rest.pop(0)]
    # Parsing checks every option and choice without running anything.
    command.make_context(words[0], rest, resilient_parsing=False)


def test_the_readme_names_the_two_commands_and_shows_the_page() -> None:
    text = (ROOT / "README.md").read_text()
    assert "make run" in text
    assert "make test" in text
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
        assert (ROOT / picture).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


PICTURE = re.compile(r'(?:src|srcset)="([^":]+)"')


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_are_there(page: Path) -> None:
    for target in PICTURE.findall(page.read_text()):
        assert (page.parent / target).is_file(), f"{page.name} shows {target}"


def test_every_picture_of_the_studio_is_shown() -> None:
    shown = {
        name for page in PAGES for name in re.findall(r"images/([\w-]+\.png)", page.read_text())
    }
    assert shown == {path.name for path in (ROOT / "docs" / "images").glob("*.png")}
