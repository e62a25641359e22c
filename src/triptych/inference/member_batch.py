"""One batch from top to bottom: crops, forward passes, calibration, rule, status, verdicts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from triptych import errors
from triptych.engines import JoinedOutput
from triptych.engines import Output
from triptych.engines import PixelEngine
from triptych.ensemble import cascade
from triptych.ensemble import conformal
from triptych.ensemble import ood
from triptych.ensemble.rules import RULES
from triptych.inference.committee import Committee
from triptych.preprocessing import recipe
from triptych.results import NONE
from triptych.results import SURE
from triptych.results import UNSURE
from triptych.results import Guess
from triptych.results import MultilabelGuess
from triptych.results import Prediction
from triptych.results import PredictionSet
from triptych.results import Similar
from triptych.results import StatusReason
from triptych.results import Timing
from triptych.results import Verdict
from triptych.results import top_guesses
from triptych.typing import Float64Array
from triptych.typing import Indices
from triptych.typing import Probs
from triptych.typing import UInt8Image
from triptych.utils.text import text

# How far the probabilities of a photo may be from summing to 1: bf16 rounds each by up to 0.2 %.
SUM_TOLERANCE = 0.01


def check_probs(probs: Probs, source: str, *, multilabel: bool = False) -> None:
    """Refuse what are no probabilities: NaN, values outside [0, 1], sums that are not 1.

    Args:
        probs: Shape (..., C).
        source: What computed them, to begin the message with.
        multilabel: Whether each is the probability of a question of its own, so that the sum is
            anything from 0 to C.

    Raises:
        errors.EngineError: A row is not a probability for each class.

    Example:
        >>> check_probs(np.array([[0.2, 0.8]]), "The network")
        >>> check_probs(np.array([[np.nan, 1.0]]), "The network")
        Traceback (most recent call last):
        triptych.errors.EngineError: The network answered [nan, 1.0], which are no probabilities; \
