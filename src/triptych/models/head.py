"""The head of a member: the few dense layers that follow a backbone's features.

A head is kernels and biases, however it was fitted (`triptych.training.heads`): arrays give
probabilities without Keras, and `attach` makes Keras layers of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych.typing import Array

KINDS = ("linear", "mlp")
SOFTMAX, SIGMOID = "softmax", "sigmoid"
DROPOUT = 0.5


def softmax(logits: Array) -> Array:
    """Probabilities from logits, both of shape (N, C).

    Example:
        >>> softmax(np.array([[1000.0, 1000.0]])).tolist()
        [[0.5, 0.5]]
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Head:
    """Trained dense layers: ReLU between them, softmax or sigmoids at the end.

    Args:
        kind: ``"linear"`` or ``"mlp"``.
        kernels: Shapes (F, H), ..., (H, C).
        biases: Shapes (H,), ..., (C,).
        notes: The hyperparameters that fitting selected.
        activation: `SOFTMAX` for one class a photo, `SIGMOID` for any number.
    """

    kind: str
    kernels: tuple[Array, ...]
    biases: tuple[Array, ...]
    notes: dict[str, Any]
    activation: str = SOFTMAX

    def probs(self, features: Array) -> Array:
        """Probabilities (N, C) of features (N, F)."""
        *hidden, last = zip(self.kernels, self.biases, strict=True)
        for kernel, bias in hidden:
            features = np.maximum(features @ kernel + bias, 0)
        logits = features @ last[0] + last[1]
        if self.activation == SIGMOID:
            return np.asarray(np.exp(-np.logaddexp(0, -logits)))
        return softmax(logits)

    def attach(self, features: Any) -> Any:
        """Put the head on a Keras tensor (N, F), as layers; gives the tensor of probabilities."""
        import keras

        names = self._layer_names()
        for number, (name, kernel, bias) in enumerate(
            zip(names, self.kernels, self.biases, strict=True), 1
        ):
            last = number == len(names)
            activation = self.activation if last else "relu"
            layer = keras.layers.Dense(len(bias), activation=activation, name=name)
            features = layer(features)
            layer.set_weights([kernel, bias])
            if not last:
                features = keras.layers.Dropout(DROPOUT, name=f"head_dropout{number}")(features)
        return features

    def put_into(self, model: Any) -> None:
        """Set the weights of the layers that `attach` made in a Keras model."""
        for name, kernel, bias in zip(self._layer_names(), self.kernels, self.biases, strict=True):
            model.get_layer(name).set_weights([kernel, bias])

    @classmethod
    def of_model(cls, model: Any, kind: str) -> Head:
        """The head whose layers `attach` made in a Keras model, without notes."""
        from keras import layers

        first = next(
            number
            for number, layer in enumerate(model.layers)
            if layer.name in {"head_dense1", "predictions"}
        )
        dense = [layer for layer in model.layers[first:] if isinstance(layer, layers.Dense)]
        kernels, biases = zip(*(layer.get_weights() for layer in dense), strict=True)
        return cls(kind, tuple(kernels), tuple(biases), {})

    def _layer_names(self) -> list[str]:
        return [*(f"head_dense{n}" for n in range(1, len(self.biases))), "predictions"]

    def save(self, path: Path) -> None:
        """Write the layers as ``.npz``."""
        layers = dict(zip("kb", (self.kernels, self.biases), strict=True))
        arrays = {f"{key}{n}": a for key, group in layers.items() for n, a in enumerate(group)}
        if self.activation != SOFTMAX:
            arrays["activation"] = np.array(self.activation)
        np.savez(path, allow_pickle=False, kind=np.array(self.kind), **arrays)

    @classmethod
    def read(cls, path: Path) -> Head:
        """The head that `save` wrote, without its notes."""
        with np.load(path, allow_pickle=False) as file:
            count = sum(name.startswith("k") and name != "kind" for name in file)
            kernels, biases = ([file[f"{key}{n}"] for n in range(count)] for key in "kb")
            activation = str(file["activation"]) if "activation" in file else SOFTMAX
            return cls(str(file["kind"]), tuple(kernels), tuple(biases), {}, activation)
