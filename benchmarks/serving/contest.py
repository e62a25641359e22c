"""One committee on all servers: the plain app, LitServe, Triptych; and without a server."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving import bench
from serving import measuring
from serving import servers
from serving.bench import Bench
from serving.measuring import Answers
from serving.servers import LitServeSetup
from serving.servers import Running
from serving.servers import Server
from triptych import errors
from triptych.engines.conversion import int8
from triptych.engines.conversion import store
from triptych.engines.options import INT8
from triptych.engines.options import EngineOptions
from triptych.inference import committee
from triptych.models import zoo
from triptych.utils import concurrency

MANY = 16  # clients with which setups of LitServe are compared, beside one
TRIAL_S = 2.0
NEVER = 1e-9  # photos a second of a server that answers none

Loads = dict[int, Answers]  # by the number of clients


@dataclass(frozen=True)
class Subject:
    """A committee that is served.

    Args:
        name: Of the zoo.
        weights: ``"imagenet"`` or ``"random"``; speed does not depend on the values, but what a
            cascade skips does.
        rules: Triptych's rules to measure; the other servers always run all members.
    """

    name: str
    weights: str
    rules: tuple[str, ...]

    @property
    def backbones(self) -> list[zoo.Backbone]:
        """Its networks."""
        return [zoo.find(name) for name in zoo.COMMITTEES[self.name]]


@dataclass(frozen=True)
class Ours:
    """Triptych at one precision and by one rule.

    Args:
        loads: Over HTTP.
        alone: The networks alone and a stream, in one process: `in_process.py`.
    """

    loads: Loads
    alone: dict[str, Any]

    @property
    def networks_per_s(self) -> float:
        """Photos a second of the networks alone, run in the best way."""
        return float(self.alone["networks"]["per_s"])

    def of_networks(self, clients: int) -> float:
        """Photos a second as a share of what the networks reach alone."""
        return self.loads[clients].photos_per_s / self.networks_per_s

    def of_stream(self, clients: int) -> float:
        """Photos a second as a share of what a stream reaches in one process."""
        return self.loads[clients].photos_per_s / float(self.alone["stream_per_s"])

    def cpu_of_networks(self, clients: int) -> float:
        """The server's processor time of a photo, as a multiple of that of the networks alone."""
        return self.loads[clients].cpu_ms / float(self.alone["networks"]["cpu_ms"])

    def to_dict(self) -> dict[str, Any]:
        """The figures that are kept."""
        return {"loads": to_dict(self.loads), "in_process": self.alone}


@dataclass
class Results:
    """What was measured of a committee.

    Args:
        subject: The committee.
        plain: The plain app.
        default: LitServe with its defaults and OpenVINO's; ``None`` where there is no LitServe.
        tuned: LitServe at its best, by precision.
        ours: Triptych, by precision and rule.
    """

    subject: Subject
    plain: Loads
    default: Loads | None = None
    tuned: dict[str, Loads] = dataclasses.field(default_factory=dict)
    ours: dict[tuple[str, str], Ours] = dataclasses.field(default_factory=dict)

    @property
    def unquantized(self) -> list[Loads]:
        """LitServe with its defaults, and at its best at each precision but int8."""
        tuned = [loads for precision, loads in self.tuned.items() if precision != INT8]
        return [*([self.default] if self.default else []), *tuned]


def measure(bench_run: Bench, subject: Subject) -> Results:
    """Measure all servers, one at a time, and print tables.

    What is compared is measured within a few minutes, as the speed of virtual machines varies: at
    each precision LitServe, then Triptych, then what one process does without a server.
    """
    names = [row.name for row in subject.backbones]
    results = Results(subject, load_all(bench_run, servers.plain(names)))
    precisions = [name for name in bench_run.precisions if is_ready(bench_run, subject, name)]
    if bench_run.litserve:
        server = litserve(bench_run, bench_run.litserve, subject, LitServeSetup())
        results.default = load_all(bench_run, server)
    for precision in precisions:
        if bench_run.litserve:
            results.tuned[precision] = tune(bench_run, bench_run.litserve, subject, precision)
        results.ours.update(measure_ours(bench_run, subject, precision))
    show(results)
    bench_run.figures[subject.name] = {
        "plain": to_dict(results.plain),
        "litserve_default": to_dict(results.default or {}),
        "litserve_best": {name: to_dict(loads) for name, loads in results.tuned.items()},
        "triptych": {f"{name}, {rule}": o.to_dict() for (name, rule), o in results.ours.items()},
    }
    return results


