"""The process of an export. Its result says how far the file's answers are from the committee's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from triptych.engines.options import EngineOptions
from triptych.exports import exporting
from triptych.exports.exporting import ExportOptions
from triptych.studio.bundle_jobs import work_for_parent
from triptych.typing import Notify


def export(task: dict[str, Any], report: Notify) -> str:
    """Export the committee ``name`` to the file ``path``."""
    options = EngineOptions(Path(task["home"]), precision=task["precision"], report=report)
    exported = exporting.export(
        task["name"], Path(task["path"]), options, ExportOptions(task["format"])
    )
    return str(exported.comparison)


if __name__ == "__main__":
    work_for_parent(export)
