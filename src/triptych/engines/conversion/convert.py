"""Conversion of Keras networks to OpenVINO, in a process of its own.

A process has one Keras backend for life, and the server should carry none. So `Converter` starts a
child with Keras's OpenVINO backend, which needs no TensorFlow; the child writes the converted
networks.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.abc
import math
import os
import sys
import types
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych import errors
from triptych.engines.conversion import keras_model
from triptych.engines.conversion import requests
from triptych.engines.conversion.requests import RequestWorker
from triptych.models import head
from triptych.models import weights
from triptych.models import zoo
from triptych.typing import Float32Array
from triptych.typing import Notify
from triptych.utils import extras
from triptych.utils import files
from triptych.utils.text import text

# Part of the key of converted networks: raise it when this module changes what it writes.
VERSION = 1
NETWORK = "network.xml"
MODEL = "model.keras"
RANDOM_SEED = 0
# Keras imports these where they are installed, but needs none to convert or to train.
NEEDLESS = ("matplotlib", "pandas", "sklearn")


@dataclass(frozen=True)
class ConversionJob:
    """One network to convert.

    Args:
        backbone: Its name in the zoo.
        weights: Path of its weights, already verified; ``None`` leaves random ones.
        folder: Where the result goes; appears complete or not at all.
        head: Path of a saved `head.Head` that takes the place of the 1000 ImageNet classes; the
            whole Keras model is then written, too.
    """

    backbone: str
    weights: str | None
    folder: str
    head: str | None = None


@dataclass(frozen=True)
class ImportJob:
    """A person's own Keras classifier to convert, in inference mode.

    Args:
        model: Path of its ``.keras`` file.
        folder: Where the result goes; appears complete or not at all.
        activation: What makes its outputs probabilities: ``"softmax"``, ``"sigmoid"`` or
            ``"none"``, where they are probabilities. One output is that of the second class.
        size: Height and width of its input in pixels; ``None`` leaves them as they are.
        grey_scaling: Mean and standard deviation that grey values are scaled by, for a network
            that takes no colours.
    """

    model: str
    folder: str
    activation: str = "none"
    size: tuple[int, int] | None = None
    grey_scaling: tuple[float, float] = (0.0, 1.0)


class Converter:
    """A child process that converts networks; leave the ``with`` block to end it.

    Starting it takes seconds, most of them to import Keras, in which the parent can do other
    things. It keeps the backbones it built: to put a head on one that it just converted is quick.

    Args:
        report: Called with a line for people as each network starts.
        backend: Keras's; with any but ``"openvino"`` it can only `predict`.
        longest_s: How long a request may take, in seconds: what somebody else built may never end.
        memory_bytes: How much memory the child may take; 0 for no limit.

    Raises:
        errors.SettingError: Keras is not installed.
    """

    def __init__(
        self,
        report: Notify,
        *,
        backend: str = "openvino",
        longest_s: float = math.inf,
        memory_bytes: int = 0,
    ) -> None:
        # Keras's OpenVINO backend imports SciPy without saying so.
        extras.require(text("Converting a network by Keras"), "keras", "scipy", extra="keras")
        self._report = report
        self._worker = RequestWorker(
            __name__,
            environment={
                **os.environ,
                "KERAS_BACKEND": backend,
                "PYTHONWARNINGS": "ignore",
                "TF_CPP_MIN_LOG_LEVEL": "3",
            },
            longest_s=longest_s,
            memory_bytes=memory_bytes,
        )

    def __enter__(self) -> Converter:
        return self

    def __exit__(self, *problem: object) -> None:
        # What it may still be converting is not needed any more; results are written atomically.
        self._worker.close()

    def build(self, backbone: str, weights: Path) -> None:
        """Start building a backbone that will be needed soon; does not wait.

        Args:
            backbone: Its name in the zoo.
            weights: Path of its weights; if they do not fit, its first job raises.
        """
        self._worker.send({"build": backbone, "weights": str(weights)})

    def run(self, jobs: Sequence[ConversionJob | ImportJob]) -> None:
        """Convert networks.

        Args:
            jobs: What to convert.

        Raises:
            errors.WeightsDamaged: A file of weights does not fit its network.
            errors.EngineError: A conversion failed.
        """
        for job in jobs:
            name = job.backbone if isinstance(job, ConversionJob) else Path(job.model).name
            self._report(f"Preparing {name} ...")
            try:
                self._worker.request(asdict(job), text("Converting the networks to OpenVINO"))
            except errors.EngineError as error:
                files.check_room(Path(job.folder), error.message)
                raise

    def inspect(self, model: Path) -> dict[str, Any]:
        """What a person's own model takes and gives; see `keras_model.inspect`.

        Args:
            model: Its ``.keras`` file.

        Raises:
            errors.WeightsDamaged: Keras does not load it.
            errors.EngineError: Keras cannot run it.
        """
        facts: dict[str, Any] = self._worker.request(
            {"inspect": str(model)}, text("Reading {name}", name=model.name)
        )
        return facts

    def rewrite(self, model: Path, path: Path) -> None:
        """Write a model that Keras 2 saved as HDF5 as a ``.keras`` file.

        Args:
            model: An HDF5 file, whose content `triptych.models.keras_h5` has checked.
            path: The new ``.keras`` file.

        Raises:
            errors.WeightsDamaged: Keras does not load it.
            errors.EngineError: Keras fails in another way.
        """
        message = {"rewrite": str(model), "path": str(path)}
        self._worker.request(message, text("Reading {name}", name=model.name))

    def predict(self, model: Path, images: Float32Array, scaling: str) -> Float32Array:
        """What a person's own model answers in Keras; see `keras_model.predict`.

        Args:
            model: Its ``.keras`` file.
            images: What it takes, with values from 0 to 255, shape (N, ...).
            scaling: What is done to the values first.

        Raises:
            errors.WeightsDamaged: Keras does not load it.
            errors.EngineError: Keras cannot run it.
        """
        with requests.array_file(images) as file:
            request = {"predict": str(model), "images": str(file), "scaling": scaling}
            self._worker.request(request, text("Running {name} in Keras", name=model.name))
            outputs: Float32Array = np.load(file)
        return outputs


def run(jobs: Sequence[ConversionJob | ImportJob], report: Notify) -> None:
    """Convert networks in a child process that ends with the last; see `Converter`."""
    with Converter(report) as converter:
        converter.run(jobs)


def _prepare() -> None:
    # Importing Keras takes 0.8 s of a core without these libraries and scipy.signal, 2.6 s with
    # them, and 5 s more where TensorFlow is installed, which Keras would seed and ask about files.
    heavy = () if os.environ["KERAS_BACKEND"] == "tensorflow" else ("tensorflow",)
    sys.meta_path.insert(0, Hidden(*heavy, *NEEDLESS))
    sys.modules["scipy.signal"] = _Later("scipy.signal")
    with extras.large_import():
        importlib.import_module("keras")


def _answer(request: dict[str, Any]) -> Any:
    if "build" in request:
        with contextlib.suppress(errors.WeightsDamaged):
            _backbone(request["build"], request["weights"])
        raise requests.NoAnswer
    if "rewrite" in request:
        return keras_model.rewrite(request["rewrite"], request["path"])
    if "inspect" in request:
        return keras_model.inspect(request["inspect"])
    if "predict" in request:
        file = request["images"]
        np.save(file, keras_model.predict(request["predict"], np.load(file), request["scaling"]))
        return None
    _convert(ConversionJob(**request) if "backbone" in request else ImportJob(**request))
    return None


class Hidden(importlib.abc.MetaPathFinder):
    """Hides installed libraries: importing one raises `ModuleNotFoundError`.

    `None` in `sys.modules`, the usual way, makes `import` fail too, but libraries that test
    ``"pandas" in sys.modules`` would take it for the library itself.
    """

    def __init__(self, *names: str) -> None:
        self._names = names

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        """Refuse to find a hidden library."""
        if name in self._names:
            raise ModuleNotFoundError(f"{name} is hidden here", name=name)


class _Later(types.ModuleType):
    """A module that is imported at the first access to an attribute of it."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def _convert(job: ConversionJob | ImportJob) -> None:
    import keras

    whole = None
    if isinstance(job, ImportJob):
        network, whole = keras_model.network(
            job.model, activation=job.activation, size=job.size, grey_scaling=job.grey_scaling
        )
    else:
        network = _backbone(job.backbone, job.weights)
        if job.head:
            features = network.outputs[1]
            probs = head.Head.read(Path(job.head)).attach(features)
            whole = keras.Model(network.inputs, probs, name=job.backbone.lower())
            network = keras.Model(network.inputs, [probs, features])
    with files.atomic_dir(Path(job.folder)) as folder:
        export(network, folder / NETWORK)
        if whole is not None:
            whole.save(folder / MODEL)


