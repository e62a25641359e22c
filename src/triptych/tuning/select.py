"""Model selection under a latency budget: every single, pair and triple of candidates.

Arrays in, records out. Each photo is predicted by committees that were fitted on the other folds,
so that large committees gain nothing from overfitting.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import numpy as np

from triptych import errors
from triptych.ensemble import cascade
from triptych.ensemble import fit
from triptych.ensemble import rules
from triptych.ensemble.fit import cascade_thresholds
from triptych.ensemble.fit import fitting
from triptych.ensemble.fit import weights
from triptych.evaluation import metrics
from triptych.typing import Array
from triptych.typing import Mask

Members = tuple[int, ...]

LARGEST = 3
# Limit of photos times classes on which a temperature is fitted; more take long and change little.
ENOUGH = 1_000_000


@dataclass(frozen=True)
class Candidate:
    """A network that may become a member.

    Args:
        name: Of its backbone.
        ms: Latency for one photo on this machine, in milliseconds, without decoding.
        multiply_adds: Multiply-adds for one photo, in billions.
    """

    name: str
    ms: float
    multiply_adds: float


@dataclass(frozen=True, eq=False)
class Option:
    """A committee to choose from.

    Args:
        members: Names in the order of the cascade: the fastest first.
        is_cascade: Whether later members predict only photos that earlier ones leave undecided.
        correct: Which photos it predicted correctly, shape (N,).
        ms: Latency for a photo, in milliseconds; of a cascade, on average.
        multiply_adds: Multiply-adds for a photo, in billions; of a cascade, on average.
    """

    members: tuple[str, ...]
    is_cascade: bool
    correct: Mask = field(repr=False)
    ms: float
    multiply_adds: float

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return float(self.correct.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the share of right answers, by Wilson."""
        return metrics.wilson(int(self.correct.sum()), len(self.correct))

    @property
    def title(self) -> str:
        """The option's name, for people."""
        return f"{' + '.join(self.members)}{', cascade' if self.is_cascade else ''}"

    def to_dict(self) -> dict[str, Any]:
        """The option as a JSON object."""
        return {
            "title": self.title,
            "members": list(self.members),
            "cascade": self.is_cascade,
            "top1": self.accuracy,
            "interval": [round(bound, 4) for bound in self.interval],
            "ms": round(self.ms, 3),
            "multiply_adds": round(self.multiply_adds, 3),
        }


def options(
    probs: Array,
    targets: Array,
    candidates: Sequence[Candidate],
    folds: Array,
    *,
    tolerance: float = 0.001,
) -> list[Option]:
    """Every single, pair and triple of candidates, and the cascade of each pair and triple.

    Members are combined by the mean of their calibrated probabilities. 8 candidates give 176
    options.

    Args:
        probs: The candidates' out-of-fold probabilities, shape (M, N, C).
        targets: Shape (N,).
        candidates: M of them.
        folds: Shape (N,): each photo's fold; at least 2 of them.
        tolerance: The accuracy that a cascade may lose, by its estimate, as a share.

    Raises:
        errors.SettingError: The arguments do not fit together.

    Example:
        >>> probs = np.tile([0.9, 0.1], (2, 100, 1))
        >>> pair = [Candidate("A", 1, 1), Candidate("B", 3, 3)]
        >>> found = options(probs, np.zeros(100, int), pair, np.arange(100) % 5)
        >>> [option.title for option in found]
        ['A', 'B', 'A + B', 'A + B, cascade']
    """
    fits = probs.ndim == 3 and targets.shape == folds.shape == probs.shape[1:2]
    if not fits or len(candidates) != len(probs) or not candidates:
        raise errors.SettingError(
            f"Got probs of shape {probs.shape}, targets of shape {targets.shape}, folds of shape "
            f"{folds.shape} and {len(candidates)} candidates; expected (members, photos, "
            "classes), (photos,) twice and one candidate per member."
        )
    if len(np.unique(folds)) < 2:
        raise errors.SettingError("Got photos of a single fold; expected at least 2 folds.")
    quickest = sorted(range(len(candidates)), key=lambda member: candidates[member].ms)
    subsets = [
        members
        for size in range(1, min(LARGEST, len(candidates)) + 1)
        for members in itertools.combinations(quickest, size)
    ]
    trials = {members: _Trial(members, len(targets)) for members in subsets}
    for fold in np.unique(folds):
        fitted = _Fold(probs, targets, folds == fold)
        costs = [candidate.ms for candidate in candidates]
        for trial in trials.values():
            trial.answer(fitted, costs, tolerance)
    return [option for trial in trials.values() for option in trial.options(candidates)]


def front(options: Sequence[Option]) -> list[Option]:
    """The Pareto front: the options than which no other is both as fast and more accurate.

    Args:
        options: Any.

    Returns:
        Fastest first, each more accurate than the one before.
    """
    best: list[Option] = []
    for option in sorted(options, key=lambda option: (option.ms, -option.accuracy)):
        if not best or option.accuracy > best[-1].accuracy:
            best.append(option)
    return best


