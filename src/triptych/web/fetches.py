"""Downloads of the weights of zoo committees: with progress, to be stopped and gone on with."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass
from typing import Any

from triptych import errors
from triptych.images import MB
from triptych.inference import committee
from triptych.models import weights
from triptych.models import zoo
from triptych.utils.text import text

RUNNING, DONE, STOPPED, FAILED = "running", "done", "stopped", "failed"


@dataclass(frozen=True)
class Fetch:
    """The state of a download.

    Args:
        state: ``"running"``, ``"done"``, ``"stopped"`` or ``"failed"``.
        member: The network whose weights are under way, or were last.
        done_bytes: Bytes that are here, of all its networks.
        total_bytes: Bytes in all, about.
        error: Why it failed.
    """

    state: str
    member: str
    done_bytes: int
    total_bytes: int
    error: str | None = None


class Fetches:
    """The downloads of a studio, one for each committee at most; thread-safe.

    Args:
        source: A mirror or a folder; ``None`` means the official addresses.
    """

    def __init__(self, source: str | None) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._fetches: dict[str, Fetch] = {}
        self._stops: dict[str, threading.Event] = {}

    def find(self, name: str) -> Fetch | None:
        """The download for a committee, if there was one."""
        return self._fetches.get(name)

    def start(self, name: str) -> None:
        """Fetch what a committee misses, in a thread; does nothing if that is under way."""
        with self._lock:
            fetch = self._fetches.get(name)
            if fetch and fetch.state == RUNNING:
                return
            rows = committee.missing(name)
            total = sum(int(row.weights.size_mb * MB) for row in rows)
            self._fetches[name] = Fetch(RUNNING, rows[0].name if rows else "", 0, total)
            stop = self._stops[name] = threading.Event()
        arguments = (name, rows, stop)
        threading.Thread(target=self._run, args=arguments, name="fetch", daemon=True).start()

    def stop(self, name: str) -> None:
        """Stop a download; what has come stays for the next one."""
        with self._lock:
            if name in self._stops:
                self._stops[name].set()

    def _run(self, name: str, rows: list[zoo.Backbone], stop: threading.Event) -> None:
        before = 0
        try:
            for row in rows:
                self._set(name, member=row.name)

                def show(done: int, total: int | None, before: int = before) -> None:
                    if stop.is_set():
                        raise errors.Stopped(text("The download was stopped."))
                    self._set(name, done_bytes=before + done)

                path = weights.pull(row, source=self._source, progress=show)
                before += path.stat().st_size
        except errors.Stopped:
            self._set(name, state=STOPPED)
        except errors.TriptychError as error:
            self._set(name, state=FAILED, error=error.message)
        except OSError as error:  # such as a full disk
            self._set(
                name,
                state=FAILED,
                error=text("The weights could not be kept: {strerror}.", strerror=error.strerror),
            )
        else:
            self._set(name, state=DONE, done_bytes=before, total_bytes=before)

    def _set(self, name: str, **changes: Any) -> None:
        with self._lock:
            self._fetches[name] = dataclasses.replace(self._fetches[name], **changes)
