"""Checking data from outside: what is accepted, what is refused, and with which message."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest

from triptych import errors
from triptych.utils.validation import Flag
from triptych.utils.validation import Integer
from triptych.utils.validation import Items
from triptych.utils.validation import Number
from triptych.utils.validation import Object
from triptych.utils.validation import OpenRecord
from triptych.utils.validation import Record
from triptych.utils.validation import Table
from triptych.utils.validation import Text
from triptych.utils.validation import load
from triptych.utils.validation import post_load
from triptych.utils.validation import wrong


@dataclass
class Span:
    low: float
    high: float


class SpanRecord(Record):
    low = Number(required=True, data_key="from")
    high = Number(required=True, data_key="to")

    @post_load
    def _make(self, parts: dict[str, Any], **_: Any) -> Span:
        if parts["low"] > parts["high"]:
            raise wrong(parts["high"], f"a number of at least {parts['low']}", "to")
        return Span(**parts)


class AllRecord(Record):
    name = Text(required=True)
    kind = Text(choices=("a", "b"), load_default="a")
    share = Number(above=0, most=1)
    count = Integer(least=1)
    flag = Flag()
    spans = Items(Object(SpanRecord), least=1)
    sizes = Table(Items(Integer()), keys=lambda key: not key.startswith("_"))
    note = Text(allow_none=True)
    pair = Items(least=2, most=2)


class OpenNameRecord(OpenRecord):
    name = Text(required=True)


def test_valid_data_becomes_records() -> None:
    data = {
        "name": "日本",
        "kind": "b",
        "share": 1,
        "count": 3,
        "flag": False,
        "spans": [{"from": 0, "to": 0.5}],
        "sizes": {"one": [1, 2], "_later": "anything"},
        "note": None,
    }
    expected = {**data, "spans": (Span(0.0, 0.5),), "sizes": {"one": (1, 2)}}
    assert load(AllRecord, data, "file") == expected
    assert load(AllRecord, {"name": "x"}, "file") == {"name": "x", "kind": "a"}
    assert load(OpenNameRecord, {"name": "x", "new": 1}, "file") == {"name": "x"}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"name": 1}, "file.name is 1; expected a text."),
        ({"name": None}, "file.name is null; expected a text."),
        ({"name": "\ud800"}, r"file.name is '\ud800'; expected a text without half characters"),
        ({"kind": "c"}, "file.kind is 'c'; expected one of: a, b."),
        ({"share": 0}, "file.share is 0; expected a number above 0 and of at most 1."),
        ({"share": 1.5}, "file.share is 1.5; expected a number above 0 and of at most 1."),
        ({"share": "1"}, "file.share is '1'; expected a number"),
        ({"share": True}, "file.share is True; expected a number"),
        ({"share": math.nan}, "file.share is nan; expected a number"),
        ({"count": 1.0}, "file.count is 1.0; expected a whole number of at least 1."),
        ({"count": True}, "file.count is True; expected a whole number"),
        ({"flag": 0}, "file.flag is 0; expected true or false."),
        ({"flag": "true"}, "file.flag is 'true'; expected true or false."),
        ({"spans": []}, "file.spans is []; expected a list of at least 1."),
        ({"spans": {}}, "file.spans is {}; expected a list of at least 1."),
        ({"spans": [3]}, "file.spans[0] is no object; expected one with: from, to."),
        ({"spans": [{"from": 1}]}, "file.spans[0].to is missing; expected a number."),
        ({"spans": [{"from": 1, "to": 0}]}, "file.spans[0].to is 0.0; expected a number of at le"),
        ({"spans": [{"from": 1, "to": 2, "by": 3}]}, "spans[0].by is unknown; expected only: from"),
        ({"sizes": []}, "file.sizes is []; expected an object."),
        ({"sizes": {"one": [1, "2"]}}, "file.sizes.one[1] is '2'; expected a whole number."),
        ({"share": 10**400}, "file.share is 1000000"),
        ({"pair": [1]}, "file.pair is [1]; expected a list of 2."),
        ({"a b": 1}, "file['a b'] is unknown; expected only: name"),
        ({"\ud800": 1}, r"file['\ud800'] is unknown; expected only: name"),
        ({"other": 1}, "file.other is unknown; expected only: name, kind, share"),
        ({"flag": "x" * 99}, f"file.flag is '{'x' * 56}...; expected true or false."),
    ],
)
def test_invalid_data_names_the_path_of_its_first_error(part: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.SettingError) as raised:
        load(AllRecord, {"name": "x", **part}, "file")
    assert message in str(raised.value)


def test_the_caller_sets_the_error_and_its_remedy() -> None:
    with pytest.raises(errors.BundleError, match=r"^it is no object; .*pair\. Delete it\.$"):
        load(AllRecord, [], "it", error=errors.BundleError, hint="Delete it.")
