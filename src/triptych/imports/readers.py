"""Two ways to read a model: by Keras, and by OpenVINO's front ends. Both do the same things."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path
from typing import Any
from typing import Protocol

import numpy as np

from triptych import errors
from triptych.engines.conversion import convert
from triptych.engines.conversion import graph_model
from triptych.imports import recipe as recipes
from triptych.imports import rules
from triptych.imports import runtimes
from triptych.imports.facts import FileFacts
from triptych.imports.sources import Source
from triptych.preprocessing import recipe as preprocessing
from triptych.preprocessing.recipe import Recipe
from triptych.typing import Array
from triptych.typing import Notify
from triptych.typing import UInt8Array
from triptych.utils.text import text

# No real network takes so long to load or to convert; maliciously nested layers may take for ever.
LONGEST_S = 600
# What libraries take before a model, and what a model may take for each byte of its file: it is
# copied a few times, and photos pass through it.
LEAST_MEMORY_BYTES, MEMORY_FOR_BYTE = 6 << 30, 8


class Reader(Protocol):
    """Reads one model.

    Attributes:
        reference: What gives the answers that the import is compared with, for people.
    """

    reference: str

    def inspect(self, classes: int) -> dict[str, Any]:
        """What the model takes and gives; see `triptych.engines.conversion.keras_model.inspect`.

        Args:
            classes: How many labels there are; of several outputs the one that fits is taken.
        """
        ...

    def predict(self, pixels: UInt8Array, recipe: Recipe) -> Array:
        """The reference's outputs for photos of the recipe's size, shape (N, C)."""
        ...

    def convert(self, folder: Path, activation: str, recipe: Recipe) -> None:
        """Write the network with outputs (probs, features) to a new folder."""
        ...


def memory_bytes(path: Path) -> int:
    """How much memory reading a model may take.

    Args:
        path: Its file or folder.
    """
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return LEAST_MEMORY_BYTES + MEMORY_FOR_BYTE * sum(file.stat().st_size for file in files)


class KerasProcesses:
    """The processes in which Keras converts and predicts; several imports may share them.

    The reference predictions come from Keras with the TensorFlow backend if that is installed,
    which shares no code with serving; else from Keras with the OpenVINO backend.

    Args:
        report: Called with a line for people.
    """

    def __init__(self, report: Notify) -> None:
        self._report = report
        self._processes = contextlib.ExitStack()
        self._memory_bytes = 0
        self._pair: tuple[convert.Converter, convert.Converter] | None = None

    def start(self, memory: int) -> tuple[convert.Converter, convert.Converter]:
        """The process that converts, and the one for the reference predictions.

        Args:
            memory: How much memory each may take, in bytes.

        Raises:
            errors.SettingError: Keras is not installed.
        """
        if self._pair is None or memory > self._memory_bytes:
            self.close()
            enter = self._processes.enter_context
            limits: dict[str, Any] = {"longest_s": LONGEST_S, "memory_bytes": memory}
            converter = enter(convert.Converter(lambda line: None, **limits))
            reference = converter
            if importlib.util.find_spec("tensorflow"):
                reference = enter(convert.Converter(self._report, backend="tensorflow", **limits))
            self._memory_bytes, self._pair = memory, (converter, reference)
        return self._pair

    def close(self) -> None:
        """End the processes."""
        self._processes.close()
        self._pair = None


class KerasReader:
    """Reads a model by Keras.

    Args:
        source: The model.
        processes: Where Keras runs.
        scratch: Folder for what Keras 2 saved, as Keras 3 reads it.
    """

    reference = "Keras's predict"

    def __init__(self, source: Source, processes: KerasProcesses, scratch: Path) -> None:
        self._converter, self._reference = processes.start(memory_bytes(source.path))
        self._path = source.path
        if source.format.name == "keras-h5":
            self._path = scratch / f"{source.path.stem}.keras"
            self._converter.rewrite(source.path, self._path)

    def inspect(self, classes: int) -> dict[str, Any]:
        """See `Reader.inspect`."""
        self._facts = self._converter.inspect(self._path)
        return self._facts

    def predict(self, pixels: UInt8Array, recipe: Recipe) -> Array:
        """See `Reader.predict`."""
        inputs = _inputs(pixels, self._facts)
        return self._reference.predict(self._path, inputs, recipe.scaling)

    def convert(self, folder: Path, activation: str, recipe: Recipe) -> None:
        """See `Reader.convert`."""
        _, grey_scaling = recipes.as_served(recipe, self._facts)
        job = convert.ImportJob(str(self._path), str(folder), activation, recipe.size, grey_scaling)
        self._converter.run([job])


class GraphReader:
    """Reads a model by OpenVINO's front ends; leave the ``with`` block to end its processes.

    Args:
        source: The model.
        facts: What its file says of itself.
    """

    def __init__(self, source: Source, facts: FileFacts) -> None:
        self._source = source
        self._file = facts
        memory = memory_bytes(source.path)
        self._processes = contextlib.ExitStack()
        self._converter = self._processes.enter_context(
            graph_model.GraphConverter(longest_s=LONGEST_S, memory_bytes=memory)
        )
        package = runtimes.installed(source.format)
        self.reference = package or "OpenVINO on the file as it is"
        self._runtime: runtimes.Runtime | None = None
        if package:
            self._runtime = runtimes.Runtime(package, longest_s=LONGEST_S, memory_bytes=memory)
            self._processes.callback(self._runtime.close)

    def __enter__(self) -> GraphReader:
        return self

    def __exit__(self, *problem: object) -> None:
        self._processes.close()

    def inspect(self, classes: int) -> dict[str, Any]:
        """See `Reader.inspect`."""
        facts = self._converter.inspect(self._source.path)
        self._output = rules.choose_output(facts, classes)
        facts["outputs"] = [facts["outputs"][self._output]]
        facts["ending"] = facts["endings"][self._output]
        facts["output_dtype"] = facts["dtypes"][self._output]
        self._facts = facts
        self._dequantize: tuple[float, int] | None = None
        if facts["output_dtype"] in ("u8", "i8"):
            quantizations = self._file.output_quantizations
            self._dequantize = quantizations[self._output] if quantizations else None
            if self._dequantize is None:
                raise errors.SettingError(
                    text(
                        "The model gives integers, and its file does not say which numbers they "
                        "stand for. Export it with outputs in floating point."
                    )
                )
        facts["input_quantization"] = self._quantize = rules.quantize_input(
            facts, self._file.input_quantization
        )
        facts["output_step"] = self._dequantize[0] if self._dequantize else 0.0
        return facts

    def predict(self, pixels: UInt8Array, recipe: Recipe) -> Array:
        """See `Reader.predict`."""
        inputs = self._as_taken(pixels, recipe)
        name = self._facts["outputs"][0][0]
        if self._runtime:
            outputs = self._runtime.predict(
                self._source.path, self._source.format, inputs, self._output, name
            )
        else:
            outputs = self._converter.predict(self._source.path, inputs, self._output)
        outputs = outputs.reshape(len(pixels), -1).astype(np.float32)
        if self._dequantize:
            scale, zero = self._dequantize
            outputs = (outputs - np.float32(zero)) * np.float32(scale)
        if self._is_rounded():
            outputs = outputs / np.maximum(outputs.sum(axis=1, keepdims=True), np.float32(1e-6))
        return outputs

    def _is_rounded(self) -> bool:
        """Whether integers stand for probabilities, whose sum is then not quite 1."""
        ending = next((word for word in self._facts["ending"] if word not in rules.PASSES), "")
        return self._dequantize is not None and ending == "softmax"

    def _as_taken(self, pixels: UInt8Array, recipe: Recipe) -> Array:
        """Photos as the file takes them, computed without what serves them later."""
        images = _inputs(pixels, self._facts)
        if recipes.is_grey(self._facts):
            scaling = preprocessing.find_scaling(recipe.scaling)
            images = (images - np.float32(scaling.mean[0])) / np.float32(scaling.std[0])
        else:
            images = preprocessing.scale(recipe, pixels)
        if self._facts["layout"] == "nchw":
            images = np.ascontiguousarray(np.moveaxis(images, -1, 1))
        dtype = graph_model.TYPES.get(self._facts["dtype"], np.float32)
        if not np.issubdtype(dtype, np.integer):
            return images.astype(dtype)
        if self._quantize:
            scale, zero = self._quantize
            images = np.rint(images / np.float32(scale)) + np.float32(zero)
        low, high = (0, 255) if dtype is np.uint8 else (-128, 127)
        return np.clip(images, low, high).astype(dtype)

    def convert(self, folder: Path, activation: str, recipe: Recipe) -> None:
        """See `Reader.convert`."""
        _, grey_scaling = recipes.as_served(recipe, self._facts)
        self._converter.run(
            graph_model.GraphJob(
                str(self._source.path),
                str(folder),
                self._facts["layout"],
                recipe.size,
                self._output,
                activation,
                grey_scaling,
                self._quantize,
                self._dequantize,
                self._is_rounded(),
            )
        )


def _inputs(pixels: UInt8Array, facts: dict[str, Any]) -> Array:
    """Photos as input for the model, before any scaling."""
    if not recipes.is_grey(facts):
        return pixels.astype(np.float32)
    # ITU-R 601, like Pillow's convert("L"), with which Keras loads grey pictures.
    red, green, blue = np.moveaxis(pixels.astype(np.int64), -1, 0)
    grey = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16
    shape = facts["inputs"][0][1]
    inputs: Array = grey if len(shape) == 2 else grey[..., np.newaxis]
    return inputs.astype(np.float32)
