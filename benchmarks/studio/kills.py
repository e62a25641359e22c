"""The studio killed with SIGKILL while photos come, labels are mended, and a project is taught.

A client notes each answer that confirms something. After the kill the studio is started again, and
all that was confirmed must be there; what was under way may be there or not. A teaching must be
told as interrupted, and end well when it is gone on with.
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
    chance = random.Random(SEED)
    door = Projects(home)
    key = door.make("Killed").key
    classes = [door.add_class(key, kind).id for kind in drawn.KINDS[:2]]
    uploads = [_uploads(home, key, classes, chance) for _ in range(MOMENTS)]
    _fill(door, key, classes)
    decisions = [_decisions(home, key, classes, chance) for _ in range(MOMENTS)]
    teachings = [_teaching(home, key, seed, chance) for seed in range(MOMENTS)]
    for name, rows in (("uploads", uploads), ("decisions", decisions), ("teachings", teachings)):
        print(f"{name}: {rows}", flush=True)
    is_sound = _is_sound(home)
    return {"uploads": uploads, "decisions": decisions, "teachings": teachings}, {
        "no confirmed photo is lost": not any(row["lost"] for row in uploads),
        "no confirmed decision is lost": not any(row["lost"] for row in decisions),
        "a killed teaching is told as interrupted": all(row["told"] for row in teachings),
        "it goes on to its end": all(row["ended"] == "done" for row in teachings),
        "the database is sound": is_sound,
    }


# ------------------------------------------------------------------ the moment


def _kill_amid(home: Path, chance: random.Random, work: Callable[[Client], None]) -> float:
    """Let somebody work with a studio, and kill it after a while.

    Args:
        home: Of the studio.
        chance: Draws the moment.
        work: Goes on until the studio does not answer any more.

    Returns:
        The moment, in seconds after the first request.
    """
    server = Server(home, *OPTIONS)
    moment_s = chance.uniform(LEAST_S, MOST_S)
    worker = threading.Thread(target=_until_it_is_gone, args=(work, Client(server.port)))
    worker.start()
    time.sleep(moment_s)
    server.kill()
    worker.join()
    return round(moment_s, 2)


def _until_it_is_gone(work: Callable[[Client], None], client: Client) -> None:
    try:
        work(client)
    except (OSError, http.client.HTTPException):
        return


# ------------------------------------------------------------------ photos that come


def _uploads(home: Path, key: str, classes: list[int], chance: random.Random) -> dict[str, Any]:
    confirmed: dict[str, int] = {}
    first = chance.randrange(1 << 30)

    def work(client: Client) -> None:
        for seed in range(first, first + 100_000):
            place = seed % len(classes)
            data = drawn.jpeg(drawn.KINDS[place], seed)
            told = client.upload(
                f"/projects/{key}/photos", {"class": classes[place]}, "1.jpg", data
            )
            if told["photos"][0]["digest"] != hashlib.sha256(data).hexdigest():
                raise RuntimeError(f"The studio confirmed another photo than it was sent: {told}")
            confirmed[told["photos"][0]["digest"]] = classes[place]

    moment_s = _kill_amid(home, chance, work)
    door = Projects(home)
    kept = {photo.digest: photo for photo in door.photos(key, limit=-1)}
    lost = [
        digest
        for digest, home_of in confirmed.items()
        if digest not in kept
        or kept[digest].class_id != home_of
        or hashlib.sha256(door.read(digest)).hexdigest() != digest
        or not door.thumbnail(digest)
    ]
    return {"killed_after_s": moment_s, "confirmed": len(confirmed), "lost": len(lost)}


def _fill(door: Projects, key: str, classes: list[int]) -> None:
    for place, kind in enumerate(drawn.KINDS[: len(classes)]):
        for seed in range(PER_CLASS):
            door.add(key, f"{kind} {seed}.jpg", drawn.jpeg(kind, seed), classes[place])


# ------------------------------------------------------------------ labels that are mended


def _decisions(home: Path, key: str, classes: list[int], chance: random.Random) -> dict[str, Any]:
    door = Projects(home)
    known = {photo.digest: photo.class_id for photo in door.photos(key, limit=-1)}
    under_way: dict[str, int] = {}
    count = 0

    def work(client: Client) -> None:
        nonlocal count
        digests = sorted(known)
        while True:
            digest, own = chance.choice(digests), chance.choice(classes)
            under_way.clear()
            under_way[digest] = own
            client.post(f"/projects/{key}/decisions", {"do": f"move:{own}", "digest": digest})
            known[digest] = own
            count += 1

    moment_s = _kill_amid(home, chance, work)
    lost = [
        photo.digest
        for photo in Projects(home).photos(key, limit=-1)
        if photo.class_id not in (known[photo.digest], under_way.get(photo.digest))
    ]
    return {"killed_after_s": moment_s, "confirmed": count, "lost": len(lost)}


# ------------------------------------------------------------------ a project that is taught


def _teaching(home: Path, key: str, seed: int, chance: random.Random) -> dict[str, Any]:
    server = Server(home, *OPTIONS)
    lesson = {"backbones": ["lite0"], "head": "linear", "seed": seed}
    Client(server.port).post(f"/projects/{key}/teach", lesson)
    moment_s = round(chance.uniform(LEAST_S, 3 * MOST_S), 2)
    time.sleep(moment_s)
    server.kill()
    server = Server(home, *OPTIONS)
    try:
        client = Client(server.port)
        told = _job(client, key)["state"]
        if told == "interrupted":
            client.post(f"/projects/{key}/job/resume")
        while (job := _job(client, key))["state"] in ("waiting", "running"):
            time.sleep(0.2)
    finally:
        server.stop()
    # One that had ended before the kill has nothing to go on with.
    is_told = told in ("interrupted", "done")
    return {"killed_after_s": moment_s, "state": told, "told": is_told, "ended": job["state"]}


def _job(client: Client, key: str) -> dict[str, Any]:
    return dict(json.loads(client.get(f"/projects/{key}/job.json")))


def _is_sound(home: Path) -> bool:
    database = sqlite3.connect(home / "studio" / "studio.sqlite")
    try:
        checks = ("PRAGMA integrity_check", "PRAGMA foreign_key_check")
        return [database.execute(check).fetchall() for check in checks] == [[("ok",)], []]
    finally:
        database.close()
