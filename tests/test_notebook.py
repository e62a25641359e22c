"""The notebook of docs/ is executed from top to bottom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

NOTEBOOK = Path(__file__).parent.parent / "docs" / "notebooks" / "fruit.ipynb"
pytestmark = pytest.mark.slow


def test_the_notebook_is_stored_without_outputs() -> None:
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """The outputs of each cell, by the cell's id."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("notebook")))
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        nbclient.NotebookClient(notebook, timeout=None, kernel_name="python3").execute()
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def last_output(outputs: list[Any], kind: str) -> str:
    """The last output of a MIME type in a cell."""
    return str([output.data[kind] for output in outputs if kind in output.get("data", {})][-1])


def test_the_notebook_runs_without_warnings(outputs: dict[str, list[Any]]) -> None:
    streams = [out for cell in outputs.values() for out in cell if out.output_type == "stream"]
    assert {stream.name for stream in streams} == {"stdout"}


def test_the_notebook_trains_an_accurate_committee(outputs: dict[str, list[Any]]) -> None:
    share = float(outputs["train"][-1].text.split(" %")[0])
    assert share > 70
    correct, _, total = outputs["doubt"][-1].text.split(" answers")[0].split()
    assert int(correct) / int(total) > 0.7


def test_verdicts_are_displayed(outputs: dict[str, list[Any]]) -> None:
    assert "pears" in last_output(outputs["answer"], "text/html")
    assert last_output(outputs["why"], "image/png")
    assert last_output(outputs["least"], "image/jpeg")
    assert "EfficientNetLite2" in last_output(outputs["least"], "text/html")
    assert "None of these" in last_output(outputs["stranger"], "text/html")


def test_the_served_committee_gives_the_same_answers(outputs: dict[str, list[Any]]) -> None:
    assert last_output(outputs["request"], "text/plain").startswith("('pears', ")
    assert last_output(outputs["stop"], "text/plain") == "0"
