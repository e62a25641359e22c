"""The committee that comes with the package, end to end: all members, and the cascade."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from typing import Any

from serving import bench
from serving import measuring
from serving import servers
from serving.bench import Bench
from triptych import errors
from triptych.engines.options import EngineOptions
from triptych.inference import committee
from triptych.models import zoo

RULES = ("weighted", "cascade")
CLAIMS = {("bf16", "weighted"): 60.0, ("int8", "cascade"): 120.0}


def run(of: Bench) -> None:
    """Measure each number format with each rule."""
    found = {
        precision: measured(of, precision)
        for precision in of.precisions
        if precision != "int8" or has_int8(of)
    }
    of.figures["lite"] = found
    heading = ["lite, photos/s (median ms)", *(f"{n} clients" for n in bench.CLIENTS)]
    heading += ["members asked", "bare loop", "of bare"]
    rows = [
        line(f"{precision}, {rule}", own)
        for precision, rules in found.items()
        for rule, own in rules.items()
    ]
    bench.table(heading, rows)
    for (precision, rule), wanted in CLAIMS.items():
        if precision in found:
            claim = f"lite, {precision}, {rule}: at least {wanted:.0f} photos a second"
            of.claims[claim] = found[precision][rule]["photos_per_s"] >= wanted


def has_int8(of: Bench) -> bool:
    """Whether there are int8 networks of the committee; they are made where there are none yet."""
    try:
        committee.from_zoo("lite", EngineOptions(of.home, "int8"))
    except errors.SettingError:
        command = [sys.executable, "-m", "triptych", "optimize", "lite", "--home", str(of.home)]
        made = subprocess.run([*command, "--images", str(of.folder)], check=False)
        if made.returncode:
            print("Left out: lite at int8, for `triptych optimize` did not make it (see above).")
        return not made.returncode
    return True


def measured(of: Bench, precision: str) -> dict[str, dict[str, Any]]:
    """One number format: the server under each rule, then the bare loop of the same calls."""
    print(f"lite, {precision} ...", flush=True)
    server = servers.triptych("lite", precision, of.home)
    found: dict[str, dict[str, Any]] = {}
    with servers.running(server, of.photos[0]) as up:
        for rule in RULES:
            path = f"{server.paths[0]}?rule={rule}"
            loads = {
                clients: measuring.closed(
                    up.port, of.photos, paths=[path], seconds=of.seconds, clients=clients
                )
                for clients in bench.CLIENTS
            }
            found[rule] = {
                "loads": {clients: answers.to_dict() for clients, answers in loads.items()},
                "photos_per_s": max(answers.photos_per_s for answers in loads.values()),
                "calls": calls(of, f"http://127.0.0.1:{up.port}{path}"),
            }
    for own in found.values():
        asked = own.pop("calls")
        own["members_asked"] = sum(map(len, asked)) / len(asked)
        own["bare_images_per_s"] = measuring.bare(
            "lite", precision, home=of.home, calls=asked, seconds=of.seconds
        )
        own["of_bare"] = own["photos_per_s"] / max(own["bare_images_per_s"].values())
    return found


def calls(of: Bench, url: str) -> list[list[int]]:
    """Which members each photo needs, by their seats."""
    names = list(zoo.COMMITTEES["lite"])
    asked = []
    for photo in of.photos:
        request = urllib.request.Request(url, photo.file.read_bytes())
        request.add_header("Content-Type", "image/jpeg")
        with urllib.request.urlopen(request) as answer:
            members = json.load(answer)["results"][0]["members"]
        asked.append([names.index(member["name"]) for member in members])
    return asked


def line(name: str, own: dict[str, Any]) -> list[str]:
    """One row."""
    loads = own["loads"].values()
    cells = [f"{load['photos_per_s']:.1f} ({load['p50_ms']:.0f})" for load in loads]
    bare = max(own["bare_images_per_s"].values())
    return [name, *cells, f"{own['members_asked']:.2f}", f"{bare:.1f}", f"{own['of_bare']:.2f}"]
