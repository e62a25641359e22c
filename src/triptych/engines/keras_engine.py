"""The engine for NVIDIA, AMD and Apple: runs converted networks by Keras, on any backend."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from triptych import errors
from triptych.engines import Output
from triptych.engines import backends
from triptych.engines import devices
from triptych.engines.devices import Device
from triptych.engines.keras_graph import F32
from triptych.engines.keras_graph import KerasGraph
from triptych.preprocessing.recipe import Recipe
from triptych.preprocessing.recipe import find_scaling
from triptych.typing import Float32Array
from triptych.typing import UInt8Array

# A function of the weights on the device and a batch.
Compute = Callable[[dict[str, Any], Any], list[Any]]

# Backends compile for each size of a batch, which takes seconds: batches are filled up to these.
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
DTYPES: Mapping[str, str] = {"f32": F32, "bf16": "bfloat16", "f16": "float16"}


class KerasEngine:
    """Runs a converted network by Keras; safe to call from several threads.

    Args:
        path: The network, as `triptych.engines.conversion.convert.export` writes it.
        device: A device of a backend of Keras.
        precision: ``"auto"``, ``"f32"``, ``"bf16"`` or ``"f16"``.

    Raises:
        errors.EngineError: The file cannot be read, or has what only OpenVINO runs.
        errors.SettingError: The device does not have the precision, or the backend cannot be used.
    """

    def __init__(self, path: Path, device: Device, *, precision: str = "auto") -> None:
        backend = backends.use(device.runtime)
        self.precision = devices.resolve_precision(device, precision)
        self._device = device
        self._graph = KerasGraph(path, DTYPES[self.precision])
        self._weights = self._put_weights(backend)
        self._compute = backend.compile(self._from_f32, device.name)
        self._size_bytes = path.with_suffix(".bin").stat().st_size

    @property
    def size_bytes(self) -> int:
        """The size of its weights on disk; at half precision the device holds half of it."""
        return self._size_bytes

    def run(self, batch: Float32Array) -> Output:
        """Compute probabilities and features; see `triptych.engines.Engine.run`."""
        return self._run(self._compute, batch)

    def _run(self, compute: Compute, batch: Float32Array | UInt8Array) -> Output:
        if batch.shape[1:] != self._graph.input_shape:
            shape = ",".join(map(str, self._graph.input_shape))
            raise errors.EngineError(
                f"The network takes [?,{shape}] and got a batch of shape {batch.shape}. Apply the "
                "member's recipe first."
            )
        most = BATCH_SIZES[-1]
        starts = range(0, len(batch), most)
        parts = [self._run_some(compute, batch[start : start + most]) for start in starts]
        return Output(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _put_weights(self, backend: backends.Backend) -> dict[str, Any]:
        half, exact = DTYPES[self.precision], self._graph.exact
        return {
            name: backend.put(array, F32 if name in exact else half, self._device.name)
            for name, array in self._graph.weights.items()
        }

    def _from_f32(self, weights: dict[str, Any], batch: Any) -> tuple[Any, Any]:
        import keras

        return self._graph(weights, keras.ops.cast(batch, self._graph.dtype))

    def _run_some(self, compute: Compute, batch: Float32Array | UInt8Array) -> Output:
        count = len(batch)
        size = next(size for size in BATCH_SIZES if size >= count)
        if size > count:
            filled = np.zeros((size, *batch.shape[1:]), batch.dtype)
            filled[:count] = batch
            batch = filled
        output = Output(*(array[:count] for array in compute(self._weights, batch)))
        if self.precision == "f16" and not all(np.isfinite(array).all() for array in output):
            raise errors.EngineError(
                "Inside this network are numbers above 65504, the largest that f16 has, which is "
                f"the half precision of {self._device}. Run it with --precision f32."
            )
        return output


class KerasPixelEngine(KerasEngine):
    """Also takes pixels, and scales them on the device: a quarter of the bytes to copy there.

    Args:
        path: As for `KerasEngine`.
        device: As for `KerasEngine`.
        recipe: Its scaling.
        precision: As for `KerasEngine`.

    Raises:
        errors.EngineError: As for `KerasEngine`.
        errors.SettingError: As for `KerasEngine`.
    """

    def __init__(
        self, path: Path, device: Device, recipe: Recipe, *, precision: str = "auto"
    ) -> None:
        super().__init__(path, device, precision=precision)
        self._scaling = find_scaling(recipe.scaling)
        self._compute_pixels = backends.use(device.runtime).compile(self._from_pixels, device.name)

    def run_pixels(self, pixels: UInt8Array) -> Output:
        """Scale pixels and compute; see `triptych.engines.PixelEngine.run_pixels`."""
        return self._run(self._compute_pixels, pixels)

    def _from_pixels(self, weights: dict[str, Any], pixels: Any) -> tuple[Any, Any]:
        from keras import ops

        scaling = self._scaling
        batch = ops.cast(pixels, F32)
        batch = ops.flip(batch, axis=-1) if scaling.order == "bgr" else batch
        mean, std = (ops.convert_to_tensor(each, F32) for each in (scaling.mean, scaling.std))
        return self._from_f32(weights, (batch - mean) / std)
