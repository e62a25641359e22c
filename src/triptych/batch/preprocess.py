"""Photos decoded and cropped on one machine, for networks on another.

Only the networks' inputs travel, 150 kB for each of 224 x 224 px, however large the photo is.
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
from triptych.batch.manifest import Manifest
from triptych.batch.run import photo
from triptych.inference.classifier import Classifier
from triptych.inference.member_batch import CroppedImage
from triptych.preprocessing import recipe
from triptych.results import Failure
from triptych.typing import UInt8Image


@dataclass(frozen=True)
class Preprocessor:
    """Decodes photos and crops them to the inputs of a committee.

    Args:
        recipes: Of its members, each once.
        enough: How long the shorter side of a photo has to be, in pixels, for all of them.
        limits: Largest image that is accepted.
    """

    recipes: tuple[recipe.Recipe, ...]
    enough: int
    limits: images.Limits

    @classmethod
    def of(cls, classifier: Classifier, manifest: Manifest) -> Preprocessor:
        """The preprocessing of a classifier."""
        members = classifier.committee.members
        fitted = (m.recipe for m in classifier.committee.configured(fit=manifest.fit).members)
        enough = recipe.enough(member.recipe for member in members)
        return cls(tuple(dict.fromkeys(fitted)), enough, classifier.limits)

    def crop(self, source: str) -> CroppedImage | Failure:
        """Read a photo and crop it, for each recipe.

        Args:
            source: Its path or URL.
        """
        start = time.perf_counter()
        try:
            picture = images.picture(photo(source), limits=self.limits, enough=self.enough)
        except errors.TriptychError as error:
            return Failure(source, error.code, error.message)
        pixels = {each: recipe.resize(each, picture) for each in self.recipes}
        return CroppedImage(source, pixels, (time.perf_counter() - start) * 1000)

    def pack(self, crops: Sequence[CroppedImage | Failure]) -> dict[str, Any]:
        """Photos as one record of lists and arrays.

        Args:
            crops: What `crop` returned, at least one. Of a failure, pixels are black.
        """

        def pixels(crop: CroppedImage | Failure, each: recipe.Recipe) -> UInt8Image:
            if isinstance(crop, CroppedImage):
                return crop.pixels[each]
            return np.zeros((*each.size, 3), np.uint8)

        failed = [crop if isinstance(crop, Failure) else Failure("", "", "") for crop in crops]
        return {
            "sources": [plan.encode(crop.source) for crop in crops],
            "codes": [failure.code for failure in failed],
            "messages": [failure.message for failure in failed],
            "decode_ms": [0.0 if isinstance(crop, Failure) else crop.decode_ms for crop in crops],
            **{
                f"pixels_{number}": np.stack([pixels(crop, each) for crop in crops])  # (N, S, S, 3)
                for number, each in enumerate(self.recipes)
            },
        }

    def unpack(self, record: Mapping[str, Any]) -> Iterator[CroppedImage | Failure]:
        """The photos of a record that `pack` made.

        Args:
            record: Of `pack`.
        """
        columns = (record[name] for name in ("sources", "codes", "messages"))
        for row, (source, code, message) in enumerate(zip(*columns, strict=True)):
            name = plan.decode(source)
            if code:
                yield Failure(name, code, message)
            else:
                pixels = {
                    each: record[f"pixels_{number}"][row]
                    for number, each in enumerate(self.recipes)
                }
                yield CroppedImage(name, pixels, float(record["decode_ms"][row]))
