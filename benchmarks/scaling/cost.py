"""Serving on Ray compared with ``triptych serve``, on the same cores of one machine."""

from __future__ import annotations

from typing import Any

from scaling import ray_server
from serving import bench
from serving import measuring
from serving import servers
from serving.bench import Bench
from serving.servers import Running
from serving.servers import Server

COMMITTEE = "lite"
PRECISION = "f32"
CLIENTS = (1, 8)
SHOWN = ("photos_per_s", "p50_ms", "cpu_ms")


def run(bench_run: Bench) -> None:
    """Measure both, one after the other."""
    compared = {
        "triptych serve": servers.triptych(COMMITTEE, PRECISION, bench_run.home),
        "on Ray": ray_server.server(COMMITTEE, PRECISION, bench_run.home),
    }
    figures = {name: _measure(bench_run, server) for name, server in compared.items()}
    rows = [
        [f"{name}, {clients} clients", *(f"{row[key]:.1f}" for key in SHOWN)]
        for name, by_clients in figures.items()
        for clients, row in by_clients.items()
    ]
    bench.table([COMMITTEE, "photos/s", "median ms", "CPU ms a photo"], rows)
    bench_run.figures["cost"] = {"committee": COMMITTEE, "precision": PRECISION, **figures}


def _measure(bench_run: Bench, server: Server) -> dict[int, dict[str, Any]]:
    with servers.running(server, bench_run.photos[0]) as up:
        return {clients: _load(bench_run, server, up, clients) for clients in CLIENTS}


def _load(bench_run: Bench, server: Server, up: Running, clients: int) -> dict[str, Any]:
    answers = measuring.closed(
        up, bench_run.photos, paths=server.paths, seconds=bench_run.seconds, clients=clients
    )
    return answers.to_dict()
