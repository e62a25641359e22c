"""A studio in which all that is taught is real; only its default committee is drawn by lot.

So it opens at once, where `triptych serve` would first convert the networks of that committee.

python tests/true_studio.py HOME
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import triptych
from support import fake_studio
from triptych import settings
from triptych.inference import committee
from triptych.inference.classifier import Classifier
from triptych.web import discovery
from triptych.web import server
from triptych.web.registry import Registry


@contextlib.contextmanager
def running(home: Path, **limits: object) -> Iterator[str]:
    """The studio over a home folder in a process of its own: the address it is open at."""
    with fake_studio.served([__file__, str(home)], **limits) as (_, address):
        yield address


def main(home: str) -> None:
    """Serve what lies in a home folder until told to stop."""
    chosen = settings.load(os.environ, port=0, home=Path(home))

    def load(name: str) -> Classifier:
        if committee.is_from_zoo(name):
            return fake_studio.load(name)
        return triptych.load(name, home=chosen.home)

    registry = Registry(load, lambda: discovery.of(chosen.home), "lite", missing=lambda name: [])
    server.serve(chosen, registry, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main(sys.argv[1])
