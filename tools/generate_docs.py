"""Write the parts of docs/ that are made from the code; ``--check`` only says what is stale.

Run by ``make docs``; a test runs the check.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from triptych import settings
from triptych.cli import main as command_line
from triptych.ensemble.rules import RULES
from triptych.models import zoo

DOCS = Path(__file__).parent.parent / "docs"
MARK = "<!-- Made by `make docs` from the code; changes here are lost. -->\n\n"


def settings_page() -> str:
    """The table of settings."""
    lines = [
        "# Settings\n",
        "Each can be given as an option of a command that uses it, or in the environment; the",
        "command line wins. An empty variable counts as not set.\n",
        "| variable | option | default | what it is |",
        "|---|---|---|---|",
    ]
    for row in settings.SETTINGS:
        default = "the platform's data folder" if row.name == "home" else f"`{row.default_text}`"
        choices = f" One of: {', '.join(f'`{c}`' for c in row.choices)}." if row.choices else ""
        option = "—" if row.secret else f"`--{row.name.replace('_', '-')}`"
        lines.append(f"| `{row.variable}` | {option} | {default} | {row.help}{choices} |")
    lines += [
        "",
        "Keras's own weights live where Keras keeps them: `$KERAS_HOME/models`, by default",
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
    yield name, command.get_help(context).replace(home, "the platform's data folder")
    if isinstance(command, click.Group):
        for child, subcommand in sorted(command.commands.items()):
            if not subcommand.hidden:  # names of earlier versions
                yield from _helps(subcommand, f"{name} {child}")


def zoo_page() -> str:
    """The table of backbones."""
    lines = [
        "# Zoo\n",
        "Every network that can sit in a committee. Top-1 is the published figure for ImageNet;",
        "multiply-adds and parameters are of the whole network with its 1000 classes.\n",
        "| network | input | features | top-1 | M multiply-adds | M parameters | file | paper |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.name} | {' x '.join(map(str, row.recipe.size))} | {row.feature_length} "
        f"| {100 * row.top1:.1f} % | {row.multiply_adds / 1e6:,.0f} "
        f"| {row.parameters / 1e6:,.1f} | {row.weights.size_mb:.0f} MB | {row.paper} |"
        for row in zoo.BACKBONES.values()
    ]
    return "\n".join(lines) + "\n"


def rules_page() -> str:
    """docs/rules.md with a fresh table; the rest of it is written by hand."""
    lines = ["| rule | what it does | when |", "|---|---|---|"]
    lines += [f"| `{name}` | {rule.summary} | {rule.when} |" for name, rule in RULES.items()]
    before, rest = (DOCS / "rules.md").read_text().split("lost -->\n", 1)
    after = rest.split("<!-- end of rules -->", 1)[1]
    return "\n".join([f"{before}lost -->", *lines, f"<!-- end of rules -->{after}"])


PAGES = {"settings.md": settings_page, "commands.md": commands_page, "zoo.md": zoo_page}
PARTS = {"rules.md": rules_page}


def main() -> None:
    """Write or check the pages."""
    stale = []
    made = {name: MARK + make() for name, make in PAGES.items()}
    made |= {name: make() for name, make in PARTS.items()}
    for name, text in made.items():
        path = DOCS / name
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text)
    print(f"Stale: {', '.join(stale)}. Run: make docs" if stale else "docs/ is up to date.")
    sys.exit(1 if stale and "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
