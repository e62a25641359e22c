"""Heads: the few dense layers that are trained on a backbone's features.

Arrays in, arrays out. `linear` is softmax regression and needs no deep-learning framework to
fit; `mlp` is the article's few dense layers with dropout, fitted by Keras. Both are the same
thing afterwards: kernels and biases that become Keras layers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych import errors
from triptych.ensemble import fit as ensemble_fit
from triptych.typing import Array

KINDS = ("linear", "mlp")
# L2 strength per photo, from tight to loose: where nothing tells them apart, the first is taken.
STRENGTHS = (1.0, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4)
# Photos that are enough to choose the strength; more would only take longer.
ENOUGH_TO_CHOOSE = 4000
MAX_STEPS = 300
# Of the gradient. scikit-learn's 1e-4 is off by 0.08 in probability where photos are few.
TOLERANCE = 1e-7
FEW = 20_000

# Chosen with ants and bees (245 photos): as good as linear there; wider ones boast more.
HIDDEN_UNITS = 64
DROPOUT = 0.5
LEARNING_RATE = 4e-4
PENALTY = 1e-2
BATCH = 64
MAX_EPOCHS = 200
PATIENCE = 10


@dataclass(frozen=True)
class Head:
    """Trained dense layers: ReLU between them, softmax at the end.

    Args:
        kind: ``"linear"`` or ``"mlp"``.
        kernels: Shapes (F, H), ..., (H, C).
        biases: Shapes (H,), ..., (C,).
        notes: What was chosen while fitting, for the record.
    """

    kind: str
    kernels: tuple[Array, ...]
    biases: tuple[Array, ...]
    notes: dict[str, Any]

    def probs(self, features: Array) -> Array:
        """Probabilities (N, C) of features (N, F)."""
        *hidden, last = zip(self.kernels, self.biases, strict=True)
        for kernel, bias in hidden:
            features = np.maximum(features @ kernel + bias, 0)
        logits = features @ last[0] + last[1]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def attach(self, features: Any) -> Any:
        """Put the head on a Keras tensor (N, F), as layers; gives the tensor of probabilities."""
        import keras

        names = self._layer_names()
        for number, (name, kernel, bias) in enumerate(
            zip(names, self.kernels, self.biases, strict=True), 1
        ):
            last = number == len(names)
            activation = "softmax" if last else "relu"
            layer = keras.layers.Dense(len(bias), activation=activation, name=name)
            features = layer(features)
            layer.set_weights([kernel, bias])
            if not last:
                features = keras.layers.Dropout(DROPOUT, name=f"head_dropout{number}")(features)
        return features

    def put_into(self, model: Any) -> None:
        """Give the layers that `attach` made in a Keras model the numbers of this head."""
        for name, kernel, bias in zip(self._layer_names(), self.kernels, self.biases, strict=True):
            model.get_layer(name).set_weights([kernel, bias])

    def _layer_names(self) -> list[str]:
        return [*(f"head_dense{n}" for n in range(1, len(self.biases))), "predictions"]

    def save(self, path: Path) -> None:
        """Write the layers as ``.npz``."""
        layers = dict(zip("kb", (self.kernels, self.biases), strict=True))
        arrays = {f"{key}{n}": a for key, group in layers.items() for n, a in enumerate(group)}
        np.savez(path, allow_pickle=False, kind=np.array(self.kind), **arrays)

    @classmethod
    def read(cls, path: Path) -> Head:
        """The head that `save` wrote, without its notes."""
        with np.load(path, allow_pickle=False) as file:
            count = sum(name.startswith("k") and name != "kind" for name in file)
            kernels, biases = ([file[f"{key}{n}"] for n in range(count)] for key in "kb")
            return cls(str(file["kind"]), tuple(kernels), tuple(biases), {})


@dataclass(frozen=True)
class Fit:
    """A fitted head with its answers to photos that it had not seen.

    Args:
        head: Trained on all photos given.
        out_of_fold: Shape (N, C): for each photo, what heads trained on the other folds say; of
            photos that are never held back, all classes alike, which says nothing.
    """

    head: Head
    out_of_fold: Array


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
    if kind == "linear":
        with _threads_for(len(features)):
            return _fit_linear(features, truth, folds, classes)
    if kind == "mlp":
        _check_can_train()
        return _fit_mlp(features, truth, folds, classes, seed)
    raise _unknown(kind)


def check(kind: str) -> None:
    """Refuse a kind of head that there is not.

    Raises:
        errors.UnknownName: No such kind.
    """
    if kind not in KINDS:
        raise _unknown(kind)


def _unknown(kind: str) -> errors.UnknownName:
    return errors.UnknownName(f"There is no head {kind!r}; expected one of: {', '.join(KINDS)}.")


def _fit_linear(features: Array, truth: Array, folds: Array, classes: int) -> Fit:
    # With fewer photos than features the solution lies in the span of the photos. Turned into
    # that span first, by a rotation, which an L2 penalty does not see, it is found much faster.
    rotation = _span(features) / _spread(features)
    turned = features @ rotation
    strength = _choose_strength(turned, truth, folds, classes)
    fitted = _cross(lambda x, y: _linear(x, y, classes, strength), turned, truth, folds)
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


def linear(features: Array, truth: Array, *, classes: int, strength: float) -> Head:
    """Softmax regression with a given L2 strength per photo; rarer classes count more a photo."""
    spread = _spread(features)
    with _threads_for(len(features)):
        found = _linear(features / spread, truth, classes, strength)
    return Head(found.kind, (found.kernels[0] / spread,), found.biases, found.notes)


def _spread(features: Array) -> float:
    # One common scale, so that a strength means the same for every backbone and number of photos.
    return float(features.std()) or 1.0


def again(found: Head, features: Array, truth: Array, *, classes: int, seed: int) -> Head:
    """A head like one that was found, with all its choices, trained on other photos."""
    if found.kind == "mlp":
        return _mlp(features, truth, classes, seed, epochs=found.notes["epochs"])
    return linear(features, truth, classes=classes, strength=found.notes["strength"])


def _choose_strength(features: Array, truth: Array, folds: Array, classes: int) -> float:
    some = np.random.default_rng(0).permutation(len(truth))[:ENOUGH_TO_CHOOSE]
    features, truth, folds = features[some], truth[some], folds[some]

    def loss(strength: float) -> float:
        crossed = _cross(lambda x, y: _linear(x, y, classes, strength), features, truth, folds)
        return ensemble_fit.likelihood_loss(crossed.out_of_fold, truth)

    return min(STRENGTHS, key=loss)


def _linear(features: Array, truth: Array, classes: int, strength: float) -> Head:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    # Centred, which the solver likes; afterwards folded back into the bias.
    centre = features.mean(axis=0)
    present = np.unique(truth)
    kernel, bias = np.zeros((features.shape[1], classes)), np.full(classes, -30.0)
    if len(present) < 2:
        bias[present] = 0.0
        return Head("linear", (kernel,), (bias,), {"strength": strength})
    model = LogisticRegression(
        C=1 / (strength * len(truth)), class_weight="balanced", max_iter=MAX_STEPS, tol=TOLERANCE
    )
    with warnings.catch_warnings():
        # Loose strengths stop early; then another one is chosen.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features - centre, truth)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(present) == 2:  # sigmoid(z) is the softmax of (0, z)
        coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([[0.0], intercepts])
    kernel[:, present] = coefficients.T
    bias[present] = intercepts - centre @ kernel[:, present]
    bias[np.setdiff1d(np.arange(classes), present)] = bias.min() - 30.0
    return Head("linear", (kernel,), (bias,), {"strength": strength})


def _fit_mlp(features: Array, truth: Array, folds: Array, classes: int, seed: int) -> Fit:
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
        penalty = keras.regularizers.L2(PENALTY)
        self._model = keras.Sequential(
            [
                keras.Input((features.shape[1],)),
                keras.layers.Dense(HIDDEN_UNITS, activation="relu", kernel_regularizer=penalty),
                keras.layers.Dropout(DROPOUT),
                keras.layers.Dense(classes, activation="softmax", kernel_regularizer=penalty),
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
