"""What a ``.keras`` file says of its model, read without Keras: the file may come from anybody."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.utils import files
from triptych.utils import validation
from triptych.utils.text import text

# A network of a thousand layers takes 1 MB.
MAX_CONFIG_BYTES = 64 << 20
# Layers that carry Python of their own.
CODE = ("Lambda", "TFOpLambda", "SlicingOpLambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer")

# Where the functions are that layers have.
FUNCTIONS = ("activations", "constraints", "initializers", "ops", "regularizers")


def read_config(path: Path) -> dict[str, Any]:
    """What a ``.keras`` file says of its layers, without building them.

    Raises:
        errors.SourceError: It is no such file.
        errors.WeightsDamaged: There is code in it that Keras does not bring.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo("config.json").file_size
            if size > MAX_CONFIG_BYTES:
                raise ValueError(f"its config.json has {size:,} bytes")
            content = validation.parse_json(archive.read("config.json"))
        config: dict[str, Any] = validation.load(
            validation.Table(), content, "config", error=ValueError
        )
        if not isinstance(config.get("config"), dict):
            raise ValueError("its config.json does not describe a model")
    except (*files.ZIP_ERRORS, KeyError) as error:
        raise errors.SourceError(
            text(
                "{path} is no .keras file: {reason}. In Keras 3, save the model with "
                "model.save('model.keras').",
                path=path,
                reason=_other_kind(path) or str(error).rstrip("."),
            )
        ) from error
    refuse_code(path, config)
    return config


def refuse_code(path: Path, config: dict[str, Any]) -> None:
    """Refuse a model with code that Keras does not bring.

    Args:
        path: Its file, for the message.
        config: What the file says of its layers.

    Raises:
        errors.WeightsDamaged: With the name of each piece of code.
    """
    code = sorted({_described(entry) for entry in _objects(config) if _is_code(entry)})
    if code:
        raise errors.WeightsDamaged(
            text(
                "{path} has code of its own inside, which is not run: {code}. Expected a model of "
                "Keras's own layers; replace Lambda layers by Rescaling or keras.ops, and save it "
                "again.",
                path=path,
                code=", ".join(code),
            )
        )


def _other_kind(path: Path) -> str | None:
    """What else people take for a .keras file, by its beginning; ``None`` if it is not known."""
    if (path / "saved_model.pb").is_file():
        return "it is a TensorFlow SavedModel, a graph without Keras's layers"
    if not path.is_file():
        return "there is no such file" if not path.exists() else "it is a folder"
    with path.open("rb") as file:
        start = file.read(8)
    if start == b"\x89HDF\r\n\x1a\n":
        return "it is an HDF5 file, as Keras 2 wrote them; load it with keras.models.load_model"
    if start[4:8] == b"TFL3":
        return "it is a TensorFlow Lite model, made from a Keras model for phones; take that one"
    return None


def _objects(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All objects that Keras would build: layers, initializers, operations and so on."""
    # Losses and optimizers are not loaded, so a person's own do no harm. Without recursion: a file
    # may be nested as deeply as it likes.
    left: list[Any] = [{key: value for key, value in config.items() if key != "compile_config"}]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            left += [inner for key, inner in value.items() if key != "compile_config"]
        elif isinstance(value, list):
            left += value


def _is_code(entry: dict[str, Any]) -> bool:
    kind, module = str(entry["class_name"]), entry.get("module")
    registered = str(entry.get("registered_name") or "")
    is_keras = module in (None, "keras", "builtins") or str(module).startswith("keras.")
    if kind == "function" and module not in (None, "builtins"):
        # Nothing of Keras's that fetches, loads or saves files.
        is_keras = str(module).removeprefix("keras.").removeprefix("src.").startswith(FUNCTIONS)
    return kind in CODE or kind == "__lambda__" or not is_keras or ">" in registered


def _described(entry: dict[str, Any]) -> str:
    inner = entry.get("config")
    name = entry.get("name") or (inner.get("name") if isinstance(inner, dict) else None)
    kind = validation.short_repr(entry.get("registered_name") or entry["class_name"])[1:-1]
    return f"{kind} {validation.short_repr(name)}" if name else kind


def loss_outputs(config: dict[str, Any]) -> str | None:
    """What the loss that a model was trained with takes for its outputs.

    Args:
        config: As `read_config` gives it.

    Returns:
        ``"logits"`` or ``"probabilities"`` for a cross-entropy, the name of another loss, or
        ``None`` where none is known.

    Example:
        >>> loss_outputs({"compile_config": {"loss": "binary_crossentropy"}})
        'probabilities'
    """
    compiled: Any = config.get("compile_config")
    loss: Any = compiled.get("loss") if isinstance(compiled, dict) else None
    options: Any = {}
    if isinstance(loss, dict):
        loss, options = loss.get("class_name"), loss.get("config")
    if not isinstance(loss, str):
        return None
    if "crossentropy" not in loss.lower():
        return loss
    is_logits = isinstance(options, dict) and options.get("from_logits") is True
    return "logits" if is_logits else "probabilities"
