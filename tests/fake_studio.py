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
from collections.abc import Iterator

import numpy as np
from PIL import Image

from triptych import committee
from triptych import settings
from triptych.classifier import Classifier
from triptych.engine import Float32Array
from triptych.engine import Output
from triptych.engine.fake import FakeEngine
from triptych.recipe import Recipe
from triptych.results import Label
from triptych.web import server
from triptych.web.registry import Registry

NAMES = ("ant", "bee", "Egyptian cat", "golden retriever", "lakeside, lakeshore", "teapot")
LABELS = tuple(Label(name, f"n{index:08}", index) for index, name in enumerate(NAMES))


class SlowEngine(FakeEngine):
    """Takes its time, as a network does."""

    def __init__(self, *, seed: int, spent_s: float) -> None:
        super().__init__(len(LABELS), seed=seed)
        self._spent_s = spent_s

    def run(self, batch: Float32Array) -> Output:
        time.sleep(self._spent_s)
        return super().run(batch)


def load(name: str, *, warning: str | None = None, spent_s: float = 0.0) -> Classifier:
    """A committee with the zoo's name and members, and engines that need no weights."""
    members = tuple(
        committee.Member(row.name, SlowEngine(seed=seed, spent_s=spent_s), Recipe((16, 16), "tf"))
        for seed, row in enumerate(committee.backbones(name))
    )
    return Classifier(committee.Committee(name, members, LABELS, warning=warning))


def photo(seed: int = 0, *, size: tuple[int, int] = (40, 60), kind: str = "PNG") -> bytes:
    """A file with a picture of coloured squares; the same seed gives the same squares."""
    squares = np.random.default_rng(seed).integers(0, 256, (2, 3, 3), np.uint8)
    picture = Image.fromarray(squares).resize(size[::-1], Image.Resampling.NEAREST)
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


@contextlib.contextmanager
def running(spent_s: float = 0.0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The studio in a process of its own: the process, and the address it says it is open at."""
    command = [sys.executable, __file__, "0", str(spent_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
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
        ["lite", "classic"],
        "lite",
        missing=lambda name: [],
    )
    chosen = settings.load(os.environ, port=port)
    server.serve(chosen, registry, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float), sys.argv[1:], strict=False)))
