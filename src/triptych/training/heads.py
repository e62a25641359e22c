"""Training heads on features: softmax regression, or a small multilayer perceptron.

A linear head needs no deep-learning framework to fit; ``mlp``, a few dense layers with dropout, is
trained by Keras.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from triptych import errors
from triptych.ensemble import fit as ensemble_fit
from triptych.models.head import DROPOUT
from triptych.models.head import KINDS
from triptych.models.head import Head
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


@dataclass(frozen=True)
class CrossFittedHead:
    """A head, with cross-validated predictions for the photos it was trained on.

    Args:
        head: Trained on all photos.
        out_of_fold: For each photo the probabilities by a head that was trained on the other
            folds, shape (N, C); uniform for photos that are never held out.
    """

    head: Head
    out_of_fold: Array


Train = Callable[[Array, Array], Head]


def fit(
    kind: str, features: Array, truth: Array, *, folds: Array, classes: int, seed: int
) -> CrossFittedHead:
    """Train a head.

    Args:
        kind: ``"linear"`` or ``"mlp"``.
        features: Shape (N, F).
        truth: Class of each photo, shape (N,).
        folds: Fold of each photo, shape (N,), from 0; negative for one that is never held out.
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
    """Refuse an unknown kind of head.

    Raises:
        errors.UnknownName: No such kind.
    """
    if kind not in KINDS:
        raise errors.UnknownName(f"There is no head {kind!r}; expected one of: {', '.join(KINDS)}.")


def _fit_linear_folds(features: Array, truth: Array, folds: Array, classes: int) -> CrossFittedHead:
    # With fewer photos than features, the solution lies in the span of the photos. Rotating the
    # features into it first, which leaves the L2 penalty as it is, makes fitting much faster.
    rotation = _span(features) / _spread(features)
    rotated = features @ rotation
    penalty = _choose_penalty(rotated, truth, folds, classes)
    fitted = _cross(lambda x, y: _linear(x, y, classes, penalty), rotated, truth, folds)
    kernel = rotation @ fitted.head.kernels[0]
    return dataclasses.replace(fitted, head=dataclasses.replace(fitted.head, kernels=(kernel,)))


def _span(features: Array) -> Array:
    """An orthonormal basis of the photos' features, shape (F, R) with R at most N."""
    photos, length = features.shape
    if photos >= length:
        return np.eye(length, dtype=features.dtype)
    # From the Gram matrix (N, N), which is much smaller than the features.
    eigenvalues, vectors = np.linalg.eigh(features @ features.T.astype(np.float64))
    kept = eigenvalues > eigenvalues.max() * 1e-10
    return np.asarray(features.T @ vectors[:, kept] / np.sqrt(eigenvalues[kept]))


def _threads_for(photos: int) -> Any:
    from threadpoolctl import threadpool_limits

    # Small problems take several times longer on several threads.
    return threadpool_limits(1 if photos < FEW else None)


def _cross(train: Train, features: Array, truth: Array, folds: Array) -> CrossFittedHead:
    head = train(features, truth)
    classes = len(head.biases[-1])
    out_of_fold = np.full((len(truth), classes), 1 / classes)
    for fold in np.unique(folds[folds >= 0]):
        test = folds == fold
        out_of_fold[test] = train(features[~test], truth[~test]).probs(features[test])
    return CrossFittedHead(head, out_of_fold)


def fit_linear(features: Array, truth: Array, *, classes: int, penalty: float) -> Head:
    """Softmax regression with a given L2 penalty per photo and balanced class weights."""
    spread = _spread(features)
    with _threads_for(len(features)):
        scaled = _linear(features / spread, truth, classes, penalty)
    return dataclasses.replace(scaled, kernels=(scaled.kernels[0] / spread,))


def _spread(features: Array) -> float:
    # One common scale, so that a penalty means the same for every backbone and number of photos.
    return float(features.std()) or 1.0


def refit(head: Head, features: Array, truth: Array, *, classes: int, seed: int) -> Head:
    """A head with the hyperparameters of another one, trained on other photos."""
    if head.kind == "mlp":
        return _mlp(features, truth, classes, seed, epochs=head.notes["epochs"])
    return fit_linear(features, truth, classes=classes, penalty=head.notes["strength"])


def _choose_penalty(features: Array, truth: Array, folds: Array, classes: int) -> float:
    sample = np.random.default_rng(0).permutation(len(truth))[:ENOUGH_TO_CHOOSE]
    features, truth, folds = features[sample], truth[sample], folds[sample]

    def loss(penalty: float) -> float:
        crossed = _cross(lambda x, y: _linear(x, y, classes, penalty), features, truth, folds)
        return ensemble_fit.negative_log_likelihood(crossed.out_of_fold, truth)

    return min(L2_PENALTIES, key=loss)


def _linear(features: Array, truth: Array, classes: int, penalty: float) -> Head:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    # Centred features condition the problem better; the centre is folded back into the bias.
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
        # Weak penalties may not converge; their loss is high, so another is chosen.
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


def _fit_mlp_folds(
    features: Array, truth: Array, folds: Array, classes: int, seed: int
) -> CrossFittedHead:
    """Train all folds in step; the epoch with the best out-of-fold loss is where to stop."""
    import keras

    keras.utils.set_random_seed(seed)
    tests = [folds == fold for fold in np.unique(folds[folds >= 0])]
    networks = [_MLP(features[~test], truth[~test], classes, seed) for test in tests]
    out_of_fold = np.full((len(truth), classes), 1 / classes)
    # Without folds early stopping is impossible; there are few photos then, and epochs are short.
    best, epochs = np.inf, 0 if tests else MAX_EPOCHS
    for epoch in range(1, MAX_EPOCHS + 1 if tests else 1):
        probs = np.full_like(out_of_fold, 1 / classes)
        for test, network in zip(tests, networks, strict=True):
            network.train_epoch()
            probs[test] = network.head().probs(features[test])
        loss = ensemble_fit.negative_log_likelihood(probs, truth)
        if loss < best:
            best, epochs, out_of_fold = loss, epoch, probs
        elif epoch - epochs >= PATIENCE:
            break
    return CrossFittedHead(_mlp(features, truth, classes, seed, epochs=epochs), out_of_fold)


def _mlp(features: Array, truth: Array, classes: int, seed: int, *, epochs: int) -> Head:
    network = _MLP(features, truth, classes, seed)
    for _ in range(epochs):
        network.train_epoch()
    return network.head(epochs=epochs)


class _MLP:
    """A small Keras network, trained epoch by epoch."""

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

    def train_epoch(self) -> None:
        # Not `model.fit`: on a few hundred photos its setup takes longer than the training.
        order = self._random.permutation(len(self._truth))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            self._model.train_on_batch(
                self._features[batch], self._truth[batch], sample_weight=self._weights[batch]
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
