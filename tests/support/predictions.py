"""Random predictions, for the maths of committees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def random_predictions(
    skills: Sequence[float], *, photos: int, classes: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (M, N, C) that lean towards the true classes (N,) by each member's skill."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, photos)
    logits = rng.normal(size=(len(skills), photos, classes))
    logits[:, np.arange(photos), targets] += np.array(skills)[:, None]
    probs = np.exp(logits)
    return probs / probs.sum(axis=2, keepdims=True), targets
