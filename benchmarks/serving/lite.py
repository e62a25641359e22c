"""The committee `lite`, end to end: all members, and the cascade."""

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


def run(bench_run: Bench) -> None:
    """Measure each number format with each rule."""
    figures = {
        precision: measure(bench_run, precision)
        for precision in bench_run.precisions
        if precision != "int8" or ensure_int8(bench_run)
    }
    bench_run.figures["lite"] = figures
    heading = ["lite, photos/s (median ms)", *(f"{n} clients" for n in bench.CLIENTS)]
    heading += ["members run", "bare loop", "of bare"]
    rows = [
        line(f"{precision}, {rule}", row)
        for precision, rules in figures.items()
        for rule, row in rules.items()
    ]
    bench.table(heading, rows)
    for (precision, rule), least in CLAIMS.items():
        if precision in figures:
            claim = f"lite, {precision}, {rule}: at least {least:.0f} photos a second"
            bench_run.claims[claim] = figures[precision][rule]["photos_per_s"] >= least


def ensure_int8(bench_run: Bench) -> bool:
    """Make the committee's int8 networks if there are none; whether there are now."""
    home = bench_run.home
    try:
        committee.from_zoo("lite", EngineOptions(home, "int8"))
    except errors.SettingError:
        command = [sys.executable, "-m", "triptych", "optimize", "lite", "--home", str(home)]
        process = subprocess.run([*command, "--images", str(bench_run.folder)], check=False)
        if process.returncode:
            print("Left out: lite at int8, as `triptych optimize` failed (see above).")
        return not process.returncode
    return True


def measure(bench_run: Bench, precision: str) -> dict[str, dict[str, Any]]:
    """One number format: the server under each rule, then the bare loop of the same calls."""
    print(f"lite, {precision} ...", flush=True)
    photos, seconds = bench_run.photos, bench_run.seconds
    server = servers.triptych("lite", precision, bench_run.home)
    figures: dict[str, dict[str, Any]] = {}
    with servers.running(server, photos[0]) as up:
        for rule in RULES:
            path = f"{server.paths[0]}?rule={rule}"
            loads = {
                clients: measuring.closed(
                    up.port, photos, paths=[path], seconds=seconds, clients=clients
                )
                for clients in bench.CLIENTS
            }
            figures[rule] = {
                "loads": {clients: answers.to_dict() for clients, answers in loads.items()},
                "photos_per_s": max(answers.photos_per_s for answers in loads.values()),
                "calls": members_run(bench_run, f"http://127.0.0.1:{up.port}{path}"),
            }
    for row in figures.values():
        calls = row.pop("calls")
        row["members_run"] = sum(map(len, calls)) / len(calls)
        row["bare_images_per_s"] = measuring.bare(
            "lite", precision, home=bench_run.home, calls=calls, seconds=seconds
        )
        row["of_bare"] = row["photos_per_s"] / max(row["bare_images_per_s"].values())
    return figures


def members_run(bench_run: Bench, url: str) -> list[list[int]]:
    """The members that ran on each photo, by their positions."""
    names = list(zoo.COMMITTEES["lite"])
    calls = []
    for photo in bench_run.photos:
        request = urllib.request.Request(url, photo.file.read_bytes())
        request.add_header("Content-Type", "image/jpeg")
        with urllib.request.urlopen(request) as answer:
            members = json.load(answer)["results"][0]["members"]
        calls.append([names.index(member["name"]) for member in members])
    return calls


def line(name: str, row: dict[str, Any]) -> list[str]:
    """A row of the table."""
    loads = row["loads"].values()
    cells = [f"{load['photos_per_s']:.1f} ({load['p50_ms']:.0f})" for load in loads]
    bare = max(row["bare_images_per_s"].values())
    return [name, *cells, f"{row['members_run']:.2f}", f"{bare:.1f}", f"{row['of_bare']:.2f}"]