def is_ready(bench_run: Bench, subject: Subject, precision: str) -> bool:
    """Whether the networks of a precision are there; those at int8 are made if they are not."""
    if precision != INT8 or subject.weights == "random":
        return True
    home = bench_run.home
    try:
        committee.from_zoo(subject.name, EngineOptions(home, INT8))
    except errors.SettingError:
        command = [sys.executable, "-m", "triptych", "optimize", subject.name, "--home", str(home)]
        process = subprocess.run([*command, "--images", str(bench_run.folder)], check=False)
        if process.returncode:
            print(f"Left out: {subject.name} at int8, as `triptych optimize` failed (see above).")
        return not process.returncode
    return True


def load_all(bench_run: Bench, server: Server, clients: Sequence[int] = bench.CLIENTS) -> Loads:
    """One server under each number of clients."""
    print(f"{server.name} ...", flush=True)
    with servers.running(server, bench_run.photos[0]) as up:
        return load_each(bench_run, up, server.paths, clients)


def load_each(
    bench_run: Bench, up: Running, paths: Sequence[str], clients: Sequence[int] = bench.CLIENTS
) -> Loads:
    """A running server under each number of clients."""
    photos, seconds = bench_run.photos, bench_run.seconds
    measuring.warm_up(up, photos, paths)
    return {
        count: measuring.load(up, photos, paths=paths, seconds=seconds, clients=count)
        for count in clients
    }


def litserve(
    bench_run: Bench,
    python: Path,
    subject: Subject,
    setup: LitServeSetup,
    *,
    quantized: bool = False,
) -> Server:
    """LitServe with the networks that our own server runs."""
    rows = subject.backbones
    is_random = subject.weights == "random"
    paths = store.prepare(rows, home=bench_run.home, random=is_random, report=print)
    if quantized and is_random:
        paths = int8.prepare(paths, [row.recipe for row in rows], report=print)
    elif quantized:
        paths = [int8.int8_path(path) for path in paths]
    networks = list(zip(rows, paths, strict=True))
    return servers.litserve(python, networks, setup, bench_run.scratch)


def tune(bench_run: Bench, python: Path, subject: Subject, precision: str) -> Loads:
    """LitServe at its best: with several clients the best of all setups with `MANY` clients.

    A single client is answered by the first setup: all cores for one photo, which waits for no
    batch.
    """
    is_int8 = precision == INT8
    candidates = [
        litserve(bench_run, python, subject, setup, quantized=is_int8)
        for setup in setups("f32" if is_int8 else precision)
    ]
    first, best = candidates[0], max(candidates, key=lambda server: try_out(bench_run, server))
    print(f"LitServe at its best, {precision}: {best.name}")
    one, *others = bench.CLIENTS
    return {
        **load_all(bench_run, first, clients=[one]),
        **load_all(bench_run, best, clients=others),
    }


def setups(precision: str) -> list[LitServeSetup]:
    """One worker or one for each core, with batches or without."""
    cores = concurrency.cpu_count()
    workers = [(1, 0), *([(cores, 1)] if cores > 1 else [])]  # and threads of each
    batches = [(1, 0.0), (8, 0.01)]  # photos at most, and how long they wait
    return [LitServeSetup(precision, *way, *batch) for way in workers for batch in batches]


def try_out(bench_run: Bench, server: Server) -> float:
    """Photos a second in a short load with many clients."""
    photos = bench_run.photos
    with servers.running(server, photos[0]) as up:
        answers = measuring.load(up, photos, paths=server.paths, seconds=TRIAL_S, clients=MANY)
    return answers.photos_per_s


