"""Keras's backends, as far as Keras has no word for it: their devices, and compiling for them."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any
from typing import Protocol

import numpy as np
import numpy.typing as npt

from triptych import errors

Array = npt.NDArray[Any]
# A function of a dictionary of tensors, and a tensor, that returns tensors.
Function = Callable[[dict[str, Any], Any], tuple[Any, ...]]

_importing = threading.Lock()


class Backend(Protocol):
    """What Keras leaves to each of its backends."""

    def accelerators(self) -> list[str]:
        """Names of the devices that are not the processor, the best first."""
        ...

    def half(self, device: str) -> str:
        """The number format of half the size that a device computes in: bfloat16 or float16."""
        ...

    def put(self, array: Array, dtype: str, device: str) -> Any:
        """An array as a tensor on a device, floats in a number format."""
        ...

    def compile(self, function: Function, device: str) -> Callable[..., list[Array]]:
        """The function on a device, compiled if the backend does; safe to call from threads.

        Returns:
            A function of the weights as tensors, and an array; it returns arrays.
        """
        ...


class Torch:
    """PyTorch: NVIDIA and AMD (``cuda``), Apple (``mps``), Intel (``xpu``)."""

    def __init__(self) -> None:
        self._torch = torch = importlib.import_module("torch")
        # f32 is f32: by default convolutions round their inputs to 10 bits (TF32).
        torch.backends.cudnn.allow_tf32 = False

    def accelerators(self) -> list[str]:
        """See `Backend.accelerators`."""
        torch = self._torch
        kinds = {"cuda": torch.cuda, "xpu": getattr(torch, "xpu", None)}
        names = [
            f"{kind}:{index}"
            for kind, module in kinds.items()
            if module is not None and module.is_available()
            for index in range(module.device_count())
        ]
        return [*names, *(["mps"] if torch.backends.mps.is_available() else [])]

    def half(self, device: str) -> str:
        """See `Backend.half`."""
        torch = self._torch
        if device.startswith("cuda") and not torch.version.hip:
            index = torch.device(device).index or 0
            return "bfloat16" if torch.cuda.get_device_capability(index) >= (8, 0) else "float16"
        return "float16" if device == "mps" else "bfloat16"

    def put(self, array: Array, dtype: str, device: str) -> Any:
        """See `Backend.put`."""
        tensor = self._torch.from_numpy(array)
        if tensor.is_floating_point():
            tensor = tensor.to(getattr(self._torch, dtype))
        return tensor.to(device)

    def compile(self, function: Function, device: str) -> Callable[..., list[Array]]:
        """See `Backend.compile`; runs operation by operation."""
        import keras

        torch = self._torch

        def run(weights: dict[str, Any], batch: Array) -> list[Array]:
            # Keras keeps the device, and PyTorch the mode, for each thread.
            with torch.inference_mode(), keras.device(device):
                batch = batch if batch.flags.writeable else batch.copy()  # PyTorch may write
                outputs = function(weights, torch.from_numpy(batch).to(device))
                return [output.cpu().numpy() for output in outputs]

        return run


class Jax:
    """JAX: NVIDIA and AMD (``gpu``), Google's TPUs (``tpu``)."""

    def __init__(self) -> None:
        # By default JAX takes three quarters of the GPU's memory at once.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        self._jax = jax = importlib.import_module("jax")
        jax.config.update("jax_default_matmul_precision", "highest")  # f32 is f32: no TF32

    def accelerators(self) -> list[str]:
        """See `Backend.accelerators`."""
        devices = [device for device in self._jax.devices() if device.platform != "cpu"]
        return [f"{device.platform}:{device.id}" for device in devices]

    def half(self, device: str) -> str:
        """See `Backend.half`."""
        capability = getattr(self._device(device), "compute_capability", "8.0")
        is_old = capability.replace(".", "").isdecimal() and float(capability) < 8
        return "float16" if is_old else "bfloat16"

    def put(self, array: Array, dtype: str, device: str) -> Any:
        """See `Backend.put`."""
        if array.dtype.kind == "f":
            array = array.astype(self._jax.numpy.dtype(dtype))
        return self._jax.device_put(array, self._device(device))

    def compile(self, function: Function, device: str) -> Callable[..., list[Array]]:
        """See `Backend.compile`; compiled for each shape."""
        compiled, to = self._jax.jit(function), self._device(device)
        return lambda weights, batch: [
            np.asarray(output) for output in compiled(weights, self._jax.device_put(batch, to))
        ]

    def _device(self, name: str) -> Any:
        platform, _, index = name.partition(":")
        return self._jax.devices(platform)[int(index or 0)]


