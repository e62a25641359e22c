"""Studios for tests, each a process of its own: with fake committees, or over a home folder.

python tests/support/studios.py fake [PORT] [SECONDS_PER_RUN]
python tests/support/studios.py bundles HOME
python tests/support/studios.py training HOME
python tests/support/studios.py tiny HOME
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from flask import Flask

import triptych
from triptych import bundles
from triptych import settings
from triptych.engines import Output
from triptych.engines.fake import FakeEngine
from triptych.ensemble import conformal
from triptych.ensemble import fit
from triptych.ensemble import ood
from triptych.ensemble import params
from triptych.ensemble import rules
from triptych.ensemble.cascade import Stage
from triptych.inference import committee
from triptych.inference.classifier import Classifier
from triptych.models import zoo
from triptych.preprocessing.recipe import Recipe
from triptych.results import Label
from triptych.studio.jobs import queue
from triptych.typing import Float32Array
from triptych.web import create_app
from triptych.web import server
from triptych.web.registry import Discovery
from triptych.web.registry import Registry

NAMES = ("ant", "bee", "Egyptian cat", "golden retriever", "lakeside, lakeshore", "teapot")
LABELS = tuple(Label(name, f"n{index:08}", index) for index, name in enumerate(NAMES))

# A trained committee with fitted parameters. It was trained on grey photos; the brighter a photo,
# the higher its confidence.
GARDEN = "garden"
FLOWERS = (
    *("daisy", "tulip", "poppy", "crocus", "iris", "dahlia"),
    *("aster", "peony", "lily", "rose", "lupin", "pansy"),
)
SURE, TWO_ASKED, MANY_CLASSES = (255, 255, 255), (153, 153, 153), (30, 30, 30)
NONE_OF_THESE = (20, 20, 230)

# The same, but fitted on few photos.
NURSERY, NURSERY_PHOTOS = "nursery", 23


class SlowEngine(FakeEngine):
    """Takes its time, as a network does."""

    def __init__(self, *, seed: int, seconds_per_run: float) -> None:
        super().__init__(len(LABELS), seed=seed)
        self.runs = 0
        self._seconds_per_run = seconds_per_run

    def run(self, batch: Float32Array) -> Output:
        self.runs += 1
        time.sleep(self._seconds_per_run)
        return super().run(batch)


class GreyEngine:
    """Always the same class, with more confidence in brighter photos; features are the colour."""

    def __init__(self, *, steepness: float, seconds_per_run: float) -> None:
        self.size_bytes = 0
        self._steepness = steepness
        self._seconds_per_run = seconds_per_run

    def run(self, batch: Float32Array) -> Output:
        time.sleep(self._seconds_per_run)
        colours = (batch.mean(axis=(1, 2)) + 1) / 2  # (N, 3), from 0 to 1
        fall = self._steepness * colours.mean(axis=1, keepdims=True) ** 2
        likely = np.exp(-fall * np.arange(len(FLOWERS)))
        probs = likely / likely.sum(axis=1, keepdims=True)
        return Output(probs.astype(np.float32), colours.astype(np.float32))


def fake_classifier(
    name: str, *, warning: str | None = None, seconds_per_run: float = 0.0
) -> Classifier:
    """A committee with the zoo's name and members, and engines that need no weights."""
    if name in (GARDEN, NURSERY):
        garden = _garden(seconds_per_run)
        return Classifier(garden if name == GARDEN else _nursery(garden))
    members = tuple(
        committee.Member(
            row.name, SlowEngine(seed=seed, seconds_per_run=seconds_per_run), Recipe((16, 16), "tf")
        )
        for seed, row in enumerate(committee.backbones(name))
    )
    plain = params.unfitted([1.0] * len(members), [member.cost for member in members])
    return Classifier(committee.Committee(name, members, LABELS, plain, warning=warning))


def _nursery(garden: committee.Committee) -> committee.Committee:
    """The garden, fitted on so few photos that it can call no answer sure."""
    light = np.linspace(0.8, 1, NURSERY_PHOTOS, dtype=np.float32)[:, None, None, None]
    batch = np.broadcast_to(2 * light - 1, (NURSERY_PHOTOS, 16, 16, 3))
    probs = np.stack([member.engine.run(batch).probs for member in garden.members])
    fitted = fit.fit(probs, np.zeros(NURSERY_PHOTOS, np.intp), garden.costs)
    return dataclasses.replace(garden, name=NURSERY, params=fitted)


def _garden(seconds_per_run: float) -> committee.Committee:
    random = np.random.default_rng(0)
    greys = random.normal(0.5, 0.02, (99, 3))
    digests = random.integers(0, 256, (99, 32), np.uint8)
    reference = ood.fit(greys, digests=digests, labels=np.arange(99) % len(FLOWERS))
    members = [
        committee.Member(
            row.name,
            GreyEngine(steepness=4 + index / 2, seconds_per_run=seconds_per_run),
            Recipe((16, 16), "tf"),
            cost=row.multiply_adds / 1e9,
            ood=None if index else reference,
        )
        for index, row in enumerate(committee.backbones("lite"))
    ]
    levels = tuple(1.5 * coverage - 0.5 for coverage in conformal.GRID)
    fitted = params.EnsembleParams(
        temperatures=(1.0,) * 3,
        weights=(1.0,) * 3,
        stages=(Stage(0, 0.9), Stage(1, 0.6), Stage(2)),
        rules={rule: params.RuleParams(1.0, 0.9, levels) for rule in rules.RULES},
    )
    flowers = tuple(Label(flower, flower, index) for index, flower in enumerate(FLOWERS))
    return committee.Committee(GARDEN, tuple(members), flowers, fitted, "weighted")


