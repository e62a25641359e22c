"""The losses by which fine-tuning compares networks: arrays in, numbers out."""

from __future__ import annotations

import numpy as np

from triptych.ensemble import fit
from triptych.ensemble import rules
from triptych.typing import Array

# Label smoothing keeps a network from becoming certain of the photos that it overfits.
SMOOTHING = 0.1


def score(probs: Array, labels: Array) -> tuple[int, float]:
    """How many photos are correct, and the mean negative log-likelihood at the best temperature.

    Args:
        probs: Shape (N, C).
        labels: Shape (N,).

    Example:
        >>> score(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]))[0]
        1
    """
    correct = int((probs.argmax(axis=1) == labels).sum())
    return correct, float(nll(probs, labels).mean())


def nll(probs: Array, labels: Array) -> Array:
    """Negative log-likelihood of each photo at the best temperature, in nats, shape (N,)."""
    temperature = fit.fit_temperature(probs, labels, unlabelled=1)
    true_class = rules.temper(probs, temperature)[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.maximum(true_class, fit.FLOOR)))


def smoothed(logits: Array, labels: Array) -> float:
    """Cross-entropy with label smoothing, in nats.

    Args:
        logits: Shape (N, C).
        labels: Shape (N,).

    Example:
        >>> round(smoothed(np.zeros((3, 4)), np.array([0, 1, 2])), 4)
        1.3863
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    true_class = log_probs[np.arange(len(labels)), labels]
    by_photo = (1 - SMOOTHING) * true_class + SMOOTHING * log_probs.mean(axis=1)
    return float(-by_photo.mean())
