"""One replica of a member against two, one core each, when the networks are what takes the time."""

from __future__ import annotations

from scaling import ray_server
from serving import bench
from serving import measuring
from serving import servers
from serving.bench import Bench
from triptych.models import zoo
from triptych.utils import concurrency

COMMITTEE = "classic"
# On few cores its heaviest, alone: decoding and the path take little beside it.
HEAVIEST = "VGG16"
REPLICAS = (1, 2)
CLIENTS = 8
LEAST = 1.8


def run(of: Bench) -> None:
    """Measure both, each in a cluster of its own."""
    found = {}
    members = ",".join(asked(concurrency.cpu_count()))
    for count in REPLICAS:
        many = ("--min-replicas", str(count), "--max-replicas", str(count))
        options = ("--members", members, "--weights", "random", "--cores", "1", *many)
        server = ray_server.of(COMMITTEE, "f32", of.home, *options)
        with servers.running(server, of.photos[0]) as up:
            found[count] = measuring.closed(
                up.port, of.photos, paths=server.paths, seconds=of.seconds, clients=CLIENTS
            )
    ratio = found[2].photos_per_s / found[1].photos_per_s
    rows = [
        [str(count), f"{answers.photos_per_s:.2f}", f"{answers.median_ms:.0f}"]
        for count, answers in found.items()
    ]
    heading = [f"replicas of {members}, a core each", "photos/s", "median ms"]
    bench.table(heading, [*rows, ["ratio", f"{ratio:.2f}", ""]])
    of.figures["replicas"] = {
        "members": members,
        "clients": CLIENTS,
        "by_replicas": {count: answers.to_dict() for count, answers in found.items()},
        "ratio": round(ratio, 3),
    }
    of.claims[f"two replicas answer at least {LEAST} times as much as one"] = ratio >= LEAST


def asked(cores: int) -> list[str]:
    """All members where each replica has a core, and as many are left for the way to them."""
    every = list(zoo.COMMITTEES[COMMITTEE])
    return every if cores >= 2 * len(every) * max(REPLICAS) else [HEAVIEST]
