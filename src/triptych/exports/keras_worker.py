"""The process that writes and runs Keras, SavedModel and LiteRT files; see `keras_formats`.

A process has one Keras backend for life, and the server carries none, so these formats are written
and checked in a child with the TensorFlow backend.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from triptych.engines.conversion import convert
from triptych.ensemble import ood
from triptych.ensemble.multilabel import MultilabelParams
from triptych.ensemble.params import EnsembleParams
from triptych.exports.source import KEY
from triptych.preprocessing.recipe import Recipe
from triptych.typing import Array
from triptych.utils import extras
from triptych.utils import worker
from triptych.utils.formatting import plain_text

# Computes the outputs of an opened file, by name, from its inputs, each with a batch of one photo.
Compute = Callable[[Mapping[str, Array]], dict[str, Array]]

SIGNATURE = "serving_default"
LABELS = "labels.txt"
METADATA = f"{KEY}.json"
# The folder of a SavedModel for files that TensorFlow does not read.
EXTRA = "assets.extra"


def _main() -> None:
    parent = worker.connect()
    sys.meta_path.insert(0, convert.Hidden(*convert.NEEDLESS))
    compute: Compute | None = None
    for request in parent.messages():
        failed = None
        try:
            if "write" in request:
                WRITERS[request["write"]](_model(request), request)
            elif "open" in request:
                compute = OPENERS[request["open"]](Path(request["path"]))
            elif compute:
                with np.load(request["inputs"]) as inputs:
                    np.savez(request["outputs"], allow_pickle=False, **compute(dict(inputs)))
        except Exception as error:  # what TensorFlow and Keras cannot do, they say in many ways
            traceback.print_exc()
            lines = [line.strip(" .") for line in str(error).splitlines() if line.strip()]
            failed = f"{type(error).__name__}: {'. '.join(lines[:2])[:400]}."
        parent.send({"failed": failed})


def _model(request: dict[str, Any]) -> Any:
    with extras.large_import():
        importlib.import_module("keras")
    from triptych.exports import keras_committee

    reference = request["reference"]
    return keras_committee.build(
        keras_committee.CommitteeSpec(
            names=request["names"],
            networks=[Path(path) for path in request["networks"]],
            recipes=[Recipe.from_dict(recipe) for recipe in request["recipes"]],
            params=(
                MultilabelParams if request["metadata"].get("task") else EnsembleParams
            ).from_dict(request["params"]),
            rule=request["rule"],
            quantile=request["quantile"],
            reference=reference and ood.OODReference.read(Path(reference)),
            is_int8=request["is_int8"],
        )
    )


# ------------------------------------------------------------------ writing


def _write_keras(model: Any, request: dict[str, Any]) -> None:
    model.save(request["path"])
    _append(Path(request["path"]), request)


def _write_savedmodel(model: Any, request: dict[str, Any]) -> None:
    folder = Path(request["path"])
    _save(model, folder, batch=None, members=request["names"])
    (folder / EXTRA).mkdir()
    for name, text in _texts(request).items():
        (folder / EXTRA / name).write_text(text, encoding="utf-8")


def _write_litert(model: Any, request: dict[str, Any]) -> None:
    import tensorflow as tf

    # The converter keeps the names of inputs and outputs of a SavedModel only.
    folder = Path(tempfile.mkdtemp(dir=Path(request["path"]).parent))
    try:
        _save(model, folder, batch=1, members=())
        converter = tf.lite.TFLiteConverter.from_saved_model(
            str(folder), signature_keys=[SIGNATURE]
        )
        if request["is_int8"]:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        Path(request["path"]).write_bytes(converter.convert())
    finally:
        shutil.rmtree(folder)
    _append(Path(request["path"]), request)


def _save(model: Any, folder: Path, *, batch: int | None, members: Any) -> None:
    """Write a SavedModel with the committee as its signature, and one for each member."""
    import tensorflow as tf

    def specs(layer: Any) -> dict[str, Any]:
        return {
            tensor.name: tf.TensorSpec((batch, *tensor.shape[1:]), tf.uint8, name=tensor.name)
            for tensor in layer.inputs
        }

    def run(**inputs: Any) -> Any:
        return model(inputs, training=False)

    signatures = {SIGNATURE: tf.function(run).get_concrete_function(**specs(model))}
    for name in members:
        member = model.get_layer(_plain(name))

        def run_member(member: Any = member, **inputs: Any) -> Any:
            probs, features = member(*inputs.values(), training=False)
            return {"probs": probs, "features": features}

        function = tf.function(run_member).get_concrete_function(**specs(member))
        signatures[f"member_{_plain(name)}"] = function
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    tf.saved_model.save(module, str(folder), signatures=signatures)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def _texts(request: dict[str, Any]) -> dict[str, str]:
    """The files that explain the outputs, by name."""
    metadata = request["metadata"]
    labels = "".join(f"{plain_text(label['name'])}\n" for label in metadata["labels"])
    text = json.dumps(metadata, ensure_ascii=False, allow_nan=False)
    return {LABELS: labels, METADATA: text}


def _append(path: Path, request: dict[str, Any]) -> None:
    """Add the files to a file that is a zip, or becomes one at its end: LiteRT's way, too."""
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in _texts(request).items():
            archive.writestr(name, text)


WRITERS: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "keras": _write_keras,
    "savedmodel": _write_savedmodel,
    "litert": _write_litert,
}

# ------------------------------------------------------------------ running


def _open_keras(path: Path) -> Compute:
    with extras.large_import():
        import keras

    model = keras.saving.load_model(path, safe_mode=True)

    def compute(inputs: Mapping[str, Array]) -> dict[str, Array]:
        outputs = model.predict_on_batch(dict(inputs))
        return {name: each[0] for name, each in outputs.items()}

    return compute


def _open_savedmodel(path: Path) -> Compute:
    with extras.large_import():
        import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def compute(inputs: Mapping[str, Array]) -> dict[str, Array]:
        # Taken from what was loaded, which a signature alone would not keep alive.
        serve = loaded.signatures[SIGNATURE]
        outputs = serve(**{name: tf.constant(x) for name, x in inputs.items()})
        return {name: each.numpy()[0] for name, each in outputs.items()}

    return compute


def _open_litert(path: Path) -> Compute:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:
        with extras.large_import():
            from tensorflow.lite import Interpreter

    # As many threads as there are cores, as LiteRT's own choice is one.
    runner = Interpreter(str(path), num_threads=os.cpu_count()).get_signature_runner(SIGNATURE)

    def compute(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {name: np.array(each)[0] for name, each in runner(**inputs).items()}

    return compute


OPENERS: dict[str, Callable[[Path], Compute]] = {
    "keras": _open_keras,
    "savedmodel": _open_savedmodel,
    "litert": _open_litert,
}


if __name__ == "__main__":
    _main()
