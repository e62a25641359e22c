"""From the members' probabilities to verdicts: combined, with a status and a prediction set."""

from __future__ import annotations

import numpy as np

from triptych.ensemble import conformal
from triptych.ensemble.rules import RULES
from triptych.inference.member_batch import MemberBatch
from triptych.results import NONE
from triptych.results import SURE
from triptych.results import UNSURE
from triptych.results import Guess
from triptych.results import Prediction
from triptych.results import PredictionSet
from triptych.results import Similar
from triptych.results import Verdict
from triptych.results import top_guesses
from triptych.typing import Probs

# The share of photos that do belong to a class and are called "none of these" all the same.
FALSE_ALARMS = 0.05


def verdicts(batch: MemberBatch, *, top: int, coverage: float, similar: int = 0) -> list[Verdict]:
    """Run a batch's committee by its rule, and judge each image.

    Args:
        batch: No member has predicted yet.
        top: How many guesses each member and the verdict name, at least 1.
        coverage: How often the prediction set is to hold the true class, in (0, 1).
        similar: How many of the nearest training photos each verdict names, at least 0.

    Returns:
        One per image.
    """
    committee, params = batch.committee, batch.committee.params
    if RULES[committee.rule].in_stages:
        joined = params.run_cascade(
            lambda member, which: batch.predict([member], which)[0], len(batch.images)
        ).joined
    else:
        raw = batch.predict(range(len(committee.members)))
        calibrated = [params.calibrate(member, probs) for member, probs in enumerate(raw)]
        joined = params.join(committee.rule, np.stack(calibrated))
    return [
        _verdict(batch, image, probs, top=top, coverage=coverage, similar=similar)
        for image, probs in enumerate(joined)
    ]


def _verdict(
    batch: MemberBatch, image: int, probs: Probs, *, top: int, coverage: float, similar: int
) -> Verdict:
    committee, labels = batch.committee, batch.committee.labels
    rule = committee.params.rule(committee.rule)
    guesses = top_guesses(probs.tolist(), labels, top)
    novelty = None if batch.novelty is None else float(batch.novelty[image])

    status = prediction_set = None
    if novelty is not None and novelty <= FALSE_ALARMS:
        status = NONE  # no set of classes holds the true one
    elif rule.is_fitted:
        status = SURE if guesses[0].prob >= rule.sure else UNSURE
        quantile = conformal.quantile_for(rule.quantiles, coverage)
        if np.isfinite(quantile):  # else there were too few photos to promise this coverage
            classes = conformal.prediction_set(probs, quantile)
            named = tuple(Guess(labels[index], float(probs[index])) for index in classes)
            prediction_set = PredictionSet(coverage, named)

    answered = np.flatnonzero(batch.answered[image]).tolist()
    skipped = np.flatnonzero(~batch.answered[image]).tolist()
    reason = None
    if skipped:
        last = committee.params.stages[len(answered) - 1]
        reason = (
            f"After {committee.members[last.member].name} the answer had a probability of "
            f"{guesses[0].prob:.3f}, and {last.threshold:.3f} is enough."
        )
    predictions = []
    for member in answered:
        own = committee.params.calibrate(member, batch.probs[image, member])
        best = top_guesses(own.tolist(), labels, top)
        predictions.append(Prediction(committee.members[member].name, best))
    return Verdict(
        source=batch.images[image].source,
        rule=committee.rule,
        top=guesses,
        members=tuple(predictions),
        timing=batch.timing(image),
        warning=committee.warning,
        status=status,
        prediction_set=prediction_set,
        novelty=novelty,
        skipped=tuple(committee.members[member].name for member in skipped),
        reason=reason,
        similar=tuple(
            Similar(photo.digest, labels[photo.label], photo.distance)
            for photo in batch.neighbours(image, similar)
            if 0 <= photo.label < len(labels)  # bundles come from anybody
        ),
    )
