"""int8 networks on disk: each in the folder of the network that it was made from.

    <folder of a network>/
        network.xml, .bin            f32
        int8-1/network.xml, .bin     made from it, by version 1 of `quantize`

So one that was made from other weights, or otherwise than today, is never found.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from triptych import errors
from triptych import recipe
from triptych.engine import Float32Array
from triptych.engine import convert
from triptych.engine import quantize
from triptych.recipe import Recipe

FOLDER = f"int8-{quantize.VERSION}"
# Of random weights answers mean nothing, and few pictures tell how large its numbers are.
GENERATED = 16
PATCHES = 8


def beside(network: Path) -> Path:
    """Where the int8 form of a network lies, if it was made."""
    return network.parent / FOLDER / convert.NETWORK


def require(networks: Sequence[Path], *, committee: str, make: str) -> list[Path]:
    """The int8 forms of networks, for callers that cannot go on without.

    Args:
        networks: The f32 ones.
        committee: What to call the whole in a message.
        make: The command that makes them.

    Raises:
        errors.SettingError: One is missing; the message says how to make it.
    """
    found = [beside(network) for network in networks]
    if not all(path.exists() for path in found):
        raise errors.SettingError(
            f"Precision int8 was asked for, and {committee} has no int8 networks yet. "
            f"Make them from photos of yours with: {make}"
        )
    return found


def prepare(
    networks: Sequence[Path], recipes: Sequence[Recipe], *, report: Callable[[str], None]
) -> list[Path]:
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
            make(network, generated(own))
    return [beside(network) for network in networks]


def make(network: Path, inputs: Iterable[Float32Array]) -> None:
    """Make the int8 form of a network and keep it; it appears whole or not at all.

    Args:
        network: The f32 one.
        inputs: As `quantize.run` wants them.
    """
    with tempfile.TemporaryDirectory(dir=network.parent, prefix=".quantizing-") as scratch:
        quantize.run(network, inputs, Path(scratch) / convert.NETWORK)
        keep(Path(scratch) / convert.NETWORK, network)


def keep(made: Path, network: Path) -> None:
    """Keep a network as the int8 form of another, in place of the one that was there.

    Args:
        made: What `quantize.run` wrote, on the same file system.
        network: The f32 one.
    """
    with tempfile.TemporaryDirectory(dir=network.parent, prefix=".keeping-") as scratch:
        whole, target = Path(scratch) / FOLDER, beside(network).parent
        whole.mkdir()
        for path in (made, made.with_suffix(".bin")):
            shutil.move(path, whole / path.name)
        if target.exists():  # a folder takes the place of an empty one only
            target.rename(Path(scratch) / "before")
        whole.rename(target)


def generated(own: Recipe) -> list[Float32Array]:
    """Network inputs made of patches of random colours, the same ones each time."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (GENERATED, PATCHES, PATCHES, 3), np.uint8)
    return [recipe.apply(own, image) for image in small]
