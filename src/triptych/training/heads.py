"""Heads are trained on features, and joined to a committee.

Arrays in, arrays out. A linear head is softmax regression and needs no deep-learning framework to
fit; ``mlp`` is the article's few dense layers with dropout, fitted by Keras.
"""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import numpy as np

from triptych import errors
from triptych.bundles.oof_predictions import OOFPredictions
from triptych.ensemble import fit as ensemble_fit
from triptych.ensemble import rules
from triptych.ensemble.rules import FITTED_RULE
from triptych.models import zoo
from triptych.models.head import DROPOUT
from triptych.models.head import KINDS
from triptych.models.head import Head
from triptych.training.config import COMMITTEE
from triptych.training.config import Fit
from triptych.training.config import Lesson
from triptych.training.config import Material
from triptych.training.config import Outcome
from triptych.training.config import Pupil
from triptych.training.config import weigh
from triptych.typing import Array

# L2 penalties per photo, from strong to weak: among equals, the strongest is taken. In files the
# penalty is called "strength".
L2_PENALTIES = (1.0, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4)
# Photos that are enough to choose the penalty; more would only take longer.
ENOUGH_TO_CHOOSE = 4000
MAX_STEPS = 300
# Of the gradient. scikit-learn's 1e-4 is off by 0.08 in probability where photos are few.
TOLERANCE = 1e-7
FEW = 20_000

# Chosen with ants and bees (245 photos): as good as linear there; wider ones are overconfident.
HIDDEN_UNITS = 64
LEARNING_RATE = 4e-4
MLP_L2_PENALTY = 1e-2
BATCH = 64
MAX_EPOCHS = 200
PATIENCE = 10


def teach(material: Material, rows: Sequence[zoo.Backbone], lesson: Lesson) -> Outcome:
    """Train a head for each backbone, and decide who is seated.

    Args:
        material: The photos.
        rows: The backbones, in the order of their features.
        lesson: Head, seed, progress, stop.

    Raises:
        errors.Stopped: ``lesson.stop`` said so.
    """
    pupils = []
    for number, row in enumerate(rows):
        lesson.progress("Training heads", number, len(rows))
        lesson.pause()
        fitted = _fit_views(material, number, lesson)
        pupils.append(Pupil(row, fitted, fitted.head.probs(material.val[number])))
        judge(lesson, row.name, pupils[-1].answers, material)
    lesson.progress("Training heads", len(rows), len(rows))
    judged = material.judged
    crossed = [pupil.fit.out_of_fold[judged] for pupil in pupils]
    outcome = Outcome(*weigh(pupils, crossed, material.train_truth[judged]))
    judge(lesson, COMMITTEE, validation(outcome), material)
    return outcome


def judge(lesson: Lesson, member: str, probs: Array, material: Material) -> None:
    """Tell the share of the photos held back that a member, or the committee, answers rightly."""
    if len(probs):
        lesson.judged(member, float((probs.argmax(axis=1) == material.val_truth).mean()))


def validation(outcome: Outcome) -> Array:
    """What the committee says of the photos held back, shape (N, C)."""
    return _joined(outcome, [pupil.answers for pupil in outcome.pupils])


def _joined(outcome: Outcome, answers: Sequence[Array]) -> Array:
    """What the committee says where its members, and those dropped, gave these answers."""
    pairs = zip(outcome.pupils, answers, strict=True)
    sitting = [rules.temper(own, pupil.temperature) for pupil, own in pairs if pupil.weight]
    return outcome.params.join(FITTED_RULE, np.stack(sitting))


def answers(material: Material, before: Outcome, after: Outcome) -> OOFPredictions:
    """What the committee says of each photo that it, or a head like its own, had not learned.

    A tuned network has learned nearly all training photos, so those are answered as before.
    """
    judged = material.judged
    crossed = _joined(before, [pupil.fit.out_of_fold[judged] for pupil in before.pupils])
    trained = itertools.compress(material.train_photos, judged)
    photos = [*trained, *material.val_photos]
    return OOFPredictions(
        digests=np.array([list(photo.digest) for photo in photos], np.uint8),
        truth=np.concatenate([material.train_truth[judged], material.val_truth]).astype(np.int64),
        probs=np.concatenate([crossed, validation(after)]).astype(np.float32),
        held=np.arange(len(photos)) >= len(crossed),
        sources=np.array([photo.source for photo in photos], np.str_),
    )


