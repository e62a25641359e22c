"""A committee as one graph, from a photo of any size to the verdict.

It is what `triptych.inference.member_batch` computes for one photo: crops, members, temperatures,
the rule, the status and the prediction set. A cascade runs the members of later stages only for
photos that are still undecided.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from triptych import errors
from triptych.engines import openvino as networks
from triptych.ensemble import conformal
from triptych.ensemble import multilabel
from triptych.ensemble import ood
from triptych.ensemble.cascade import Stage
from triptych.ensemble.rules import CASCADE
from triptych.exports import resizing
from triptych.exports.nodes import either
from triptych.exports.nodes import integer
from triptych.exports.nodes import integers
from triptych.exports.nodes import length
from triptych.exports.nodes import number
from triptych.exports.source import KEY
from triptych.exports.source import STATUSES
from triptych.exports.source import Source
from triptych.results import NONE
from triptych.results import SURE
from triptych.results import UNSURE

Node = Any
# Of a probability in logarithms, as in `triptych.ensemble.rules.temper`.
TINY = float(np.finfo(np.float32).tiny)


def build(source: Source) -> Any:
    """The graph of a committee, an OpenVINO model.

    Its input is ``image``, uint8, shape (H, W, 3), RGB. Its outputs are ``probs``, float32, shape
    (C,); ``status``, int64, an index into `STATUSES`; ``set``, bool, shape (C,); ``features``,
    float32, shape (F,), of the member that runs first; and ``novelty``, a float32 number, where the
    training photos of that member are known. A multi-label committee has no ``set``, but
    ``holds``, bool, shape (C,).

    Args:
        source: The committee.

    Raises:
        errors.EngineError: A network cannot be read.
    """
    import openvino
    from openvino import opset13 as op

    committee, params = source.committee, source.committee.params
    first = params.stages[0].member
    image = op.parameter([-1, -1, 3], np.uint8, name="image")
    photo = resizing.planes(image)
    crops: dict[Any, Node] = {}
    probs, features = _member(source, first, photo, crops)
    novelty = _novelty(committee.members[first].ood, features)
    if committee.rule == CASCADE:
        joined = _cascade(source, params.stages, probs, photo)
    else:
        answers = [
            probs if index == first else _member(source, index, photo, crops)[0]
            for index in range(len(committee.members))
        ]
        joined = _temper(
            RULES[committee.rule](_stack(answers), params.weights),
            params.rule(committee.rule).temperature,
        )
    if committee.multilabel:
        joined = _platt(joined, committee.multilabel.joined)
    status, classes = _judge(source, joined, novelty)
    outputs = {"probs": joined, "status": status, "features": features}
    if committee.multilabel:
        thresholds = np.array([each.value for each in committee.multilabel.thresholds], np.float32)
        outputs["holds"] = op.greater_equal(joined, op.constant(thresholds))
    else:
        outputs["set"] = classes
    if novelty is not None:
        outputs["novelty"] = novelty
    results = []
    for name, node in outputs.items():
        result = op.result(node)
        result.output(0).get_tensor().set_names({name})
        results.append(result)
    image.output(0).get_tensor().set_names({"image"})
    graph = openvino.Model(results, [image], KEY)
    graph.set_rt_info(json.dumps(source.metadata, ensure_ascii=False, allow_nan=False), [KEY])
    return graph


def _member(
    source: Source, index: int, photo: Sequence[Node], crops: dict[Any, Node]
) -> tuple[Node, Node]:
    """The calibrated probabilities (C,) and the features (F,) of a member."""
    from openvino import opset13 as op

    recipe = source.committee.members[index].recipe
    key = (recipe.size, recipe.fit, recipe.crop_share, recipe.interpolation)
    if key not in crops:
        crops[key] = resizing.resize(recipe, (photo[0], photo[1], photo[2]))
    network = _read(source.networks[index])
    side = [int(size) for size in recipe.size]
    network.reshape([1, *side, 3])
    network.input(0).replace(resizing.scale(recipe, crops[key]).output(0))
    probs, features = (
        op.squeeze(network.output(each).get_node().input_value(0), integers(0)) for each in (0, 1)
    )
    if source.committee.multilabel:
        return _platt(probs, source.committee.multilabel.calibration[index]), features
    return _temper(probs, source.committee.params.temperatures[index]), features


def _platt(probs: Node, calibration: Sequence[multilabel.Platt]) -> Node:
    """As `triptych.ensemble.multilabel.platt`."""
    from openvino import opset13 as op

    pairs = np.array(calibration, np.float32)
    if (pairs == multilabel.IDENTITY).all():
        return probs
    clipped = op.clamp(probs, multilabel.CLIP, 1 - multilabel.CLIP)
    logits = op.subtract(op.log(clipped), op.log(op.subtract(number(1), clipped)))
    return op.sigmoid(
        op.add(op.multiply(logits, op.constant(pairs[:, 0])), op.constant(pairs[:, 1]))
    )


def _read(path: Path) -> Any:
    try:
        return networks.read_network(path)
    except RuntimeError as error:
        raise errors.EngineError(f"{path} cannot be read as a network: {error}") from error


def _temper(probs: Node, temperature: float) -> Node:
    """As `triptych.ensemble.rules.temper`."""
    from openvino import opset13 as op

    if temperature == 1:
        return probs
    logits = op.log(op.maximum(probs, number(TINY)))
    return op.softmax(op.divide(logits, number(max(temperature, TINY))), -1)


def _cascade(source: Source, stages: Sequence[Stage], probs: Node, photo: Sequence[Node]) -> Node:
    """The joined probabilities of a cascade, whose first member has answered."""
    from openvino import opset13 as op

    weights = source.committee.params.weights

    def joined(done: int, total: Node) -> Node:
        share = sum(weights[stage.member] for stage in stages[:done])
        return _temper(op.divide(total, number(share)), stages[done - 1].temperature)

    def from_stage(done: int, total: Node, *photo: Node) -> Node:
        """The answer after the stages so far, or that of the further ones where it is undecided."""
        answer = joined(done, total)
        if done == len(stages):
            return answer
        best = op.reduce_max(answer, integers(0), False)
        return either(
            op.less(best, number(stages[done - 1].threshold)),
            [answer, total, *photo],
            functools.partial(next_stage, done),
            lambda answer, *others: answer,
        )

    def next_stage(done: int, answer: Node, total: Node, *photo: Node) -> Node:
        member = stages[done].member
        probs, _ = _member(source, member, photo, {})
        total = op.add(total, op.multiply(probs, number(weights[member])))
        return from_stage(done + 1, total, *photo)

    return from_stage(1, op.multiply(probs, number(weights[stages[0].member])), *photo)


def _stack(answers: Sequence[Node]) -> Node:
    from openvino import opset13 as op

    return op.concat([op.unsqueeze(each, integers(0)) for each in answers], 0)  # (M, C)


def _mean(probs: Node, weights: Sequence[float]) -> Node:
    from openvino import opset13 as op

    return op.reduce_mean(probs, integers(0), False)


def _weighted(probs: Node, weights: Sequence[float]) -> Node:
    from openvino import opset13 as op

    shares = np.array(weights, np.float64)[:, None] / sum(weights)
    weighed = op.multiply(probs, op.constant(shares.astype(np.float32)))
    return op.reduce_sum(weighed, integers(0), False)


def _vote(probs: Node, weights: Sequence[float]) -> Node:
    from openvino import opset13 as op

    members, classes = length(probs, 0), length(probs, 1)
    numbers = op.constant(np.arange(classes, dtype=np.int64))
    ballots = op.convert(op.equal(numbers, _best(probs, 1)), "f32")  # (M, C)
    votes = op.reduce_sum(ballots, integers(0), False)
    return op.divide(op.add(votes, _mean(probs, weights)), number(members + 1))


def _maximum(probs: Node, weights: Sequence[float]) -> Node:
    from openvino import opset13 as op

    winner = _best(op.reduce_max(probs, integers(1), False), 0)
    return op.gather(probs, op.squeeze(winner, integers(0)), integer(0))


# By the names of `triptych.ensemble.rules.RULES`, from calibrated probabilities (M, C) to (C,).
RULES: dict[str, Callable[[Node, Sequence[float]], Node]] = {
    "mean": _mean,
    "weighted": _weighted,
    "vote": _vote,
    "max": _maximum,
}


def _best(values: Node, axis: int) -> Node:
    """Index of the largest value, of equal ones the first; the axis stays, with the length 1."""
    from openvino import opset13 as op

    return op.topk(values, integer(1), axis, "max", "value", "i64", True).output(1)


def _novelty(reference: ood.OODReference | None, features: Node) -> Node | None:
    """As `triptych.ensemble.ood.p_values`."""
    from openvino import opset13 as op

    if reference is None:
        return None
    norm = op.sqrt(op.reduce_sum(op.multiply(features, features), integers(0), True))
    unit = op.divide(features, op.maximum(norm, number(TINY)))
    # Features of training photos are stored in float16, and are so in a bundle, too.
    training = op.convert(op.constant(reference.features.astype(np.float16)), "f32")
    likeness = op.matmul(training, unit, False, False)  # (N,)
    count = min(reference.neighbours, len(reference.features))
    nearest = op.topk(likeness, integer(count), 0, "max", "value", "i64").output(0)
    distance = op.subtract(number(1), op.reduce_mean(nearest, integers(0), False))
    is_nearer = op.less(op.constant(reference.distances.astype(np.float32)), distance)
    nearer = op.reduce_sum(op.convert(is_nearer, "f32"), integers(0), False)
    photos = len(reference.distances)
    return op.divide(op.subtract(number(1 + photos), nearer), number(photos + 1))


def _judge(source: Source, probs: Node, novelty: Node | None) -> tuple[Node, Node]:
    """The status, an index into `STATUSES`, and which classes are in the prediction set."""
    from openvino import opset13 as op

    fitted = source.committee.params.rule(source.committee.rule)
    sure, unsure, none, unknown = (
        integer(STATUSES.index(each)) for each in (SURE, UNSURE, NONE, None)
    )
    best = op.reduce_max(probs, integers(0), False)
    status = unknown
    if fitted.is_fitted:
        status = op.select(op.greater_equal(best, number(fitted.sure)), sure, unsure)
    classes = _prediction_set(probs, source.quantile)
    if novelty is not None:
        is_novel = op.less_equal(novelty, number(ood.FALSE_ALARMS))
        status = op.select(is_novel, none, status)
        classes = op.logical_and(classes, op.logical_not(is_novel))
    return status, classes


def _prediction_set(probs: Node, quantile: float | None) -> Node:
    """As `triptych.ensemble.conformal.prediction_set`; no class where nothing is promised."""
    from openvino import opset13 as op

    classes = length(probs, 0)
    if quantile is None:
        # Computed from the probabilities, as constants are no outputs in some runtimes.
        return op.less(probs, number(-1))
    top = op.topk(probs, integer(classes), 0, "max", "value", "i64", True)
    above = op.cumsum(top.output(0), integer(0), exclusive=True)
    ranks = np.arange(1, classes + 1)
    penalty = conformal.PENALTY * np.maximum(ranks - conformal.FREE_RANKS, 0)
    scores = op.add(above, op.constant(penalty.astype(np.float32)))
    is_inside = op.convert(op.less_equal(scores, number(quantile)), "i64")
    size = op.maximum(op.reduce_sum(is_inside, integers(0), False), integer(1))
    last = op.subtract(size, integer(1))
    least, index = (op.gather(each, last, integer(0)) for each in top.outputs())
    numbers = op.constant(np.arange(classes, dtype=np.int64))
    is_tied = op.logical_and(op.equal(probs, least), op.less_equal(numbers, index))
    return op.logical_or(op.greater(probs, least), is_tied)
