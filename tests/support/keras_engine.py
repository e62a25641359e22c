"""An engine that is the network as Keras runs it: the reference for the others."""

from __future__ import annotations

from typing import Any

from support import networks
from triptych import errors
from triptych.engines import Output
from triptych.typing import Float32Array


class KerasEngine:
    """Runs a Keras model on whichever backend this process has.

    Args:
        model: A ``keras.Model`` with outputs (probs, features), as `zoo.with_features` makes.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    @property
    def size_bytes(self) -> int:
        """How large its weights are."""
        return 4 * int(self._model.count_params())

    def run(self, batch: Float32Array) -> Output:
        """Answer a batch; see `triptych.engines.Engine.run`."""
        expected = self._model.input_shape[1:]
        if batch.shape[1:] != expected:
            raise errors.EngineError(
                f"The network takes batches of shape (N, {', '.join(map(str, expected))}) and "
                f"got {batch.shape}. Apply the member's recipe first."
            )
        return Output(*networks.run(self._model, batch))
