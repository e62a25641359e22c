"""int8 networks on disk: each in the folder of the network that it was made from.

    <folder of a network>/
        network.xml, .bin            f32
        int8-1/network.xml, .bin     made from it, by version 1 of `quantize`
        int8-1/told.json             from which photos, and what it is worth

So one that was made from other weights, or otherwise than today, is never found.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from triptych import errors
from triptych.engines.conversion import convert
from triptych.engines.conversion import quantize
from triptych.preprocessing import recipe
from triptych.preprocessing.recipe import Recipe
from triptych.typing import Float32Array
from triptych.typing import Notify
from triptych.utils import files

FOLDER = f"int8-{quantize.VERSION}"
TOLD = "told.json"
# Of random weights answers mean nothing, and few pictures tell how large its numbers are.
GENERATED = 16
PATCHES = 8


def beside(network: Path) -> Path:
    """Where the int8 form of a network lies, if it was made."""
    return network.parent / FOLDER / convert.NETWORK


def missing(committee: str, make: str) -> errors.SettingError:
    """What to say where int8 networks are asked for that were not made.

    Args:
        committee: What to call the whole.
        make: The command that makes them.
    """
    return errors.SettingError(
        f"Precision int8 was asked for, and {committee} has no int8 networks yet. "
        f"Make them from photos of yours with: {make}"
    )


def prepare(networks: Sequence[Path], recipes: Sequence[Recipe], *, report: Notify) -> list[Path]:
    """The int8 forms of networks with random weights; those that are missing are made now.

    Args:
        networks: The f32 ones.
        recipes: How each wants its photos.
        report: Called with a line for people before each.

    Raises:
        errors.SettingError: One is missing, and NNCF is not installed.
    """
    for network, own in zip(networks, recipes, strict=True):
        if not beside(network).exists():
            report(f"Quantizing {network.parent.name.split('-')[0]} ...")
            _make(network, own)
    return [beside(network) for network in networks]


def _make(network: Path, own: Recipe) -> None:
    with tempfile.TemporaryDirectory(prefix="triptych-") as scratch:
        made = Path(scratch) / convert.NETWORK
        quantize.run(network, generated(own), made)
        keep(made, network, {"from": "generated pictures"})


def keep(made: Path, network: Path, told: Mapping[str, Any]) -> None:
    """Keep a network as the int8 form of another, atomically in place of the one that was there.

    Args:
        made: What `quantize.run` wrote.
        network: The f32 one.
        told: As for `put`.
    """
    with files.atomic_dir(beside(network).parent, exists="replace") as new:
        put(made, new.parent, told)


def put(made: Path, folder: Path, told: Mapping[str, Any]) -> None:
    """Copy an int8 network into the folder of the one that it was made from.

    Args:
        made: What `quantize.run` wrote.
        folder: That of the f32 network.
        told: What it was made from and what it is worth, for people: anything that JSON can say.
    """
    target = folder / FOLDER
    target.mkdir(exist_ok=True)
    for path in (made, made.with_suffix(".bin")):
        shutil.copyfile(path, target / path.name)
    versions = {name: metadata.version(name) for name in ("nncf", "openvino")}
    text = json.dumps({**versions, **told}, indent=1, ensure_ascii=False) + "\n"
    (target / TOLD).write_text(text, encoding="utf-8")


def generated(own: Recipe) -> list[Float32Array]:
    """Network inputs made of patches of random colours, the same ones each time."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (GENERATED, PATCHES, PATCHES, 3), np.uint8)
    return [recipe.apply(own, image) for image in small]
