"""Print the lengths of functions (without their docstrings) and of modules.

Run by ``make lint``. Aims: functions of 25 to 30 lines at the 90th percentile, modules of about 250
lines (CONTRIBUTING.md).
"""

from __future__ import annotations

import ast
import statistics
from pathlib import Path

SOURCES = Path(__file__).parent.parent / "src" / "triptych"


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def main() -> None:
    """Print the table."""
    functions: list[tuple[int, str]] = []
    modules: list[tuple[int, str]] = []
    for path in sorted(SOURCES.rglob("*.py")):
        text = path.read_text()
        name = str(path.relative_to(SOURCES))
        modules.append((len(text.splitlines()), name))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions.append((body_lines(node), f"{name}: {node.name}"))
    for what, sizes in (("functions", functions), ("modules", modules)):
        lengths = sorted(length for length, _ in sizes)
        median, p90 = statistics.median(lengths), lengths[int(len(lengths) * 0.9)]
        print(f"{what}: {len(lengths)}, {sum(lengths)} lines, median {median:.0f}, ", end="")
        print(f"90th percentile {p90}, longest:")
        for length, name in sorted(sizes, reverse=True)[:3]:
            print(f"  {length:4d}  {name}")


if __name__ == "__main__":
    main()
