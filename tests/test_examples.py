"""The examples in the package's docstrings run and give what they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "triptych"
FILES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text()
}


@pytest.mark.parametrize("name", FILES)
def test_examples_in_docstrings_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    # Not by `--doctest-modules`, which imports the whole package into every worker.
    if name.startswith("triptych.scale."):
        pytest.importorskip("ray")
    examples = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name))
    written = FILES[name].read_text().count(">>> ")
    assert sum(len(each.examples) for each in examples) == written, "doctest misses some examples"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for each in examples:
        runner.run(each)
    assert not runner.summarize().failed, capsys.readouterr().out
