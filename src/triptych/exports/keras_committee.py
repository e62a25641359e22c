"""A committee as one Keras model, of Keras's own layers and operations.

Keras, SavedModel and LiteRT files are made of it. It computes what
`triptych.inference.member_batch` does, from the crops of a photo on: members, temperatures, rule,
status, prediction set and novelty. Layers of Keras cannot cut a window with
fractions of pixels, nor run a member only where it is needed: photos come in at the size that the
members take, and a cascade, whose answer is the same, runs all its members.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych import errors
from triptych.ensemble import conformal
from triptych.ensemble import ood
from triptych.ensemble import rules as ensemble_rules
from triptych.ensemble.multilabel import CLIP
from triptych.ensemble.multilabel import IDENTITY
from triptych.ensemble.multilabel import MultilabelParams
from triptych.ensemble.multilabel import Platt
from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.rules import CASCADE
from triptych.exports import keras_layers
from triptych.exports.source import STATUSES
from triptych.preprocessing.recipe import Recipe
from triptych.results import NONE
from triptych.results import SURE
from triptych.results import UNSURE
from triptych.utils.text import text

Tensor = Any
TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class CommitteeSpec:
    """What a committee is made of, without its engines.

    Args:
        names: Of its members.
        networks: The ``.xml`` file of each.
        recipes: Of each.
        params: What was fitted.
        rule: A name from `triptych.ensemble.rules.RULES`.
        quantile: Of prediction sets; ``None`` where there are none.
        reference: Training photos of the member that runs first, where they are known.
        is_int8: Whether the networks are int8 ones.
    """

    names: Sequence[str]
    networks: Sequence[Path]
    recipes: Sequence[Recipe]
    params: EnsembleParams
    rule: str
    quantile: float | None
    reference: ood.OODReference | None
    is_int8: bool


def input_names(recipes: Sequence[Recipe]) -> list[str]:
    """The input that each member takes; members that crop photos alike share one.

    Args:
        recipes: Of the members.

    Example:
        >>> input_names([Recipe((224, 224), "tf"), Recipe((224, 224), "caffe")])
        ['image', 'image']
        >>> input_names([Recipe((224, 224), "tf"), Recipe((240, 240), "tf")])
        ['image_224x224', 'image_240x240']
    """
    crops = list(dict.fromkeys(map(_crop, recipes)))
    if len(crops) == 1:
        return ["image"] * len(recipes)
    names: list[str] = []
    for (height, width), *_ in crops:
        name = f"image_{height}x{width}"
        names.append(name if name not in names else f"{name}_{len(names)}")
    return [names[crops.index(_crop(recipe))] for recipe in recipes]


def _crop(recipe: Recipe) -> tuple[Any, ...]:
    return (tuple(recipe.size), recipe.fit, recipe.crop_share, recipe.interpolation)


def build(spec: CommitteeSpec) -> Any:
    """A committee as a Keras model.

    Args:
        spec: The committee.

    Returns:
        A ``keras.Model`` from uint8 pixels, shape (N, H, W, 3) for each of `input_names`, to a
        dictionary of ``probs``, float32, shape (N, C); ``status``, int32, shape (N,), an index
        into `STATUSES`; ``set``, bool, shape (N, C); ``features``, shape (N, F), of the member
        that runs first; and ``novelty``, shape (N,), where its training photos are known. A
        multi-label committee has no ``set``, but ``holds``, bool, shape (N, C).

    Raises:
        errors.EngineError: A network has an operation that Keras does not compute.
    """
    import keras

    params, first = spec.params, spec.params.stages[0].member
    if spec.rule not in RULES:
        raise errors.EngineError(
            text(
                "This committee answers by the rule {rule}, which cannot be expressed in Keras. "
                "Export it to onnx or openvino.",
                rule=spec.rule,
            )
        )
    inputs: dict[str, Tensor] = {}
    answers, features = [], None
    rows = zip(spec.names, spec.networks, spec.recipes, input_names(spec.recipes), strict=True)
    for index, (name, network, recipe, input_name) in enumerate(rows):
        if input_name not in inputs:
            shape = (*recipe.size, 3)
            inputs[input_name] = keras.Input(shape, dtype="uint8", name=input_name)
        plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
        model = keras_layers.build(network, recipe, name=plain, is_int8=spec.is_int8)
        probs, member_features = model(inputs[input_name])
        answers.append(
            _platt(probs, params.calibration[index])
            if isinstance(params, MultilabelParams)
            else _temper(probs, params.temperatures[index])
        )
        features = member_features if index == first else features
    novelty = None if spec.reference is None else _novelty(spec.reference, features)
    joined = RULES[spec.rule](answers, params)
    if not ensemble_rules.RULES[spec.rule].in_stages:  # whose stages have temperatures themselves
        joined = _temper(joined, params.rule(spec.rule).temperature)
    if isinstance(params, MultilabelParams):
        joined = _platt(joined, params.joined)
    status, classes = _judge(spec, joined, novelty)
    outputs = {"probs": joined, "status": status, "features": features}
    if isinstance(params, MultilabelParams):
        outputs["holds"] = joined >= np.array(
            [each.value for each in params.thresholds], np.float32
        )
    else:
        outputs["set"] = classes
    if novelty is not None:
        outputs["novelty"] = novelty
    return keras.Model(inputs, outputs, name="committee")


def _temper(probs: Tensor, temperature: float) -> Tensor:
    """As `triptych.ensemble.rules.temper`."""
    from keras import ops

    if temperature == 1:
        return probs
    logits = ops.log(ops.maximum(probs, TINY)) / max(temperature, TINY)
    return keras_layers.exact_softmax(logits)


def _platt(probs: Tensor, calibration: Sequence[Platt]) -> Tensor:
    """As `triptych.ensemble.multilabel.platt`."""
    from keras import ops

    pairs = np.array(calibration, np.float32)
    if (pairs == IDENTITY).all():
        return probs
    clipped = ops.clip(probs, CLIP, 1 - CLIP)
    logits = ops.log(clipped) - ops.log(1 - clipped)
    return ops.sigmoid(logits * pairs[:, 0] + pairs[:, 1])


def _weighted(answers: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = float(sum(weights))
    weighed = [
        answer * (weight / total)
        for answer, weight in zip(answers, weights, strict=True)
        if weight > 0
    ]
    joined = weighed[0]
    for each in weighed[1:]:
        joined = joined + each
    return joined


def _mean(answers: Sequence[Tensor], params: EnsembleParams) -> Tensor:
    return _weighted(answers, [1.0] * len(answers))


def _vote(answers: Sequence[Tensor], params: EnsembleParams) -> Tensor:
    from keras import ops

    classes = answers[0].shape[-1]
    ballots = [ops.one_hot(ops.argmax(each, axis=-1), classes) for each in answers]
    count = len(answers)
    return (_mean(ballots, params) * count + _mean(answers, params)) / (count + 1)


def _maximum(answers: Sequence[Tensor], params: EnsembleParams) -> Tensor:
    from keras import ops

    joined = answers[0]
    for each in answers[1:]:
        best, other = (ops.max(probs, axis=-1, keepdims=True) for probs in (joined, each))
        joined = ops.where(other > best, each, joined)
    return joined


def _cascade(answers: Sequence[Tensor], params: EnsembleParams) -> Tensor:
    """As `triptych.ensemble.cascade.run`, from the last stage to the first."""
    from keras import ops

    members = [stage.member for stage in params.stages]
    weights = [params.weights[member] for member in members]
    after = [
        _temper(
            _weighted([answers[member] for member in members[:number]], weights[:number]),
            params.stages[number - 1].temperature,
        )
        for number in range(1, len(members) + 1)
    ]
    joined = after[-1]
    for answer, stage in zip(after[-2::-1], params.stages[-2::-1], strict=True):
        is_decided = ops.max(answer, axis=-1, keepdims=True) >= stage.threshold
        joined = ops.where(is_decided, answer, joined)
    return joined


# By the names of `triptych.ensemble.rules.RULES`, from calibrated probabilities (N, C) of each
# member to those of the committee.
RULES: dict[str, Callable[[Sequence[Tensor], EnsembleParams], Tensor]] = {
    "mean": _mean,
    "weighted": lambda answers, params: _weighted(answers, params.weights),
    CASCADE: _cascade,
    "vote": _vote,
    "max": _maximum,
}


def _novelty(reference: ood.OODReference, features: Tensor) -> Tensor:
    """As `triptych.ensemble.ood.p_values`."""
    from keras import layers
    from keras import ops

    length = ops.sqrt(ops.sum(ops.square(features), axis=-1, keepdims=True))
    training = layers.Dense(len(reference.features), use_bias=False, name="training_photos")
    likeness = training(features / ops.maximum(length, TINY))  # (N, photos)
    training.set_weights([reference.features.T])
    count = min(reference.neighbours, len(reference.features))
    nearest, _ = ops.top_k(likeness, count)
    distance = 1 - ops.mean(nearest, axis=-1, keepdims=True)
    distances = np.minimum(reference.distances, np.finfo(np.float32).max)
    nearer = ops.sum(ops.cast(distance > distances, "float32"), axis=-1)
    photos = len(reference.distances)
    return ((1 + photos) - nearer) / (photos + 1)


def _judge(spec: CommitteeSpec, probs: Tensor, novelty: Tensor | None) -> tuple[Tensor, Tensor]:
    """The status, an index into `STATUSES`, and which classes are in the prediction set."""
    from keras import ops

    fitted = spec.params.rule(spec.rule)
    sure, unsure, none, unknown = (STATUSES.index(each) for each in (SURE, UNSURE, NONE, None))
    best = ops.max(probs, axis=-1)  # (N,)
    # A tensor in any case: constants are no outputs of a Keras model.
    status = ops.where(best >= (fitted.sure if fitted.is_fitted else 0.0), sure, unsure)
    if not fitted.is_fitted:
        status = status * 0 + unknown
    classes = _prediction_set(probs, spec.quantile)
    if novelty is not None:
        is_novel = novelty <= ood.FALSE_ALARMS
        status = ops.where(is_novel, none, status)
        classes = ops.logical_and(classes, ops.expand_dims(ops.logical_not(is_novel), -1))
    return ops.cast(status, "int32"), classes


def _prediction_set(probs: Tensor, quantile: float | None) -> Tensor:
    """As `triptych.ensemble.conformal.prediction_set`; no class where nothing is promised."""
    from keras import ops

    if quantile is None:
        return probs < -1.0
    classes = probs.shape[-1]
    top, order = ops.top_k(probs, classes)
    ranks = np.arange(1, classes + 1)
    penalty = conformal.PENALTY * np.maximum(ranks - conformal.FREE_RANKS, 0)
    scores = ops.cumsum(top, axis=-1) - top + penalty.astype(np.float32)
    # The most probable class, whose score is 0, is inside in any case.
    is_inside = scores <= np.float32(max(quantile, 0.0))
    least = ops.min(ops.where(is_inside, top, 2.0), axis=-1, keepdims=True)
    is_last = ops.logical_and(is_inside, ops.equal(top, least))
    last = ops.max(ops.where(is_last, order, -1), axis=-1, keepdims=True)
    numbers = np.arange(classes, dtype=np.int32)
    is_tied = ops.logical_and(ops.equal(probs, least), last >= numbers)
    return ops.logical_or(probs > least, is_tied)
