"""A bundle that answers for real, at thousands of photos a second: its networks are tiny."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support import networks
from triptych import bundles
from triptych.ensemble import conformal
from triptych.ensemble import params
from triptych.ensemble.cascade import Stage

CLASSES = ("ant", "bee", "cat", "daisy", "elm")
# By member: the side of its input, in pixels.
MEMBERS = {"small": 32, "large": 48}


def teach(home: Path, name: str = "tiny") -> bundles.Bundle:
    """The next version of it: two members, asked one after the other, and what is to be fitted."""
    levels = tuple(conformal.GRID)
    fitted = params.Doubt(
        temperatures=(1.0, 1.5),
        weights=(1.0, 2.0),
        stages=(Stage(0, 0.6), Stage(1)),
        rules={rule: params.RuleDoubt(1.0, 0.5, levels) for rule in params.RULES},
    )

    def fill(folder: Path) -> dict[str, Any]:
        for seed, (member, side) in enumerate(MEMBERS.items()):
            path = folder / "members" / member / "network.xml"
            networks.tiny(path, classes=len(CLASSES), size=side, seed=seed)
        return {
            "labels": [{"name": each, "id": each} for each in CLASSES],
            "members": [
                {"name": member, "recipe": {"size": [side, side], "scaling": "tf"}, "cost": 1.0}
                for member, side in MEMBERS.items()
            ],
            "rule": params.CASCADE,
            "doubt": fitted.to_dict(),
        }

    return bundles.write(home, name, fill)
