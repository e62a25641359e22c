"""How long fine-tuning took on this machine, to estimate how long it will take."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from triptych.utils import files
from triptych.utils import validation

# In the folder of unfinished fine-tuning, below the home folder.
FOLDER = "tuning"
PACE = "pace.json"


class _PaceRecord(validation.Record):
    # Before the first epoch; and after that, for each photo and billion multiply-adds.
    start_s = validation.Number(least=0, required=True)
    unit_s = validation.Number(least=0, required=True)


def record(home: Path, *, start_s: float, rest_s: float, photos: int, cost: float) -> None:
    """Save how long a member took.

    Args:
        home: Home folder.
        start_s: Until its first epoch, in seconds.
        rest_s: After that, in seconds: all epochs and the features of all photos.
        photos: How many photos there are.
        cost: Billions of multiply-adds of a forward pass.
    """
    pace = {"start_s": round(start_s, 3), "unit_s": rest_s / (photos * cost)}
    (home / FOLDER).mkdir(parents=True, exist_ok=True)
    with files.atomic_file(home / FOLDER / PACE) as scratch:
        scratch.write_text(json.dumps(pace, allow_nan=False), encoding="utf-8")


def estimate(home: Path, *, photos: int, costs: Sequence[float]) -> float | None:
    """Estimate the time of fine-tuning, in seconds, from the last member that was fine-tuned.

    Args:
        home: Home folder.
        photos: How many photos there are.
        costs: Billions of multiply-adds of a forward pass, for each member.

    Returns:
        ``None`` where nothing was fine-tuned on this machine yet.
    """
    with contextlib.suppress(OSError, ValueError):
        text = (home / FOLDER / PACE).read_text("utf-8")
        pace = validation.load(_PaceRecord, validation.parse_json(text), "pace", error=ValueError)
        return float(sum(pace["start_s"] + photos * cost * pace["unit_s"] for cost in costs))
    return None
