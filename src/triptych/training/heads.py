"""Training heads on features: softmax regression, or a small multilayer perceptron; for photos
with any number of classes a logistic regression per class.

Neither needs a deep-learning framework; both become Keras layers, see `triptych.models.head`.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from triptych import errors
from triptych.ensemble import fit as ensemble_fit
from triptych.ensemble.fit import multilabel
from triptych.models.head import KINDS
from triptych.models.head import SIGMOID
from triptych.models.head import SOFTMAX
from triptych.models.head import Head
from triptych.training import logistic_regression
from triptych.training import softmax_regression
from triptych.training.perceptron import Perceptron
from triptych.typing import Array
from triptych.typing import Float32Array
from triptych.utils.text import text

# L2 penalties per photo, from strong to weak: of equally good ones the strongest is used. Bundles
# call the penalty "strength".
L2_PENALTIES = (1.0, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4)
# Photos that are enough to select the penalty; more would only take longer.
ENOUGH_TO_SELECT = 4000
# Held-out photos that are enough to compare penalties.
ENOUGH_HELD_OUT = 1000
# The fits stop when a further step is predicted to gain less than this share of the loss. For
# heads: probabilities are then within 1e-3 of the optimum; for folds: the out-of-fold loss is
# within 1e-4 of it; for both where there are many logits, photos times classes: within 3e-4; and to
# compare penalties: within 1e-3.
EXACT = 1e-7
CLOSE = 1e-6
FAIR, MANY_LOGITS = 1e-5, 1_000_000
ROUGH = 1e-4

# Early stopping of a multilayer perceptron: epochs without a lower loss before training ends.
MAX_EPOCHS = 200
PATIENCE = 10

# For progress reports, both roughly: the share of a linear head's training time that selecting the
# penalty takes, and how many penalties are tried.
SELECTED = 0.6
USUALLY_TRIED = 4

Checkpoint = softmax_regression.Checkpoint
# As the builtin `map`.
Each = Callable[..., Iterable[Any]]


@dataclass(frozen=True)
class CrossFittedHead:
    """A head, with cross-validated predictions for the photos it was trained on.

    Args:
        head: Trained on all photos.
        out_of_fold: For each photo the probabilities by a head that was trained on the other
            folds, float32, shape (N, C); all alike for photos that are never held out.
    """

    head: Head
    out_of_fold: Float32Array


def fit(
    kind: str,
    features: Array,
    targets: Array,
    *,
    folds: Array,
    classes: int,
    seed: int,
    each: Each = map,
    raise_if_stopped: Checkpoint = lambda: None,
    progress: Callable[[float], None] = lambda share: None,
) -> CrossFittedHead:
    """Train a head.

    Args:
        kind: ``"linear"`` or ``"mlp"``.
        features: Shape (N, F).
        targets: Class of each photo, shape (N,), or which classes hold, bool, shape (N, C): then
            the head must be linear, and each class has a sigmoid.
        folds: Fold of each photo, shape (N,), from 0; negative for one that is never held out.
        classes: C, how many there are.
        seed: Of everything random.
        each: The builtin `map`, or one that works on several items at a time, such as that of
            `concurrency.ArrayThreads`; the result is the same.
        raise_if_stopped: Called regularly by the worker threads; an exception from it ends the
            training.
        progress: Called with the share that is done, up to 1.

    Raises:
        errors.UnknownName: No such kind.
    """
    check(kind)
    if kind == "linear":
        fitter = LinearFitter(features, targets, classes, raise_if_stopped)
        return _fit_linear_folds(fitter, features, folds, each, progress)
    networks = PerceptronFitter(features, targets, classes, seed)
    return _fit_mlp_folds(networks, folds, each, raise_if_stopped, progress)


def check(kind: str) -> None:
    """Refuse an unknown kind of head.

    Raises:
        errors.UnknownName: No such kind.
    """
    if kind not in KINDS:
        raise errors.UnknownName(
            text(
                "There is no head {kind!r}; expected one of: {kinds}.",
                kind=kind,
                kinds=", ".join(KINDS),
            )
        )


class LinearFitter:
    """Fits linear heads on any selections of the same photos: softmax regression, classes balanced,
    or where a photo may have any number of classes a logistic regression for each.

    The features are projected onto their principal components once, which does not change the L2
    penalty and makes fitting much faster. Heads take the original features.

    Args:
        features: Shape (N, D).
        targets: Class of each photo, shape (N,), or which classes hold, bool, shape (N, C).
        classes: C, how many there are.
        raise_if_stopped: Called before each step of a fit; an exception from it ends the fit.
    """

    def __init__(
        self,
        features: Array,
        targets: Array,
        classes: int,
        raise_if_stopped: Checkpoint = lambda: None,
    ) -> None:
        features = np.asarray(features, np.float32)
        self._spread = _spread(features)
        self._centre, self._basis = softmax_regression.principal_components(features)
        self._components = (features - self._centre) @ (self._basis / np.float32(self._spread))
        self.targets, self.classes = targets, classes
        self.is_multilabel = targets.ndim == 2
        self.raise_if_stopped = raise_if_stopped

    def fit(
        self,
        selection: Array,
        penalty: float,
        *,
        start: Array | None = None,
        tolerance: float = EXACT,
    ) -> Array:
        """Fit a head.

        Args:
            selection: Which photos it is trained on, bool, shape (N,).
            penalty: L2 penalty per photo, above 0.
            start: Initial layers, shape (R + 1, C), as returned for a similar selection.
            tolerance: See `softmax_regression.fit`.

        Returns:
            Its layers in principal components, shape (R + 1, C).
        """
        targets = self.targets[selection]
        components = self._components if selection.all() else self._components[selection]
        if self.is_multilabel:
            return logistic_regression.fit(
                components,
                targets,
                penalty=penalty,
                start=start,
                tolerance=tolerance,
                raise_if_stopped=self.raise_if_stopped,
            )
        return softmax_regression.fit(
            components,
            targets,
            softmax_regression.balanced_weights(targets, self.classes),
            classes=self.classes,
            # Two classes are a single sigmoid, whose kernel is the difference of two.
            penalty=penalty * (2 if self.classes == 2 else 1),
            start=start,
            tolerance=tolerance,
            raise_if_stopped=self.raise_if_stopped,
        )

    def probs(self, layers: Array, selection: Array) -> Array:
        """Probabilities (M, C) of the M photos of a selection (N,) by layers (R + 1, C)."""
        layers = layers.astype(np.float64)
        turned = Head("linear", (layers[:-1],), (layers[-1],), {}, self._activation)
        return turned.probs(self._components[selection])

    def loss(self, probs: Array, targets: Array) -> float:
        """The cross-entropy of probabilities (M, C), in nats."""
        if self.is_multilabel:
            return multilabel.log_loss(probs, targets)
        return ensemble_fit.negative_log_likelihood(probs, targets)

    @property
    def _activation(self) -> str:
        return SIGMOID if self.is_multilabel else SOFTMAX

    def head(self, layers: Array, penalty: float) -> Head:
        """The head with these layers (R + 1, C), for the original features."""
        kernel = self._basis.astype(np.float64) @ layers[:-1] / self._spread
        bias = layers[-1] - self._centre @ kernel
        absent = layers[-1] <= softmax_regression.ABSENT
        if absent.any():
            bias[absent] = bias[~absent].min() - 30.0
        return Head("linear", (kernel,), (bias,), {"strength": penalty}, self._activation)


def _fit_linear_folds(
    fitter: LinearFitter,
    features: Array,
    folds: Array,
    each: Each,
    progress: Callable[[float], None],
) -> CrossFittedHead:
    targets, classes = fitter.targets, fitter.classes
    tests = [folds == fold for fold in np.unique(folds[folds >= 0])]
    if len(targets) > ENOUGH_TO_SELECT:
        sample = np.random.default_rng(0).permutation(len(targets))[:ENOUGH_TO_SELECT]
        selector = LinearFitter(features[sample], targets[sample], classes, fitter.raise_if_stopped)
        penalty, _ = _select_penalty(selector, [t[sample] for t in tests], each, progress)
        # Its layers are no good as initial ones: with few photos a class they are worse than zeros
        # (12,500 photos of 1,000 classes: 144 passes from there, 25 from zeros).
        starts = list[Array]()
    else:
        penalty, starts = _select_penalty(fitter, tests, each, progress)
    many = len(targets) * classes > MANY_LOGITS
    exact, close = (FAIR, FAIR) if many else (EXACT, CLOSE)
    start = np.mean(starts, axis=0) if starts else None
    whole = fitter.fit(np.ones(len(targets), bool), penalty, start=start, tolerance=exact)
    progress(SELECTED + (1 - SELECTED) / (len(tests) + 1))
    starts = starts + [whole] * (len(tests) - len(starts))
    uniform = 0.5 if fitter.is_multilabel else 1 / classes
    out_of_fold = np.full((len(targets), classes), uniform, np.float32)

    def predict(test: Array, start: Array) -> Array:
        layers = fitter.fit(~test, penalty, start=start, tolerance=close)
        return fitter.probs(layers, test)

    for done, (test, probs) in enumerate(zip(tests, each(predict, tests, starts), strict=True), 2):
        out_of_fold[test] = probs
        progress(SELECTED + (1 - SELECTED) * done / (len(tests) + 1))
    return CrossFittedHead(fitter.head(whole, penalty), out_of_fold)


def _select_penalty(
    fitter: LinearFitter, tests: list[Array], each: Each, progress: Callable[[float], None]
) -> tuple[float, list[Array]]:
    """The penalty with the lowest out-of-fold loss, and each fold's nearly fitted layers.

    The search starts in the middle and moves on while the loss falls; each fit starts from the
    layers of the penalty before.
    """
    # As many folds as are needed to compare losses.
    held_out = np.cumsum([test.sum() for test in tests])
    tests = tests[: int(np.searchsorted(held_out, ENOUGH_HELD_OUT)) + 1]
    if not tests:
        return L2_PENALTIES[0], []

    def fit_one(test: Array, start: Array | None, penalty: float) -> tuple[Array, Array]:
        layers = fitter.fit(~test, penalty, start=start, tolerance=ROUGH)
        return layers, fitter.probs(layers, test)

    def fitted(number: int, starts: Sequence[Array | None]) -> tuple[float, list[Array]]:
        penalties = [L2_PENALTIES[number]] * len(tests)
        layers, probs = zip(*each(fit_one, tests, starts, penalties), strict=True)
        targets = np.concatenate([fitter.targets[test] for test in tests])
        return fitter.loss(np.concatenate(probs), targets), list(layers)

    best = len(L2_PENALTIES) // 2
    loss, layers = fitted(best, [None] * len(tests))
    tried = 1
    for way in (1, -1):
        begun = best
        while 0 <= best + way < len(L2_PENALTIES):
            progress(SELECTED * min(tried / USUALLY_TRIED, 1))
            tried += 1
            other, others = fitted(best + way, layers)
            if other >= loss:
                break
            best, loss, layers = best + way, other, others
        if best != begun:
            break
    return L2_PENALTIES[best], layers


def fit_linear(features: Array, targets: Array, *, classes: int, penalty: float) -> Head:
    """Softmax regression with a given L2 penalty per photo and balanced class weights."""
    fitter = LinearFitter(features, targets, classes)
    layers = fitter.fit(np.ones(len(targets), bool), penalty)
    return fitter.head(layers, penalty)


def _spread(features: Array) -> float:
    # One common scale, so that a penalty means the same for every backbone and number of photos.
    return float(features.std(dtype=np.float64)) or 1.0


def refit(head: Head, features: Array, targets: Array, *, classes: int, seed: int) -> Head:
    """A head with the hyperparameters of another one, trained on other photos."""
    if head.kind == "mlp":
        fitter = PerceptronFitter(features, targets, classes, seed)
        return fitter.head(fitter.fit(head.notes["epochs"]), head.notes["epochs"])
    return fit_linear(features, targets, classes=classes, penalty=head.notes["strength"])


class PerceptronFitter:
    """Trains multilayer perceptrons on any selections of the same photos, classes balanced.

    Args:
        features: Shape (N, F).
        targets: Class of each photo, shape (N,).
        classes: C, how many there are.
        seed: Of everything random.
    """

    def __init__(self, features: Array, targets: Array, classes: int, seed: int) -> None:
        features = np.asarray(features, np.float32)
        self._centre, self._spread = features.mean(axis=0), np.float32(_spread(features))
        self.features = (features - self._centre) / self._spread
        self.targets, self.classes, self._seed = targets, classes, seed

    def network(self, selection: Array) -> Perceptron:
        """An untrained network for a selection of the photos, bool, shape (N,)."""
        targets = self.targets[selection]
        weights = len(targets) * softmax_regression.balanced_weights(targets, self.classes)
        return Perceptron(
            self.features[selection], targets, weights, classes=self.classes, seed=self._seed
        )

    def fit(self, epochs: int, raise_if_stopped: Checkpoint = lambda: None) -> Perceptron:
        """A network, trained on all photos for a number of epochs."""
        network = self.network(np.ones(len(self.targets), bool))
        for _ in range(epochs):
            raise_if_stopped()
            network.train_epoch()
        return network

    def head(self, network: Perceptron, epochs: int) -> Head:
        """The head with the layers of a network, for the original features."""
        kernel, bias, last, last_bias = network.layers
        kernel = kernel / self._spread
        return Head(
            "mlp", (kernel, last), (bias - self._centre @ kernel, last_bias), {"epochs": epochs}
        )


def _fit_mlp_folds(
    fitter: PerceptronFitter,
    folds: Array,
    each: Each,
    raise_if_stopped: Checkpoint,
    progress: Callable[[float], None],
) -> CrossFittedHead:
    """Train all folds in parallel, and find the epoch with the lowest out-of-fold loss."""
    tests = [folds == fold for fold in np.unique(folds[folds >= 0])]
    networks = [fitter.network(~test) for test in tests]
    uniform = np.full((len(folds), fitter.classes), 1 / fitter.classes, np.float32)

    def train_epoch(network: Perceptron, test: Array) -> Array:
        raise_if_stopped()
        network.train_epoch()
        return network.probs(fitter.features[test])

    # Without folds early stopping is impossible; there are few photos then, and epochs are short.
    best, epochs, out_of_fold = np.inf, 0 if tests else MAX_EPOCHS, uniform
    for epoch in range(1, MAX_EPOCHS + 1 if tests else 1):
        probs = uniform.copy()
        for test, fold_probs in zip(tests, each(train_epoch, networks, tests), strict=True):
            probs[test] = fold_probs
        progress(SELECTED * epoch / MAX_EPOCHS)
        loss = ensemble_fit.negative_log_likelihood(probs, fitter.targets)
        if loss < best:
            best, epochs, out_of_fold = loss, epoch, probs
        elif epoch - epochs >= PATIENCE:
            break
    network = fitter.fit(epochs, raise_if_stopped)
    progress(1.0)
    return CrossFittedHead(fitter.head(network, epochs), out_of_fold)
