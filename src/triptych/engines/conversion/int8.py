"""int8 networks on disk: each in the folder of the network that it was made from.

    <folder of a network>/
        network.xml, .bin            f32
        network.sha256               the digests of both
        int8-1/network.xml, .bin     quantized from it, by version 1 of `quantize`
        int8-1/told.json             its provenance: from which photos, and how much it loses

So one that was made from other weights, or by another version, is never used.
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
from triptych.engines.conversion import digests
from triptych.engines.conversion import quantize
from triptych.preprocessing import recipe
from triptych.preprocessing.recipe import Recipe
from triptych.typing import Float32Array
from triptych.typing import Notify
from triptych.utils import files

FOLDER = f"int8-{quantize.VERSION}"
PROVENANCE = "told.json"
# With random weights the probabilities mean nothing, and few images show how large numbers get.
SYNTHETIC_INPUTS = 16
PATCHES = 8


def int8_path(network: Path) -> Path:
    """Where the int8 form of a network lies, if it was made."""
    return network.parent / FOLDER / convert.NETWORK


def not_quantized(committee: str, command: str) -> errors.SettingError:
    """The error where int8 is wanted and the networks were not quantized.

    Args:
        committee: What to call the whole.
        command: What makes them.
    """
    return errors.SettingError(
        f"Precision int8 was asked for, and {committee} has no int8 networks yet. "
        f"Make them from photos of yours with: {command}"
    )


def prepare(networks: Sequence[Path], recipes: Sequence[Recipe], *, report: Notify) -> list[Path]:
    """The int8 forms of networks with random weights; missing ones are quantized now.

    Args:
        networks: The f32 ones.
        recipes: How each wants its photos.
        report: Called with a line for people before each.

    Raises:
        errors.SettingError: One is missing, and NNCF is not installed.
    """
    for network, photo_recipe in zip(networks, recipes, strict=True):
        if not (int8_path(network).exists() and digests.is_unchanged(int8_path(network))):
            report(f"Quantizing {network.parent.name.split('-')[0]} ...")
            with tempfile.TemporaryDirectory(prefix="triptych-") as scratch:
                quantized = Path(scratch) / convert.NETWORK
                quantize.run(network, synthetic_inputs(photo_recipe), quantized)
                install(quantized, network, {"from": "generated pictures"})
    return [int8_path(network) for network in networks]


def install(quantized: Path, network: Path, provenance: Mapping[str, Any]) -> None:
    """Make a network the int8 form of another; it replaces an earlier one atomically.

    Args:
        quantized: What `quantize.run` wrote.
        network: The f32 one.
        provenance: As for `copy_into`.
    """
    with files.atomic_dir(int8_path(network).parent, exists="replace") as folder:
        copy_into(quantized, folder.parent, provenance)
        digests.record(folder / convert.NETWORK)


def copy_into(quantized: Path, folder: Path, provenance: Mapping[str, Any]) -> None:
    """Copy an int8 network into the folder of the network that it was made from.

    Args:
        quantized: What `quantize.run` wrote.
        folder: That of the f32 network.
        provenance: What it was made from and how much it loses, for people: a JSON object.
    """
    target = folder / FOLDER
    target.mkdir(exist_ok=True)
    for path in (quantized, quantized.with_suffix(".bin")):
        shutil.copyfile(path, target / path.name)
    versions = {name: metadata.version(name) for name in ("nncf", "openvino")}
    text = (
        json.dumps({**versions, **provenance}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    )
    (target / PROVENANCE).write_text(text, encoding="utf-8")


def synthetic_inputs(photo_recipe: Recipe) -> list[Float32Array]:
    """Network inputs made of patches of random colours, the same ones each time."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (SYNTHETIC_INPUTS, PATCHES, PATCHES, 3), np.uint8)
    return [recipe.apply(photo_recipe, image) for image in small]
