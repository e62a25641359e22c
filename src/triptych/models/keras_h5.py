"""Models that Keras 2 saved as HDF5, checked before Keras opens them, and made readable for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.models import keras_file
from triptych.utils import extras
from triptych.utils import validation

MAGIC = b"\x89HDF\r\n\x1a\n"
# The largest network of keras.applications has 1.4 GB.
MAX_BYTES = 8 << 30
# How many times as large as the file its weights may be: compressed zeros are smaller.
MAX_RATIO = 20
LITTLE_BYTES = 64 << 20


def read_config(path: Path) -> dict[str, Any]:
    """What an HDF5 file says of its layers, as Keras 3 calls them.

    Args:
        path: Not trusted.

    Raises:
        errors.SourceError: It is no such file, has weights only, or has them in other files.
        errors.WeightsDamaged: There is code in it that Keras does not bring.
        errors.SettingError: h5py is not installed; the message says how to install it.
    """
    extras.require("Reading a model of Keras 2", "h5py", extra="keras")
    import h5py

    try:
        with h5py.File(path, "r") as file:
            _check(path, file)
            text = file.attrs.get("model_config")
            if text is None:
                raise errors.SourceError(
                    f"{path.name} has weights, and not the layers that they belong to. Save the "
                    "whole model, with model.save('model.h5') or model.save('model.keras')."
                )
            content = validation.parse_json(text)
            loss = file.attrs.get("training_config")
            training = validation.parse_json(loss) if isinstance(loss, str | bytes) else None
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise errors.SourceError(
            f"{path.name} cannot be read as HDF5: {error}. It may be cut short; save it again."
        ) from error
    config = modern(content)
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise errors.SourceError(f"{path.name} does not describe a model. Save it again.")
    if isinstance(training, dict):
        config["compile_config"] = {"loss": training.get("loss")}
    keras_file.refuse_code(path, config)
    return config


def _check(path: Path, file: Any) -> None:
    """Refuse links out of the file, and weights that are larger than it can have."""
    import h5py

    total = 0
    left = [file]
    while left:
        group = left.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise errors.SourceError(
                    f"{path.name} links to other weights at {name[:60]!r}, which are not opened. "
                    "Save the whole model into one file."
                )
            item = group[name]
            if isinstance(item, h5py.Group):
                left.append(item)
                if len(left) > 1 << 16:
                    raise ValueError("it has too many groups")
                continue
            if item.external or item.is_virtual:
                raise errors.SourceError(
                    f"{path.name} has its weights {name[:60]!r} in another file, which is not "
                    "opened. Save the whole model into one file."
                )
            total += item.nbytes
    size = path.stat().st_size
    if total > min(MAX_BYTES, max(LITTLE_BYTES, MAX_RATIO * size)):
        raise errors.WeightsDamaged(
            f"{path.name} has {size:,} bytes and would unpack to {total:,} bytes of weights; it is "
            "not opened. Save the model again, without compression."
        )


# The names of Keras 2's modules that its configuration may have.
OLD_MODULES = ("tf_keras", "tensorflow.python.keras", "keras.engine", "keras.src.engine")


def modern(config: Any) -> Any:
    """A configuration that Keras 2 wrote, as Keras 3 reads it; nothing else is changed.

    Args:
        config: As ``json.loads`` gives it.

    Example:
        >>> modern({"class_name": "Model", "config": {"name": "net"}})
        {'class_name': 'Functional', 'config': {'name': 'net'}}
    """
    if isinstance(config, list):
        return [modern(each) for each in config]
    if not isinstance(config, dict):
        return config
    fields = {key: modern(value) for key, value in config.items()}
    kind, options = fields.get("class_name"), fields.get("config")
    if isinstance(kind, str) and isinstance(options, dict):
        if kind == "Model":
            fields["class_name"] = kind = "Functional"
        if str(fields.get("module", "")).startswith(OLD_MODULES):
            del fields["module"]
            fields.pop("registered_name", None)
        if kind == "DepthwiseConv2D" and options.get("groups") == 1:
            del options["groups"]  # which Keras 2.3 and later write, and Keras 3 does not take
        for ends in ("input_layers", "output_layers"):
            # A list of one is not one to Keras 3, so a network inside another would get a list.
            layers = options.get(ends)
            if isinstance(layers, list) and len(layers) == 1 and isinstance(layers[0], list):
                options[ends] = layers[0]
        axis = options.get("axis")
        if kind == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
            options["axis"] = axis[0]
    return fields


def rewrite(source: Path, target: Path) -> None:
    """Copy a file, with its configuration as Keras 3 reads it.

    Args:
        source: A file that `read_config` has checked.
        target: The copy.
    """
    import h5py

    shutil.copyfile(source, target)
    with h5py.File(target, "r+") as file:
        text = json.dumps(
            modern(validation.parse_json(file.attrs["model_config"])), allow_nan=False
        )
        del file.attrs["model_config"]
        file.attrs["model_config"] = text
        if "training_config" in file.attrs:
            del file.attrs["training_config"]


def check_order(path: Path, layers: Mapping[str, Any]) -> None:
    """Refuse a file whose weights Keras 3 reads in another order than they were written in.

    Weights are stored by position. A nested network's are its trainable ones first, and which those
    are may have been recorded wrongly, so that a mean could become a variance without a word.

    Args:
        path: The file.
        layers: Keras's layers by name.

    Raises:
        errors.WeightsDamaged: The names that both give to a weight differ.
    """
    import h5py

    with h5py.File(path, "r") as file:
        group = file.get("model_weights", file)
        for name, layer in layers.items():
            if name not in group:
                continue
            stored = [_last_part(each) for each in group[name].attrs.get("weight_names", [])]
            read = [
                _last_part(w.name) for w in (*layer.trainable_weights, *layer.non_trainable_weights)
            ]
            if stored != read and {*stored} == {*read}:
                raise errors.WeightsDamaged(
                    f"{path.name} has the weights of {name!r} in an order that Keras 3 does not "
                    "read. Load the model in the version of Keras that wrote it, and save it as "
                    ".keras."
                )


def _last_part(name: str | bytes) -> str:
    text = name.decode() if isinstance(name, bytes) else name
    return text.rpartition("/")[2].partition(":")[0]
