"""The estimated time left, with a fake clock: right at a steady pace, adapts, does not jump."""

from __future__ import annotations

import itertools

import pytest

from triptych.utils.pace import TimeLeft


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def estimates(paces: list[float], *, every_s: float = 0.5) -> list[tuple[float, float, float]]:
    """For steps of these durations in seconds: the times, the true time left, and the estimates."""
    ends = list(itertools.accumulate(paces))
    clock = Clock()
    left = TimeLeft(clock)
    reports = []
    while clock.now < ends[-1]:
        done = sum(end <= clock.now for end in ends)
        estimate = left.update(done, len(paces))
        if estimate is not None:
            reports.append((clock.now, ends[-1] - clock.now, estimate))
        clock.now += every_s
    return reports


def test_at_a_steady_pace_it_is_right_and_counts_down() -> None:
    for _, really, estimate in estimates([2.0] * 30):
        assert estimate == pytest.approx(really, abs=1e-6)


def test_there_is_no_estimate_before_a_step_is_done() -> None:
    assert min(now for now, _, _ in estimates([7.0] * 3)) == 7


def test_one_slow_step_among_quick_ones_does_not_make_it_jump() -> None:
    paces = [0.5] * 200
    paces[60] = 8.0
    reports = estimates(paces)
    for (before, _, earlier), (now, _, later) in itertools.pairwise(reports):
        assert abs((later - earlier) + (now - before)) < 0.25 * (paces[0] * len(paces))
    assert reports[-1][2] == pytest.approx(reports[-1][1], abs=1)


def test_it_follows_a_lasting_change_of_pace() -> None:
    reports = estimates([0.5] * 40 + [2.0] * 60)
    half_a_minute_later = [report for report in reports if report[0] > 60]
    for _, really, estimate in half_a_minute_later:
        assert estimate == pytest.approx(really, rel=0.35, abs=3)


def test_it_never_is_negative() -> None:
    assert min(estimate for _, _, estimate in estimates([1.0] * 5 + [30.0])) >= 0
