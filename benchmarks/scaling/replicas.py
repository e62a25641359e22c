"""One replica of a member compared with two, one core each, where networks dominate the time."""

from __future__ import annotations

from scaling import ray_server
from serving import bench
from serving import measuring
from serving import servers
from serving.bench import Bench
from triptych.models import zoo
from triptych.utils import concurrency

COMMITTEE = "classic"
# On few cores only the heaviest member: compared with it, decoding and transfer take little.
HEAVIEST = "VGG16"
REPLICAS = (1, 2)
CLIENTS = 8
MIN_RATIO = 1.8


def run(bench_run: Bench) -> None:
    """Measure both, each in a new cluster."""
    loads = {}
    members = ",".join(measured_members(concurrency.cpu_count()))
    for count in REPLICAS:
        replicas = ("--min-replicas", str(count), "--max-replicas", str(count))
        options = ("--members", members, "--weights", "random", "--cores", "1", *replicas)
        server = ray_server.server(COMMITTEE, "f32", bench_run.home, *options)
        with servers.running(server, bench_run.photos[0]) as up:
            loads[count] = measuring.closed(
                up,
                bench_run.photos,
                paths=server.paths,
                seconds=bench_run.seconds,
                clients=CLIENTS,
            )
    ratio = loads[2].photos_per_s / loads[1].photos_per_s
    rows = [
        [str(count), f"{answers.photos_per_s:.2f}", f"{answers.median_ms:.0f}"]
        for count, answers in loads.items()
    ]
    heading = [f"replicas of {members}, a core each", "photos/s", "median ms"]
    bench.table(heading, [*rows, ["ratio", f"{ratio:.2f}", ""]])
    bench_run.figures["replicas"] = {
        "members": members,
        "clients": CLIENTS,
        "by_replicas": {count: answers.to_dict() for count, answers in loads.items()},
        "ratio": round(ratio, 3),
    }
    claim = f"two replicas answer at least {MIN_RATIO} times as much as one"
    bench_run.claims[claim] = ratio >= MIN_RATIO


def measured_members(cores: int) -> list[str]:
    """All members if each replica has a core and as many remain for the rest, else the heaviest."""
    every = list(zoo.COMMITTEES[COMMITTEE])
    return every if cores >= 2 * len(every) * max(REPLICAS) else [HEAVIEST]
