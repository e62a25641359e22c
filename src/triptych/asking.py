"""Asking members about a batch of images: who answered what, and how long it took."""

from __future__ import annotations

import time
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych import novelty
from triptych import recipe
from triptych.committee import Committee
from triptych.results import Timing

Index = npt.NDArray[np.intp]
Probs = npt.NDArray[Any]


@dataclass(frozen=True)
class Ready:
    """One image, ready for the engines.

    Args:
        source: Where it came from.
        pixels: RGB, shape (H, W, 3).
        inputs: Network inputs by seat, those that were made ahead.
        decode_ms: What reading it took.
        recipe_ms: What making the inputs took.
    """

    source: str
    pixels: npt.NDArray[np.uint8]
    inputs: dict[int, npt.NDArray[np.float32]]
    decode_ms: float
    recipe_ms: float


class Batch:
    """N images and what M members say of them; members are asked one by one.

    Args:
        images: At least one.
        committee: Who may be asked.
        pool: Makes inputs that were not made ahead.
    """

    def __init__(self, images: list[Ready], committee: Committee, pool: Executor) -> None:
        shape = (len(images), len(committee.members))
        self.images = images
        self.committee = committee
        self.asked = np.zeros(shape, bool)  # (N, M)
        self.probs = np.zeros((*shape, len(committee.labels)), np.float32)  # own ones
        self.novelty: Probs | None = None  # (N,), once the member that tells it was asked
        self._spent_ms = np.zeros(shape)
        self._recipe_ms = np.array([image.recipe_ms for image in images])
        self._pool = pool

    @property
    def everyone(self) -> Index:
        """The positions of all images."""
        return np.arange(len(self.images))

    def ask(self, seat: int, which: Index | None = None) -> Probs:
        """Ask a member.

        Args:
            seat: Its position in the committee.
            which: Positions of the images, at least one; ``None`` means all.

        Returns:
            Its own probabilities, shape (len(which), C).
        """
        which = self.everyone if which is None else which
        member = self.committee.members[seat]
        inputs = self._inputs(seat, which)
        start = time.perf_counter()
        output = member.engine.run(inputs)
        self._spent_ms[which, seat] = _ms_since(start) / len(which)
        self.asked[which, seat] = True
        self.probs[which, seat] = output.probs
        if member.taught is not None and seat == self.committee.doubt.stages[0].seat:
            self.novelty = novelty.p_values(member.taught, output.features)
        return output.probs

    def _inputs(self, seat: int, which: Index) -> npt.NDArray[np.float32]:
        images = [self.images[number] for number in which]
        own = self.committee.members[seat].recipe
        start = time.perf_counter()
        made = self._pool.map(
            lambda image: recipe.apply(own, image.pixels),
            [image for image in images if seat not in image.inputs],
        )
        inputs = [image.inputs[seat] if seat in image.inputs else next(made) for image in images]
        self._recipe_ms[which] += _ms_since(start) / len(which)
        return np.stack(inputs)

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
        recipe_ms = float(self._recipe_ms[number])
        total_ms = image.decode_ms + recipe_ms + sum(spent.values())
        return Timing(image.decode_ms, recipe_ms, spent, total_ms)


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
