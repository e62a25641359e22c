"""Rules that join the members' probabilities into one answer: pure array functions.

Every rule takes probs of shape (M, N, C) (members, images, classes), rows summing to 1, and
returns a new array of shape (N, C), rows summing to 1. No rule changes when the order of images
or classes changes; only `weighted` depends on the order of members.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Sequence

import numpy as np

from triptych import errors
from triptych.typing import Probs


def maximum(probs: Probs) -> Probs:
    """The surest member answers alone: the rule of the article.

    For each image the member whose top probability is highest wins; of equally sure members, the
    first.

    Args:
        probs: Shape (M, N, C).

    Returns:
        Shape (N, C): the winner's row.

    Example:
        >>> maximum(np.array([[[0.6, 0.4]], [[0.1, 0.9]]]))
        array([[0.1, 0.9]])
    """
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
        >>> vote(np.array([[[0.6, 0.4]], [[0.6, 0.4]], [[0.0, 1.0]]])).round(2)
        array([[0.6, 0.4]])
    """
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
        >>> weighted(np.array([[[0.6, 0.4]], [[0.2, 0.8]]]), [3, 1])
        array([[0.5, 0.5]])
    """
    shares = np.asarray(weights, dtype=np.float64)
    if shares.shape != (len(probs),) or (shares < 0).any() or not shares.sum() > 0:
        raise errors.SettingError(
            f"Got the weights {[float(w) for w in shares.ravel()]} for {len(probs)} members; "
            "expected one per member, none negative, at least one above zero."
        )
    return np.tensordot(shares / shares.sum(), probs, axes=1)


def temper(probs: Probs, temperature: float) -> Probs:
    """Make probabilities more modest (above 1) or bolder (below 1); the order of classes stays.

    Dividing logits by the temperature is raising probabilities to its inverse.

    Args:
        probs: Shape (..., C), rows sum to 1.
        temperature: Above 0; 1 changes nothing.

    Returns:
        The same shape.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017.

    Example:
        >>> temper(np.array([0.8, 0.2]), 2.0).round(3)
        array([0.667, 0.333])
    """
    if temperature == 1:
        return probs
    # In logarithms, relative to the largest: powers of small float32 numbers would vanish.
    logits = np.log(np.maximum(probs, np.finfo(np.float32).tiny)) / temperature
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
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
    return [float(np.log(p / (1 - p))) for p in accuracies]


Rule = Callable[[Probs, Sequence[float]], Probs]

RULES: dict[str, Rule] = {
    "max": lambda probs, weights: maximum(probs),
    "vote": lambda probs, weights: vote(probs),
    "mean": lambda probs, weights: mean(probs),
    "weighted": weighted,
}


def check(rule: str, *, among: Collection[str] = RULES) -> None:
    """Refuse a rule that does not exist.

    Args:
        rule: Its name.
        among: Those there are.

    Raises:
        errors.UnknownName: It is none of them.
    """
    if rule not in among:
        raise errors.UnknownName(f"There is no rule {rule!r}; expected one of: {', '.join(among)}.")


def join(rule: str, probs: Probs, weights: Sequence[float]) -> Probs:
    """Apply a rule by name.

    Args:
        rule: A name from `RULES`.
        probs: Shape (M, N, C).
        weights: One per member; used by ``"weighted"`` only.

    Returns:
        Shape (N, C).

    Raises:
        errors.UnknownName: No such rule.

    Example:
        >>> join("mean", np.array([[[0.6, 0.4]], [[0.2, 0.8]]]), [1, 1])
        array([[0.4, 0.6]])
    """
    check(rule)
    return RULES[rule](probs, weights)
