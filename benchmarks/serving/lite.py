"""The committee `lite`, with all members and as a cascade, and what is claimed for it."""

from __future__ import annotations

from serving import contest
from serving.bench import Bench
from serving.contest import Results
from serving.contest import Subject
from triptych.engines.options import INT8

LITE = Subject("lite", "imagenet", ("weighted", "cascade"))
CLIENTS = 16
OF_NETWORKS = 0.65
OF_STREAM = 0.9
CPU_OF_NETWORKS = 1.54  # 10 ms where the networks take 6.5


def run(bench_run: Bench) -> None:
    """Measure all servers, check the claims."""
    bench_run.claims.update(claims(contest.measure(bench_run, LITE)))


def claims(results: Results) -> dict[str, bool]:
    """The claims that could be checked: for int8 and the cascade."""
    checks = contest.answered(results)
    ours = results.ours.get((INT8, "cascade"))
    if ours is None:
        return checks
    of_networks, of_stream = ours.of_networks(CLIENTS), ours.of_stream(CLIENTS)
    cpu_ms, cpu_ratio = ours.loads[CLIENTS].cpu_ms, ours.cpu_of_networks(CLIENTS)
    about = f"lite, int8, cascade, {CLIENTS} clients"
    return {
        **checks,
        f"{about}: at least {OF_NETWORKS:.0%} of the networks alone "
        f"({of_networks:.0%})": of_networks >= OF_NETWORKS,
        f"{about}: at least {OF_STREAM:.0%} of a stream in one process ({of_stream:.0%})": of_stream
        >= OF_STREAM,
        f"{about}: the server's CPU at most {CPU_OF_NETWORKS} times that of the networks alone "
        f"({cpu_ratio:.2f}; {cpu_ms:.1f} ms a photo)": cpu_ratio <= CPU_OF_NETWORKS,
    }
