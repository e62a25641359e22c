"""Write the parts of docs/ that are generated from the code; ``--check`` only lists stale ones.

Run by ``make docs``; a test runs the check.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from rooms import RANKS
from triptych import settings
from triptych.cli import main as command_line
from triptych.ensemble.rules import RULES
from triptych.models import zoo

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SOURCES = ROOT / "src" / "triptych"
MARK = "<!-- Made by `make docs` from the code; changes here are lost. -->\n\n"


def settings_page() -> str:
    """The table of settings."""
    lines = [
        "# Settings\n",
        "Each can be given as an option of a command that uses it, or in the environment; the",
        "command line takes precedence. An empty variable counts as not set.\n",
        "| variable | option | default | what it is |",
        "|---|---|---|---|",
    ]
    for row in settings.SETTINGS:
        default = "the platform's data folder" if row.name == "home" else f"`{row.default_text}`"
        choices = f" One of: {', '.join(f'`{c}`' for c in row.choices)}." if row.choices else ""
        option = "—" if row.secret else f"`{row.option}`"
        lines.append(f"| `{row.variable}` | {option} | {default} | {row.help}{choices} |")
    lines += [
        "",
        "Weights that Keras publishes are kept in Keras's cache, `$KERAS_HOME/models`, by default",
        "`~/.keras/models`.",
    ]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """The help of every command."""
    parts = ["# Commands\n"]
    for name, text in _helps(command_line, "triptych"):
        parts.append(f"## {name}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _helps(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=name, max_content_width=100, terminal_width=100)
    home = str(next(row.default for row in settings.SETTINGS if row.name == "home"))
    for option in command.params:
        # Before it is wrapped, as the folder's name is longer for some people.
        if isinstance(option, click.Option) and option.help:
            option.help = option.help.replace(home, "the platform's data folder")
    yield name, command.get_help(context)
    if isinstance(command, click.Group):
        for child, subcommand in sorted(command.commands.items()):
            if not subcommand.hidden:  # names of earlier versions
                yield from _helps(subcommand, f"{name} {child}")


def zoo_page() -> str:
    """The table of backbones."""
    lines = [
        "# Zoo\n",
        "Every network that can be a member of a committee. Top-1 is the published figure for",
        "ImageNet; multiply-adds and parameters are those of the whole network with its 1000",
        "classes. Networks from elsewhere, such as those of timm, KerasHub and Hugging Face,",
        "[are added as files](backbones.md).\n",
        "| network | input | features | top-1 | M multiply-adds | M parameters | file | paper |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.name} | {' x '.join(map(str, row.recipe.size))} | {row.feature_length} "
        f"| {100 * (row.top1 or 0):.1f} % | {row.multiply_adds / 1e6:,.0f} "
        f"| {row.parameters / 1e6:,.1f} | {row.weights.size_mb:.0f} MB | {row.paper} |"
        for row in zoo.BACKBONES.values()
    ]
    return "\n".join(lines) + "\n"


def rules_page() -> str:
    """docs/rules.md with a new table; the rest of it is written by hand."""
    lines = ["| rule | what it does | when |", "|---|---|---|"]
    lines += [f"| `{name}` | {rule.summary} | {rule.when} |" for name, rule in RULES.items()]
    return _with_table("rules", lines, (DOCS / "rules.md").read_text())


def design_page() -> str:
    """docs/design.md with a new table of rooms; the rest of it is written by hand."""
    lines = ["| rank | room | what it does |", "|---|---|---|"]
    for room, rank in sorted(RANKS.items(), key=lambda item: item[1]):
        lines += [f"| {rank} | {name} | {text} |" for name, text in _first_sentences(room)]
    return _with_table("rooms", lines, (DOCS / "design.md").read_text())


def _with_table(name: str, lines: list[str], text: str) -> str:
    """A page with the lines between `<!-- name: ... -->` and `<!-- end of name -->` replaced."""
    first, rest = re.split(rf"(?<=<!-- {name}: made by `make docs` from the code; )", text)
    comment, rest = rest.split("\n", 1)
    end = f"<!-- end of {name} -->"
    return "\n".join([first + comment, *lines, end + rest.split(end, 1)[1]])


def _first_sentences(room: str) -> Iterator[tuple[str, str]]:
    """The first docstring sentence of a room and of each package in it, by their names."""
    top = SOURCES / room
    files = [top.with_suffix(".py")] if top.with_suffix(".py").exists() else []
    files = files or [top / "__init__.py", *(sorted(top.glob("*/__init__.py")) if room else ())]
    for file in files:
        docstring = ast.get_docstring(ast.parse(file.read_text())) or ""
        sentence = docstring.split("\n\n")[0].replace("\n", " ").replace("``", "`")
        name = file.parent if file.name == "__init__.py" else file.with_suffix("")
        module = ".".join(name.relative_to(SOURCES.parent).parts).removeprefix("triptych.")
        yield f"`{module}`", sentence


PAGES = {"settings.md": settings_page, "commands.md": commands_page, "zoo.md": zoo_page}
PARTS = {"rules.md": rules_page, "design.md": design_page}


def main() -> None:
    """Write or check the pages."""
    stale = []
    pages = {name: MARK + write() for name, write in PAGES.items()}
    pages |= {name: write() for name, write in PARTS.items()}
    for name, text in pages.items():
        path = DOCS / name
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text)
    print(f"Stale: {', '.join(stale)}. Run: make docs" if stale else "docs/ is up to date.")
    sys.exit(1 if stale and "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