def recommend(options: Sequence[Option], budget_ms: float) -> Option:
    """The fastest option that is not significantly worse than the best within a budget.

    Not simply the best: of many similar options, the one that leads by a photo is only lucky.

    Args:
        options: At least one.
        budget_ms: Milliseconds that a photo may take on average.

    Raises:
        errors.SettingError: None is that fast; the message names the fastest.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions
    or percentages", 1947.
    """
    check_budget({option.title: option.ms for option in options}, budget_ms)
    within = [option for option in options if option.ms <= budget_ms]
    best = max(within, key=lambda option: (option.accuracy, -option.ms))
    alike = [option for option in within if not weights.is_better(best.correct, option.correct)]
    return min(alike, key=lambda option: (option.ms, -option.accuracy))


def check_budget(times_ms: Mapping[str, float], budget_ms: float) -> None:
    """Refuse a budget that no option meets, before long computations.

    Args:
        times_ms: Milliseconds a photo, by title.
        budget_ms: Milliseconds that a photo may take.

    Raises:
        errors.SettingError: None is that fast; the message names the fastest.
    """
    quickest = min(times_ms, key=lambda title: times_ms[title])
    if times_ms[quickest] > budget_ms:
        raise errors.SettingError(
            f"Nothing answers within {budget_ms:g} ms a photo here: the quickest, {quickest}, "
            f"takes {times_ms[quickest]:.1f} ms. Allow at least that."
        )


class _Fold:
    """The candidates calibrated without the photos of one fold."""

    def __init__(self, probs: Array, targets: Array, held_out: Array) -> None:
        rest = np.flatnonzero(~held_out)
        self._sample = rest[:: max(1, len(rest) * probs.shape[2] // ENOUGH)]
        self._targets = targets
        self._temperatures: dict[Members, float] = {}
        self.held_out, self.rest = np.flatnonzero(held_out), rest
        self.held_out_targets, self.rest_targets = targets[held_out], targets[rest]
        self.probs = np.stack(
            [rules.temper(member, self._fit(member[self._sample])) for member in probs]
        )

    def _fit(self, answers: Array) -> float:
        return fit.fit_temperature(
            answers, self._targets[self._sample], prior_photos=fitting.PRIOR_PHOTOS
        )

    def temperature(self, members: Members) -> float:
        """Temperature of the mean of some members, cached as many committees share members."""
        if members not in self._temperatures:
            joined = rules.mean(self.probs[list(members)][:, self._sample])
            self._temperatures[members] = self._fit(joined)
        return self._temperatures[members]

    def stages(
        self, members: Members, costs: Sequence[float], tolerance: float
    ) -> list[cascade.Stage]:
        """The stages of a cascade of some members, in this order, fitted on the other folds."""
        prefixes = [members[:size] for size in range(1, len(members) + 1)]
        temperatures = [self.temperature(prefix) for prefix in prefixes]
        limits = cascade_thresholds.thresholds(
            [
                rules.temper(rules.mean(self.probs[list(prefix)][:, self.rest]), temperature)
                for prefix, temperature in zip(prefixes, temperatures, strict=True)
            ],
            self.rest_targets,
            [costs[member] for member in members],
            tolerance=tolerance,
        )
        return [cascade.Stage(*stage) for stage in zip(members, limits, temperatures, strict=True)]


class _Trial:
    """The correct predictions of some members, by their mean and as a cascade, fold after fold."""

    def __init__(self, members: Members, photos: int) -> None:
        self._members = members
        self._correct = np.zeros((2, photos), bool)
        self._used = np.full(photos, len(members))

    def answer(self, fold: _Fold, costs: Sequence[float], tolerance: float) -> None:
        """Predict the photos of a fold."""
        held_out = fold.probs[:, fold.held_out]
        joined = rules.mean(held_out[list(self._members)])
        self._correct[:, fold.held_out] = joined.argmax(axis=1) == fold.held_out_targets
        if len(self._members) > 1:
            result = cascade.run(
                lambda member, still: held_out[member, still],
                len(fold.held_out),
                stages=fold.stages(self._members, costs, tolerance),
                weights=[1.0] * len(held_out),
            )
            self._correct[1, fold.held_out] = result.joined.argmax(axis=1) == fold.held_out_targets
            self._used[fold.held_out] = result.used

    def options(self, candidates: Sequence[Candidate]) -> Iterator[Option]:
        """The mean, and the cascade if there are several members."""
        members = [candidates[member] for member in self._members]
        names = tuple(member.name for member in members)
        ms = np.cumsum([member.ms for member in members])
        multiply_adds = np.cumsum([member.multiply_adds for member in members])
        yield Option(names, False, self._correct[0], float(ms[-1]), float(multiply_adds[-1]))
        if len(members) > 1:
            last = self._used - 1
            yield Option(
                names,
                True,
                self._correct[1],
                float(ms[last].mean()),
                float(multiply_adds[last].mean()),
            )
