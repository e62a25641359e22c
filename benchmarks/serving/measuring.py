"""Running the load, and loops without HTTP, and evaluating their records."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serving.servers import Running
from serving.uploads import Upload
from triptych.utils import concurrency

HERE = Path(__file__).parent
WARM_S = 1.5  # not counted at the start of each load
FIRST_S = 2.5  # of load on a server that has just started
FIELDS = ("visit", "upload", "due", "sent", "done", "status")  # of load.Record
OK = 200


@dataclass(frozen=True)
class Answers:
    """The answers to a load, one entry per photo, without the warm-up.

    Args:
        photos_per_s: Answered photos, whenever they were due.
        upload: Position of the upload, shape (N,).
        late_ms: How late the request was sent, for a load at a fixed rate, shape (N,).
        took_ms: From sending the first request of a photo to its last answer, shape (N,).
        status: HTTP status; 0 stands for no answer. Shape (N,).
        cpu_ms: Processor time of the server and all its children for a photo.
        client_share: Processor time of the load itself, as a share of all cores.
        wrong: Up to `load.MOST_WRONG` answers that differ from the expected ones.
    """

    photos_per_s: float
    upload: np.ndarray
    late_ms: np.ndarray
    took_ms: np.ndarray
    status: np.ndarray
    cpu_ms: float
    client_share: float
    wrong: tuple[str, ...] = ()

    @property
    def statuses(self) -> dict[int, int]:
        """The number of photos by status."""
        return dict(sorted(Counter(self.status.tolist()).items()))

    @property
    def lost(self) -> int:
        """Photos that were not answered."""
        return int((self.status != OK).sum())

    @property
    def median_ms(self) -> float:
        """Median time of a photo."""
        return percentile(self.took_ms, 50)

    def to_dict(self) -> dict[str, Any]:
        """The figures that are kept."""
        return {
            "photos_per_s": round(self.photos_per_s, 2),
            "p50_ms": self.median_ms,
            "p95_ms": percentile(self.took_ms, 95),
            "statuses": self.statuses,
            "cpu_ms": round(self.cpu_ms, 2),
            "client_share": round(self.client_share, 3),
        }


def percentile(ms: np.ndarray, share: float) -> float:
    """A percentile; 0 where there are no times.

    Args:
        ms: Times in milliseconds.
        share: In percent.
    """
    return round(float(np.percentile(ms, share)), 1) if len(ms) else 0.0


def load(
    up: Running,
    uploads: Sequence[Upload],
    *,
    paths: Sequence[str],
    seconds: float,
    clients: int = 0,
    rate: float = 0.0,
    order: Sequence[int] = (),
    expected: Sequence[Any] = (),
    watch: Callable[[], None] = lambda: None,
) -> Answers:
    """Load a server.

    Args:
        up: The server.
        uploads: What is posted.
        paths: Where to; a photo takes one request for each.
        seconds: How long is counted, after a short warm-up; longer until each client of a slow
            server has an answer.
        clients: The number of clients, each of which sends the next request when it is answered;
            or
        rate: Photos a second, whatever the server does.
        order: Positions of uploads; by default each in turn.
        expected: For each upload, the answer that it must get if it gets one, of `record`.
        watch: Called about once a second meanwhile.
    """
    job = {
        **_job(up, uploads, paths),
        "order": list(order or range(len(uploads))),
        "clients": clients,
        "rate": rate,
        "seconds": WARM_S + seconds,
        "expected": list(expected),
    }
    cpu_s = up.cpu_s()
    output = _run_child("load.py", job, watch)
    cpu_s = up.cpu_s() - cpu_s
    records = dict(zip(FIELDS, np.array(output["records"]).T, strict=True))
    photos = int((records["status"] == OK).sum()) / len(paths)
    return _answers(
        records,
        output["over_s"],
        by="due" if rate else "done",
        each=len(paths),
        cpu_ms=1000 * cpu_s / max(1.0, photos),
        client_share=output["cpu_s"] / output["wall_s"] / concurrency.cpu_count(),
        wrong=tuple(output["wrong"]),
    )


def _job(up: Running, uploads: Sequence[Upload], paths: Sequence[str]) -> dict[str, Any]:
    files = [(str(upload.file), upload.type) for upload in uploads]
    return {"port": up.port, "paths": list(paths), "uploads": files}


def warm_up(up: Running, uploads: Sequence[Upload], paths: Sequence[str]) -> None:
    """Load a server that has just started, without counting."""
    load(up, uploads, paths=paths, seconds=FIRST_S, clients=2 * concurrency.cpu_count())


def record(up: Running, uploads: Sequence[Upload], path: str) -> list[Any]:
    """What a server answers to each upload, one after the other, without what differs each time."""
    return list(_run_child("load.py", {**_job(up, uploads, [path]), "record": True})["answers"])


def closed(
    up: Running, uploads: Sequence[Upload], *, paths: Sequence[str], seconds: float, clients: int
) -> Answers:
    """Load a server with good photos, as `load` does, all of which must be answered.

    Raises:
        RuntimeError: A photo was not answered.
    """
    answers = load(up, uploads, paths=paths, seconds=seconds, clients=clients)
    if set(answers.statuses) != {OK}:
        raise RuntimeError(f"Not all photos were answered; statuses: {answers.statuses}.")
    return answers


def _answers(
    posts: dict[str, np.ndarray], end_s: float, *, by: str, each: int, **others: Any
) -> Answers:
    """The answers to photos that were due, or done, after the warm-up and before the end."""
    joined = _joined(posts)
    inside = _between(joined[by], end_s)
    photos = {name: column[inside] for name, column in joined.items()}
    # Counted by requests, as the last of several requests of a photo would count for all.
    per_s = int((_between(posts["done"], end_s) & (posts["status"] == OK)).sum()) / each
    return Answers(
        photos_per_s=per_s / (end_s - WARM_S),
        upload=photos["upload"].astype(int),
        late_ms=(photos["sent"] - photos["due"]) * 1000,
        took_ms=(photos["done"] - photos["sent"]) * 1000,
        status=photos["status"].astype(int),
        **others,
    )


def _between(moments: np.ndarray, end_s: float) -> np.ndarray:
    return (moments >= WARM_S) & (moments < end_s)


def _joined(posts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One entry per photo: sent with its first request, done with its last, its worst status."""
    order = np.lexsort((posts["sent"], posts["visit"]))
    ordered = {name: column[order] for name, column in posts.items()}
    first = np.unique(ordered["visit"], return_index=True)[1]
    worst = np.maximum.reduceat(ordered["status"], first)
    broken = np.minimum.reduceat(ordered["status"], first) == 0
    return {
        **{name: column[first] for name, column in ordered.items()},
        "done": np.maximum.reduceat(ordered["done"], first),
        "status": np.where(broken, 0, worst),
    }


def in_process(
    committee: str,
    precision: str,
    rule: str,
    *,
    weights: str,
    home: Path,
    photos: Sequence[Upload],
    seconds: float,
) -> dict[str, Any]:
    """The networks alone, and a stream of photos, without a server; see `in_process.py`."""
    job = {
        "committee": committee,
        "precision": precision,
        "rule": rule,
        "weights": weights,
        "home": str(home),
        "photos": [str(photo.file) for photo in photos],
        "seconds": seconds,
    }
    return dict(_run_child("in_process.py", job))


def _run_child(script: str, job: dict[str, Any], watch: Callable[[], None] = lambda: None) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        input_file, output_file = Path(folder, "job.json"), Path(folder, "out.json")
        input_file.write_text(json.dumps(job))
        process = subprocess.Popen([sys.executable, HERE / script, input_file, output_file])
        try:
            while process.poll() is None:
                watch()
                try:
                    process.wait(1.0)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            process.kill()
        if process.returncode:
            raise RuntimeError(f"{script} exited with {process.returncode}; its output is above.")
        return json.loads(output_file.read_text())