def _fit_views(material: Material, number: int, lesson: Lesson) -> Fit:
    """A head that learned from all views, with its answers to the plain ones."""
    plain, others = material.train[number], material.views[number]
    looks = 1 + len(others) // len(plain)
    fitted = fit(
        lesson.head,
        np.concatenate([plain, others]),
        np.tile(material.train_truth, looks),
        folds=np.tile(material.folds, looks),  # all views of a photo are held back together
        classes=len(material.classes),
        seed=lesson.seed,
    )
    return dataclasses.replace(fitted, out_of_fold=fitted.out_of_fold[: len(plain)])


Train = Callable[[Array, Array], Head]


def fit(kind: str, features: Array, truth: Array, *, folds: Array, classes: int, seed: int) -> Fit:
    """Train a head.

    Args:
        kind: ``"linear"`` or ``"mlp"``.
        features: Shape (N, F).
        truth: Class of each photo, shape (N,).
        folds: Fold of each photo, shape (N,), from 0; negative for one that is never held back.
        classes: C, how many there are.
        seed: Of everything random.

    Raises:
        errors.UnknownName: No such kind.
        errors.SettingError: The kind needs a package or Keras backend that is not here.
    """
    check(kind)
    if kind == "linear":
        with _threads_for(len(features)):
            return _fit_linear_folds(features, truth, folds, classes)
    _check_can_train()
    return _fit_mlp_folds(features, truth, folds, classes, seed)


def check(kind: str) -> None:
    """Refuse a kind of head that there is not.

    Raises:
        errors.UnknownName: No such kind.
    """
    if kind not in KINDS:
        raise errors.UnknownName(f"There is no head {kind!r}; expected one of: {', '.join(KINDS)}.")


def _fit_linear_folds(features: Array, truth: Array, folds: Array, classes: int) -> Fit:
    # With fewer photos than features the solution lies in the span of the photos. Turned into
    # that span first, by a rotation, which an L2 penalty does not see, it is found much faster.
    rotation = _span(features) / _spread(features)
    turned = features @ rotation
    penalty = _choose_penalty(turned, truth, folds, classes)
    fitted = _cross(lambda x, y: _linear(x, y, classes, penalty), turned, truth, folds)
    found = fitted.head
    whole = Head(found.kind, (rotation @ found.kernels[0],), found.biases, found.notes)
    return Fit(whole, fitted.out_of_fold)


def _span(features: Array) -> Array:
    """Orthonormal columns (F, R) that span the photos, R at most N; nothing is lost."""
    photos, length = features.shape
    if photos >= length:
        return np.eye(length, dtype=features.dtype)
    # By the photos' inner products, an N x N matrix: much smaller than the features.
    squares, turns = np.linalg.eigh(features @ features.T.astype(np.float64))
    kept = squares > squares.max() * 1e-10
    return np.asarray(features.T @ turns[:, kept] / np.sqrt(squares[kept]))


def _threads_for(photos: int) -> Any:
    from threadpoolctl import threadpool_limits

    # Small problems take several times longer when the cores wait for each other.
    return threadpool_limits(1 if photos < FEW else None)


def _cross(train: Train, features: Array, truth: Array, folds: Array) -> Fit:
    head = train(features, truth)
    classes = len(head.biases[-1])
    out_of_fold = np.full((len(truth), classes), 1 / classes)
    for fold in np.unique(folds[folds >= 0]):
        held = folds == fold
        out_of_fold[held] = train(features[~held], truth[~held]).probs(features[held])
    return Fit(head, out_of_fold)


def fit_linear(features: Array, truth: Array, *, classes: int, penalty: float) -> Head:
    """Softmax regression with a given L2 penalty per photo; photos of rarer classes count more."""
    spread = _spread(features)
    with _threads_for(len(features)):
        found = _linear(features / spread, truth, classes, penalty)
    return Head(found.kind, (found.kernels[0] / spread,), found.biases, found.notes)


def _spread(features: Array) -> float:
    # One common scale, so that a penalty means the same for every backbone and number of photos.
    return float(features.std()) or 1.0


def refit(head: Head, features: Array, truth: Array, *, classes: int, seed: int) -> Head:
    """A head with the hyperparameters of another one, trained on other photos."""
    if head.kind == "mlp":
        return _mlp(features, truth, classes, seed, epochs=head.notes["epochs"])
    return fit_linear(features, truth, classes=classes, penalty=head.notes["strength"])


def _choose_penalty(features: Array, truth: Array, folds: Array, classes: int) -> float:
    some = np.random.default_rng(0).permutation(len(truth))[:ENOUGH_TO_CHOOSE]
    features, truth, folds = features[some], truth[some], folds[some]

    def loss(penalty: float) -> float:
        crossed = _cross(lambda x, y: _linear(x, y, classes, penalty), features, truth, folds)
        return ensemble_fit.likelihood_loss(crossed.out_of_fold, truth)

    return min(L2_PENALTIES, key=loss)