def bundle_classifier(home: Path, name: str) -> Classifier:
    """A fake engine over a bundle of `bundles.write_with_metrics`, with its classes."""
    bundle = bundles.find(home, name)
    bundles.check_files(bundle.folder, bundle.about)
    row = bundle.about["members"][0]
    member = committee.Member(
        row["name"], FakeEngine(len(bundle.labels)), Recipe((16, 16), "tf"), cost=1.0
    )
    plain = params.unfitted([1.0], [1.0])
    return Classifier(committee.Committee(bundle.name, (member,), bundle.labels, plain))


def app_over(home: Path, default: str, **options: object) -> Flask:
    """A studio in this process, over the bundles of a home folder."""
    registry = Registry(lambda name: bundle_classifier(home, name), Discovery(home), default)
    registry.get()
    return create_app(settings.load({}, home=home, **options), registry)


def catalogue(*names: str) -> Callable[[], dict[str, list[int]]]:
    """A catalogue of committees in one version each."""
    return lambda: {name: [1] for name in names}


@contextlib.contextmanager
def fake_studio(
    seconds_per_run: float = 0.0, **options: object
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A studio with fake committees: its process, and its address.

    Args:
        seconds_per_run: How long a network takes.
        **options: The studio's settings.
    """
    with _started("fake", "0", str(seconds_per_run), **options) as started:
        yield started


@contextlib.contextmanager
def studio_without_weights(**options: object) -> Iterator[str]:
    """A studio with fake committees that looks for their weights: its address."""
    with _started("weightless", **options) as (_, address):
        yield address


@contextlib.contextmanager
def bundle_studio(home: Path, **options: object) -> Iterator[str]:
    """A studio over bundles of `bundles.write_with_metrics`, with fake engines: its address."""
    with _started("bundles", str(home), **options) as (_, address):
        yield address


@contextlib.contextmanager
def training_studio(home: Path, **options: object) -> Iterator[str]:
    """A studio in which all that is trained is real: its address.

    Only its default committee is fake, so that it opens at once, where `triptych serve` would first
    convert networks.
    """
    with _started("training", str(home), **options) as (_, address):
        yield address


@contextlib.contextmanager
def tiny_studio(home: Path, **options: object) -> Iterator[str]:
    """The same with `tiny_backbone` among its networks, fine-tuned as in `tiny_training`."""
    with _started("tiny", str(home), **options) as (_, address):
        yield address


@contextlib.contextmanager
def _started(*arguments: str, **options: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, __file__, *arguments]
    environ = {f"TRIPTYCH_{name.upper()}": str(value) for name, value in options.items()}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environ}
    ) as process:
        try:
            assert process.stdout
            opened = next((line for line in process.stdout if "is open at http" in line), None)
            if opened is None:
                raise RuntimeError("the studio did not open")
            yield process, opened.split(" open at ")[1].split()[0].rstrip("/")
        finally:
            process.kill()


def main(kind: str, *arguments: str) -> None:
    """Serve until told to stop."""
    # In the tests only, which are on the path.
    from support import pseudo_language
    from support import tiny_backbone
    from support import tiny_training

    if kind in ("fake", "weightless"):
        port, seconds = [*map(float, arguments), 0.0, 0.0][:2]
        in_force = settings.load(os.environ, port=int(port))
        registry = Registry(
            lambda name: fake_classifier(name, seconds_per_run=seconds),
            catalogue("lite", "classic", GARDEN, NURSERY),
            "lite",
            missing=committee.missing if kind == "weightless" else lambda name: [],
        )
        # The nursery is loaded when asked: fitting it takes as long as all else before the start.
        registry.get(GARDEN)
    else:
        home = Path(arguments[0])
        in_force = settings.load(os.environ, port=0, home=home)
        load = bundle_classifier if kind == "bundles" else _trained_classifier
        if kind == "tiny":
            zoo.BACKBONES[tiny_backbone.TINY.name] = tiny_backbone.TINY
            queue.WORKER = tiny_training.__name__
        default = bundles.names(home)[0] if kind == "bundles" else "lite"
        registry = Registry(
            lambda name: load(home, name),
            Discovery(home),
            default,
            missing=lambda name: [],
        )
    pseudo_language.offer()
    server.serve(in_force, registry, lambda line: print(line, flush=True))


def _trained_classifier(home: Path, name: str) -> Classifier:
    if committee.is_from_zoo(name):
        return fake_classifier(name)
    return triptych.load(name, home=home)


if __name__ == "__main__":
    main(*sys.argv[1:])
