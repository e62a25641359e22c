"""The machine that measurements come from."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from triptych.utils import concurrency

# Load average of the last minute, as a share of the cores.
BUSY_LOAD = 0.5

PACKAGES = ("openvino", "numpy", "pillow", "flask", "gevent")


def facts(packages: tuple[str, ...] = PACKAGES) -> dict[str, Any]:
    """The processor, its cores, and versions.

    Args:
        packages: Whose versions matter; they are installed.

    Example:
        >>> sorted(facts())
        ['cores', 'processor', 'python', 'versions']
    """
    return {
        "processor": _model() or platform.processor() or platform.machine(),
        "cores": concurrency.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
    }


def busy_warning() -> str | None:
    """A warning where other processes keep the machine busy, since figures get worse by that."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load < BUSY_LOAD * concurrency.cpu_count():
        return None
    return (
        f"Other processes keep this machine busy (load {load:.1f} on {concurrency.cpu_count()} "
        "cores): all figures will look worse than they are."
    )


def _model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "")
