"""The path through Ray against ``triptych serve``, on the same cores of one machine."""

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


def run(of: Bench) -> None:
    """Measure both, one after the other."""
    plain = servers.triptych(COMMITTEE, PRECISION, of.home)
    there = {
        "triptych serve": plain,
        "on Ray": ray_server.of(COMMITTEE, PRECISION, of.home),
    }
    found = {name: _measured(of, server) for name, server in there.items()}
    rows = [
        [f"{name}, {clients} clients", *(f"{own[key]:.1f}" for key in SHOWN)]
        for name, by_clients in found.items()
        for clients, own in by_clients.items()
    ]
    bench.table([COMMITTEE, "photos/s", "median ms", "CPU ms a photo"], rows)
    of.figures["cost"] = {"committee": COMMITTEE, "precision": PRECISION, **found}


def _measured(of: Bench, server: Server) -> dict[int, dict[str, Any]]:
    with servers.running(server, of.photos[0]) as up:
        return {clients: _loaded(of, server, up, clients) for clients in CLIENTS}


def _loaded(of: Bench, server: Server, up: Running, clients: int) -> dict[str, Any]:
    spent_s = up.cpu_s()
    answers = measuring.closed(
        up.port, of.photos, paths=server.paths, seconds=of.seconds, clients=clients
    )
    photos = answers.photos_per_s * (of.seconds + measuring.WARM_S)
    return {**answers.to_dict(), "cpu_ms": round(1000 * (up.cpu_s() - spent_s) / photos, 1)}
