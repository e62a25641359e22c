"""When answers can be called sure, and the reasons given if none can."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from triptych.ensemble import fit
from triptych.ensemble import promise
from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.rules import RULES


def fitted(photos: int, *, wrong: int = 0, precision: float = 0.95) -> EnsembleParams:
    """Parameters of a member with equal probabilities for all photos, the first of them wrong."""
    targets = np.zeros(photos, np.intp)
    targets[:wrong] = 1
    return fit.fit(np.tile([0.9, 0.1], (1, photos, 1)), targets, [1], precision=precision)


@pytest.mark.parametrize("precision", [0.5, 0.8, 0.9, 0.95, 0.975, 0.99])
def test_the_least_number_of_photos_is_that_of_the_exact_binomial_test(precision: float) -> None:
    """By SciPy's `binomtest`, which Triptych does not use."""

    def refutes(photos: int) -> bool:
        test = stats.binomtest(photos, photos, precision, alternative="greater")
        return bool(test.pvalue <= promise.RISK)

    least = promise.least_photos(precision)
    assert refutes(least)
    assert not refutes(least - 1)
    for rule in RULES:
        assert fitted(least, precision=precision).missing_promise(rule) is None
        missing = fitted(least - 1, precision=precision).missing_promise(rule)
        assert missing is not None
        assert (missing.code, missing.lacking) == (promise.TOO_FEW, 1)


def test_mistakes_are_distinguished_from_too_few_photos() -> None:
    missing = fitted(80, wrong=4).missing_promise("mean")
    assert missing is not None
    assert missing.code == "too_many_mistakes_to_promise"
    assert missing.more() == 0
    assert missing.message == (
        "Of the 80 photos answered while learning, too many of the most probable answers were "
        "wrong to promise 95 %. Correct labels that may be wrong, or add photos, and train again."
    )


def test_photos_to_add_count_those_that_are_held_out() -> None:
    missing = promise.MissingPromise(9, 0.95)
    assert missing.more() == 50
    assert missing.more(answered=0.8) == 63
    assert missing.message.startswith("Only 9 photos were answered while learning; at least 59 ")
    assert promise.MissingPromise(1, 0.9).message.startswith("Only 1 photo was answered")


@pytest.mark.parametrize(
    "provenance",
    [{}, {"photos": 23}, {"photos": "many", "precision": 0.95}, {"photos": 23, "precision": 2.0}],
)
def test_missing_counts_in_a_file_are_not_invented(provenance: dict[str, object]) -> None:
    written = {**fitted(23).to_dict(), "told": provenance}
    assert EnsembleParams.from_dict(written).missing_promise("mean") is None
