"""Answers of the programs that model files are made for, to compare an import with.

They run in a child process: they are not written for files that are not trusted. Run as a module,
this is that process.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np

from triptych.engines.conversion import requests
from triptych.engines.conversion.requests import RequestWorker
from triptych.imports.formats import Format
from triptych.typing import Array
from triptych.utils import extras


def installed(format_: Format) -> str | None:
    """The package by whose answers an import of a format is checked; ``None`` where none is here.

    Example:
        >>> from triptych.imports.formats import FORMATS
        >>> [installed(each) for each in FORMATS if each.name == "openvino"]
        [None]
    """
    return next((name for name in format_.runtime if importlib.util.find_spec(name)), None)


class Runtime:
    """A child process with a runtime; leave the ``with`` block to end it.

    Args:
        package: As `installed` gives it.
        longest_s: How long a request may take, in seconds.
        memory_bytes: How much memory it may take.
    """

    def __init__(self, package: str, *, longest_s: float, memory_bytes: int) -> None:
        self.package = package
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        self._worker = RequestWorker(
            __name__, environment=environment, longest_s=longest_s, memory_bytes=memory_bytes
        )

    def close(self) -> None:
        """End the process."""
        self._worker.close()

    def predict(self, model: Path, format_: Format, inputs: Array, output: int, name: str) -> Array:
        """The outputs of a model for a batch, as they come.

        Args:
            model: Its file or folder.
            format_: Its format.
            inputs: As the model takes them, shape (N, ...).
            output: Number of the output.
            name: Its name, by which TensorFlow finds it.

        Raises:
            errors.EngineError: The runtime fails.
        """
        with requests.array_file(inputs) as file:
            message = {
                "model": str(model),
                "format": format_.name,
                "package": self.package,
                "inputs": str(file),
                "output": output,
                "name": name,
            }
            self._worker.request(message, f"Running {model.name} by {self.package}")
            outputs: Array = np.load(file)
        return outputs


def _onnx(request: dict[str, Any], inputs: Array) -> list[Array]:
    session = importlib.import_module("onnxruntime").InferenceSession(
        request["model"], providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return [session.run(None, {name: each[np.newaxis]})[request["output"]] for each in inputs]


def _tflite(request: dict[str, Any], inputs: Array) -> list[Array]:
    if request["package"] == "ai_edge_litert":
        interpreter = importlib.import_module("ai_edge_litert.interpreter").Interpreter
    else:
        interpreter = importlib.import_module("tensorflow").lite.Interpreter
    network = interpreter(model_path=request["model"])
    (image,) = network.get_input_details()
    network.resize_tensor_input(image["index"], [1, *inputs.shape[1:]])
    network.allocate_tensors()
    output = network.get_output_details()[request["output"]]["index"]
    outputs = []
    for each in inputs:
        network.set_tensor(image["index"], each[np.newaxis])
        network.invoke()
        outputs.append(np.array(network.get_tensor(output)))
    return outputs


def _saved_model(request: dict[str, Any], inputs: Array) -> list[Array]:
    tensorflow = importlib.import_module("tensorflow")
    model = tensorflow.saved_model.load(request["model"])
    signature = model.signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    outputs = []
    for each in inputs:
        answer = signature(**{name: tensorflow.constant(each[np.newaxis])})
        key = request["name"] if request["name"] in answer else sorted(answer)[request["output"]]
        outputs.append(answer[key].numpy())
    return outputs


RUNTIMES = {"onnx": _onnx, "tflite": _tflite, "savedmodel": _saved_model}


def _answer(request: dict[str, Any]) -> None:
    file = request["inputs"]
    with extras.large_import():
        importlib.import_module(request["package"])
    outputs = RUNTIMES[request["format"]](request, np.load(file))
    np.save(file, np.concatenate(outputs))


if __name__ == "__main__":
    requests.serve(_answer, prepare=lambda: None)
