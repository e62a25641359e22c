"""A bundle that nobody runs: complete on disk, its networks a few bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from triptych.ensemble import conformal
from triptych.ensemble import params
from triptych.ensemble.params import RuleDoubt
from triptych.ensemble.params import Stage
from triptych.models import zoo

LITE0 = zoo.find("lite0")
NETWORK = "members/EfficientNetLite0/network.xml"


def about(names: list[str]) -> dict[str, Any]:
    member = {
        "name": LITE0.name,
        "recipe": LITE0.recipe.to_dict(),
        "cost": 0.4,
    }
    classes = [{"name": name, "id": name} for name in names]
    plain = {rule: RuleDoubt(1.0, 2.0, (0.5,) * len(conformal.GRID)) for rule in params.RULES}
    fitted = params.Doubt((1.3,), (1.0,), (Stage(0),), plain)
    return {
        "labels": classes,
        "rule": "weighted",
        "members": [member],
        "doubt": fitted.to_dict(),
    }


def fill(folder: Path) -> dict[str, Any]:
    """The files of a bundle, as far as nobody runs it."""
    for name in (NETWORK, NETWORK.replace(".xml", ".bin")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"numbers")
    (folder / "labels.txt").write_text("日本\nØ\n", encoding="utf-8")
    return about(["日本", "Ø"])
