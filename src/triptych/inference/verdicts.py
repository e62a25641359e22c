"""From what members say to verdicts: joined, with a status and a set, and who was not needed."""

from __future__ import annotations

import dataclasses

import numpy as np

from triptych.ensemble import conformal
from triptych.ensemble.rules import CASCADE
from triptych.inference.committee import Committee
from triptych.inference.member_batch import Batch
from triptych.results import NONE
from triptych.results import SURE
from triptych.results import UNSURE
from triptych.results import Choice
from triptych.results import Guess
from triptych.results import Prediction
from triptych.results import Similar
from triptych.results import Verdict
from triptych.results import top_guesses
from triptych.typing import Probs

# Of photos that do belong, as many are called "none of these": 1 in 20.
FALSE_ALARMS = 0.05


def verdicts(batch: Batch, *, top: int, coverage: float, similar: int = 0) -> list[Verdict]:
    """Ask a batch's committee by its rule.

    Args:
        batch: Nobody was asked yet.
        top: How many guesses each member and the verdict name, at least 1.
        coverage: How often the verdict's set shall hold the true class, in (0, 1).
        similar: How many of the nearest taught photos each verdict names, at least 0.

    Returns:
        One per image.
    """
    joined = _joined(batch)  # (N, C)
    return [
        dataclasses.replace(
            _verdict(batch, number, joined[number], top, coverage),
            similar=_similar(batch, number, similar),
        )
        for number in batch.everyone
    ]


def _joined(batch: Batch) -> Probs:
    params, rule = batch.committee.params, batch.committee.rule
    if rule == CASCADE:
        return params.run_cascade(
            lambda seat, which: batch.ask([seat], which)[0], len(batch.images)
        ).joined
    own = batch.ask(range(len(batch.committee.members)))
    return params.join(rule, np.stack([params.calibrate(*each) for each in enumerate(own)]))


def _verdict(batch: Batch, number: int, joined: Probs, top: int, coverage: float) -> Verdict:
    committee, asked = batch.committee, batch.asked[number]
    novelty = None if batch.novelty is None else float(batch.novelty[number])
    guesses = top_guesses(joined.tolist(), committee.labels, top)
    status = _status(committee, guesses[0].prob, novelty)
    slept = tuple(m.name for m, was in zip(committee.members, asked, strict=True) if not was)
    return Verdict(
        source=batch.images[number].source,
        rule=committee.rule,
        top=guesses,
        members=tuple(
            Prediction(
                member.name,
                top_guesses(_own(batch, number, seat).tolist(), committee.labels, top),
            )
            for seat, member in enumerate(committee.members)
            if asked[seat]
        ),
        timing=batch.timing(number),
        warning=committee.warning,
        status=status,
        # Of a photo that is none of these, no set holds the true class.
        choice=None if status == NONE else _choice(committee, joined, coverage),
        novelty=novelty,
        slept=slept,
        reason=_reason(committee, int(asked.sum()), guesses[0].prob) if slept else None,
    )


def _similar(batch: Batch, number: int, count: int) -> tuple[Similar, ...]:
    labels = batch.committee.labels
    return tuple(
        Similar(found.digest, labels[found.label], found.distance)
        for found in batch.nearest(number, count)
        if 0 <= found.label < len(labels)  # a bundle may come from anybody
    )


def _own(batch: Batch, number: int, seat: int) -> Probs:
    return batch.committee.params.calibrate(seat, batch.probs[number, seat])


def _status(committee: Committee, prob: float, novelty: float | None) -> str | None:
    if novelty is not None and novelty <= FALSE_ALARMS:
        return NONE
    rule = committee.params.rule(committee.rule)
    if not rule.is_fitted:
        return None
    return SURE if prob >= rule.sure else UNSURE


def _choice(committee: Committee, joined: Probs, coverage: float) -> Choice | None:
    rule = committee.params.rule(committee.rule)
    if not rule.is_fitted:
        return None
    level = conformal.quantile_for(rule.quantiles, coverage)
    if not np.isfinite(level):  # too few photos to promise it
        return None
    classes = conformal.prediction_set(joined, level)
    return Choice(
        coverage, tuple(Guess(committee.labels[place], float(joined[place])) for place in classes)
    )


def _reason(committee: Committee, asked: int, prob: float) -> str:
    last = committee.params.stages[asked - 1]
    return (
        f"After {committee.members[last.member].name} the answer had a probability of {prob:.3f}, "
        f"and {last.threshold:.3f} is enough."
    )
