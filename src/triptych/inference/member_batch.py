"""A batch of images, and the forward passes of a committee's members on it, with their times."""

from __future__ import annotations

import time
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from triptych.engines import Output
from triptych.engines import PixelEngine
from triptych.ensemble import ood
from triptych.inference.committee import Committee
from triptych.preprocessing import recipe
from triptych.results import Timing
from triptych.typing import Float64Array
from triptych.typing import Indices
from triptych.typing import Probs
from triptych.typing import UInt8Image


class ImageSource(Protocol):
    """One image, ready to be cropped to what each network takes."""

    @property
    def source(self) -> str:
        """Where it came from, for people."""
        ...

    @property
    def decode_ms(self) -> float:
        """Time that reading it took, in milliseconds."""
        ...

    def crop(self, for_recipe: recipe.Recipe) -> UInt8Image:
        """The input of a network with this recipe, before its values are scaled."""
        ...


@dataclass(frozen=True)
class DecodedImage:
    """One image, decoded.

    Args:
        source: Where it came from.
        picture: RGB pixels, shared by all members.
        decode_ms: Time that decoding took.
    """

    source: str
    picture: recipe.Picture
    decode_ms: float

    def crop(self, for_recipe: recipe.Recipe) -> UInt8Image:
        """The input of a network with this recipe, before its values are scaled."""
        return recipe.resize(for_recipe, self.picture)


@dataclass(frozen=True)
class CroppedImage:
    """One image of which only the inputs of certain networks are left, to be sent elsewhere.

    Args:
        source: Where it came from.
        pixels: By recipe, what `triptych.preprocessing.recipe.resize` makes of the image.
        decode_ms: Time that decoding and cropping took.
    """

    source: str
    pixels: Mapping[recipe.Recipe, UInt8Image]
    decode_ms: float

    def crop(self, for_recipe: recipe.Recipe) -> UInt8Image:
        """The input of a network with this recipe, one of those it was cropped for."""
        return self.pixels[for_recipe]


class MemberBatch:
    """N images and the raw probabilities of M members, which predict some at a time.

    Each member runs on each image by itself, as many at once as the pool has threads: on a CPU
    a photo a core is faster than a batch on all cores, and the members of a single photo run
    beside each other. Where batches are faster, engines join them (`triptych.engines.batching`).

    Args:
        images: At least one.
        committee: Whose members predict.
        pool: Runs recipes and networks; a single run stays in the caller's thread.
    """

    def __init__(self, images: Sequence[ImageSource], committee: Committee, pool: Executor) -> None:
        shape = (len(images), len(committee.members))
        self.images = images
        self.committee = committee
        self.answered = np.zeros(shape, bool)  # (N, M): which member has predicted which image
        self.probs = np.zeros((*shape, len(committee.labels)), np.float32)  # raw
        # Shape (N,), once the member that has a reference of its training photos has predicted.
        self.novelty: Float64Array | None = None
        self._features: Probs | None = None  # (N, F), of that member
        self._network_ms = np.zeros(shape)
        self._recipe_ms = np.zeros(shape)
        self._total_ms = np.array([image.decode_ms for image in images])
        self._pool = pool

    @property
    def ood_reference(self) -> ood.OODReference | None:
        """What photos are compared with: the reference of the member that runs first."""
        first = self.committee.params.stages[0].member
        return self.committee.members[first].ood

    def predict(self, members: Sequence[int], which: Indices | None = None) -> Probs:
        """Run members on images.

        Args:
            members: Their indices in the committee, at least one.
            which: Positions of the images, at least one; ``None`` means all.

        Returns:
            Raw probabilities, shape (len(members), len(which), C).
        """
        which = np.arange(len(self.images)) if which is None else which
        runs = [(member, int(image)) for member in members for image in which]
        start = time.perf_counter()
        if len(runs) == 1:  # nothing to run beside it, so no other thread is needed
            outputs = [self._forward(*runs[0])]
        else:
            outputs = list(self._pool.map(self._forward, *zip(*runs, strict=True)))
        self._total_ms[which] += 1000 * (time.perf_counter() - start) / len(which)
        for (member, image), output in zip(runs, outputs, strict=True):
            self.answered[image, member] = True
            self.probs[image, member] = output.probs[0]
        first, reference = self.committee.params.stages[0].member, self.ood_reference
        if reference is not None and first in members:
            begin = list(members).index(first) * len(which)
            some = outputs[begin : begin + len(which)]
            self._features = np.concatenate([output.features for output in some])
            self.novelty = ood.p_values(reference, self._features)
        return self.probs[which][:, members].swapaxes(0, 1)

    def _forward(self, member: int, image: int) -> Output:
        engine, of = self.committee.members[member].engine, self.committee.members[member].recipe
        start = time.perf_counter()
        pixels = self.images[image].crop(of)[np.newaxis]
        if isinstance(engine, PixelEngine):
            prepared = time.perf_counter()
            output = engine.run_pixels(pixels)
        else:
            inputs = recipe.scale(of, pixels)
            prepared = time.perf_counter()
            output = engine.run(inputs)
        self._network_ms[image, member] = 1000 * (time.perf_counter() - prepared)
        self._recipe_ms[image, member] = 1000 * (prepared - start)
        return output

    def neighbours(self, image: int, count: int) -> list[ood.Neighbour]:
        """The training photos that are nearest to one image; none where none are known."""
        if self.ood_reference is None or self._features is None or not count:
            return []
        return ood.nearest(self.ood_reference, self._features[image : image + 1], count)[0]

    def timing(self, image: int) -> Timing:
        """Where the time of one image went."""
        return Timing(
            decode_ms=self.images[image].decode_ms,
            recipe_ms=float(self._recipe_ms[image].sum()),
            members_ms={
                self.committee.members[member].name: float(self._network_ms[image, member])
                for member in np.flatnonzero(self.answered[image])
            },
            total_ms=float(self._total_ms[image]),
        )