def measure_ours(bench_run: Bench, subject: Subject, precision: str) -> dict[tuple[str, str], Ours]:
    """Triptych at one precision, by each rule, with and without a server."""
    weights = ("--weights", subject.weights)
    server = servers.triptych(subject.name, precision, bench_run.home, *weights)
    print(f"{server.name} ...", flush=True)
    with servers.running(server, bench_run.photos[0]) as up:
        by_rule = {
            rule: load_each(bench_run, up, [f"{path}?rule={rule}" for path in server.paths])
            for rule in subject.rules
        }
    return {
        (precision, rule): Ours(
            loads,
            measuring.in_process(
                subject.name,
                precision,
                rule,
                weights=subject.weights,
                home=bench_run.home,
                photos=bench_run.photos,
                seconds=bench_run.seconds,
            ),
        )
        for rule, loads in by_rule.items()
    }


def best(loads: Loads) -> float:
    """Photos a second with the best number of clients."""
    return max(answers.photos_per_s for answers in loads.values())


def answered(results: Results) -> dict[str, bool]:
    """The claim that Triptych answered every photo."""
    lost = sum(answers.lost for ours in results.ours.values() for answers in ours.loads.values())
    return {f"{results.subject.name}: every photo is answered": not lost}


def to_dict(loads: Loads) -> dict[int, Any]:
    """The figures that are kept."""
    return {clients: answers.to_dict() for clients, answers in loads.items()}


def show(results: Results) -> None:
    """Print what was measured, and the ratios."""
    rows = [("plain app", results.plain)]
    if results.default:
        rows.append(("LitServe, its defaults", results.default))
    rows += [(f"LitServe at its best, {name}", loads) for name, loads in results.tuned.items()]
    rows += [(f"Triptych, {', '.join(way)}", ours.loads) for way, ours in results.ours.items()]
    heading = [f"{results.subject.name}, photos/s (median ms)"]
    heading += [f"{clients} client{'s' if clients > 1 else ''}" for clients in bench.CLIENTS]
    heading += ["server's CPU ms a photo", "load's share of all cores", "not answered"]
    bench.table(heading, [_line(name, loads) for name, loads in rows])
    _show_in_process(results)
    for clients in bench.CLIENTS:
        _show_ratios(results, clients)


def _line(name: str, loads: Loads) -> list[str]:
    cells = [f"{answers.photos_per_s:.2f} ({answers.median_ms:.0f})" for answers in loads.values()]
    many = loads[MANY]
    lost = sum(answers.lost for answers in loads.values())
    return [name, *cells, f"{many.cpu_ms:.1f}", f"{100 * many.client_share:.1f} %", f"{lost}"]


def _show_in_process(results: Results) -> None:
    rows = []
    for way, ours in results.ours.items():
        networks = ours.alone["networks"]
        rows.append(
            [
                ", ".join(way),
                f"{ours.alone['members_run']:.2f}",
                f"{networks['per_s']:.2f}",
                f"{networks['streams']} x {networks['batch']}",
                f"{networks['cpu_ms']:.1f}",
                f"{ours.alone['stream_per_s']:.2f}",
            ]
        )
    heading = [f"{results.subject.name} in one process", "members run", "networks alone, photos/s"]
    bench.table([*heading, "streams x batch", "CPU ms a photo", "a stream, photos/s"], rows)


def _show_ratios(results: Results, clients: int) -> None:
    peers = {"plain": results.plain}
    if results.default:
        peers["LitServe's defaults"] = results.default
    rows = []
    for (precision, rule), ours in results.ours.items():
        rate = ours.loads[clients].photos_per_s
        tuned = results.tuned.get(precision)
        compared = [*peers.values(), *([tuned] if tuned else [])]
        cells = [rate / max(NEVER, loads[clients].photos_per_s) for loads in compared]
        shares = [ours.of_networks(clients), ours.of_stream(clients)]
        rows.append([f"{precision}, {rule}", *_times(cells), *(f"{100 * x:.0f} %" for x in shares)])
    many = f"{clients} client{'s' if clients > 1 else ''}"
    heading = [f"{results.subject.name}, Triptych with {many}, compared with", *peers]
    heading += ["LitServe's best, same precision"] if results.tuned else []
    bench.table([*heading, "networks alone", "a stream in one process"], rows)


def _times(ratios: Iterable[float]) -> list[str]:
    return [f"{ratio:.2f} x" for ratio in ratios]
