"""Devices that networks run on: their names, and which of them this machine has.

`cpu` is the processor, by OpenVINO. `gpu` is NVIDIA's, AMD's or Apple's by Keras with the backend
that is installed (PyTorch, JAX or TensorFlow), else Intel's by OpenVINO. `npu` is Intel's, by
OpenVINO. Any one device is named RUNTIME:DEVICE, the device in the words of its runtime:
``openvino:GPU.1``, ``torch:cuda:1``, ``torch:mps``, ``jax:gpu:0``, ``tensorflow:cpu``.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from triptych import errors
from triptych.engines import backends
from triptych.engines import openvino

AUTO = "auto"
OPENVINO = "openvino"
INT8 = "int8"
FORMATS = {"bfloat16": "bf16", "float16": "f16"}


@dataclass(frozen=True)
class Device:
    """One device, and the program that runs networks on it.

    Args:
        runtime: ``"openvino"``, ``"torch"``, ``"jax"`` or ``"tensorflow"``.
        name: In the words of the runtime.

    Example:
        >>> str(Device("torch", "cuda:0"))
        'torch:cuda:0'
    """

    runtime: str
    name: str

    def __str__(self) -> str:
        return f"{self.runtime}:{self.name}"

    @property
    def is_processor(self) -> bool:
        """Whether it is the processor of this machine."""
        return self.name.partition(":")[0].lower() == "cpu"


CPU = Device(OPENVINO, "CPU")


def parse(text: str) -> str:
    """Check the name of a device; whether this machine has it is not looked up.

    Args:
        text: ``"auto"``, ``"cpu"``, ``"gpu"``, ``"npu"`` or RUNTIME:DEVICE.

    Returns:
        The name, its first part in lower case.

    Raises:
        errors.SettingError: It is none of these.

    Example:
        >>> parse("GPU"), parse("openvino:GPU.1")
        ('gpu', 'openvino:GPU.1')
    """
    runtime, colon, name = text.strip().partition(":")
    runtime = runtime.lower()
    if not colon and runtime in (AUTO, "cpu", "gpu", "npu"):
        return runtime
    if runtime not in (OPENVINO, *backends.BACKENDS) or not name:
        raise errors.SettingError(
            f"Got device {text!r}; expected auto, cpu, gpu, npu, or RUNTIME:DEVICE with one of the "
            f"runtimes {', '.join((OPENVINO, *backends.BACKENDS))}, such as openvino:GPU.1 or "
            "torch:cuda:0."
        )
    return f"{runtime}:{name}"


def resolve(text: str = AUTO, precision: str = AUTO) -> Device:
    """The device of this machine that a name stands for.

    ``"auto"`` takes a graphics card that is of use, else the processor. A processor's built-in
    graphics, and an NPU, are taken by name only: whether they are faster than the processor
    differs from one to the next. Nothing large is imported on a machine without a graphics card.

    Args:
        text: As for `parse`.
        precision: At int8, ``"auto"`` is the processor.

    Raises:
        errors.SettingError: This machine does not have the device; the message says what it has.

    Example:
        >>> str(resolve("cpu"))
        'openvino:CPU'
    """
    text = parse(text)
    if text == "cpu" or (text == AUTO and precision == INT8):
        return CPU
    if text == AUTO:
        return _best() or CPU
    return _named(text)


@functools.cache
def _best() -> Device | None:
    by_keras = _by_keras()[0]
    if by_keras:
        return by_keras
    discrete = [name for name in openvino.devices() if openvino.is_discrete(name)]
    return Device(OPENVINO, discrete[0]) if discrete else None


@functools.cache
def _named(text: str) -> Device:
    runtime, colon, name = text.partition(":")
    if not colon:
        found, reasons = _by_keras() if text == "gpu" else (None, [])
        kind = text.upper()
        of_openvino = [each for each in openvino.devices() if each.partition(".")[0] == kind]
        if not found and not of_openvino:
            raise _missing(text, [*reasons, _of_openvino()])
        return found or Device(OPENVINO, of_openvino[0])
    if runtime == OPENVINO:
        names = {each.lower(): each for each in openvino.devices()}
        names.setdefault("gpu", names.get("gpu.0", ""))
        if not names.get(name.lower()):
            raise _missing(text, [_of_openvino()])
        return Device(OPENVINO, names[name.lower()])
    if importlib.util.find_spec(runtime) is None or importlib.util.find_spec("keras") is None:
        raise _missing(text, [f"{runtime} or Keras is not installed"])
    if name.lower() == "cpu":
        return Device(runtime, "cpu")
    accelerators = backends.load(runtime).accelerators()
    full = name.lower() if ":" in name or name.lower() == "mps" else f"{name.lower()}:0"
    if full not in accelerators:
        raise _missing(text, [f"{runtime} finds {', '.join(accelerators) or 'no accelerator'}"])
    return Device(runtime, full)


def _missing(text: str, reasons: list[str]) -> errors.SettingError:
    return errors.SettingError(
        f"Got device {text}, and this machine has none that can be used: {'; '.join(reasons)}. "
        "NVIDIA and Apple need their driver, and Keras with PyTorch, JAX or TensorFlow for it; "
        "Intel needs its driver. Until then, use --device cpu."
    )


def _of_openvino() -> str:
    return f"OpenVINO finds {', '.join(openvino.devices())}"


def _by_keras() -> tuple[Device | None, list[str]]:
    """The first accelerator that a backend of Keras finds, and why others find none."""
    if not _has_graphics_card():
        return None, ["there is no driver of NVIDIA (libcuda) or AMD (/dev/kfd), and no Apple GPU"]
    installed = backends.candidates()
    reasons = [] if installed else ["Keras and PyTorch, JAX or TensorFlow are not installed"]
    for name in installed:
        try:
            accelerators = backends.load(name).accelerators()
        except (errors.SettingError, RuntimeError) as error:  # JAX raises where a driver fails
            reasons.append(str(error).strip(".\n"))
            continue
        if accelerators:
            return Device(name, accelerators[0]), []
        reasons.append(f"{name} finds none")
    return None, reasons


def _has_graphics_card() -> bool:
    """Whether there may be a card of NVIDIA, AMD or Apple; quick."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return Path("/dev/kfd").exists()
    return True


