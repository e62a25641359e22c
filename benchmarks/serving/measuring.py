"""Running the load and the bare loop, and evaluating their records."""

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

from serving.uploads import Upload

HERE = Path(__file__).parent
WARM_S = 4.0
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
        client_share: Processor time of the load itself, as a share of one core.
    """

    photos_per_s: float
    upload: np.ndarray
    late_ms: np.ndarray
    took_ms: np.ndarray
    status: np.ndarray
    client_share: float

    @property
    def statuses(self) -> dict[int, int]:
        """The number of photos by status."""
        return dict(sorted(Counter(self.status.tolist()).items()))

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
    port: int,
    uploads: Sequence[Upload],
    *,
    paths: Sequence[str],
    seconds: float,
    clients: int = 0,
    rate: float = 0.0,
    order: Sequence[int] = (),
    watch: Callable[[], None] = lambda: None,
) -> Answers:
    """Load a server.

    Args:
        port: Of the server, on 127.0.0.1.
        uploads: What is posted.
        paths: Where to; a photo takes one request for each.
        seconds: How long is counted, after a short warm-up; longer until each client of a slow
            server has a few answers.
        clients: The number of clients, each of which sends the next request when it is answered;
            or
        rate: Photos a second, whatever the server does.
        order: Positions of uploads; by default each in turn.
        watch: Called about once a second meanwhile.
    """
    job = {
        "port": port,
        "paths": list(paths),
        "uploads": [(str(upload.file), upload.type) for upload in uploads],
        "order": list(order or range(len(uploads))),
        "clients": clients,
        "rate": rate,
        "seconds": WARM_S + seconds,
    }
    output = _run_child("load.py", job, watch)
    records = dict(zip(FIELDS, np.array(output["records"]).T, strict=True))
    return _answers(
        records,
        output["over_s"],
        by="due" if rate else "done",
        each=len(paths),
        client_share=output["cpu_s"] / output["wall_s"],
    )


def closed(
    port: int, uploads: Sequence[Upload], *, paths: Sequence[str], seconds: float, clients: int
) -> Answers:
    """Load a server with good photos, as `load` does, all of which must be answered.

    Raises:
        RuntimeError: A photo was not answered.
    """
    answers = load(port, uploads, paths=paths, seconds=seconds, clients=clients)
    if set(answers.statuses) != {OK}:
        raise RuntimeError(f"Not all photos were answered; statuses: {answers.statuses}.")
    return answers


def _answers(
    posts: dict[str, np.ndarray], end_s: float, *, by: str, each: int, client_share: float
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
        client_share=client_share,
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


def bare(
    committee: str,
    precision: str,
    *,
    home: Path,
    calls: Sequence[Sequence[int]],
    seconds: float,
    random: bool = False,
) -> dict[str, float]:
    """Images a second of the bare loop, by streams and batch size; see `bare.py`."""
    job = {
        "committee": committee,
        "precision": precision,
        "home": str(home),
        "calls": [list(members) for members in calls],
        "seconds": seconds,
        "random": random,
    }
    return dict(_run_child("bare.py", job))


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
