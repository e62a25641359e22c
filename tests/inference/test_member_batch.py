"""Verdicts of fitted committees: which members run, what is sure, which set is given."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from support.predictions import random_predictions
from triptych import errors
from triptych.engines import Output
from triptych.ensemble import conformal
from triptych.ensemble import fit
from triptych.ensemble import ood
from triptych.ensemble import params
from triptych.ensemble import rules
from triptych.ensemble.cascade import Stage
from triptych.inference.classifier import Classifier
from triptych.inference.classifier import ClassifyOptions
from triptych.inference.classifier import Scores
from triptych.inference.committee import Committee
from triptych.inference.committee import Member
from triptych.preprocessing.recipe import Recipe
from triptych.results import Label
from triptych.results import Verdict
from triptych.typing import Float32Array

LABELS = tuple(Label(f"class {n}", f"c{n}", n) for n in range(4))
RECIPE = Recipe((4, 4), "raw")


class TableEngine:
    """An engine that answers a uniform grey of brightness b with row b of a table."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows
        self.asked: list[int] = []

    def run(self, batch: Float32Array) -> Output:
        which = batch[:, 0, 0, 0].astype(int)
        self.asked += which.tolist()
        return Output(self.rows[which].astype(np.float32), batch[:, 0, 0, :] + 1)


def grey(brightness: int) -> np.ndarray:
    return np.full((8, 8, 3), brightness, np.uint8)


def seated(
    tables: Sequence[np.ndarray], fitted: params.EnsembleParams | None, rule: str = "cascade"
) -> tuple[Classifier, list[TableEngine]]:
    engines = [TableEngine(table) for table in tables]
    members = tuple(
        Member(name, engine, RECIPE, cost)
        for name, engine, cost in zip("ABC", engines, (1.0, 2.0, 4.0), strict=False)
    )
    fitted = fitted or params.unfitted([1.0] * len(members), [m.cost for m in members])
    return Classifier(Committee("trio", members, LABELS, fitted, rule)), engines


def lines(seed: int, count: int = 40) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.dirichlet(np.full(4, 0.4), count) for _ in range(3)]


def promised(first: float, second: float, sure: float = 0.8) -> params.EnsembleParams:
    rule_params = {
        r: params.RuleParams(1.0, sure, (0.5,) * len(conformal.GRID)) for r in rules.RULES
    }
    stages = (Stage(0, first, 1.0), Stage(1, second, 1.2), Stage(2, params.cascade.NEVER, 0.8))
    return params.EnsembleParams(
        (1.0, 1.5, 0.7), (0.2, 0.3, 0.5), stages, rule_params, {"data": "greys"}
    )


@settings(max_examples=25, deadline=None)
@given(first=st.floats(0, 2), second=st.floats(0, 2), seed=st.integers(0, 5))
def test_a_member_runs_only_on_undecided_photos(first: float, second: float, seed: int) -> None:
    tables, fitted = lines(seed), promised(first, second)
    classifier, engines = seated(tables, fitted)
    answers = list(classifier.classify_many((str(n), grey(n)) for n in range(40)))
    direct = fitted.run_cascade(lambda index, rows: tables[index][rows].astype(np.float32), 40)
    for n, answer in enumerate(answers):
        assert isinstance(answer, Verdict)
        assert len(answer.members) == direct.used[n]
        assert answer.skipped == tuple("ABC")[direct.used[n] :]
        assert (answer.reason is None) == (not answer.skipped)
        assert answer.prob == pytest.approx(direct.joined[n].max(), rel=1e-6)
    for index, engine in enumerate(engines):
        assert sorted(engine.asked) == [n for n in range(40) if direct.used[n] > index]


def test_a_cascade_with_unreachable_thresholds_runs_all_members() -> None:
    tables = lines(1)
    plain = promised(1.5, 1.5)
    weighted = dataclasses.replace(plain.rules["weighted"], temperature=0.8)
    fitted = dataclasses.replace(plain, rules={**plain.rules, "weighted": weighted})
    classifier, _ = seated(tables, fitted)
    for n in range(40):
        one, all_three = (classifier.classify(grey(n), rule=r) for r in ("cascade", "weighted"))
        assert one.skipped == ()
        assert [g.label for g in one.top] == [g.label for g in all_three.top]
        assert one.prob == pytest.approx(all_three.prob, rel=1e-6)


def test_the_reason_names_the_deciding_member_and_its_threshold() -> None:
    table = np.tile([0.97, 0.01, 0.01, 0.01], (3, 1))
    classifier, _ = seated([table] * 3, promised(0.9, 0.9))
    verdict = classifier.classify(grey(1))
    assert verdict.skipped == ("B", "C")
    assert verdict.reason == "After A the answer had a probability of 0.970, and 0.900 is enough."
    assert list(verdict.timing.members_ms) == ["A"]
    assert verdict.to_dict()["skipped"] == verdict.to_dict()["slept"] == ["B", "C"]


def test_sure_and_unsure_are_on_the_two_sides_of_the_threshold() -> None:
    table = np.array([[0.85, 0.05, 0.05, 0.05], [0.6, 0.3, 0.05, 0.05]])
    fitted = promised(0, 0)
    classifier, _ = seated([table] * 3, fitted)
    assert [classifier.classify(grey(n)).status for n in (0, 1)] == ["sure", "unsure"]


