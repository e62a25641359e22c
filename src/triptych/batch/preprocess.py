"""Photos read and cut on one machine, to be looked at on another.

What travels is what the networks are shown, 150 kB for each of 224 x 224 px, however large the
photo is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from triptych import errors
from triptych import images
from triptych.batch import plan
from triptych.batch.manifest import Asked
from triptych.batch.run import photo
from triptych.inference.classifier import Classifier
from triptych.inference.member_batch import CroppedImage
from triptych.preprocessing import recipe
from triptych.results import Failure
from triptych.typing import UInt8Image


@dataclass(frozen=True)
class Cutter:
    """Reads photos and cuts them as a committee is shown them.

    Args:
        recipes: Of its members, each once.
        enough: How long the shorter side of a photo has to be, in pixels, for all of them.
        limits: Largest image that is accepted.
    """

    recipes: tuple[recipe.Recipe, ...]
    enough: int
    limits: images.Limits

    @classmethod
    def of(cls, classifier: Classifier, asked: Asked) -> Cutter:
        """What cuts photos as a classifier would."""
        members = classifier.committee.members
        fitted = (m.recipe for m in classifier.committee.configured(fit=asked.fit).members)
        enough = recipe.enough(member.recipe for member in members)
        return cls(tuple(dict.fromkeys(fitted)), enough, classifier.limits)

    def cut(self, source: str) -> CroppedImage | Failure:
        """Read a photo and cut it.

        Args:
            source: Its path or URL.
        """
        start = time.perf_counter()
        try:
            picture = images.picture(photo(source), limits=self.limits, enough=self.enough)
        except errors.TriptychError as error:
            return Failure(source, error.code, error.message)
        pixels = {own: recipe.resize(own, picture) for own in self.recipes}
        return CroppedImage(source, pixels, (time.perf_counter() - start) * 1000)

    def pack(self, cuts: Sequence[CroppedImage | Failure]) -> dict[str, Any]:
        """Photos as one record of lists and arrays.

        Args:
            cuts: What `cut` gave, at least one. Where it failed, pixels are black.
        """
        pixels = {
            f"pixels_{seat}": np.stack([_pixels(cut, own) for cut in cuts])  # (N, S, S, 3)
            for seat, own in enumerate(self.recipes)
        }
        failed = [cut if isinstance(cut, Failure) else Failure("", "", "") for cut in cuts]
        return {
            "sources": [plan.encoded(cut.source) for cut in cuts],
            "codes": [failure.code for failure in failed],
            "messages": [failure.message for failure in failed],
            "decode_ms": [0.0 if isinstance(cut, Failure) else cut.decode_ms for cut in cuts],
            **pixels,
        }

    def unpack(self, record: Mapping[str, Any]) -> Iterator[CroppedImage | Failure]:
        """What `pack` was given.

        Args:
            record: What it gave.
        """
        told = zip(*(record[name] for name in ("sources", "codes", "messages")), strict=True)
        for row, (source, code, message) in enumerate(told):
            name = plan.decoded(source)
            if code:
                yield Failure(name, code, message)
            else:
                pixels = {
                    own: record[f"pixels_{seat}"][row] for seat, own in enumerate(self.recipes)
                }
                yield CroppedImage(name, pixels, float(record["decode_ms"][row]))


def _pixels(cut: CroppedImage | Failure, own: recipe.Recipe) -> UInt8Image:
    return cut.pixels[own] if isinstance(cut, CroppedImage) else np.zeros((*own.size, 3), np.uint8)
