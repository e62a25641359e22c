"""Whether fine-tuning pays, and what there is time for: numbers in, plans out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych import errors
from triptych.training import pipeline
from triptych.training.config import TrainingConfig
from triptych.training.finetune import advice
from triptych.training.finetune import budget as budgets
from triptych.training.finetune.schedule import Schedule

seconds = st.floats(0.1, 1e4)


@st.composite
def costs(draw: st.DrawFn) -> list[budgets.MemberCost]:
    most = draw(st.integers(1, 12))
    return [
        budgets.MemberCost(
            f"member{number}",
            draw(seconds),
            np.cumsum(draw(st.lists(seconds, min_size=most, max_size=most))).tolist(),
            draw(seconds),
        )
        for number in range(draw(st.integers(1, 4)))
    ]


@given(costs(), st.floats(-10, 1e6))
def test_a_plan_uses_the_time_left_and_no_more(
    costs: list[budgets.MemberCost], left_s: float
) -> None:
    plans = budgets.plan(costs, left_s)
    tuned = [each for each in plans if each.epochs]
    assert [each.name for each in plans] == [cost.name for cost in costs]
    assert plans[: len(tuned)] == tuned, "the first ones first"
    assert len({each.epochs for each in tuned}) <= 1
    assert sum(each.seconds for each in plans) <= max(0.0, left_s) + 1e-6
    most = len(costs[0].epochs_s)
    if not tuned:
        assert costs[0].total_s(1) > left_s
    elif tuned[0].epochs < most:
        longer = tuned[0].epochs + 1
        assert sum(cost.total_s(longer) for cost in costs[: len(tuned)]) > left_s


def test_another_member_is_tuned_if_all_get_half_of_the_epochs() -> None:
    pair = [budgets.MemberCost(name, 0.0, [10.0 * n for n in range(1, 9)], 0.0) for name in "AB"]
    assert [each.epochs for each in budgets.plan(pair, 79.0)] == [7, 0]
    assert [each.epochs for each in budgets.plan(pair, 80.0)] == [4, 4]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


MEMBERS = {"lite0": 1.0, "lite2": 2.0}
MEASURED = budgets.MeasuredCosts(heads_s=5.0, conversion_s=10.0, features_s=20.0)


def test_the_plan_is_printed_once_and_followed() -> None:
    clock, reported = Clock(), list[str]()
    planner = budgets.Planner(MEMBERS, 1000.0 + 600.0, MEASURED, reported.append, clock)
    assert planner.begin("lite0")
    clock.now += 20.0
    # lite0: 8 epochs of 10 s and 45 s after them; lite2: 40 s before, twice as long, 85 s after.
    epochs, at_most_s = planner.plan("lite0", [10.0 * n for n in range(1, 9)])
    assert reported == ["lite0: 8 epochs, about 2 minutes; lite2: 8 epochs, about 5 minutes."]
    assert epochs == 8
    assert at_most_s == pytest.approx(0.95 * 580 - 45 - (40 + 160 + 85))
    clock.now += 420.0  # far behind
    assert planner.begin("lite2")
    clock.now += 40.0
    epochs, at_most_s = planner.plan("lite2", [20.0 * n for n in range(1, 9)])
    assert at_most_s == pytest.approx(0.95 * 120 - 85)  # the worker cuts its epochs short
    assert len(reported) == 1


@pytest.mark.parametrize(
    ("budget_s", "sentence"),
    [
        (200.0, "lite0: 8 epochs, about 2 minutes; lite2 is left as it is."),
        (100.0, "lite0: 3 epochs, about 75 seconds; lite2 is left as it is."),
        (60.0, "There is no time for an epoch: lite0 is left as it is; lite2 is left as it is."),
        (0.0, "There is no time for an epoch: lite0 is left as it is; lite2 is left as it is."),
    ],
)
def test_networks_without_time_are_not_tuned(budget_s: float, sentence: str) -> None:
    clock, reported = Clock(), list[str]()
    planner = budgets.Planner(MEMBERS, 1000.0 + budget_s, MEASURED, reported.append, clock)
    if planner.begin("lite0"):
        clock.now += 20.0
        planner.plan("lite0", [10.0 * n for n in range(1, 9)])
    assert reported == [sentence]
    assert not planner.begin("lite2")


@given(st.integers(2, 20), st.lists(st.sampled_from([1.0, 2.0, 3.06]), min_size=1, max_size=8))
def test_the_rate_falls_by_what_a_step_costs(steps: int, costs: list[float]) -> None:
    schedule, rates, shares = Schedule(0.01, steps, costs, deadline=math.inf), [], [0.0]
    for number in range(1, len(costs) + 1):
        schedule.begin_epoch(number, schedule.share)
        while not schedule.epoch_is_over:
            rates.append(schedule.next_rate())
        shares.append(schedule.share)
    warmup = max(1, round(steps / 2))
    rising, falling = rates[: warmup + 1], rates[warmup:]
    assert len(rates) == steps * len(costs)
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == 0.01
    # Warm-up is not a part of the cosine.
    decay = np.cumsum([0.0, (steps - warmup) * costs[0], *(steps * cost for cost in costs[1:])])
    assert np.diff(shares) == pytest.approx(np.diff(decay) / decay[-1])


def predictions(photos: int, wrong: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    targets = np.arange(photos) % classes
    answers = np.where(np.arange(photos) < wrong, (targets + 1) % classes, targets)
    return np.eye(classes)[answers], targets


@pytest.mark.parametrize(
    ("photos", "wrong", "classes", "held_out", "pays"),
    [
        (2720, 734, 136, 544, True),  # handwritten characters
        (245, 8, 2, 49, False),  # ants and bees
        (720, 17, 12, 144, False),  # flowers
        (1600, 150, 10, 320, True),  # hand signs
        (60, 3, 2, 12, False),  # 5 % might as well be 2 %
        (60, 15, 2, 12, True),
        (40, 20, 2, 8, False),  # too few to measure with
        (0, 0, 2, 0, False),
    ],
)
def test_fine_tuning_pays_if_frozen_networks_are_often_wrong(
    photos: int, wrong: int, classes: int, held_out: int, pays: bool
) -> None:
    probs, targets = predictions(photos, wrong, classes)
    estimate = advice.advise(probs, targets, held_out=held_out)
    assert estimate.pays == pays
    if held_out >= 10:
        assert f"{wrong:,} of {photos:,} photos" in estimate.reason
    else:
        assert "10 or more are needed" in estimate.reason


def test_the_number_of_held_out_photos() -> None:
    assert advice.held_out_photos(np.array([0, 1, 2, -1] * 12)) == 12
    assert advice.held_out_photos(np.full(20, -1)) == 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"fine_tune": "maybe"}, "fine_tune is 'maybe'; expected true, false or 'auto'"),
        ({"budget_s": 60.0}, "A budget is for fine-tuning"),
        ({"fine_tune": True, "budget_s": 0.0}, "budget_s is 0.0; expected a number of seconds"),
        ({"fine_tune": True, "budget_s": float("nan")}, "budget_s is nan"),
    ],
)
def test_impossible_settings_are_refused_at_once(config: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.SettingError, match=message):
        pipeline.check("garden", TrainingConfig(**config))
