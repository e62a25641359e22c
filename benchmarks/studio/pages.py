"""How long the server takes for each page of a project with 2,000 photos, alone and while teaching.

The times are those of a client on the same machine, from the request's first byte to the answer's
last: no less than the server's own.
"""

from __future__ import annotations

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
MOST_MS = 300.0
ROUNDS = 20
PAUSE_S = 0.05  # between two requests; people read what they asked for
FEWEST = 5  # rounds while a teaching runs; below that it was too short to say anything
TITLE = "Large"
JOB = "/projects/{key}/job.json"


def run(home: Path) -> tuple[dict[str, Any], dict[str, bool]]:
    """Fill, teach, measure alone, and measure while the next teaching runs.

    Args:
        home: Where the networks are.

    Returns:
        Figures, and claims.
    """
    key, digests, filled_s = _fill(home)
    with running(home, "--committee", "lite") as server:
        taught_s = _teach(server, key, ["lite0"])
        visits = _visits(key, digests)
        alone = _rounds(server, visits, lambda count: count < ROUNDS)
        client = Client(server.port)
        client.post(f"/projects/{key}/teach", {"backbones": ["lite0", "lite1"], "head": "linear"})
        under_way = _is_under_way(server, key)
        beside = _rounds(server, visits, lambda count: count < 2 * ROUNDS and under_way())
    _print(alone, beside)
    slowest = max(row["max_ms"] for rows in (alone, beside) for row in rows.values())
    rounds = min(row["requests"] for row in beside.values())
    figures = {
        "photos": PHOTOS,
        "filled_s": round(filled_s, 1),
        "taught_s": round(taught_s, 1),
        "alone": alone,
        "while_teaching": beside,
    }
    return figures, {
        f"every answer within {MOST_MS:.0f} ms, alone and while teaching": slowest <= MOST_MS,
        "the teaching lasted long enough to measure beside it": rounds >= FEWEST,
    }


def _fill(home: Path) -> tuple[str, list[str], float]:
    """A project of all photos, one in fifty under a wrong class."""
    began = time.perf_counter()
    door = Projects(home)
    key = door.make(TITLE).key
    classes = [door.add_class(key, kind).id for kind in drawn.KINDS]
    for number in range(PHOTOS):
        place = number % len(drawn.KINDS)
        home_of = (place + (number % 50 == 0)) % len(drawn.KINDS)
        kind = drawn.KINDS[place]
        door.add(key, f"{kind} {number}.jpg", drawn.jpeg(kind, number), classes[home_of])
    for number in range(3):
        verdict = {"label": "discs", "prob": 0.5, "status": "unsure", "novelty": None, "top": []}
        door.keep(
            f"{number}.jpg", drawn.jpeg("discs", 9000 + number), {**verdict, "committee": key}
        )
    digests = [photo.digest for photo in door.photos(key, limit=100)]
    return key, digests, time.perf_counter() - began


def _teach(server: Server, key: str, backbones: list[str]) -> float:
    began = time.perf_counter()
    Client(server.port).post(f"/projects/{key}/teach", {"backbones": backbones, "head": "linear"})
    under_way = _is_under_way(server, key)
    while under_way():
        time.sleep(0.2)
    return time.perf_counter() - began


def _is_under_way(server: Server, key: str) -> Callable[[], bool]:
    client = Client(server.port)

    def ask() -> bool:
        told = json.loads(client.get(JOB.format(key=key)))
        if told["state"] in ("failed", "stopped", "interrupted"):
            raise RuntimeError(f"The teaching ended early: {told}")
        return bool(told["state"] in ("waiting", "running"))

    return ask


def _visits(key: str, digests: list[str]) -> dict[str, Callable[[Client, int], object]]:
    """What a person's browser asks for: each by the name that the table gives it."""
    own = f"/projects/{key}"
    get = {
        "classify": "/",
        "projects": "/projects",
        "photos": own,
        "photos, 500 of a class shown": f"{own}?show=1:500",
        "teach": f"{own}/teach",
        "job": f"{own}/job.json",
        "result": f"{own}/result",
        "cell of 500": f"{own}/result/cell?truth={quote(drawn.KINDS[0])}&photos=all",
        "label-issues": f"{own}/result/label-issues",
        "decisions": f"{own}/decisions",
        "publish": f"{own}/publish",
        "share": f"/c/{key}@1",
        "bundles": "/bundles",
        "inbox": f"/projects/inbox?project={key}",
        "api": "/docs",
    }
    visits: dict[str, Callable[[Client, int], object]] = {
        name: lambda client, _, path=path: client.get(path) for name, path in get.items()
    }
    visits["thumbnail"] = lambda client, turn: client.get(_picture(digests, turn, "/thumb.jpg"))
    visits["photo"] = lambda client, turn: client.get(_picture(digests, turn, ".jpg"))
    visits["decide"] = lambda client, turn: client.post(
        f"{own}/decisions", {"do": "exclude", "digest": digests[turn % len(digests)]}
    )
    visits["undo"] = lambda client, _: client.post(f"{own}/decisions/undo")
    fresh = (drawn.jpeg("bars", seed) for seed in itertools.count(5000))
    visits["upload"] = lambda client, _: client.upload(f"{own}/photos", {}, "1.jpg", next(fresh))
    return visits


def _picture(digests: list[str], turn: int, ending: str) -> str:
    return f"/projects/photos/{digests[turn % len(digests)]}{ending}"


def _rounds(
    server: Server,
    visits: dict[str, Callable[[Client, int], object]],
    go_on: Callable[[int], bool],
) -> dict[str, dict[str, float]]:
    """Visit everything again and again.

    Returns:
        For each how long it took.
    """
    client, times = Client(server.port), {name: list[float]() for name in visits}
    turn = 0
    while go_on(turn):
        for name, visit in visits.items():
            began = time.perf_counter()
            visit(client, turn)
            times[name].append((time.perf_counter() - began) * 1000)
            time.sleep(PAUSE_S)
        turn += 1
    return {name: _spread(own) for name, own in times.items() if own}


def _spread(times_ms: list[float]) -> dict[str, float]:
    return {
        "requests": len(times_ms),
        "p50_ms": round(statistics.median(times_ms), 1),
        "p95_ms": round(float(np.percentile(times_ms, 95)), 1),
        "max_ms": round(max(times_ms), 1),
    }


def _print(alone: dict[str, dict[str, float]], beside: dict[str, dict[str, float]]) -> None:
    print("| | alone: p50 | p95 | max | while teaching: p50 | p95 | max |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, row in alone.items():
        cells = [own.get(f"{what}_ms", "") for own in (row, beside.get(name, {})) for what in WHAT]
        print(f"| {name} | {' | '.join(map(str, cells))} |", flush=True)


WHAT = ("p50", "p95", "max")