@functools.cache
def _backbone(name: str, file: str | None) -> Any:
    import keras

    backbone = zoo.find(name)
    keras.utils.set_random_seed(RANDOM_SEED)
    model = backbone.build()
    if file:
        weights.load_into(model, backbone, Path(file))
    return zoo.with_features(model)


def export(model: Any, path: Path) -> None:
    """Write a Keras model as an OpenVINO network that takes any batch size.

    Args:
        model: A ``keras.Model`` with outputs (probs, features).
        path: Ends in ``.xml``; the weights go into a ``.bin`` beside it.
    """
    import openvino

    raw = path.with_name("raw.xml")
    model.export(str(raw), format="openvino", verbose=False)
    network = openvino.Core().read_model(raw)
    _free_batch(network)
    _simplify(network)
    openvino.save_model(network, path, compress_to_fp16=False)
    del network  # it maps raw.bin
    raw.unlink()
    raw.with_suffix(".bin").unlink()


def _free_batch(network: Any) -> None:
    # Keras's OpenVINO backend traces with one image, and Flatten writes that 1 into its target
    # shape. A reshape of a tensor with a free batch must leave the batch free.
    from openvino import opset13

    for node in network.get_ordered_ops():
        if node.get_type_name() != "Reshape":
            continue
        shape = node.input_value(1).get_node()
        if shape.get_type_name() != "Constant" or node.input_value(0).partial_shape[0].is_static:
            continue
        target = np.array(shape.get_data())
        if len(target) > 1 and target[0] == 1 and (target[1:] > 0).all():
            target[0] = -1
            node.input(1).replace_source_output(opset13.constant(target).output(0))
            network.validate_nodes_and_infer_types()


def _simplify(network: Any) -> None:
    # Keras is channels-last and OpenVINO channels-first: each convolution arrives between two
    # transposes. The common transformations fold constants and batch norms, and the TensorFlow
    # front end's normalisation moves the transposes out, as in a conversion from TensorFlow
    # (measured: ResNet50 62 -> 41 ms, MobileNetV2 15 -> 5 ms). Why `_offline_transformations`:
    # the public `ov.convert_model` runs the same passes, but takes no model that is an OpenVINO
    # model already, which is what Keras's backend gives.
    from openvino._offline_transformations import apply_moc_transformations
    from openvino.frontend import FrontEndManager

    front_end = FrontEndManager().load_by_framework("tf")
    apply_moc_transformations(network, False)
    front_end.normalize(network)
    apply_moc_transformations(network, False)


if __name__ == "__main__":
    requests.serve(_answer, prepare=_prepare)
