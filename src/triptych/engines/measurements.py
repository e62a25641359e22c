"""What was measured on this machine, kept in the home, so that it is measured once.

Each measurement is a file under ``home/engines/measured``, under a key of what it depends on: a
home may be shared by different machines. One that is damaged is measured anew.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import platform
import sys
import time
from collections.abc import Callable
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.utils import files
from triptych.utils import validation

# Processor time of this process, so that other programs do not count. On Windows, where it advances
# sixty times a second only, real time.
clock = time.perf_counter if sys.platform == "win32" else time.process_time

# Milliseconds by what was tried.
Times = Mapping[str, float]


def recall(home: Path | None, subject: Mapping[str, Any], measure: Callable[[], Times]) -> Times:
    """The times of a measurement, done now if it was not done on this machine before.

    Args:
        home: Folder for everything that is kept; ``None`` measures now.
        subject: What was measured, and all that the times depend on beside the machine, as JSON.
        measure: Measures; called by one process at a time, so that two do not slow each other down.

    Example:
        >>> import tempfile
        >>> home = Path(tempfile.mkdtemp())
        >>> recall(home, {"network": "tiny"}, lambda: {"1": 2.5})
        {'1': 2.5}
        >>> recall(home, {"network": "tiny"}, lambda: {"1": 9.0})
        {'1': 2.5}
    """
    if home is None:
        return measure()
    key = {**subject, **machine()}
    named = json.dumps(key, sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(named.encode()).hexdigest()[:16]
    folder = home / "engines" / "measured"
    path = folder / f"{digest}.json"
    if times := _read(path, key):
        return times
    with files.exclusive(folder / "measuring.lock"):
        if times := _read(path, key):  # by another process meanwhile
            return times
        times = dict(measure())
        text = json.dumps({"of": key, "ms": times}, indent=1, allow_nan=False)
        # A folder that cannot be written goes without.
        with contextlib.suppress(OSError), files.atomic_file(path, durable=False) as new:
            new.write_text(text, encoding="utf-8")
    return times


def _read(path: Path, key: Mapping[str, Any]) -> Times | None:
    try:
        data = validation.parse_json(path.read_bytes())
        record = validation.load(_MeasurementRecord, data, path.name, error=errors.StateError)
    except (OSError, ValueError, errors.StateError):
        return None
    return record["ms"] if record["of"] == key else None


class _MeasurementRecord(validation.Record):
    of = validation.Table(required=True)
    ms = validation.Table(validation.Number(above=0), required=True)


@functools.cache
def machine() -> dict[str, Any]:
    """What speed depends on: the processor, and OpenVINO's version."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    about = {key.strip(): value.strip() for key, _, value in (row.partition(":") for row in lines)}
    # A virtual machine may hide instructions from the same processor.
    instructions = about.get("flags") or about.get("Features", "")
    return {
        "processor": about.get("model name") or platform.processor() or platform.machine(),
        "instructions": hashlib.sha256(instructions.encode()).hexdigest()[:16],
        "openvino": metadata.version("openvino"),
    }
