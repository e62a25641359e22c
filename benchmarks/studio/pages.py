"""The time for each page of a project with 2,000 photos, alone and during training.

Measured by a client on the same machine, from the first byte of the request to the last of the
response.
"""

from __future__ import annotations

import functools
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from studio import drawn
from studio.server import Client
from studio.server import Server
from studio.server import running
from triptych.studio.projects import Projects

PHOTOS = 2000
LIMIT_MS = 300.0
ROUNDS = 20
PAUSE_S = 0.05  # between two requests, as people read the pages
MIN_ROUNDS = 5  # during training; with fewer it was too short to measure
TITLE = "Large"
JOB = "/projects/{key}/job.json"


def run(home: Path) -> tuple[dict[str, Any], dict[str, bool]]:
    """Fill, train, measure alone, and measure during the next training.

    Args:
        home: Where the networks are.

    Returns:
        Figures, and claims.
    """
    key, digests, filled_s = _fill(home)
    with running(home, "--committee", "lite") as server:
        trained_s = _train(server, key, ["lite0"])
        visits = _visits(key, digests)
        alone = _rounds(server, visits, lambda count: count < ROUNDS)
        client = Client(server.port)
        client.post(f"/projects/{key}/teach", {"backbones": ["lite0", "lite1"], "head": "linear"})
        is_running = _running_job(server, key)
        during = _rounds(server, visits, lambda count: count < 2 * ROUNDS and is_running())
    _print(alone, during)
    slowest = max(row["max_ms"] for rows in (alone, during) for row in rows.values())
    rounds = min(row["requests"] for row in during.values())
    figures = {
        "photos": PHOTOS,
        "filled_s": round(filled_s, 1),
        "trained_s": round(trained_s, 1),
        "alone": alone,
        "during_training": during,
    }
    return figures, {
        f"every answer within {LIMIT_MS:.0f} ms, alone and during training": slowest <= LIMIT_MS,
        "the training lasted long enough to measure during it": rounds >= MIN_ROUNDS,
    }


def _fill(home: Path) -> tuple[str, list[str], float]:
    """A project of all photos, one in fifty of them mislabelled."""
    began = time.perf_counter()
    projects = Projects(home)
    key = projects.make(TITLE).key
    classes = [projects.add_class(key, kind).id for kind in drawn.KINDS]
    for number in range(PHOTOS):
        index = number % len(drawn.KINDS)
        label = (index + (number % 50 == 0)) % len(drawn.KINDS)
        kind = drawn.KINDS[index]
        projects.add(key, f"{kind} {number}.jpg", drawn.jpeg(kind, number), classes[label])
    for number in range(3):
        verdict = {"label": "discs", "prob": 0.5, "status": "unsure", "novelty": None, "top": []}
        projects.keep(
            f"{number}.jpg", drawn.jpeg("discs", 9000 + number), {**verdict, "committee": key}
        )
    digests = [photo.digest for photo in projects.photos(key, limit=100)]
    return key, digests, time.perf_counter() - began


def _train(server: Server, key: str, backbones: list[str]) -> float:
    began = time.perf_counter()
    Client(server.port).post(f"/projects/{key}/teach", {"backbones": backbones, "head": "linear"})
    is_running = _running_job(server, key)
    while is_running():
        time.sleep(0.2)
    return time.perf_counter() - began


def _running_job(server: Server, key: str) -> Callable[[], bool]:
    client = Client(server.port)

    def is_running() -> bool:
        job = json.loads(client.get(JOB.format(key=key)))
        if job["state"] in ("failed", "stopped", "interrupted"):
            raise RuntimeError(f"The training ended early: {job}")
        return bool(job["state"] in ("waiting", "running"))

    return is_running


def _visits(key: str, digests: list[str]) -> dict[str, Callable[[Client, int], object]]:
    """The requests of a browser, by the names of the table's rows."""
    project = f"/projects/{key}"
    get = {
        "classify": "/",
        "projects": "/projects",
        "photos": project,
        "photos, 500 of a class shown": f"{project}?show=1:500",
        "teach": f"{project}/teach",
        "job": f"{project}/job.json",
        "result": f"{project}/result",
        "cell of 500": f"{project}/result/cell?truth={quote(drawn.KINDS[0])}&photos=all",
        "label-issues": f"{project}/result/label-issues",
        "decisions": f"{project}/decisions",
        "publish": f"{project}/publish",
        "share": f"/c/{key}@1",
        "bundles": "/bundles",
        "inbox": f"/projects/inbox?project={key}",
        "api": "/docs",
    }
    visits: dict[str, Callable[[Client, int], object]] = {
        name: functools.partial(_get, path) for name, path in get.items()
    }
    visits["thumbnail"] = lambda client, turn: client.get(_photo_path(digests, turn, "/thumb.jpg"))
    visits["photo"] = lambda client, turn: client.get(_photo_path(digests, turn, ".jpg"))
    visits["decide"] = lambda client, turn: client.post(
        f"{project}/decisions", {"do": "exclude", "digest": digests[turn % len(digests)]}
    )
    visits["undo"] = lambda client, _: client.post(f"{project}/decisions/undo")
    new = (drawn.jpeg("bars", seed) for seed in itertools.count(5000))
    visits["upload"] = lambda client, _: client.upload(f"{project}/photos", {}, "1.jpg", next(new))
    return visits


def _get(path: str, client: Client, _turn: int) -> object:
    return client.get(path)


def _photo_path(digests: list[str], turn: int, ending: str) -> str:
    return f"/projects/photos/{digests[turn % len(digests)]}{ending}"


def _rounds(
    server: Server,
    visits: dict[str, Callable[[Client, int], object]],
    go_on: Callable[[int], bool],
) -> dict[str, dict[str, float]]:
    """Repeat all requests; gives the times of each."""
    client, times = Client(server.port), {name: list[float]() for name in visits}
    turn = 0
    while go_on(turn):
        for name, visit in visits.items():
            began = time.perf_counter()
            visit(client, turn)
            times[name].append((time.perf_counter() - began) * 1000)
            time.sleep(PAUSE_S)
        turn += 1
    return {name: _spread(spent) for name, spent in times.items() if spent}


def _spread(times_ms: list[float]) -> dict[str, float]:
    return {
        "requests": len(times_ms),
        "p50_ms": round(statistics.median(times_ms), 1),
        "p95_ms": round(float(np.percentile(times_ms, 95)), 1),
        "max_ms": round(max(times_ms), 1),
    }


def _print(alone: dict[str, dict[str, float]], during: dict[str, dict[str, float]]) -> None:
    print("| | alone: p50 | p95 | max | during training: p50 | p95 | max |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, row in alone.items():
        pair = (row, during.get(name, {}))
        cells = [str(each.get(key, "")) for each in pair for key in ("p50_ms", "p95_ms", "max_ms")]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
