"""The progress of a job as server-sent events.

A stream is a generator in a greenlet of the server: it holds no thread, and all streams wait for
the same future. What a client missed does not matter, as each event has the whole state of the job.

Source: HTML, section 9.2, server-sent events (WHATWG living standard).
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import flask
from werkzeug.wsgi import ClosingIterator

from triptych import errors
from triptych.studio.jobs import Job
from triptych.web import context
from triptych.web.context import Studio
from triptych.web.studio import progress

LAST_ID = "Last-Event-ID"
MEDIA_TYPE = "text/event-stream"
# Comments between events: proxies close silent connections, mostly after 60 s, and a client that is
# gone is only noticed by what is sent to it.
HEARTBEAT_S = 15.0
LEAST_GAP_S = 0.5  # between two events
# Then the client connects again, with its key: one that was taken back is not followed for hours.
LONGEST_S = 600.0
RETRY_MS = 2000
# Of the 512 connections that a server has.
MOST_STREAMS = 128

_streams = threading.BoundedSemaphore(MOST_STREAMS)


def facts(job: Job, here: Studio) -> dict[str, Any]:
    """A job as a JSON object."""
    # Paths are not for clients.
    home = str(here.settings.home)
    return {
        **job.to_dict(),
        "is_under_way": job.is_under_way,
        "message": progress.message(job).replace(home, "HOME"),
        "error": job.error.replace(home, "HOME") if job.error else None,
    }


def respond(job: Job) -> flask.Response:
    """The stream of a job's events.

    Raises:
        errors.Overloaded: There are too many streams.
    """
    last_id = flask.request.headers.get(LAST_ID, "")
    here = context.current()
    if not job.is_under_way and last_id == _event(job, here)[0]:
        return flask.Response(status=204)  # which tells EventSource not to connect again
    if not _streams.acquire(blocking=False):
        raise errors.Overloaded(
            f"{MOST_STREAMS} streams of events are open already. Ask for the job itself now and "
            "then instead.",
            retry_after_s=10,
        )
    # Closed by the server in any case, also before the first event.
    body = ClosingIterator(_follow(here, job.id, last_id), _streams.release)
    response = flask.Response(body, mimetype=MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store, no-transform"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would keep events back
    return response


def _follow(here: Studio, number: int, last_id: str) -> Iterator[bytes]:
    ends_s, sent_s, seen = time.monotonic() + LONGEST_S, time.monotonic(), None
    yield f"retry: {RETRY_MS}\n\n".encode()
    while True:
        change = here.jobs.changes.next()  # before the state is read, so that none is missed
        try:
            job = here.jobs.state(number)
        except errors.UnknownName:  # its project was removed
            return
        if job is not seen:
            seen, (event_id, text) = job, _event(job, here)
            if event_id != last_id:
                last_id, sent_s = event_id, time.monotonic()
                yield text
        if not job.is_under_way or here.queue.closed or time.monotonic() > ends_s:
            return
        here.wait(change, HEARTBEAT_S)
        here.wait(Future(), LEAST_GAP_S)  # which is never done: a pause
        if time.monotonic() - sent_s >= HEARTBEAT_S:
            sent_s = time.monotonic()
            yield b": the job goes on\n\n"


def _event(job: Job, here: Studio) -> tuple[str, bytes]:
    """The id and the text of an event."""
    data = json.dumps(facts(job, here), allow_nan=False, ensure_ascii=False)
    if job.is_under_way:
        kind, state = "progress", hashlib.sha256(data.encode()).hexdigest()[:12]
    else:  # the same after a restart, though epochs are not kept
        kind, state = "end", f"{job.state}-{job.ended_s}"
    event_id = f"{job.id}-{state}"
    return event_id, f"id: {event_id}\nevent: {kind}\ndata: {data}\n\n".encode()
