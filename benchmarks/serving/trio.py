"""The networks of `classic`: the plain app, LitServe, Triptych, and the bare loop."""

from __future__ import annotations

from serving import bench
from serving import measuring
from serving import servers
from serving.bench import Bench
from serving.measuring import Answers
from triptych.engines import openvino
from triptych.engines.conversion import store
from triptych.models import zoo

OURS = ("--weights", "random", "--rule", "mean")
ALL_THREE = [[0, 1, 2]]
PLAIN = "plain Flask, model.predict"

Loads = dict[int, Answers]  # by the number of clients


def run(bench_run: Bench) -> None:
    """Measure all, one server at a time."""
    figures = {server.name: measure(bench_run, server) for server in compared(bench_run)}
    bare = {precision: bare_loop(bench_run, precision) for precision in bench_run.precisions}
    show(figures, bare)
    bench_run.figures["trio"] = {
        "servers": {
            name: {clients: answers.to_dict() for clients, answers in loads.items()}
            for name, loads in figures.items()
        },
        "bare_images_per_s": bare,
    }
    rates = {name: best(loads) for name, loads in figures.items()}
    bench_run.claims.update(claims(rates, bare))


def compared(bench_run: Bench) -> list[servers.Server]:
    """The servers, Triptych last."""
    others, home = [servers.plain()], bench_run.home
    if bench_run.litserve is None:
        print("Left out: LitServe, as it is not installed (see --litserve-python).")
    else:
        formats = ("f32", "bf16") if openvino.has_bf16() else ("f32",)
        rows = [zoo.find(name) for name in zoo.COMMITTEES["classic"]]
        paths = store.prepare(rows, home=home, random=True, report=print)
        others += [servers.litserve(bench_run.litserve, name, paths) for name in formats]
    ours = [servers.triptych("classic", name, home, *OURS) for name in bench_run.precisions]
    return others + ours


def measure(bench_run: Bench, server: servers.Server) -> Loads:
    """One server under each number of clients."""
    print(f"{server.name} ...", flush=True)
    photos, seconds = bench_run.photos, bench_run.seconds
    with servers.running(server, photos[0]) as up:
        return {
            clients: measuring.closed(
                up.port, photos, paths=server.paths, seconds=seconds, clients=clients
            )
            for clients in bench.CLIENTS
        }


def bare_loop(bench_run: Bench, precision: str) -> dict[str, float]:
    """The same networks without a server."""
    return measuring.bare(
        "classic",
        precision,
        home=bench_run.home,
        calls=ALL_THREE,
        seconds=bench_run.seconds,
        random=True,
    )


def best(loads: Loads) -> float:
    """Photos a second with the best number of clients."""
    return max(answers.photos_per_s for answers in loads.values())


def show(figures: dict[str, Loads], bare: dict[str, dict[str, float]]) -> None:
    """Print the tables."""
    heading = ["all three, photos/s (median ms)", *(f"{n} clients" for n in bench.CLIENTS)]
    heading += ["of plain", "client's CPU"]
    plain = best(figures[PLAIN])
    bench.table(heading, [line(name, loads, plain) for name, loads in figures.items()])
    ways = [*next(iter(bare.values()))] if bare else []
    rows = [[name, *(f"{rates[way]:.2f}" for way in ways)] for name, rates in bare.items()]
    bench.table(["bare loop, images/s", *ways], rows)


def line(name: str, loads: Loads, plain: float) -> list[str]:
    """One server's row."""
    cells = [f"{answers.photos_per_s:.2f} ({answers.median_ms:.0f})" for answers in loads.values()]
    client = max(answers.client_share for answers in loads.values())
    return [name, *cells, f"{best(loads) / plain:.2f} x", f"{100 * client:.1f} %"]


def claims(rates: dict[str, float], bare: dict[str, dict[str, float]]) -> dict[str, bool]:
    """The claims that could be checked on this machine."""
    plain = rates[PLAIN]
    litserve = [rate for name, rate in rates.items() if name.startswith("LitServe")]
    checks = {
        f"{name}: at least 90 % of the bare loop": rates[f"Triptych {name}"]
        >= 0.9 * max(of_bare.values())
        for name, of_bare in bare.items()
    }
    for name, of_plain, of_litserve in (("int8", 7.0, 1.6), ("bf16", 4.2, 1.0)):
        ours = rates.get(f"Triptych {name}")
        if ours is not None:
            checks[f"{name}: at least {of_plain} times the plain app"] = ours >= of_plain * plain
        if ours is not None and litserve:
            checks[f"{name}: at least {of_litserve} times LitServe"] = ours >= of_litserve * max(
                litserve
            )
    return checks
