"""Asking members about a batch of images: who answered what, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from triptych.engines import Far
from triptych.engines import Output
from triptych.ensemble import ood
from triptych.inference.committee import Committee
from triptych.preprocessing import recipe
from triptych.results import Timing
from triptych.typing import Indices
from triptych.typing import Probs
from triptych.typing import UInt8Image


class Seen(Protocol):
    """One image, ready to be looked at."""

    @property
    def source(self) -> str:
        """Where it came from."""
        ...

    @property
    def decode_ms(self) -> float:
        """What reading it took."""
        ...

    def cut(self, own: recipe.Recipe) -> UInt8Image:
        """What a network with this recipe is shown, before its values are scaled."""
        ...


@dataclass(frozen=True)
class Ready:
    """One image, decoded.

    Args:
        source: Where it came from.
        picture: RGB; all members share it.
        decode_ms: What reading it took.
    """

    source: str
    picture: recipe.Picture
    decode_ms: float

    def cut(self, own: recipe.Recipe) -> UInt8Image:
        """What a network with this recipe is shown, before its values are scaled."""
        return recipe.resize(own, self.picture)


@dataclass(frozen=True)
class Cut:
    """One image of which only what certain networks are shown is left, to be sent elsewhere.

    Args:
        source: Where it came from.
        pixels: By recipe, what `triptych.preprocessing.recipe.resize` makes of it.
        decode_ms: What reading and cutting it took.
    """

    source: str
    pixels: Mapping[recipe.Recipe, UInt8Image]
    decode_ms: float

    def cut(self, own: recipe.Recipe) -> UInt8Image:
        """What a network with this recipe, one of those it was cut for, is shown."""
        return self.pixels[own]


class Batch:
    """N images and what M members say of them; members are asked some at a time.

    Each member looks at each image by itself, as many at once as the pool has threads: on a CPU
    a photo a core is faster than a batch on all cores, and a single photo has its members asked
    beside each other. Where batches are faster, engines join them (`triptych.engines.batching`).

    Args:
        images: At least one.
        committee: Who may be asked.
        pool: Runs recipes and networks.
    """

    def __init__(self, images: Sequence[Seen], committee: Committee, pool: Executor) -> None:
        shape = (len(images), len(committee.members))
        self.images = images
        self.committee = committee
        self.asked = np.zeros(shape, bool)  # (N, M)
        self.probs = np.zeros((*shape, len(committee.labels)), np.float32)  # own ones
        self.novelty: Probs | None = None  # (N,), once the member that tells it was asked
        self._told: tuple[ood.OODReference, Probs] | None = None  # its own, with features (N, F)
        self._spent_ms = np.zeros(shape)
        self._recipe_ms = np.zeros(shape)
        self._total_ms = np.array([image.decode_ms for image in images])
        self._pool = pool

    @property
    def everyone(self) -> Indices:
        """The positions of all images."""
        return np.arange(len(self.images))

    def ask(self, seats: Sequence[int], which: Indices | None = None) -> Probs:
        """Ask members.

        Args:
            seats: Their positions in the committee, at least one.
            which: Positions of the images, at least one; ``None`` means all.

        Returns:
            Their own probabilities, shape (len(seats), len(which), C).
        """
        which = self.everyone if which is None else which
        asked = [(seat, int(number)) for seat in seats for number in which]
        start = time.perf_counter()
        outputs = list(self._pool.map(lambda pair: self._look(*pair), asked))
        self._total_ms[which] += _ms(start, time.perf_counter()) / len(which)
        for (seat, number), output in zip(asked, outputs, strict=True):
            self.asked[number, seat] = True
            self.probs[number, seat] = output.probs[0]
        self._compare(seats, which, outputs)
        return self.probs[which][:, seats].swapaxes(0, 1)

    def _look(self, seat: int, number: int) -> Output:
        """One member looks at one image."""
        member = self.committee.members[seat]
        start = time.perf_counter()
        pixels = self.images[number].cut(member.recipe)[np.newaxis]
        if isinstance(member.engine, Far):
            prepared = time.perf_counter()
            output = member.engine.look(pixels)
        else:
            ready = recipe.scale(member.recipe, pixels)
            prepared = time.perf_counter()
            output = member.engine.run(ready)
        self._spent_ms[number, seat] = _ms(prepared, time.perf_counter())
        self._recipe_ms[number, seat] = _ms(start, prepared)
        return output

    def _compare(self, seats: Sequence[int], which: Indices, outputs: Sequence[Output]) -> None:
        """Compare the photos with those that were taught, by the member that tells it."""
        first = self.committee.params.stages[0].member
        taught = self.committee.members[first].ood
        if taught is None or first not in seats:
            return
        start = list(seats).index(first) * len(which)
        features = np.concatenate([o.features for o in outputs[start : start + len(which)]])
        self.novelty = ood.p_values(taught, features)
        self._told = taught, features

    def nearest(self, number: int, count: int) -> list[ood.Neighbour]:
        """The taught photos that are nearest to one image; none where none are known."""
        if not self._told or not count:
            return []
        taught, features = self._told
        return ood.nearest(taught, features[number : number + 1], count)[0]

    def timing(self, number: int) -> Timing:
        """Where the time of one image went."""
        image, members = self.images[number], self.committee.members
        spent = {
            member.name: float(ms)
            for member, ms, asked in zip(
                members, self._spent_ms[number], self.asked[number], strict=True
            )
            if asked
        }
        recipe_ms = float(self._recipe_ms[number].sum())
        return Timing(image.decode_ms, recipe_ms, spent, float(self._total_ms[number]))


def _ms(start: float, end: float) -> float:
    return (end - start) * 1000
