"""The studio killed with SIGKILL during uploads, corrections of labels, and training.

A client records each confirmation. After the kill the studio is started again, and everything that
was confirmed must be there; unconfirmed changes may be there or not. A training must be reported as
interrupted, and complete when it is resumed.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio import drawn
from studio.server import Client
from studio.server import Server
from triptych.studio.projects import Projects

MOMENTS = 5
SEED = 0
OPTIONS = ("--members", "EfficientNetLite0")
LEAST_S, MOST_S = 0.05, 1.5
PER_CLASS = 30


def run(home: Path) -> tuple[dict[str, Any], dict[str, bool]]:
    """Kill at several moments of each.

    Args:
        home: Where the networks are.

    Returns:
        Figures, and claims.
    """
    rng = random.Random(SEED)
    projects = Projects(home)
    key = projects.make("Killed").key
    classes = [projects.add_class(key, kind).id for kind in drawn.KINDS[:2]]
    uploads = [_uploads(home, key, classes, rng) for _ in range(MOMENTS)]
    _fill(projects, key, classes)
    decisions = [_decisions(home, key, classes, rng) for _ in range(MOMENTS)]
    trainings = [_training(home, key, seed, rng) for seed in range(MOMENTS)]
    for name, rows in (("uploads", uploads), ("decisions", decisions), ("trainings", trainings)):
        print(f"{name}: {rows}", flush=True)
    is_intact = _is_intact(home)
    return {"uploads": uploads, "decisions": decisions, "trainings": trainings}, {
        "no confirmed photo is lost": not any(row["lost"] for row in uploads),
        "no confirmed decision is lost": not any(row["lost"] for row in decisions),
        "a killed training is reported as interrupted": all(row["reported"] for row in trainings),
        "it completes when it is resumed": all(row["ended"] == "done" for row in trainings),
        "the database is intact": is_intact,
    }


# ------------------------------------------------------------------ the kill


def _kill_during(home: Path, rng: random.Random, work: Callable[[Client], None]) -> float:
    """Work with a studio, and kill it after a random time.

    Args:
        home: Of the studio.
        rng: Draws the time.
        work: Continues until the studio does not answer.

    Returns:
        The moment, in seconds after the first request.
    """
    server = Server(home, *OPTIONS)
    moment_s = rng.uniform(LEAST_S, MOST_S)
    worker = threading.Thread(target=_until_killed, args=(work, Client(server.port)))
    worker.start()
    time.sleep(moment_s)
    server.kill()
    worker.join()
    return round(moment_s, 2)


def _until_killed(work: Callable[[Client], None], client: Client) -> None:
    try:
        work(client)
    except (OSError, http.client.HTTPException):
        return


# ------------------------------------------------------------------ uploads


def _uploads(home: Path, key: str, classes: list[int], rng: random.Random) -> dict[str, Any]:
    confirmed: dict[str, int] = {}
    first = rng.randrange(1 << 30)

    def work(client: Client) -> None:
        for seed in range(first, first + 100_000):
            index = seed % len(classes)
            data = drawn.jpeg(drawn.KINDS[index], seed)
            reply = client.upload(
                f"/projects/{key}/photos", {"class": classes[index]}, "1.jpg", data
            )
            if reply["photos"][0]["digest"] != hashlib.sha256(data).hexdigest():
                raise RuntimeError(f"The studio confirmed another photo than it was sent: {reply}")
            confirmed[reply["photos"][0]["digest"]] = classes[index]

    moment_s = _kill_during(home, rng, work)
    projects = Projects(home)
    stored = {photo.digest: photo for photo in projects.photos(key, limit=-1)}
    lost = [
        digest
        for digest, class_id in confirmed.items()
        if digest not in stored
        or stored[digest].class_id != class_id
        or hashlib.sha256(projects.read(digest)).hexdigest() != digest
        or not projects.thumbnail(digest)
    ]
    return {"killed_after_s": moment_s, "confirmed": len(confirmed), "lost": len(lost)}


def _fill(projects: Projects, key: str, classes: list[int]) -> None:
    for class_id, kind in zip(classes, drawn.KINDS, strict=False):
        for seed in range(PER_CLASS):
            projects.add(key, f"{kind} {seed}.jpg", drawn.jpeg(kind, seed), class_id)


# ------------------------------------------------------------------ corrections


def _decisions(home: Path, key: str, classes: list[int], rng: random.Random) -> dict[str, Any]:
    photos = Projects(home).photos(key, limit=-1)
    confirmed = {photo.digest: photo.class_id for photo in photos}
    unconfirmed: dict[str, int] = {}
    count = 0

    def work(client: Client) -> None:
        nonlocal count
        digests = sorted(confirmed)
        while True:
            digest, class_id = rng.choice(digests), rng.choice(classes)
            unconfirmed.clear()
            unconfirmed[digest] = class_id
            client.post(f"/projects/{key}/decisions", {"do": f"move:{class_id}", "digest": digest})
            confirmed[digest] = class_id
            count += 1

    moment_s = _kill_during(home, rng, work)
    lost = [
        photo.digest
        for photo in Projects(home).photos(key, limit=-1)
        if photo.class_id not in (confirmed[photo.digest], unconfirmed.get(photo.digest))
    ]
    return {"killed_after_s": moment_s, "confirmed": count, "lost": len(lost)}


# ------------------------------------------------------------------ training


def _training(home: Path, key: str, seed: int, rng: random.Random) -> dict[str, Any]:
    server = Server(home, *OPTIONS)
    options = {"backbones": ["lite0"], "head": "linear", "seed": seed}
    Client(server.port).post(f"/projects/{key}/teach", options)
    moment_s = round(rng.uniform(LEAST_S, 3 * MOST_S), 2)
    time.sleep(moment_s)
    server.kill()
    server = Server(home, *OPTIONS)
    try:
        client = Client(server.port)
        state = _job(client, key)["state"]
        if state == "interrupted":
            client.post(f"/projects/{key}/job/resume")
        while (job := _job(client, key))["state"] in ("waiting", "running"):
            time.sleep(0.2)
    finally:
        server.stop()
    # A job that was done before the kill has nothing to resume.
    reported = state in ("interrupted", "done")
    return {
        "killed_after_s": moment_s,
        "state": state,
        "reported": reported,
        "ended": job["state"],
    }


def _job(client: Client, key: str) -> dict[str, Any]:
    return dict(json.loads(client.get(f"/projects/{key}/job.json")))


def _is_intact(home: Path) -> bool:
    database = sqlite3.connect(home / "studio" / "studio.sqlite")
    try:
        checks = ("PRAGMA integrity_check", "PRAGMA foreign_key_check")
        return [database.execute(check).fetchall() for check in checks] == [[("ok",)], []]
    finally:
        database.close()
