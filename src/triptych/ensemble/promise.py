"""Why no answer of a fitted committee can be called sure.

An answer is called sure if answers that probable were right often enough, on enough photos
(`triptych.ensemble.fit.calibration.sure_threshold`). With few photos no threshold meets that, so
each answer is unsure, whatever its probability. That says nothing about the photo at hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from triptych.utils.formatting import counted
from triptych.utils.formatting import percent
from triptych.utils.text import ntext
from triptych.utils.text import text

# Accepted risk that sure answers are right less often than promised.
RISK = 0.05

# What became of a promise.
PROMISED = "promised"
TOO_FEW = "too_few_to_promise"
TOO_MANY_MISTAKES = "too_many_mistakes_to_promise"


def least_photos(precision: float) -> int:
    """How many photos have to be answered, all of them correctly, before answers are called sure.

    Args:
        precision: The share of sure answers that is promised to be right, in (0, 1).

    Source: Clopper and Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the
    Case of the Binomial", 1934.

    Example:
        >>> least_photos(0.95), least_photos(0.99)
        (59, 299)
    """
    return math.ceil(math.log(RISK) / math.log(precision))


@dataclass(frozen=True)
class MissingPromise:
    """Why no answer can be called sure.

    Args:
        photos: How many labelled photos were answered for the fit.
        precision: The share of sure answers that was to be right, in (0, 1).

    Example:
        >>> MissingPromise(23, 0.95).code, MissingPromise(23, 0.95).lacking
        ('too_few_to_promise', 36)
    """

    photos: int
    precision: float

    @property
    def lacking(self) -> int:
        """How many more photos are needed at least; 0 where it is not their number."""
        return max(0, least_photos(self.precision) - self.photos)

    def more(self, answered: float = 1.0) -> int:
        """How many photos to add at least; 0 where it is not their number.

        Args:
            answered: The share of photos that are answered for the fit; the others are held out.

        Example:
            >>> MissingPromise(16, 0.95).more(answered=0.8)
            54
        """
        return math.ceil(round(self.lacking / answered, 9))

    @property
    def code(self) -> str:
        """``"too_few_to_promise"`` or ``"too_many_mistakes_to_promise"``."""
        return TOO_FEW if self.lacking else TOO_MANY_MISTAKES

    @property
    def reason(self) -> str:
        """Why, in a sentence."""
        promise = percent(self.precision, None)
        if self.lacking:
            return ntext(
                "Only {n} photo was answered while learning; at least {least} without a mistake "
                "are needed before Triptych can promise {promise}.",
                "Only {n:,} photos were answered while learning; at least {least} without a "
                "mistake are needed before Triptych can promise {promise}.",
                self.photos,
                least=least_photos(self.precision),
                promise=promise,
            )
        return text(
            "Of the {photos} answered while learning, too many of the most probable "
            "answers were wrong to promise {promise}.",
            photos=counted(self.photos, "photo"),
            promise=promise,
        )

    @property
    def message(self) -> str:
        """The reason, and what to do."""
        if self.lacking:
            return text("{reason} Add photos, and train again.", reason=self.reason)
        return text(
            "{reason} Correct labels that may be wrong, or add photos, and train again.",
            reason=self.reason,
        )
