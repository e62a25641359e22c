"""The record of fitted parameters: its JSON form, what it refuses, and how it is applied."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych import errors
from triptych.ensemble import conformal
from triptych.ensemble import rules
from triptych.ensemble.cascade import Stage
from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.params import RuleParams
from triptych.ensemble.rules import RULES

positive = st.floats(1e-3, 1e3)
# Rising, and infinite from some place on.
quantiles = st.builds(
    lambda step, finite: tuple(
        step * index if index < finite else math.inf for index in range(len(conformal.GRID))
    ),
    st.floats(0, 1),
    st.integers(0, len(conformal.GRID)),
)


@st.composite
def fold_params(draw: st.DrawFn) -> EnsembleParams:
    members = draw(st.integers(1, 4))
    weights = draw(st.lists(st.just(0.0) | positive, min_size=members, max_size=members))
    weights[draw(st.integers(0, members - 1))] = 1.0
    indices = draw(st.permutations([index for index, weight in enumerate(weights) if weight]))
    rule = st.builds(RuleParams, temperature=positive, sure=st.floats(0, 2), quantiles=quantiles)
    return EnsembleParams(
        temperatures=tuple(draw(st.lists(positive, min_size=members, max_size=members))),
        weights=tuple(weights),
        stages=tuple(Stage(index, draw(st.floats(0, 2)), draw(positive)) for index in indices),
        rules={name: draw(rule) for name in RULES},
        provenance=draw(st.dictionaries(st.text(), st.integers() | st.text(), max_size=3)),
    )


@given(params=fold_params())
def test_a_record_survives_strict_json(params: EnsembleParams) -> None:
    text = json.dumps(params.to_dict(), allow_nan=False)
    assert EnsembleParams.from_dict(json.loads(text)) == params


def good() -> dict[str, Any]:
    rule = {"temperature": 1.0, "sure": 0.8, "levels": [0.0] * len(conformal.GRID)}
    return {
        "temperatures": [1.0, 2],
        "weights": [0.5, 0.5],
        "stages": [
            {"seat": 1, "threshold": 0.9, "temperature": 1.0},
            {"seat": 0, "threshold": 2.0, "temperature": 1.0},
        ],
        "rules": {name: copy.deepcopy(rule) for name in RULES},
        "told": {},
    }


def test_a_good_record_is_read() -> None:
    assert EnsembleParams.from_dict(good()).stages[0] == Stage(1, 0.9, 1.0)


def put(*path: Any, value: Any) -> Callable[[dict[str, Any]], Any]:
    def change(data: dict[str, Any]) -> None:
        part: Any = data
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (put("extra", value=1), "doubt.extra is unknown; expected only: temperatures, weights"),
        (lambda data: data.pop("told"), "doubt.told is missing; expected an object"),
        (put("temperatures", value=None), "doubt.temperatures is null; expected a list"),
        (put("temperatures", 1, value=0), r"doubt.temperatures\[1\] is 0; .* above 0"),
        (put("temperatures", 1, value="1"), r"doubt.temperatures\[1\] is '1'"),
        (put("temperatures", 1, value=True), r"doubt.temperatures\[1\] is True"),
        (put("temperatures", 1, value=math.nan), r"doubt.temperatures\[1\] is nan"),
        (put("temperatures", 1, value=math.inf), r"doubt.temperatures\[1\] is inf"),
        (put("temperatures", value=[1.0]), "one per temperature"),
        (put("weights", value=[0, 0]), "one of them above 0"),
        (put("weights", 0, value=-1), r"doubt.weights\[0\] is -1; .* of at least 0"),
        (put("weights", 0, value=0), r"one stage for each of the members \[1\]"),
        (put("stages", value=[]), r"one stage for each of the members \[0, 1\]"),
        (put("stages", 0, value=3), r"doubt.stages\[0\] .* seat, threshold, temperature"),
        (put("stages", 0, "seat", value=0), "one stage for each"),
        (put("stages", 0, "seat", value=1.0), r"doubt.stages\[0\].seat .* whole number"),
        (put("stages", 1, "threshold", value=-0.1), r"doubt.stages\[1\].threshold"),
        (put("rules", value=[]), r"doubt.rules is \[\]; expected an object"),
        (put("rules", "vote", "sure", value=None), "doubt.rules.vote.sure is null"),
        (put("rules", "max", "temperature", value=-1), "doubt.rules.max.temperature"),
        (put("rules", "mean", "levels", value=[0.0]), "numbers that never fall"),
        (put("rules", "mean", "levels", 0, value=1.0), "numbers that never fall"),
        (put("rules", "mean", "levels", 3, value="x"), r"doubt.rules.mean.levels\[3\] is 'x'"),
        (put("told", value=[]), r"doubt.told is \[\]; expected an object"),
    ],
)
def test_a_damaged_record_names_the_wrong_field(
    damage: Callable[[dict[str, Any]], Any], message: str
) -> None:
    data = good()
    damage(data)
    with pytest.raises(errors.SettingError, match=message):
        EnsembleParams.from_dict(data)


@pytest.mark.parametrize("data", [None, [], "doubt", 3.0])
def test_values_that_are_not_records_are_refused(data: object) -> None:
    with pytest.raises(
        errors.SettingError,
        match="doubt is no object; expected one with: temp",
    ):
        EnsembleParams.from_dict(data)


def test_a_record_may_know_other_rules_than_this_program() -> None:
    data = good()
    data["rules"]["median"] = {"of": "a later version"}
    del data["rules"]["vote"]
    params = EnsembleParams.from_dict(data)
    assert params.rules.keys() == RULES.keys() - {"vote"}
    assert params.rule("vote") == RuleParams(temperature=1.0, sure=2.0, quantiles=())
    assert EnsembleParams.from_dict(params.to_dict()) == params


PROBS = np.array([[[0.7, 0.3], [0.2, 0.8]], [[0.6, 0.4], [0.9, 0.1]]])


def test_members_and_their_combination_are_calibrated() -> None:
    data = good()
    data["rules"]["mean"]["temperature"] = 0.5
    params = EnsembleParams.from_dict(data)
    calibrated = np.stack([params.calibrate(index, raw) for index, raw in enumerate(PROBS)])
    np.testing.assert_allclose(calibrated, [PROBS[0], rules.temper(PROBS[1], 2)])
    expected = rules.temper(calibrated.mean(axis=0), 0.5)
    np.testing.assert_allclose(params.join("mean", calibrated), expected)
    with pytest.raises(errors.UnknownName, match="no rule 'median'"):
        params.join("median", calibrated)


def test_the_cascade_calibrates_raw_probabilities() -> None:
    data = good()
    data["stages"][0]["threshold"] = 0.7
    result = EnsembleParams.from_dict(data).run_cascade(lambda index, rows: PROBS[index, rows], 2)
    second = rules.temper(PROBS[1], 2)
    np.testing.assert_array_equal(result.used, [2, 1])
    np.testing.assert_allclose(result.joined, [(PROBS[0, 0] + second[0]) / 2, second[1]])
