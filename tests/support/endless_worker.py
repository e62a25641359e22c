"""In place of a training: reports progress without end, a hundred times a second."""

from __future__ import annotations

import itertools
import time

from triptych.utils import worker

if __name__ == "__main__":
    parent = worker.connect()
    for done in itertools.count():
        if parent.stopping.is_set():
            break
        parent.send({"stage": "Computing features", "done": done % 1000, "total": 1000})
        time.sleep(0.01)
