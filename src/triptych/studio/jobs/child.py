"""The process that teaches; says how far it is in lines of JSON, and ends with its parent.

    {"stage": ..., "done": ..., "total": ...}    how far it is
    {"member": ..., "accuracy": ...}             how good a member is, or the committee
    {"version": ...}                             it is done: the version of the bundle
    {"failed": ...}                              it ended without one, and why; when it was told
                                                 to stop, it says nothing

The parent holds its standard input open. When that closes, because somebody said stop or because
the parent was killed, it stops; features computed so far are kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import IO
from typing import Any

from triptych import errors
from triptych.engines.options import EngineOptions
from triptych.studio.jobs import orders
from triptych.studio.jobs import process
from triptych.studio.projects import Projects
from triptych.training import pipeline

# Whoever asks the studio something goes first.
NICENESS = 10


class Voice:
    """Says things to the parent, from any thread.

    Args:
        stream: The parent reads it line by line.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def say(self, **message: Any) -> None:
        """Say one thing; nobody may be listening any more."""
        with self._lock, contextlib.suppress(BrokenPipeError):
            print(json.dumps(message), file=self._stream, flush=True)


def main(folder: Path) -> None:
    """Teach what the order in a folder says.

    Args:
        folder: Of the job.
    """
    # Libraries may print; only our own lines may reach the parent.
    voice, sys.stdout = Voice(sys.stdout), sys.stderr
    faulthandler.enable()
    _be_nice()
    stopping = threading.Event()
    threading.Thread(target=_hold_on, args=(stopping,), daemon=True).start()
    try:
        voice.say(version=_teach(orders.Order.read(folder), voice, stopping))
    except errors.Stopped:
        pass  # whoever said so knows why
    except errors.TriptychError as error:
        voice.say(failed=error.message)
    except Exception as error:
        traceback.print_exc()
        last = traceback.format_exception_only(error)[-1].strip()
        voice.say(failed=f"Teaching failed through a mistake of Triptych or of a library: {last}")


def _be_nice() -> None:
    if hasattr(os, "nice"):  # Windows has none
        os.nice(NICENESS)


def _hold_on(stopping: threading.Event) -> None:
    # Read bare: a thread that waits in Python's own stdin would not let the process end.
    while os.read(0, 1024):
        pass
    stopping.set()
    time.sleep(process.GRACE_S)
    os._exit(1)


def _teach(order: orders.Order, voice: Voice, stopping: threading.Event) -> int:
    home = Path(order.home)
    config = dataclasses.replace(
        orders.training_config(order.config),
        progress=lambda stage, done, total: voice.say(stage=stage, done=done, total=total),
        on_score=lambda member, accuracy: voice.say(member=member, accuracy=accuracy),
        stop=stopping.is_set,
    )
    options = EngineOptions(home=home, report=lambda line: print(line, flush=True), **order.build)
    source = Projects(home).dataset(order.key)
    made = pipeline.train(source, name=order.key, options=options, config=config, publish=False)
    return made.version


if __name__ == "__main__":
    main(Path(sys.argv[1]))
