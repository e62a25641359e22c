"""Post-training quantization to int8 by NNCF, each network in a process of its own.

NNCF imports scikit-learn and more, and a server should carry none of that. So `run` starts a
child, which writes the quantized network and ends.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from typing import Any
from typing import cast

import numpy as np

from triptych import errors
from triptych.typing import Float32Array
from triptych.typing import ShouldStop
from triptych.utils import extras
from triptych.utils import worker
from triptych.utils.text import text

# Part of the folder name of int8 networks: raise it when this module changes what it writes.
VERSION = 1
STOPPED = "Stopped; no int8 network was kept."


def check_installed() -> None:
    """Check that NNCF is installed.

    Raises:
        errors.SettingError: It is not installed; the message says how to get it.
    """
    extras.require(text("Making int8 networks (but not running them)"), "nncf", extra="int8")


def run(
    network: Path,
    inputs: Iterable[Float32Array],
    target: Path,
    *,
    stop: ShouldStop = lambda: False,
) -> None:
    """Quantize a network in a child process.

    Args:
        network: The f32 one, as `triptych.engines.conversion.convert.export` writes it.
        inputs: Typical network inputs, each of shape (H, W, 3); NNCF takes the ranges of
            activations from them, and a hundred are enough.
        target: Ends in ``.xml``, in an existing folder; the weights go into a ``.bin`` beside it,
            and the inputs are kept there meanwhile.
        stop: Called several times a second; true ends the child.

    Raises:
        errors.SettingError: NNCF is not installed.
        errors.EngineError: Quantizing failed.
        errors.Stopped: ``stop`` said so.
    """

    def poll() -> None:
        if stop():
            raise errors.Stopped(STOPPED)

    check_installed()
    saved = target.with_name("inputs.npy")
    try:
        with saved.open("wb") as file:
            for network_input in inputs:
                np.save(file, network_input)
        with worker.Worker(__name__) as child:
            child.send({"network": str(network), "inputs": str(saved), "target": str(target)})
            for _ in child.messages(poll):
                pass
            if child.wait():
                raise errors.EngineError(f"Quantizing the network {network} failed: {child.reason}")
    finally:
        saved.unlink()


class _SavedInputs:
    """Network inputs in a file, as batches of one, read anew for each iteration."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Float32Array]:
        with self._path.open("rb") as file:
            while cast(Any, file).peek(1):
                yield np.load(cast(IO[bytes], file))[None]


def _main(network: str, inputs: str, target: str) -> None:
    # NNCF reports each use to its makers where this is installed; nothing may leave the machine.
    cast(dict[str, Any], sys.modules)["openvino_telemetry"] = None
    with extras.large_import():
        import nncf
        import openvino

    samples = _SavedInputs(Path(inputs))
    quantized = nncf.quantize(
        openvino.Core().read_model(network),
        nncf.Dataset(samples),
        subset_size=sum(1 for _ in samples),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        target_device=nncf.TargetDevice.CPU,
        # Without VNNI, processors add pairs of products in 16 bits, which full-range weights
        # overflow. Half the range costs little, and the network is right on every processor.
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            overflow_fix=nncf.OverflowFix.ENABLE
        ),
    )
    openvino.save_model(quantized, target, compress_to_fp16=False)


if __name__ == "__main__":
    _main(**next(worker.connect().messages()))
