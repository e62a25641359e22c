"""The process that makes a plan; see `triptych.studio.bundle_jobs` for what it gets and sends.

What it says is a stage with the steps done and all steps, such as ``asking 16 700``.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from triptych.engines.options import EngineOptions
from triptych.studio import bundle_jobs
from triptych.studio.projects import Projects
from triptych.studio.sorting import plan
from triptych.typing import Notify

# Pages look about once a second.
EVERY_S = 0.3


def work(task: dict[str, Any], say: Notify) -> None:
    """Make a plan and write it.

    Args:
        task: ``home``, ``key``, ``source`` and ``options``, the fields of an `EngineOptions`.
        say: Called with the progress.
    """
    home = Path(task["home"])
    said, last = 0.0, ""

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal said, last
        now = time.monotonic()
        if stage != last or now - said >= EVERY_S:
            say(f"{stage} {done} {total}")
            said, last = now, stage

    options = EngineOptions(home, **task["options"])
    made = plan.make(Projects(home), task["key"], task["source"], options, progress)
    made.write(home, task["key"], task["source"])


if __name__ == "__main__":
    bundle_jobs.work_for_parent(work)