def test_a_set_holds_the_classes_up_to_its_level_and_grows_with_the_coverage() -> None:
    tables, targets = random_predictions([2, 2, 2], photos=400, classes=4)
    fitted = fit.fit(tables, targets, [1, 2, 4])
    classifier, _ = seated([*tables[:, :200]], fitted, "weighted")
    hits = dict.fromkeys((0.5, 0.8, 0.95), 0)
    for n in range(200):
        sets = []
        for coverage in hits:
            verdict = classifier.classify(grey(n), coverage=coverage)
            assert verdict.prediction_set is not None
            assert verdict.prediction_set.guesses[0] == verdict.top[0]
            assert verdict.prediction_set.coverage == coverage
            sets.append([guess.label.index for guess in verdict.prediction_set.guesses])
            hits[coverage] += int(targets[n] in sets[-1])
        assert sets[0] == sets[1][: len(sets[0])]
        assert sets[1] == sets[2][: len(sets[1])]
    for coverage, count in hits.items():
        assert count / 200 >= coverage - 0.06


def test_unfitted_and_partial_committees_promise_nothing() -> None:
    plain, _ = seated(lines(0), None, "mean")
    fitted, _ = seated(lines(0), promised(0.5, 0.5))
    for verdict in (plain.classify(grey(0)), fitted.classify(grey(0), members=["A", "C"])):
        assert (verdict.status, verdict.prediction_set, verdict.novelty) == (None, None, None)
        assert json.loads(json.dumps(verdict.to_dict()))["verdict"]["set"] is None


def test_with_too_few_photos_for_a_coverage_there_is_no_set() -> None:
    rule_params = {
        r: params.RuleParams(1.0, 0.8, (np.inf,) * len(conformal.GRID)) for r in rules.RULES
    }
    fitted = params.EnsembleParams((1.0,), (1.0,), (Stage(0),), rule_params)
    classifier, _ = seated(lines(0)[:1], fitted)
    assert classifier.classify(grey(0)).prediction_set is None


def test_an_out_of_distribution_photo_is_none_of_these() -> None:
    like = np.random.default_rng(0).normal([20, 20, 20], 0.5, (60, 3))
    table = np.tile([0.97, 0.01, 0.01, 0.01], (256, 1))
    member = Member("A", TableEngine(table), RECIPE, 1.0, ood.fit(like))
    rule_params = {
        r: params.RuleParams(1.0, 0.8, (0.5,) * len(conformal.GRID)) for r in rules.RULES
    }
    fitted = params.EnsembleParams((1.0,), (1.0,), (Stage(0),), rule_params)
    classifier = Classifier(Committee("one", (member,), LABELS, fitted, "weighted"))
    belongs = classifier.classify(grey(19))
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    stranger = classifier.classify(red)
    assert belongs.status == "sure"
    assert belongs.novelty is not None
    assert belongs.novelty > 0.05
    assert (stranger.status, stranger.prediction_set) == ("none", None)
    assert belongs.prediction_set is not None
    assert stranger.novelty is not None
    assert stranger.novelty < 0.05
    assert stranger.label == LABELS[0]  # the best guess is still given


@pytest.mark.parametrize("coverage", [0.0, 1.0, -1.0, float("nan")])
def test_an_impossible_coverage_is_refused(coverage: float) -> None:
    classifier, _ = seated(lines(0), promised(0.5, 0.5))
    with pytest.raises(errors.SettingError, match="expected a share above 0"):
        classifier.classify(grey(0), coverage=coverage)
    with pytest.raises(errors.SettingError, match="expected a share above 0"):
        classifier.classify_many([], ClassifyOptions(coverage=coverage))


def test_scores_do_not_depend_on_the_rule() -> None:
    tables = lines(2)
    classifier, engines = seated(tables, promised(0.0, 0.0))
    scored = list(classifier.score_many((str(n), grey(n)) for n in range(20)))
    for n, scores in enumerate(scored):
        assert isinstance(scores, Scores)
        np.testing.assert_allclose(scores.probs, [t[n] for t in tables], rtol=1e-6)
    assert all(sorted(engine.asked) == list(range(20)) for engine in engines)


BAD_ROWS = {
    "NaN": [np.nan] * 4,
    "one NaN": [0.5, np.nan, 0.3, 0.2],
    "infinite": [np.inf, 0.0, 0.0, 0.0],
    "logits": [-7.4, 8.5, 0.3, 0.1],
    "sum 0": [0.0] * 4,
    "sum 2": [0.5] * 4,
    "below 0": [1.5, -0.5, 0.0, 0.0],
}


@pytest.mark.parametrize("row", BAD_ROWS.values(), ids=BAD_ROWS)
@pytest.mark.parametrize("rule", rules.RULES)
def test_outputs_that_are_not_probabilities_are_an_error(row: list[float], rule: str) -> None:
    rows = np.array([row, [0.7, 0.1, 0.1, 0.1]])
    classifier, _ = seated([rows], None, rule)
    with pytest.raises(errors.EngineError, match=r"The network of A answered .* no probab"):
        classifier.classify(grey(0))
    with pytest.raises(errors.EngineError, match="no probabilities"):
        list(classifier.score_many([("x", grey(0))]))
    assert classifier.classify(grey(1)).label == LABELS[0]


def test_probabilities_rounded_by_bf16_are_accepted() -> None:
    rng = np.random.default_rng(0)
    bits = rng.dirichlet(np.full(4, 0.3), 1000).astype(np.float32).view(np.uint32)
    rounded = ((bits + 0x8000) & 0xFFFF0000).view(np.float32)  # to 8 bits of mantissa
    classifier, _ = seated([rounded], None, "mean")
    assert len(list(classifier.classify_many((str(n), grey(n)) for n in range(200)))) == 200
