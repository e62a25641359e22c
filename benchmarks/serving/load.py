"""The load: a small HTTP client, in a separate process on the same cores as the server.

    python load.py JOB.json OUT.json

All requests are encoded before the clock starts, and connections are kept. Either a fixed number of
clients each send the next request when they have their answer, or requests arrive at a fixed rate
whatever the server does. The output has one record per request; `measuring` evaluates them. Where
the job has expected answers, each answer is compared with its own. A job may also be to record the
answers that later ones are compared with.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych.benchmark import load_generator
from triptych.benchmark.load_generator import KeptConnection

BOUNDARY = "triptych-load"
OK = 200
MIN_PHOTOS = 12  # in all, and one of each client, however long they take
MOST_WRONG = 3  # wrong answers that are kept, to be shown
# What differs between two answers to the same photo.
VARYING = frozenset(["timing", "request_id"])


@dataclass
class Record:
    """One request.

    Args:
        visit: The photo of the run that it belongs to; a photo may take several requests.
        upload: Position of its upload in the job.
        due_s: When it should have been sent.
        sent_s: When it was sent.
        done_s: When the answer was complete.
        status: HTTP status, or `load_generator.NO_RESPONSE`.
    """

    visit: int
    upload: int
    due_s: float
    sent_s: float
    done_s: float
    status: int


class Run:
    """A running job.

    Args:
        port: Of the server.
        requests: For each upload, the encoded requests that make one visit.
        order: Positions of uploads, in the order of visits.
        expected: For each upload, what `comparable` gives for its answer; or nothing.
    """

    def __init__(
        self,
        port: int,
        requests: list[list[bytes]],
        order: Iterator[int],
        expected: list[Any] | None = None,
    ) -> None:
        self.records: list[Record] = []
        self.wrong: list[str] = []
        self._expected = expected
        self._port = port
        self._requests = requests
        self._visits = enumerate(order)
        self._idle: list[KeptConnection] = []
        self._start = time.perf_counter()

    def clock_s(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._start

    async def closed(self, count: int, seconds: float) -> float:
        """Load with ``count`` clients, each with one request at a time; gives the end time."""
        over_s = seconds
        left = max(MIN_PHOTOS, count)

        async def client() -> None:
            nonlocal over_s, left
            while self.clock_s() < seconds or left > 0:
                await self._visit(self.clock_s())
                left -= 1
                if left == 0:
                    over_s = max(seconds, self.clock_s())

        await asyncio.gather(*(client() for _ in range(count)))
        return over_s

    async def open(self, rate: float, seconds: float) -> float:
        """Load with evenly spaced visits, however many are in progress; gives ``seconds``."""
        visits = set()
        for number in range(int(rate * seconds)):
            due_s = number / rate
            await asyncio.sleep(max(0.0, due_s - self.clock_s()))
            visit = asyncio.create_task(self._visit(due_s))
            visits.add(visit)
            visit.add_done_callback(visits.discard)
        await asyncio.gather(*visits)
        return seconds

    async def _visit(self, due_s: float) -> None:
        number, upload = next(self._visits)
        with self._connection() as connection:
            for request in self._requests[upload]:
                sent_s = self.clock_s()
                status = await connection.post(request)
                self.records.append(Record(number, upload, due_s, sent_s, self.clock_s(), status))
                if self._expected and status == OK and len(self.wrong) < MOST_WRONG:
                    answer = comparable(connection.body)
                    if answer != self._expected[upload]:
                        self.wrong.append(f"upload {upload}: {answer}")

    @contextlib.contextmanager
    def _connection(self) -> Iterator[KeptConnection]:
        connection = self._idle.pop() if self._idle else KeptConnection(self._port)
        yield connection
        self._idle.append(connection)


def encode(path: str, file: str, kind: str | None) -> bytes:
    """The bytes of one request: a form with a file, or with ``kind`` the file as the body."""
    body = Path(file).read_bytes()
    if kind is None:
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        disposition = 'form-data; name="image"; filename="photo.jpg"'
        head = f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\nContent-Type: image/jpeg"
        body = b"%b\r\n\r\n%b\r\n--%b--\r\n" % (head.encode(), body, BOUNDARY.encode())
    return load_generator.encode_request(path, body, kind=kind)


def comparable(body: bytes) -> Any:
    """An answer without what differs between two answers to the same photo."""

    def without(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: without(value) for name, value in part.items() if name not in VARYING}
        return [without(value) for value in part] if isinstance(part, list) else part

    return without(json.loads(body))


async def record(job: dict[str, Any]) -> dict[str, Any]:
    """The answer to each upload, one after the other; `None` to one that is refused."""
    connection = KeptConnection(job["port"])
    answers = []
    for upload in job["uploads"]:
        status = await connection.post(encode(job["paths"][0], *upload))
        answers.append(comparable(connection.body) if status == OK else None)
    connection.close()
    return {"answers": answers}


async def work(job: dict[str, Any]) -> dict[str, Any]:
    """Do a job; gives the records, and the processor time of this process."""
    requests = [[encode(path, *upload) for path in job["paths"]] for upload in job["uploads"]]
    spent_s = time.process_time()
    run = Run(job["port"], requests, itertools.cycle(job["order"]), job["expected"])
    if job["rate"]:
        over_s = await run.open(job["rate"], job["seconds"])
    else:
        over_s = await run.closed(job["clients"], job["seconds"])
    spent_s = time.process_time() - spent_s
    records = [list(vars(record).values()) for record in run.records]
    figures = {"over_s": over_s, "wall_s": run.clock_s(), "cpu_s": spent_s}
    return {"records": records, "wrong": run.wrong, **figures}


if __name__ == "__main__":
    wanted = json.loads(Path(sys.argv[1]).read_text())
    output = asyncio.run(record(wanted) if wanted.get("record") else work(wanted))
    Path(sys.argv[2]).write_text(json.dumps(output))
