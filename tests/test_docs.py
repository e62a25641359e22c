"""The documentation: generated parts, commands, links, Python examples and file names."""

from __future__ import annotations

import ast
import builtins
import importlib
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest

from rooms import RANKS
from triptych.cli import main

ROOT = Path(__file__).parent.parent
SITE = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *SITE]

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def test_generated_pages_are_up_to_date() -> None:
    ran = subprocess.run(
        [sys.executable, ROOT / "tools" / "generate_docs.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


# ------------------------------------------------------------------ commands


def commands(page: Path) -> list[str]:
    """Every `triptych ...` and `make ...` line of the page's shell blocks."""
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", page.read_text(), re.S)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [
        line for line in lines if line.startswith(("triptych ", ".venv/bin/triptych ", "make "))
    ]


@pytest.mark.parametrize(
    ("page", "line"), [(page.name, line) for page in PAGES for line in commands(page)]
)
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
    assert not command.hidden, f"{page}: {rest} is deprecated"
    # Parsing checks every option and choice without running anything.
    command.make_context(words[0], rest, resilient_parsing=False)


def test_the_readme_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert "make run" in text
    assert "make test" in text


# ------------------------------------------------------------------ links


def prose(page: Path) -> str:
    """The text of a page without its code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
    return re.sub(r"`[^`\n]*`", "", text)


def links(page: Path) -> list[str]:
    """The targets of a page's links and pictures."""
    text = prose(page)
    return [
        *re.findall(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)", text),
        *re.findall(r"^\[[^]]+\]:\s*(\S+)", text, flags=re.M),
        *re.findall(r'(?:src|srcset|href)="([^"]+)"', text),
        *re.findall(r"<(https?://[^>]+)>", text),
    ]


def anchors(page: Path, *, on_site: bool) -> set[str]:
    """The anchors of a page's headings, by the rules of GitHub or of the documentation site."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
    names: set[str] = set()
    for heading in re.findall(r"^#+\s+(.+?)\s*$", text, flags=re.M):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\s-]", "", words).strip()
        slug = re.sub(r"[-\s]+", "-", slug) if on_site else slug.replace(" ", "-")
        twins = sum(
            re.fullmatch(rf"{re.escape(slug)}[-_]\d+|{re.escape(slug)}", a) is not None
            for a in names
        )
        names.add(f"{slug}{'_' if on_site else '-'}{twins}" if twins else slug)
    return names


def broken_links(page: Path) -> Iterator[str]:
    for target in links(page):
        parts = urlsplit(target)
        if parts.scheme:  # other sites are not asked, only read
            is_local = parts.hostname in ("127.0.0.1", "localhost")
            if parts.scheme not in ("http", "https") or not (
                is_local or re.fullmatch(r"[\w-]+(\.[\w-]+)+", parts.hostname or "")
            ):
                yield f"{target} is no address"
            continue
        file = (page.parent / parts.path).resolve() if parts.path else page
        if not file.exists() or file.is_dir():
            yield f"{target}: no such file"
        elif page in SITE and ROOT / "docs" not in file.parents:
            yield f"{target} is not part of the documentation site"
        elif parts.fragment and file.suffix == ".md":
            if parts.fragment not in anchors(file, on_site=False):
                yield f"{target}: no such heading"
            elif file in SITE and parts.fragment not in anchors(file, on_site=True):
                yield f"{target}: no such heading on the documentation site"


@every_page
def test_links_are_valid(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One: a `heading`\n\n## Twice\n\n## Twice\n\n"
        "[a](#one-a-heading) [b](#twice-1) [c](#none)\n"
        "[d](other.md) ![e](page.md#twice) [f](https://) <https://example.org/> `[g](no.md)`\n"
        '```\n[h](no.md)\n```\n<img src="no.png">\n'
    )
    assert list(broken_links(page)) == [
        "#none: no such heading",
        "other.md: no such file",
        "https:// is no address",
        "no.png: no such file",
    ]


def test_every_picture_of_the_studio_is_shown() -> None:
    linked = {
        name for page in PAGES for name in re.findall(r"images/([\w-]+\.png)", page.read_text())
    }
    assert linked == {path.name for path in (ROOT / "docs" / "images").glob("*.png")}


# ------------------------------------------------------------------ Python, modules and files


def unknown_names(code: str) -> Iterator[str]:
    """Names that a Python example uses and nothing defines, in it or in Triptych's modules."""
    tree = ast.parse(code)
    modules: dict[str, object] = {}
    defined = set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                source = node.module if isinstance(node, ast.ImportFrom) else None
                defined.add(alias.asname or alias.name.split(".")[0])
                if (source or alias.name).split(".")[0] != "triptych":
                    continue
                try:
                    imported = importlib.import_module(
                        f"{source}.{alias.name}" if source else alias.name
                    )
                except ModuleNotFoundError:
                    imported = getattr(importlib.import_module(str(source)), alias.name)
                modules[alias.asname or alias.name] = imported
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
        elif isinstance(node, ast.arg):
            defined.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            defined.add(node.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in defined:
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = modules.get(node.value.id)
            if module is not None and not hasattr(module, node.attr):
                yield f"{node.value.id}.{node.attr}"


EXAMPLES = [
    (page.name, code)
    for page in (ROOT / "README.md", *SITE)
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
]


@pytest.mark.parametrize(("page", "code"), EXAMPLES)
def test_python_in_the_docs_uses_names_that_exist(page: str, code: str) -> None:
    assert list(unknown_names(code)) == [], page


@pytest.mark.parametrize("page", ["docs/design.md", "docs/teaching.md", "CONTRIBUTING.md"])
def test_modules_that_the_docs_name_exist(page: str) -> None:
    """`resolve_name` raises for what does not exist."""
    text = (ROOT / page).read_text()
    rooms = "|".join(room for room in RANKS if room)
    for name in sorted(re.findall(rf"(?<![.\w])(?:{rooms})(?:\.[a-z_0-9]+)+\b", text)):
        if not name.endswith((".md", ".py", ".txt", ".csv", ".json")):
            pkgutil.resolve_name(f"triptych.{name}")


def test_files_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`([\w.-]+(?:/[\w.-]+)*/[\w.-]*|[\w.-]+\.(?:py|md|toml))`", text))
    assert len(named) > 20
    missing = [
        name
        for name in named - {"cli/NAME.py"}
        if not (ROOT / name).exists() and not (ROOT / "src" / "triptych" / name).exists()
    ]
    assert not missing
