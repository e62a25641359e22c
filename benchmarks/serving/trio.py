"""The networks of `classic`, with random weights, and what is claimed for them."""

from __future__ import annotations

from serving import bench
from serving import contest
from serving.bench import Bench
from serving.contest import Results
from serving.contest import Subject
from triptych.engines.options import INT8

CLASSIC = Subject("classic", "random", ("mean",))
(RULE,) = CLASSIC.rules
OF_NETWORKS = 0.85
# Of LitServe at its best, in photos a second: at int8 of the networks as they are, as making int8
# networks is a part of Triptych.
OF_LITSERVE = {INT8: 1.9, "bf16": 1.2}
EQUAL = 0.97  # of a rate; two measurements of the same server differ by as much


def run(bench_run: Bench) -> None:
    """Measure all servers, check the claims."""
    bench_run.claims.update(claims(contest.measure(bench_run, CLASSIC)))


def claims(results: Results) -> dict[str, bool]:
    """The claims that could be checked on this machine."""
    checks = contest.answered(results)
    for (precision, _), ours in results.ours.items():
        share = contest.best(ours.loads) / ours.networks_per_s
        claim = f"classic, {precision}: at least {OF_NETWORKS:.0%} of the networks alone"
        checks[f"{claim} ({share:.0%})"] = share >= OF_NETWORKS
        peers = results.unquantized if precision == INT8 else [results.tuned.get(precision, {})]
        if precision in OF_LITSERVE and any(peers):
            ratio = contest.best(ours.loads) / max(map(contest.best, peers))
            claim = f"classic, {precision}: at least {OF_LITSERVE[precision]} times LitServe"
            checks[f"{claim} at its best ({ratio:.2f})"] = ratio >= OF_LITSERVE[precision]
    if "f32" in results.tuned:
        ours = results.ours["f32", RULE]
        for clients in bench.CLIENTS:
            peer = results.tuned["f32"][clients].photos_per_s
            ratio = ours.loads[clients].photos_per_s / peer
            claim = f"classic, f32, {clients} clients: not below LitServe at its best"
            checks[f"{claim} ({ratio:.2f}; {EQUAL} counts as equal)"] = ratio >= EQUAL
    return checks