expected numbers from 0 to 1 that sum to 1. Its weights may be damaged: import or train it anew.
    """
    # Comparisons with NaN are false.
    is_valid = probs.min(axis=-1) >= -SUM_TOLERANCE
    if multilabel:
        is_valid &= probs.max(axis=-1) <= 1 + SUM_TOLERANCE
    else:  # nothing above 1 sums to 1 without something below 0
        is_valid &= np.abs(probs.sum(axis=-1, dtype=np.float64) - 1) <= SUM_TOLERANCE
    if not is_valid.all():
        row = probs[~is_valid][0]
        start = [float(f"{value:.4g}") for value in row[:4]]
        raise errors.EngineError(
            f"{source} answered {str(start)[:-1]}{', ...]' if len(row) > 4 else ']'}, which are no "
            f"probabilities; expected numbers from 0 to 1{'' if multilabel else ' that sum to 1'}. "
            "Its weights may be damaged: import or train it anew."
        )


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
    """N images, and the answers of M members to them, which predict all at once or in stages.

    Each member runs on each image by itself, as many at once as the pool has threads: on a CPU
    a photo a core is faster than a batch on all cores, and the members of a single photo run
    beside each other. Where batches are faster, engines join them (`triptych.engines.batching`).

    Args:
        images: At least one.
        committee: Whose members predict, and by which rule their answers are combined.
        pool: Runs recipes and networks; a single run stays in the caller's thread.
    """

    def __init__(self, images: Sequence[ImageSource], committee: Committee, pool: Executor) -> None:
        shape = (len(images), len(committee.members))
        self.images = images
        self.committee = committee
        self.answered = np.zeros(shape, bool)  # (N, M): which member has predicted which image
        self.probs = np.zeros((*shape, len(committee.labels)), np.float32)  # raw
        self._calibrated = np.zeros_like(self.probs)
        # Photos are compared with the training photos of the member that runs first.
        self._first = committee.params.stages[0].member
        self._features: Probs | None = None  # (N, F), of that member, where it has a reference
        self._novelty: Float64Array | None = None  # (N,), likewise
        self._network_ms = np.zeros(shape)
        self._recipe_ms = np.zeros(shape)
        self._batch_sizes = np.ones(shape, int)
        self._total_ms = np.array([image.decode_ms for image in images])
        self._pool = pool
        self._status_reason: StatusReason | None = None
        if missing := committee.params.missing_promise(committee.rule):
            self._status_reason = StatusReason(missing.code, missing.message, missing.precision)

    def verdicts(self, *, top: int, coverage: float, similar: int = 0) -> list[Verdict]:
        """Run the members as the committee's rule says, combine their answers, and judge each.

        Args:
            top: How many guesses each member and the verdict name, at least 1.
            coverage: How often the prediction set is to hold the true class, in (0, 1).
            similar: How many of the nearest training photos each verdict names, at least 0.

        Returns:
            One per image.
        """
        rule, params = self.committee.rule, self.committee.params
        if RULES[rule].in_stages:
            joined = cascade.run(
                lambda member, which: self._calibrate(
                    member, self.predict([member], which)[0], which
                ),
                len(self.images),
                stages=params.stages,
                weights=params.weights,
            ).joined
        else:
            raw = self.predict(range(len(self.committee.members)))
            everywhere = np.arange(len(self.images))
            calibrated = [
                self._calibrate(member, probs, everywhere) for member, probs in enumerate(raw)
            ]
            joined = params.join(rule, np.stack(calibrated))
        self._check(joined, f"The committee {self.committee.name}")
        return [
            self._verdict(image, probs, top=top, coverage=coverage, similar=similar)
            for image, probs in enumerate(joined)
        ]

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
        reference = self.committee.members[self._first].ood
        if reference is not None and self._first in members:
            begin = list(members).index(self._first) * len(which)
            some = outputs[begin : begin + len(which)]
            self._features = np.concatenate([output.features for output in some])
            self._novelty = ood.p_values(reference, self._features)
        return self.probs[which][:, members].swapaxes(0, 1)

    def _calibrate(self, member: int, raw: Probs, which: Indices) -> Probs:
        calibrated = self.committee.params.calibrate(member, raw)
        self._calibrated[which, member] = calibrated
        return calibrated

    def _check(self, probs: Probs, source: str) -> None:
        check_probs(probs, source, multilabel=self.committee.multilabel is not None)

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
        self._check(output.probs, f"The network of {self.committee.members[member].name}")
        if isinstance(output, JoinedOutput):
            self._batch_sizes[image, member] = output.batch_size
        self._network_ms[image, member] = 1000 * (time.perf_counter() - prepared)
        self._recipe_ms[image, member] = 1000 * (prepared - start)
        return output

    def _verdict(
        self, image: int, probs: Probs, *, top: int, coverage: float, similar: int
    ) -> Verdict:
        committee, labels, params = self.committee, self.committee.labels, self.committee.params
        guesses = top_guesses(probs, labels, top)
        novelty = None if self._novelty is None else float(self._novelty[image])
        status, prediction_set = self._status(probs, guesses[0].prob, novelty, coverage)
        predictions, skipped, reason = [], [], None
        for number, member in enumerate(committee.members):
            if self.answered[image, number]:
                best = top_guesses(self._calibrated[image, number], labels, top)
                predictions.append(Prediction(member.name, best))
            else:
                skipped.append(member.name)
        if skipped:
            last = params.stages[len(predictions) - 1]
            reason = text(
                "After {network} the answer had a probability of {prob:.3f}, and {threshold:.3f} "
                "is enough.",
                network=committee.members[last.member].name,
                prob=guesses[0].prob,
                threshold=last.threshold,
            )
        return Verdict(
            source=self.images[image].source,
            rule=committee.rule,
            top=guesses,
            members=tuple(predictions),
            timing=self.timing(image),
            warning=committee.warning,
            status=status,
            prediction_set=prediction_set,
            novelty=novelty,
            skipped=tuple(skipped),
            reason=reason,
            similar=self._similar(image, similar) if similar else (),
            status_reason=self._status_reason if status == UNSURE else None,
            labels=self._labels(probs),
        )

    def _labels(self, probs: Probs) -> tuple[MultilabelGuess, ...] | None:
        """The classes that hold, most probable first; ``None`` for a single-label committee."""
        params = self.committee.multilabel
        if params is None:
            return None
        order = np.argsort(-probs, kind="stable")
        return tuple(
            MultilabelGuess(
                self.committee.labels[index], float(probs[index]), params.thresholds[index].value
            )
            for index in order[params.holds(probs)[order]]
        )

    def _status(
        self, probs: Probs, best: float, novelty: float | None, coverage: float
    ) -> tuple[str | None, PredictionSet | None]:
        """The status and prediction set of an answer; none where its rule was not fitted."""
        if novelty is not None and novelty <= ood.FALSE_ALARMS:
            return NONE, None  # no set of classes contains the true one
        fitted, labels = self.committee.params.rule(self.committee.rule), self.committee.labels
        if not fitted.is_fitted:
            return None, None
        status = SURE if best >= fitted.sure else UNSURE
        quantile = conformal.quantile_for(fitted.quantiles, coverage)
        if not np.isfinite(quantile):  # there were too few photos to promise this coverage
            return status, None
        classes = conformal.prediction_set(probs, quantile)
        named = tuple([Guess(labels[index], float(probs[index])) for index in classes])
        return status, PredictionSet(coverage, named)

    def _similar(self, image: int, count: int) -> tuple[Similar, ...]:
        """The training photos that are nearest to one image; none where none are known."""
        reference, labels = self.committee.members[self._first].ood, self.committee.labels
        if reference is None or self._features is None:
            return ()
        photos = ood.nearest(reference, self._features[image : image + 1], count)[0]
        if self.committee.multilabel:
            return tuple(
                Similar(
                    photo.digest,
                    None,
                    photo.distance,
                    tuple(labels[index] for index in photo.labels or () if index < len(labels)),
                )
                for photo in photos
            )
        return tuple(
            Similar(photo.digest, labels[photo.label], photo.distance)
            for photo in photos
            if 0 <= photo.label < len(labels)  # bundles come from anybody
        )

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
            batch_sizes={
                self.committee.members[member].name: int(self._batch_sizes[image, member])
                for member in np.flatnonzero(self.answered[image])
            },
        )
