"""``metrics.json``, validated: the metrics of a bundle's evaluation.

`triptych.evaluation` computes and explains them. Unknown entries are ignored, so that bundles of a
newer Triptych can be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from triptych.utils import formatting
from triptych.utils import validation

FILE = "metrics.json"

_Share = partial(validation.Number, least=0, most=1)
# Softmax outputs, and their means, may exceed 1 by rounding.
_Prob = partial(validation.Number, least=0, most=1.01)
_Count = partial(validation.Integer, least=0)


@dataclass(frozen=True)
class HeldOutAccuracy:
    """The accuracy of a committee on photos that it was not trained on.

    Args:
        top1: In [0, 1].
        low: Lower end of the 95 % interval.
        high: Upper end.
        photos: How many photos it was measured on.
    """

    top1: float
    low: float
    high: float
    photos: int

    @property
    def correct(self) -> int:
        """How many photos were classified correctly."""
        return round(self.top1 * self.photos)

    @property
    def few(self) -> bool:
        """Whether there are so few photos that the interval is shown first."""
        return self.photos < formatting.SHARE_FROM

    def __str__(self) -> str:
        return formatting.accuracy(self.top1, (self.low, self.high), self.photos)


class _Interval(validation.Items):
    """The ends of an interval of shares, ascending."""

    def __init__(self, **options: Any) -> None:
        super().__init__(_Share(), least=2, most=2, **options)

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> tuple[Any, ...]:
        low, high = super()._deserialize(value, attr, data, **options)
        if low > high:
            raise validation.wrong(value, "the lower end first")
        return (low, high)


class _ScoresRecord(validation.OpenRecord):
    top1 = _Share(required=True)
    interval = _Interval(required=True)
    top5 = _Share()
    macro_f1 = _Share(required=True)
    ece = _Prob(required=True)
    nll = validation.Number(required=True)
    brier = validation.Number(least=0, required=True)


class _MemberRecord(_ScoresRecord):
    name = validation.Text(required=True)


class _ClassRecord(validation.OpenRecord):
    label = validation.Text(required=True)
    precision = _Share(required=True)
    recall = _Share(required=True)
    f1 = _Share(required=True)
    support = _Count(required=True)


class _BinRecord(validation.OpenRecord):
    low = _Share(required=True)
    high = _Share(required=True)
    prob = _Prob(required=True)
    accuracy = _Share(required=True)
    count = validation.Integer(least=1, required=True)


class _MistakeRecord(validation.OpenRecord):
    source = validation.Text(required=True)
    truth = validation.Text(required=True)
    answer = validation.Text(required=True)
    prob = _Prob(required=True)


class _CurvePointRecord(validation.OpenRecord):
    images_per_class = validation.Integer(least=1, required=True)
    top1 = validation.Items(_Share(), least=1, required=True)


class _RuleRecord(validation.OpenRecord):
    top1 = _Share(required=True)
    interval = _Interval(required=True)
    top5 = _Share(required=True)
    ece = _Prob(required=True)
    cost = _Prob(required=True)
    coverage = _Share()
    set_size = validation.Number(least=0)


class _DoubtRecord(validation.OpenRecord):
    sure = _Share(required=True)
    right_of_sure = _Share(required=True, allow_none=True)
    false_alarms = _Share(required=True, allow_none=True)


class _FindingRecord(validation.OpenRecord):
    kind = validation.Text(required=True)
    message = validation.Text(required=True)
    sources = validation.Items(validation.Text(), required=True)


class _FinetuneScoresRecord(validation.OpenRecord):
    held_out = _Share(required=True)
    loss = validation.Number(required=True)
    validation = _Share(required=True)


class _EpochRecord(validation.OpenRecord):
    number = _Count(required=True)
    right = _Count(required=True)
    photos = _Count(required=True)
    loss = validation.Number(required=True)


class FinetuneRecord(validation.OpenRecord):
    """The result of fine-tuning a member; also in ``bundle.json``."""

    member = validation.Text(required=True)
    epochs = _Count(required=True)
    best_epoch = _Count(required=True)
    layers = _Count(required=True)
    seconds = validation.Number(least=0, required=True)
    photos = _Count(required=True)
    before = validation.Object(_FinetuneScoresRecord, required=True)
    after = validation.Object(_FinetuneScoresRecord, required=True)
    kept = validation.Flag(required=True)
    # Missing in bundles of 0.1.0.
    device = validation.Text()
    rate = validation.Number(least=0)
    augment = validation.Items(validation.Text())
    curve = validation.Items(validation.Object(_EpochRecord))


class _AveragesRecord(validation.OpenRecord):
    """Precision, recall and F1, averaged over classes or photos."""

    precision = _Share(required=True)
    recall = _Share(required=True)
    f1 = _Share(required=True)


class _MultilabelScoresRecord(validation.OpenRecord):
    subset_accuracy = _Share(required=True)
    interval = _Interval(required=True)
    hamming_loss = _Share(required=True)
    micro = validation.Object(_AveragesRecord, required=True)
    macro = validation.Object(_AveragesRecord, required=True)
    samples = validation.Object(_AveragesRecord, required=True)
    mean_average_precision = _Share(required=True, allow_none=True)
    ece = _Share(required=True)
    nll = validation.Number(least=0, required=True)


class _MultilabelMemberRecord(_MultilabelScoresRecord):
    name = validation.Text(required=True)


class _MultilabelClassRecord(validation.OpenRecord):
    label = validation.Text(required=True)
    precision = _Share(required=True)
    recall = _Share(required=True)
    f1 = _Share(required=True)
    average_precision = _Share(required=True, allow_none=True)
    support = _Count(required=True)
    answered = _Count(required=True)
    ece = _Share(required=True)
    threshold = validation.Number(least=0, required=True)


class _MultilabelMistakeRecord(validation.OpenRecord):
    source = validation.Text(required=True)
    label = validation.Text(required=True)
    holds = validation.Flag(required=True)
    prob = _Share(required=True)


class _ThresholdRecord(validation.OpenRecord):
    target = _Share(required=True, allow_none=True)
    status = validation.Text(allow_none=True)
    positives = validation.Integer(least=0, load_default=0)
    precision = _Share(required=True, allow_none=True)


class MultilabelMetricsRecord(validation.OpenRecord):
    """The metrics of a multi-label committee with C classes."""

    task = validation.Text(choices=("multi-label",), required=True)
    images = validation.Integer(least=1, required=True)
    committee = validation.Object(_MultilabelScoresRecord, required=True)
    members = validation.Items(validation.Object(_MultilabelMemberRecord), least=1, required=True)
    per_class = validation.Items(validation.Object(_MultilabelClassRecord), least=1, required=True)
    reliability = validation.Items(validation.Object(_BinRecord), required=True)
    mistakes = validation.Items(validation.Object(_MultilabelMistakeRecord), required=True)
    thresholds = validation.Items(validation.Object(_ThresholdRecord))
    false_alarms = _Share(allow_none=True)
    findings = validation.Items(validation.Object(_FindingRecord))

    @validation.post_load
    def _check(self, parts: dict[str, Any], **_: Any) -> dict[str, Any]:
        thresholds, classes = len(parts.get("thresholds", ())), len(parts["per_class"])
        if thresholds not in (0, classes):
            raise validation.wrong(thresholds, f"{classes}, one per class", "thresholds")
        return parts


class MetricsRecord(validation.OpenRecord):
    """The metrics of a committee with C classes."""

    images = validation.Integer(least=1, required=True)
    committee = validation.Object(_ScoresRecord, required=True)
    members = validation.Items(validation.Object(_MemberRecord), least=1, required=True)
    per_class = validation.Items(validation.Object(_ClassRecord), least=1, required=True)
    confusion = validation.Items(validation.Items(_Count()), least=1, required=True)
    reliability = validation.Items(validation.Object(_BinRecord), required=True)
    mistakes = validation.Items(validation.Object(_MistakeRecord), required=True)
    learning_curve = validation.Items(validation.Object(_CurvePointRecord))
    rules = validation.Table(validation.Object(_RuleRecord))
    doubt = validation.Object(_DoubtRecord)
    findings = validation.Items(validation.Object(_FindingRecord))
    fine_tuned = validation.Items(validation.Object(FinetuneRecord))

    @validation.post_load
    def _check(self, parts: dict[str, Any], **_: Any) -> dict[str, Any]:
        classes, sizes = len(parts["per_class"]), [len(row) for row in parts["confusion"]]
        if sizes != [classes] * classes:
            expected = f"{classes} rows of {classes} numbers, as there are classes"
            raise validation.wrong(parts["confusion"], expected, "confusion")
        total = sum(map(sum, parts["confusion"]))
        if total != parts["images"]:
            raise validation.wrong(parts["images"], f"{total}, as in confusion", "images")
        sizes = [point["images_per_class"] for point in parts.get("learning_curve", ())]
        if sizes != sorted(set(sizes)):
            expected = "ascending numbers of images_per_class"
            raise validation.wrong(sizes, expected, "learning_curve")
        return parts
