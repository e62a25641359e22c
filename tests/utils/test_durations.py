"""Durations as people write them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych.utils import durations

whole = st.integers(0, 500)


@given(whole, whole, whole)
def test_hours_minutes_and_seconds_are_added_up(hours: int, minutes: int, seconds: int) -> None:
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    text = "".join(f"{count}{unit}" for count, unit in parts if count)
    if text:
        assert durations.parse(text) == 3600 * hours + 60 * minutes + seconds


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert 0 < durations.parse(text) <= durations.LONGEST_S


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("2.5m", 150), ("1 h 5 min", 3900), ("3M", 180)],
)
def test_usual_durations_are_parsed(text: str, seconds: float) -> None:
    assert durations.parse(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "10", "m", "-5m", "5x", "1m1h", "0s", "1e3s", "nan", "9999999h", "\u0663m"]
)
def test_invalid_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        durations.parse(text)