def check_device_of_nodes(text: str) -> None:
    """Refuse a device for work on a Ray cluster, whose nodes show their GPUs to no worker of ours.

    Args:
        text: As for `parse`.

    Raises:
        errors.SettingError: It is not the processor.
    """
    if parse(text) not in (AUTO, "cpu"):
        raise errors.SettingError(
            f"Got device {text}, and the nodes of a Ray cluster run networks on their processors. "
            "Leave out --ray to use a device of this machine, or give --device cpu."
        )


def resolve_precision(device: Device, precision: str, home: Path | None = None) -> str:
    """The number format that a device computes in.

    Args:
        device: The device.
        precision: ``"auto"`` takes half precision where that is what the device is made for.
        home: Folder where it is kept what is fastest on the processor.

    Returns:
        ``"f32"``, ``"bf16"`` or ``"f16"``.

    Raises:
        errors.SettingError: The device does not have the precision; or it is int8, which is not a
            way to run a network but another network.

    Example:
        >>> resolve_precision(CPU, "f32")
        'f32'
    """
    if device.runtime == OPENVINO:
        return openvino.resolve_precision(precision, device.name, home)
    if precision == INT8:
        raise errors.SettingError(
            f"Got precision int8 and device {device}: quantized networks run on OpenVINO only. "
            "Take another precision, or --device cpu."
        )
    if device.is_processor:  # which computes in any, but in none faster
        return "f32" if precision == AUTO else precision
    if precision == "f32":
        return "f32"
    half = FORMATS[backends.load(device.runtime).half(device.name)]
    if precision not in (AUTO, half):
        raise errors.SettingError(
            f"Got precision {precision}, and {device} computes in {half}. Use f32, or auto."
        )
    return half