class TensorFlow:
    """TensorFlow: NVIDIA and AMD (``gpu``), Apple with its plug-in."""

    def __init__(self) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        self._tf = tensorflow = importlib.import_module("tensorflow")
        tensorflow.config.experimental.enable_tensor_float_32_execution(False)  # f32 is f32
        for device in tensorflow.config.list_physical_devices("GPU"):
            # By default TensorFlow takes all memory of the GPU at once.
            with contextlib.suppress(RuntimeError):  # it is in use already
                tensorflow.config.experimental.set_memory_growth(device, True)

    def accelerators(self) -> list[str]:
        """See `Backend.accelerators`."""
        gpus = self._tf.config.list_physical_devices("GPU")
        return [f"gpu:{index}" for index in range(len(gpus))]

    def half(self, device: str) -> str:
        """See `Backend.half`."""
        kind, _, index = device.partition(":")
        if kind == "cpu":
            return "bfloat16"
        gpu = self._tf.config.list_physical_devices("GPU")[int(index or 0)]
        details = self._tf.config.experimental.get_device_details(gpu)
        return "bfloat16" if details.get("compute_capability", (0, 0)) >= (8, 0) else "float16"

    def put(self, array: Array, dtype: str, device: str) -> Any:
        """See `Backend.put`."""
        with self._tf.device(device):
            tensor = self._tf.constant(array)
            return self._tf.cast(tensor, dtype) if array.dtype.kind == "f" else tensor

    def compile(self, function: Function, device: str) -> Callable[..., list[Array]]:
        """See `Backend.compile`; compiled by XLA for each shape."""
        tf = self._tf
        # Without XLA, TensorFlow has no grouped convolutions, nor any with channels first, on CPU.
        compiled = tf.function(function, autograph=False, jit_compile=True)

        def run(weights: dict[str, Any], batch: Array) -> list[Array]:
            with tf.device(device):
                return [output.numpy() for output in compiled(weights, tf.constant(batch))]

        return run


# In the order in which they are tried; each has the name of its module, as Keras calls it.
BACKENDS: dict[str, Callable[[], Backend]] = {
    "torch": Torch,
    "jax": Jax,
    "tensorflow": TensorFlow,
}


def candidates() -> list[str]:
    """Names of the installed backends, the preferred one first.

    A process has one backend for life: where Keras is in use, it is the only one.
    """
    keras = sys.modules.get("keras")
    if isinstance(keras, ModuleType):
        return [name for name in BACKENDS if name == keras.backend.backend()]
    if importlib.util.find_spec("keras") is None:
        return []
    preferred = os.environ.get("KERAS_BACKEND", "")
    names = sorted(BACKENDS, key=lambda name: name != preferred)
    return [name for name in names if importlib.util.find_spec(name)]


@functools.cache
def load(name: str) -> Backend:
    """Import a backend, which takes seconds; Keras is not imported.

    Raises:
        errors.SettingError: It cannot be imported.
    """
    try:
        return BACKENDS[name]()
    except (ImportError, OSError, RuntimeError, AttributeError) as error:  # a library is missing
        raise errors.SettingError(
            f"{name} cannot be imported: {error}. Install it anew, or run on --device cpu."
        ) from error


def use(name: str) -> Backend:
    """Import Keras with a backend.

    Raises:
        errors.SettingError: This process runs Keras with another, or it cannot be imported.
    """
    backend = load(name)
    with _importing:
        before = os.environ.get("KERAS_BACKEND")
        os.environ["KERAS_BACKEND"] = name
        try:
            keras = importlib.import_module("keras")
        except ImportError as error:
            raise errors.SettingError(
                f"Networks run on {name} by Keras, which cannot be imported: {error}. Install it "
                'with: pip install "triptych[keras]"'
            ) from error
        finally:
            # Processes that this one starts choose their own.
            os.environ.pop("KERAS_BACKEND")
            if before is not None:
                os.environ["KERAS_BACKEND"] = before
    if (other := keras.backend.backend()) != name:
        raise errors.SettingError(
            f"Got a device of {name}, and this process runs Keras with {other}, of which a process "
            f"has one for life. Start another process, or name a device of {other}."
        )
    return backend
