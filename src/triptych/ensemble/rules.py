"""Combination rules: pure array functions, and `RULES`, the one table of them.

Every function takes probs of shape (M, N, C) (members, images, classes), rows summing to 1, and
returns a new array of shape (N, C), rows summing to 1. No rule changes when the order of images
or classes changes; only `weighted` depends on the order of members.

The setting ``rule``, the choices on the page, the API's schemas and docs/rules.md are made from
the table. NumPy is imported where it is used, as settings read the table and
``triptych --help`` must not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass

from triptych import errors
from triptych.typing import Probs
from triptych.utils.text import text


def maximum(probs: Probs) -> Probs:
    """The most confident member answers alone: the rule of the demo that the project started from.

    For each image the member whose top probability is highest wins; of equally sure members, the
    first.

    Args:
        probs: Shape (M, N, C).

    Returns:
        Shape (N, C): the winner's row.

    Example:
        >>> import numpy as np
        >>> maximum(np.array([[[0.6, 0.4]], [[0.1, 0.9]]]))
        array([[0.1, 0.9]])
    """
    import numpy as np

    winner = probs.max(axis=2).argmax(axis=0)  # (N,)
    joined: Probs = probs[winner, np.arange(probs.shape[1])]
    return joined


def vote(probs: Probs) -> Probs:
    """Each member votes for its top class; among equal votes the mean probability decides.

    A class gets ``(votes + mean probability) / (M + 1)``: one vote more always outweighs any
    mean, and the row still sums to 1.

    Args:
        probs: Shape (M, N, C).

    Returns:
        Shape (N, C).

    Example:
        >>> import numpy as np
        >>> vote(np.array([[[0.6, 0.4]], [[0.6, 0.4]], [[0.0, 1.0]]])).round(2)
        array([[0.6, 0.4]])
    """
    import numpy as np

    members, _, classes = probs.shape
    ballots = np.eye(classes)[probs.argmax(axis=2)]  # (M, N, C)
    joined: Probs = (ballots.sum(axis=0) + probs.mean(axis=0)) / (members + 1)
    return joined


def mean(probs: Probs) -> Probs:
    """The average of the members' probabilities.

    Args:
        probs: Shape (M, N, C).

    Returns:
        Shape (N, C).

    Example:
        >>> import numpy as np
        >>> mean(np.array([[[0.6, 0.4]], [[0.2, 0.8]]]))
        array([[0.4, 0.6]])
    """
    joined: Probs = probs.mean(axis=0)
    return joined


def weighted(probs: Probs, weights: Sequence[float]) -> Probs:
    """The average of the members' probabilities, some members counting more.

    Args:
        probs: Shape (M, N, C).
        weights: One per member, none negative, not all zero; only their proportions matter.

    Returns:
        Shape (N, C).

    Raises:
        errors.SettingError: The weights do not fit.

    Example:
        >>> import numpy as np
        >>> weighted(np.array([[[0.6, 0.4]], [[0.2, 0.8]]]), [3, 1])
        array([[0.5, 0.5]])
    """
    import numpy as np

    shares = np.asarray(weights, dtype=np.float64)
    if shares.shape != (len(probs),) or (shares < 0).any() or not shares.sum() > 0:
        raise errors.SettingError(
            text(
                "Got the weights {ravel} for {probs} members; expected one per member, none "
                "negative, at least one above zero.",
                ravel=[float(w) for w in shares.ravel()],
                probs=len(probs),
            )
        )
    return np.tensordot(shares / shares.sum(), probs, axes=1)


def temper(probs: Probs, temperature: float) -> Probs:
    """Make probabilities less confident (above 1) or more (below 1); the order of classes stays.

    Dividing logits by the temperature is raising probabilities to its inverse.

    Args:
        probs: Shape (..., C), rows sum to 1.
        temperature: Above 0; 1 changes nothing.

    Returns:
        The same shape.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017.

    Example:
        >>> import numpy as np
        >>> temper(np.array([0.8, 0.2]), 2.0).round(3)
        array([0.667, 0.333])
    """
    import numpy as np

    if temperature == 1:
        return probs
    # In logarithms, relative to the largest: powers of small float32 numbers would vanish.
    tiny = np.finfo(np.float32).tiny
    logits = np.log(np.maximum(probs, tiny))
    with np.errstate(over="ignore"):  # minus infinity is right: the power is 0
        logits = (logits - logits.max(axis=-1, keepdims=True)) / max(temperature, tiny)
    powers = np.exp(logits)
    tempered: Probs = powers / powers.sum(axis=-1, keepdims=True)
    return tempered


def log_odds(accuracies: Sequence[float]) -> list[float]:
    """Weights from known accuracies: ``log(p / (1 - p))``, best for independent voters.

    Args:
        accuracies: One per member, each strictly between 0.5 and 1.

    Returns:
        One positive weight per member.

    Source: Nitzan and Paroush, "Optimal Decision Rules in Uncertain Dichotomous Choice
    Situations", 1982.

    Example:
        >>> [round(w, 2) for w in log_odds([0.75, 0.9])]
        [1.1, 2.2]
    """
    import numpy as np

    return [float(np.log(p / (1 - p))) for p in accuracies]


@dataclass(frozen=True)
class Rule:
    """A way to combine the members' probabilities, with its description for users.

    Args:
        function: Called with probs, shape (M, N, C), and one weight per member; gives (N, C).
        summary: What it does, in a line without capital and full stop.
        when: When to choose it, in the same form.
        in_stages: Whether members answer one after another until the answer is good enough (see
            `triptych.ensemble.cascade`); ``function`` is then what all of them come to.
    """

    function: Callable[[Probs, Sequence[float]], Probs]
    summary: str
    when: str
    in_stages: bool = False


RULES: dict[str, Rule] = {
    "mean": Rule(
        lambda probs, weights: mean(probs),
        text("the average of the probabilities of all networks"),
        "hard to beat; an unsure network makes the answer less sure",
    ),
    "weighted": Rule(
        weighted,
        text("an average in which the more accurate networks count more"),
        "the best choice for a fitted committee; without a fit, weights are the log-odds of the "
        "published top-1",
    ),
    "cascade": Rule(
        weighted,
        text("networks in order of cost; stops as soon as the answer is sure enough"),
        "the same accuracy in half of the time; without a fit it never stops early",
        in_stages=True,
    ),
    "vote": Rule(
        lambda probs, weights: vote(probs),
        text("each network has one vote; the higher average decides between equal votes"),
        "when the probabilities are not calibrated",
    ),
    "max": Rule(
        lambda probs, weights: maximum(probs),
        text("the most confident network decides alone"),
        "to compare with the demo that the project started from",
    ),
}
CASCADE = "cascade"
# The default rule of a committee that was fitted.
FITTED_RULE = "weighted"


def check(rule: str) -> None:
    """Refuse a rule that does not exist.

    Raises:
        errors.UnknownName: It is not in `RULES`.
    """
    if rule not in RULES:
        raise errors.UnknownName(
            text(
                "There is no rule {rule!r}; expected one of: {rules}.",
                rule=rule,
                rules=", ".join(RULES),
            )
        )


def join(rule: str, probs: Probs, weights: Sequence[float]) -> Probs:
    """Combine the answers of all members by the rule of that name.

    Args:
        rule: A name from `RULES`.
        probs: Shape (M, N, C).
        weights: One per member; used by ``"weighted"`` and ``"cascade"`` only.

    Returns:
        Shape (N, C).

    Raises:
        errors.UnknownName: No such rule.

    Example:
        >>> import numpy as np
        >>> join("mean", np.array([[[0.6, 0.4]], [[0.2, 0.8]]]), [1, 1])
        array([[0.4, 0.6]])
    """
    check(rule)
    return RULES[rule].function(probs, weights)