def _linear(features: Array, truth: Array, classes: int, penalty: float) -> Head:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    # Centred, which the solver likes; afterwards folded back into the bias.
    centre = features.mean(axis=0)
    present = np.unique(truth)
    kernel, bias = np.zeros((features.shape[1], classes)), np.full(classes, -30.0)
    if len(present) < 2:
        bias[present] = 0.0
        return Head("linear", (kernel,), (bias,), {"strength": penalty})
    model = LogisticRegression(
        C=1 / (penalty * len(truth)), class_weight="balanced", max_iter=MAX_STEPS, tol=TOLERANCE
    )
    with warnings.catch_warnings():
        # Weak penalties do not converge; then another one is chosen.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features - centre, truth)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(present) == 2:  # sigmoid(z) is the softmax of (0, z)
        coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([[0.0], intercepts])
    kernel[:, present] = coefficients.T
    bias[present] = intercepts - centre @ kernel[:, present]
    bias[np.setdiff1d(np.arange(classes), present)] = bias.min() - 30.0
    return Head("linear", (kernel,), (bias,), {"strength": penalty})


def _fit_mlp_folds(features: Array, truth: Array, folds: Array, classes: int, seed: int) -> Fit:
    """Folds learn in step; where their answers together are best, training should have stopped."""
    import keras

    keras.utils.set_random_seed(seed)
    held = [folds == fold for fold in np.unique(folds[folds >= 0])]
    learners = [_Learner(features[~own], truth[~own], classes, seed) for own in held]
    out_of_fold = np.full((len(truth), classes), 1 / classes)
    # Where no photo can be held back to see when to stop, there are few, and each pass is short.
    best, epochs = np.inf, 0 if held else MAX_EPOCHS
    for epoch in range(1, MAX_EPOCHS + 1 if held else 1):
        answers = np.full_like(out_of_fold, 1 / classes)
        for own, learner in zip(held, learners, strict=True):
            learner.pass_over()
            answers[own] = learner.head().probs(features[own])
        loss = ensemble_fit.likelihood_loss(answers, truth)
        if loss < best:
            best, epochs, out_of_fold = loss, epoch, answers
        elif epoch - epochs >= PATIENCE:
            break
    return Fit(_mlp(features, truth, classes, seed, epochs=epochs), out_of_fold)


def _mlp(features: Array, truth: Array, classes: int, seed: int, *, epochs: int) -> Head:
    learner = _Learner(features, truth, classes, seed)
    for _ in range(epochs):
        learner.pass_over()
    return learner.head(epochs=epochs)


class _Learner:
    """A small Keras network that passes over its photos as often as it is told."""

    def __init__(self, features: Array, truth: Array, classes: int, seed: int) -> None:
        import keras

        self._centre, self._spread = features.mean(axis=0), _spread(features)
        self._features, self._truth = (features - self._centre) / self._spread, truth
        counts = np.bincount(truth, minlength=classes)
        self._weights = (len(truth) / (np.maximum(counts, 1) * (counts > 0).sum()))[truth]
        self._random = np.random.default_rng(seed)
        regularizer = keras.regularizers.L2(MLP_L2_PENALTY)
        self._model = keras.Sequential(
            [
                keras.Input((features.shape[1],)),
                keras.layers.Dense(HIDDEN_UNITS, activation="relu", kernel_regularizer=regularizer),
                keras.layers.Dropout(DROPOUT),
                keras.layers.Dense(classes, activation="softmax", kernel_regularizer=regularizer),
            ]
        )
        optimizer = keras.optimizers.Adam(LEARNING_RATE)
        self._model.compile(optimizer, "sparse_categorical_crossentropy")

    def pass_over(self) -> None:
        # Not `fit`: on a few hundred photos its preparations take longer than the work.
        order = self._random.permutation(len(self._truth))
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            self._model.train_on_batch(
                self._features[some], self._truth[some], sample_weight=self._weights[some]
            )

    def head(self, **notes: Any) -> Head:
        kernel, bias, last, last_bias = self._model.get_weights()
        kernel = kernel / self._spread
        return Head("mlp", (kernel, last), (bias - self._centre @ kernel, last_bias), notes)


def _check_can_train() -> None:
    import keras

    if keras.backend.backend() == "openvino":
        raise errors.SettingError(
            "The head 'mlp' is trained by Keras, and its OpenVINO backend cannot train. "
            'Install TensorFlow with pip install "triptych[tensorflow]" and start anew with '
            "KERAS_BACKEND=tensorflow, or use the head 'linear'."
        )
