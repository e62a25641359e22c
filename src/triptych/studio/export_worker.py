"""The worker process of an export: reports its progress to its parent, and ends with it.

It gets one message: ``{"home": ..., "name": ..., "format": ..., "precision": ..., "path": ...}``,
the committee and the file to write. It sends:

    {"said": ...}     what it does
    {"done": ...}     how far the answers of the file are from those of the committee
    {"failed": ...}   the reason for a failure
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path

from triptych import errors
from triptych.engines.options import EngineOptions
from triptych.exports import exporting
from triptych.exports.exporting import ExportOptions
from triptych.utils import worker

# Requests to the studio have priority.
NICENESS = 10


def main() -> None:
    """Export the committee that the parent names."""
    parent = worker.connect()
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICENESS)
    task = next(parent.messages())
    options = EngineOptions(
        Path(task["home"]),
        precision=task["precision"],
        report=lambda line: parent.send({"said": line}),
    )
    try:
        done = exporting.export(
            task["name"], Path(task["path"]), options, ExportOptions(task["format"])
        )
        parent.send({"done": str(done.comparison)})
    except errors.TriptychError as error:
        parent.send({"failed": error.message})
    except Exception as error:
        traceback.print_exc()
        last = traceback.format_exception_only(error)[-1].strip()
        parent.send(
            {"failed": f"Exporting failed through a mistake of Triptych or of a library: {last}"}
        )


if __name__ == "__main__":
    main()
