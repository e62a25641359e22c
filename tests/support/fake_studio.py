"""A studio over fake committees: for the tests, and to look at the page without networks.

python tests/fake_studio.py [PORT] [SECONDS_A_NETWORK]
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from triptych import bundles
from triptych import settings
from triptych.engines import Float32Array
from triptych.engines import Output
from triptych.engines.fake import FakeEngine
from triptych.ensemble import conformal
from triptych.ensemble import ood
from triptych.ensemble import params
from triptych.ensemble.cascade import Stage
from triptych.inference import committee
from triptych.inference.classifier import Classifier
from triptych.preprocessing.recipe import Recipe
from triptych.results import Label
from triptych.web import server
from triptych.web.registry import Registry

NAMES = ("ant", "bee", "Egyptian cat", "golden retriever", "lakeside, lakeshore", "teapot")
LABELS = tuple(Label(name, f"n{index:08}", index) for index, name in enumerate(NAMES))

# A taught committee that knows what it does not know. Grey is what it was taught; the brighter,
# the surer it is.
GARDEN = "garden"
FLOWERS = (
    *("daisy", "tulip", "poppy", "crocus", "iris", "dahlia"),
    *("aster", "peony", "lily", "rose", "lupin", "pansy"),
)
SURE, TWO_ASKED, MANY_CLASSES = (255, 255, 255), (153, 153, 153), (30, 30, 30)
NONE_OF_THESE = (20, 20, 230)


class SlowEngine(FakeEngine):
    """Takes its time, as a network does."""

    def __init__(self, *, seed: int, spent_s: float) -> None:
        super().__init__(len(LABELS), seed=seed)
        self._spent_s = spent_s

    def run(self, batch: Float32Array) -> Output:
        time.sleep(self._spent_s)
        return super().run(batch)


class GreyEngine:
    """The surer the brighter a photo is, always of the same class; its features are the colour."""

    def __init__(self, *, steepness: float, spent_s: float) -> None:
        self.size_bytes = 0
        self._steepness = steepness
        self._spent_s = spent_s

    def run(self, batch: Float32Array) -> Output:
        time.sleep(self._spent_s)
        colours = (batch.mean(axis=(1, 2)) + 1) / 2  # (N, 3), from 0 to 1
        fall = self._steepness * colours.mean(axis=1, keepdims=True) ** 2
        likely = np.exp(-fall * np.arange(len(FLOWERS)))
        probs = likely / likely.sum(axis=1, keepdims=True)
        return Output(probs.astype(np.float32), colours.astype(np.float32))


def load(name: str, *, warning: str | None = None, spent_s: float = 0.0) -> Classifier:
    """A committee with the zoo's name and members, and engines that need no weights."""
    if name == GARDEN:
        return Classifier(_garden(spent_s))
    members = tuple(
        committee.Member(row.name, SlowEngine(seed=seed, spent_s=spent_s), Recipe((16, 16), "tf"))
        for seed, row in enumerate(committee.backbones(name))
    )
    plain = params.unfitted([1.0] * len(members), [member.cost for member in members])
    return Classifier(committee.Committee(name, members, LABELS, plain, warning=warning))


def offers(*names: str) -> Callable[[], dict[str, list[int]]]:
    """A catalogue of committees in one version each."""
    return lambda: {name: [1] for name in names}


def _garden(spent_s: float) -> committee.Committee:
    random = np.random.default_rng(0)
    greys = random.normal(0.5, 0.02, (99, 3))
    digests = random.integers(0, 256, (99, 32), np.uint8)
    taught = ood.fit(greys, digests=digests, labels=np.arange(99) % len(FLOWERS))
    members = [
        committee.Member(
            row.name,
            GreyEngine(steepness=4 + seat / 2, spent_s=spent_s),
            Recipe((16, 16), "tf"),
            cost=row.multiply_adds / 1e9,
            taught=None if seat else taught,
        )
        for seat, row in enumerate(committee.backbones("lite"))
    ]
    levels = tuple(1.5 * coverage - 0.5 for coverage in conformal.GRID)
    fitted = params.Doubt(
        temperatures=(1.0,) * 3,
        weights=(1.0,) * 3,
        stages=(Stage(0, 0.9), Stage(1, 0.6), Stage(2)),
        rules={rule: params.RuleDoubt(1.0, 0.9, levels) for rule in params.RULES},
    )
    flowers = tuple(Label(flower, flower, index) for index, flower in enumerate(FLOWERS))
    return committee.Committee(GARDEN, tuple(members), flowers, fitted, "weighted")


def teach(home: Path, *, created: str = "2026-01-01") -> bundles.Bundle:
    """A bundle that can be described, though not asked."""

    def fill(folder: Path) -> dict[str, object]:
        place = folder / "members" / "one"
        place.mkdir(parents=True)
        for name in ("network.xml", "network.bin"):
            (place / name).touch()
        (folder / "metrics.json").write_text('{"committee": {"top1": 0.75}}')
        return {
            "labels": [{"name": "ant", "id": "ant"}, {"name": "bee", "id": "bee"}],
            "members": [{"name": "one", "recipe": {"size": [8, 8], "scaling": "tf"}, "cost": 1.0}],
            "rule": "mean",
            "doubt": None,
            "created": created,
        }

    return bundles.write(home, GARDEN, fill)


def plain(colour: tuple[int, int, int], *, size: tuple[int, int] = (60, 80)) -> bytes:
    """A file with a picture of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def photo(seed: int = 0, *, size: tuple[int, int] = (40, 60), kind: str = "PNG") -> bytes:
    """A file with a picture of coloured squares; the same seed gives the same squares."""
    squares = np.random.default_rng(seed).integers(0, 256, (2, 3, 3), np.uint8)
    picture = Image.fromarray(squares).resize(size[::-1], Image.Resampling.NEAREST)
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


@contextlib.contextmanager
def running(spent_s: float = 0.0, **limits: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The studio in a process of its own: the process, and the address it says it is open at."""
    with served([__file__, "0", str(spent_s)], **limits) as found:
        yield found


@contextlib.contextmanager
def served(script: list[str], **limits: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The same by another script, with settings."""
    command = [sys.executable, *script]
    environ = {f"TRIPTYCH_{name.upper()}": str(value) for name, value in limits.items()}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environ}
    ) as process:
        try:
            yield process, _address(process)
        finally:
            process.kill()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    for line in process.stdout:
        if "http://" in line:
            return "http://" + line.split("http://")[1].split("/")[0]
    raise RuntimeError("the studio did not open")


def main(port: int = 0, spent_s: float = 0.0) -> None:
    """Serve until told to stop."""
    registry = Registry(
        lambda name: load(name, spent_s=spent_s),
        offers("lite", "classic", GARDEN),
        "lite",
        missing=lambda name: [],
    )
    registry.get(GARDEN)
    chosen = settings.load(os.environ, port=port)
    server.serve(chosen, registry, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float), sys.argv[1:], strict=False)))
