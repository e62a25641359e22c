"""Bundles with figures that are quick to write, and a studio that serves them without networks.

python tests/fake_bundles.py HOME
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support import fake_studio
from triptych import bundles
from triptych import settings
from triptych.bundles import model_card
from triptych.engines.fake import FakeEngine
from triptych.ensemble import params
from triptych.inference import committee
from triptych.inference.classifier import Classifier
from triptych.preprocessing.recipe import Recipe
from triptych.web import discovery
from triptych.web import server
from triptych.web.registry import Registry

MEMBER = "EfficientNetLite0"


def teach(
    home: Path, name: str, *classes: str, top1: float = 0.9, publish: bool = True
) -> bundles.Bundle:
    """The next version of a bundle, as teaching writes it, but for its networks."""

    def fill(folder: Path) -> dict[str, Any]:
        place = folder / "members" / MEMBER
        place.mkdir(parents=True)
        for file in ("network.xml", "network.bin"):
            (place / file).write_text(" ".join(classes))
        about = {
            "labels": [{"name": each, "id": each} for each in classes],
            "members": [{"name": MEMBER, "recipe": {"size": [16, 16], "scaling": "tf"}, "cost": 1}],
            "rule": "mean",
            "doubt": None,
            "data": {"name": "photos", "train": 40, "val": 10},
            "created": "2026-01-02T03:04:05+00:00",
        }
        metrics = {
            "images": 10,
            "committee": {"top1": top1, "interval": [top1 - 0.1, min(1.0, top1 + 0.05)]},
            "members": [{"name": MEMBER, "top1": top1}],
        }
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "README.md").write_text(model_card.render({"name": name, **about}, metrics))
        return about

    return bundles.write(home, name, fill, publish=publish)


def load(home: Path, name: str) -> Classifier:
    """What answers for a bundle; each version gives names of its own classes."""
    made = bundles.find(home, name)
    bundles.check_files(made.folder, made.about)
    row = made.about["members"][0]
    member = committee.Member(
        row["name"], FakeEngine(len(made.labels)), Recipe((16, 16), "tf"), cost=1.0
    )
    plain = params.unfitted([1.0], [1.0])
    return Classifier(committee.Committee(made.name, (member,), made.labels, plain))


@contextlib.contextmanager
def running(home: Path, **limits: object) -> Iterator[str]:
    """The studio over a home folder in a process of its own: the address it is open at."""
    with fake_studio.served([__file__, str(home)], **limits) as (_, address):
        yield address


def main(home: str) -> None:
    """Serve what lies in a home folder until told to stop."""
    chosen = settings.load(os.environ, port=0, home=Path(home))
    first, *_ = bundles.names(chosen.home)
    registry = Registry(
        lambda name: load(chosen.home, name), lambda: discovery.of(chosen.home), first
    )
    server.serve(chosen, registry, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main(sys.argv[1])
