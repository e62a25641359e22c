"""Whether an export answers as the committee does, photo by photo."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triptych import errors
from triptych.ensemble import conformal
from triptych.ensemble import ood
from triptych.exports.formats import Run
from triptych.exports.source import Answer
from triptych.exports.source import Source
from triptych.inference.classifier import Classifier
from triptych.results import NONE
from triptych.results import SURE
from triptych.results import UNSURE
from triptych.results import Verdict
from triptych.typing import Float32Array
from triptych.typing import UInt8Image
from triptych.utils import formatting
from triptych.utils.text import text

# How far the probability of a class may be from that of the committee. Runtimes add in different
# orders; in int8 networks that decides the rounding of numbers between layers, so that their
# formats have tolerances themselves.
TOLERANCE = 0.01
# How far the share of training photos may be that are at least as unusual.
NOVELTY_TOLERANCE = 0.05
# Numbers that are compared with a threshold at float32 there, and at float64 here.
ROUNDING = 1e-5
# Height and width of drawn photos, in pixels: usual, tiny, tall, wide, and large.
SHAPES = (
    (300, 400),
    (375, 250),
    (224, 224),
    (280, 333),
    (1, 1),
    (3, 2),
    (640, 24),
    (40, 900),
    (1024, 768),
    (1300, 2100),
)


@dataclass(frozen=True)
class Comparison:
    """How far an export is from the committee.

    Args:
        photos: How many were compared.
        largest: Largest difference of the probability of a class.
        mean: Mean difference.
        verdicts: How many have another most probable class, status or prediction set.
    """

    photos: int
    largest: float
    mean: float
    verdicts: int

    def __str__(self) -> str:
        other = "all verdicts the same"
        if self.verdicts:
            other = f"{formatting.counted(self.verdicts, 'verdict')} not the same"
        return (
            f"Compared on {self.photos} photos: probabilities differ by {self.largest:.2g} at most "
            f"and {self.mean:.2g} on average; {other}."
        )


def draw_photos() -> list[UInt8Image]:
    """Drawn photos of many sizes and shapes, each (H, W, 3), the same every time."""
    rng = np.random.default_rng(0)
    photos = []
    for number, (height, width) in enumerate(SHAPES):
        cells = rng.integers(0, 256, (2 + 3 * number, 3 + 2 * number, 3))
        rows = np.arange(height) * len(cells) // height
        columns = np.arange(width) * cells.shape[1] // width
        noisy = cells[rows][:, columns] + rng.normal(0, 12, (height, width, 3))
        photos.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return photos


def compare(
    classifier: Classifier,
    run: Run,
    source: Source,
    photos: Iterable[UInt8Image],
    *,
    tolerance: float = TOLERANCE,
) -> Comparison:
    """Compare an export with the committee that it was made of.

    Args:
        classifier: Of that committee, at the precision of the export.
        run: The export.
        source: What it was made of.
        photos: RGB, each of shape (H, W, 3).
        tolerance: How far the probability of a class may be from that of the committee.

    Raises:
        errors.EngineError: They differ by more.
    """
    gaps, verdicts, count = [], 0, 0
    for photo in photos:
        count += 1
        expected = classifier.classify(photo, top=len(source.committee.labels))
        answer, probs = run(photo), probs_of(expected)
        where = text(
            "For a photo of {width} x {height} pixels", width=photo.shape[1], height=photo.shape[0]
        )
        if answer.probs.shape != probs.shape or not np.isfinite(answer.probs).all():
            raise _refused(
                text(
                    "{where} it answers {shape} numbers that are none.",
                    where=where,
                    shape=answer.probs.shape,
                )
            )
        gap = np.abs(answer.probs - probs)
        gaps.append(gap)
        if gap.max() > tolerance:
            index = int(gap.argmax())
            raise _refused(
                text(
                    "{where} the class {name} has {probs:.4f}, and {probs_2:.4f} in the "
                    "committee; allowed is a difference of {tolerance:g}.",
                    where=where,
                    name=source.committee.labels[index].name,
                    probs=answer.probs[index],
                    probs_2=probs[index],
                    tolerance=tolerance,
                )
            )
        novelty = expected.novelty if answer.novelty is None else answer.novelty
        if novelty is not None and not abs(novelty - (expected.novelty or 0)) <= NOVELTY_TOLERANCE:
            raise _refused(
                text(
                    "{where} the novelty is {novelty:.4f}, and {novelty_2} in the committee; "
                    "allowed is a difference of {novelty_tolerance:g}.",
                    where=where,
                    novelty=novelty,
                    novelty_2=expected.novelty,
                    novelty_tolerance=NOVELTY_TOLERANCE,
                )
            )
        check_judgement(answer, source, where)
        verdicts += not is_same(answer, expected)
    everything = np.concatenate(gaps)
    return Comparison(count, float(everything.max()), float(everything.mean()), verdicts)


def probs_of(verdict: Verdict) -> Float32Array:
    """The probabilities of a verdict that names all classes, in their order, shape (C,)."""
    probs = np.zeros(len(verdict.top), np.float32)
    for guess in verdict.top:
        probs[guess.label.index] = guess.prob
    return probs


def is_same(answer: Answer, verdict: Verdict) -> bool:
    """Whether an export names the same class, status and prediction set as the committee.

    Of a multi-label committee, the same classes that hold.
    """
    if verdict.labels is not None:
        named = {guess.label.index for guess in verdict.labels}
        is_alike = answer.holds is not None and {*np.flatnonzero(answer.holds).tolist()} == named
        return is_alike and answer.status == verdict.status
    if int(answer.probs.argmax()) != verdict.label.index:
        return False
    if answer.status != verdict.status and answer.prediction_set is not None:
        return False
    guesses = verdict.prediction_set.guesses if verdict.prediction_set else ()
    expected = {guess.label.index for guess in guesses}
    if answer.prediction_set is None:
        return True
    return set(np.flatnonzero(answer.prediction_set).tolist()) == expected


def check_judgement(answer: Answer, source: Source, where: str) -> None:
    """Refuse a status, classes or a prediction set that do not follow from the probabilities.

    Raises:
        errors.EngineError: They do not.
    """
    params = source.committee.multilabel
    if (answer.holds is None) != (params is None):
        raise _refused(text("{where} it does not say which classes hold.", where=where))
    if params is not None and answer.holds is not None:
        over = answer.probs - np.array([each.value for each in params.thresholds])
        for index in np.flatnonzero((answer.holds != (over >= 0)) & (np.abs(over) > ROUNDING)):
            raise _refused(
                text(
                    "{where} the class {name} {value} with the probability {probs:.4f}; its "
                    "threshold is {value_2:.4f}.",
                    where=where,
                    name=source.committee.labels[index].name,
                    value=text("holds") if answer.holds[index] else text("does not hold"),
                    probs=answer.probs[index],
                    value_2=params.thresholds[index].value,
                )
            )
    if answer.prediction_set is None and answer.holds is None:
        return
    allowed = _statuses(answer, source)
    if answer.status not in allowed:
        raise _refused(
            text(
                "{where} its status is {status}; expected {allowed}.",
                where=where,
                status=answer.status,
                allowed=allowed[0],
            )
        )
    if answer.prediction_set is None:
        return
    quantile = None if answer.status == NONE else source.quantile
    sizes: Sequence[int] = [0, 0]
    if quantile is not None:
        sizes = [
            int(conformal.set_sizes(answer.probs, quantile + off)) for off in (-ROUNDING, ROUNDING)
        ]
    size = int(answer.prediction_set.sum())
    best = np.argsort(-answer.probs, kind="stable")[:size]
    if not sizes[0] <= size <= sizes[1] or not answer.prediction_set[best].all():
        raise _refused(
            text(
                "{where} {size} classes are in its prediction set; expected {sizes}.",
                where=where,
                size=size,
                sizes=sizes[0],
            )
        )


def _statuses(answer: Answer, source: Source) -> list[str | None]:
    """Those that a status may have, the likeliest first: two at a threshold."""
    fitted = source.committee.params.rule(source.committee.rule)
    allowed: list[str | None] = []
    if answer.novelty is not None:
        over = answer.novelty - ood.FALSE_ALARMS
        if over < -ROUNDING:
            return [NONE]
        allowed += [NONE] if over < ROUNDING else []
    if not fitted.is_fitted:
        return [*allowed, None]
    over = float(answer.probs.max()) - fitted.sure
    allowed += [SURE] if over > -ROUNDING else []
    return [*allowed, *([UNSURE] if over < ROUNDING else [])]


def _refused(reason: str) -> errors.EngineError:
    return errors.EngineError(
        f"The export does not answer as the committee does. {reason} It was not kept."
    )
