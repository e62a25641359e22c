"""The report of every benchmark: the machine, the versions, the figures, and the checked claims."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from triptych.benchmark import machine as facts
from triptych.utils import files

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """The machine and the versions that the figures were measured with."""
    return facts.facts(("keras", "tensorflow-cpu", "openvino", "numpy", "pillow"))


def median_ms(work: Callable[[], Any], *, repeats: int, warmup: int = 2) -> float:
    """Median time of one call, in milliseconds."""
    for _ in range(warmup):
        work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def write(name: str, figures: dict[str, Any], claims: dict[str, bool]) -> Path:
    """Write the figures to results/NAME.json, which takes its place complete."""
    RESULTS.mkdir(exist_ok=True)
    report = {"machine": machine(), "figures": figures, "claims": claims}
    path = RESULTS / f"{name}.json"
    with files.atomic_file(path) as scratch:
        scratch.write_text(json.dumps(report, indent=1) + "\n")
    return path


def finish(name: str, figures: dict[str, Any], claims: dict[str, bool]) -> None:
    """Write the figures to results/NAME.json, and exit with 1 if a claim is false."""
    print(f"\n{write(name, figures, claims)}")
    for claim, holds in claims.items():
        print(f"{'holds' if holds else 'FALSE'}: {claim}")
    sys.exit(0 if all(claims.values()) else 1)
