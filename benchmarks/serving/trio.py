"""The article's three networks: the plain app, LitServe, ours, and the bare loop."""

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

Found = dict[str, dict[int, Answers]]


def run(of: Bench) -> None:
    """Measure all, one server at a time."""
    found = {server.name: loaded(of, server) for server in contenders(of)}
    bare = {precision: bare_loop(of, precision) for precision in of.precisions}
    show(found, bare)
    of.figures["trio"] = {
        "servers": {
            name: {clients: answers.to_dict() for clients, answers in own.items()}
            for name, own in found.items()
        },
        "bare_images_per_s": bare,
    }
    of.claims.update(claims({name: best(own) for name, own in found.items()}, bare))


def contenders(of: Bench) -> list[servers.Server]:
    """The servers, ours last."""
    beside = [servers.plain()]
    if of.litserve is None:
        print("Left out: LitServe, for it is not installed (see --litserve-python).")
    else:
        formats = ("f32", "bf16") if openvino.has_bf16() else ("f32",)
        rows = [zoo.find(name) for name in zoo.COMMITTEES["classic"]]
        paths = store.prepare(rows, home=of.home, random=True, report=print)
        beside += [servers.litserve(of.litserve, name, paths) for name in formats]
    ours = [servers.triptych("classic", name, of.home, *OURS) for name in of.precisions]
    return beside + ours


def loaded(of: Bench, server: servers.Server) -> dict[int, Answers]:
    """One server under each number of clients."""
    print(f"{server.name} ...", flush=True)
    with servers.running(server, of.photos[0]) as up:
        return {
            clients: measuring.closed(
                up.port, of.photos, paths=server.paths, seconds=of.seconds, clients=clients
            )
            for clients in bench.CLIENTS
        }


def bare_loop(of: Bench, precision: str) -> dict[str, float]:
    """The same networks without a server."""
    return measuring.bare(
        "classic", precision, home=of.home, calls=ALL_THREE, seconds=of.seconds, random=True
    )


def best(own: dict[int, Answers]) -> float:
    """Photos a second with the number of clients that suits a server."""
    return max(answers.photos_per_s for answers in own.values())


def show(found: Found, bare: dict[str, dict[str, float]]) -> None:
    """Print the tables."""
    heading = ["all three, photos/s (median ms)", *(f"{n} clients" for n in bench.CLIENTS)]
    heading += ["of plain", "client's CPU"]
    plain = best(found[PLAIN])
    bench.table(heading, [line(name, own, plain) for name, own in found.items()])
    ways = [*next(iter(bare.values()))] if bare else []
    rows = [[name, *(f"{own[way]:.2f}" for way in ways)] for name, own in bare.items()]
    bench.table(["bare loop, images/s", *ways], rows)


def line(name: str, own: dict[int, Answers], plain: float) -> list[str]:
    """One server's row."""
    cells = [f"{answers.photos_per_s:.2f} ({answers.median_ms:.0f})" for answers in own.values()]
    client = max(answers.client_share for answers in own.values())
    return [name, *cells, f"{best(own) / plain:.2f} x", f"{100 * client:.1f} %"]


def claims(rates: dict[str, float], bare: dict[str, dict[str, float]]) -> dict[str, bool]:
    """What holds, of what could be measured here."""
    plain = rates[PLAIN]
    rival = max((rate for name, rate in rates.items() if name.startswith("LitServe")), default=None)
    held = {
        f"{name}: at least 90 % of the bare loop": rates[f"Triptych {name}"]
        >= 0.9 * max(own.values())
        for name, own in bare.items()
    }
    for name, of_plain, of_rival in (("int8", 7.0, 1.6), ("bf16", 4.2, 1.0)):
        ours = rates.get(f"Triptych {name}")
        if ours is not None:
            held[f"{name}: at least {of_plain} times the plain app"] = ours >= of_plain * plain
        if ours is not None and rival is not None:
            held[f"{name}: at least {of_rival} times LitServe"] = ours >= of_rival * rival
    return held
