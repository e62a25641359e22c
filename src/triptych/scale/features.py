"""Extract features on all nodes of a Ray cluster.

The backbones are sent to the nodes: a node needs no weights, and each runs the same network, so the
features equal those that this process would have computed. Photos are read on the nodes, at the
paths that they have here, so they have to be on storage that all nodes mount at the same path.
"""

from __future__ import annotations

import functools
import math
import tempfile
from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych import errors
from triptych import features
from triptych.engines import Engine
from triptych.engines.options import EngineOptions
from triptych.engines.options import open_engine
from triptych.preprocessing import recipe
from triptych.scale import cluster
from triptych.typing import Float32Array

# Photos per task: what is computed again when a node dies, and how often results arrive.
PHOTOS_PER_TASK = 32


@dataclass(frozen=True)
class PackedBackbone:
    """A backbone as it is sent to a node: an extractor with the network's files, not an engine.

    Args:
        network: Path of the network on the machine it comes from, by which equal ones are known.
        files: The files' bytes, by their suffixes.
        precision: Number format it runs at.
        recipe: Its preprocessing.
        view: The augmentation applied to the photos.
    """

    network: str
    files: Mapping[str, bytes]
    precision: str
    recipe: recipe.Recipe
    view: str

    def open(self) -> Engine:
        """Open the network, for one core."""
        with tempfile.TemporaryDirectory(prefix="triptych-") as scratch:
            path = Path(scratch) / "network"
            for suffix, data in self.files.items():
                path.with_suffix(suffix).write_bytes(data)
            options = EngineOptions(Path(scratch), self.precision, threads=1)
            return open_engine(path.with_suffix(".xml"), options, cache=False)


def pack(extractors: Sequence[features.Extractor]) -> list[PackedBackbone]:
    """Read the networks of extractors, to be sent to the nodes.

    Raises:
        errors.SettingError: An extractor's network is not in a file.
    """
    files: dict[Path, dict[str, bytes]] = {}
    packed = []
    for extractor in extractors:
        path = extractor.network
        if path is None:
            raise errors.SettingError(
                f"{extractor.space} has no network in a file that other nodes could open. Compute "
                "its features without --ray."
            )
        # Several views of one network share its bytes, in Ray's object store too.
        if path not in files:
            parts = (path.with_suffix(suffix) for suffix in (".xml", ".bin"))
            files[path] = {part.suffix: part.read_bytes() for part in parts}
        packed.append(
            PackedBackbone(
                str(path), files[path], extractor.precision, extractor.recipe, extractor.view
            )
        )
    return packed


def compute(
    wanted: Sequence[features.Request], extractors: Sequence[features.Extractor]
) -> Generator[features.PhotoFeatures, None, None]:
    """Extract features on the nodes of the cluster that this process is connected to.

    Each core of the cluster works on one photo at a time. The work of a node that dies is done
    again by another.

    Args:
        wanted: Photos, and for each backbone whether its features are wanted.
        extractors: The backbones.

    Yields:
        The features of a photo, in any order.

    Raises:
        errors.SettingError: Ray is not installed.
        errors.TriptychError: A photo cannot be read on its node.
        errors.EngineError: The cluster failed.
    """
    cluster.require()
    if not wanted:
        return
    import ray
    from ray import cloudpickle

    try:
        for row in _feature_rows(wanted, pack(extractors)):
            if row["error"]:
                raise cloudpickle.loads(row["error"])
            vectors = (row[str(number)] for number in range(len(extractors)))
            yield row["digest"], [np.frombuffer(v, np.float32) if v else None for v in vectors]
    except ray.exceptions.RayError as error:
        raise errors.EngineError(
            f"The cluster could not compute features: {_reason(error)}. Check that the same "
            "version of Triptych is installed on every node. Features computed so far are kept."
        ) from error


def _feature_rows(
    wanted: Sequence[features.Request], packed: Sequence[PackedBackbone]
) -> Iterable[dict[str, Any]]:
    import ray
    import ray.data
    from ray import cloudpickle

    rows = [
        {"digest": photo.digest, "read": cloudpickle.dumps(photo.read), "lacking": bytes(lacking)}
        for photo, lacking in wanted
    ]
    photos = ray.data.from_items(rows, override_num_blocks=math.ceil(len(rows) / PHOTOS_PER_TASK))
    cluster.silence(photos)
    actor: Any = FeatureActor  # Ray's annotations allow functions only
    return photos.map(
        actor,
        fn_constructor_args=(ray.put(packed),),
        compute=ray.data.ActorPoolStrategy(min_size=1),  # grows to the number of cores
        num_cpus=1,
    ).iter_rows()


def _reason(error: BaseException) -> str:
    """The first line of the root cause."""
    while isinstance(cause := getattr(error, "cause", None) or error.__cause__, BaseException):
        error = cause
    return f"{type(error).__name__} {error}".strip().partition("\n")[0]


@dataclass(frozen=True)
class PackedPhoto:
    """A photo as it is sent to a node; has the fields of `triptych.features.ReadablePhoto`."""

    digest: bytes
    read: Callable[[], bytes]


class FeatureActor:
    """Extracts the features of photos on a node; called with each row.

    Args:
        packed: A reference to the backbones in Ray's object store.
    """

    def __init__(self, packed: Any) -> None:
        self._reference = packed

    @functools.cached_property
    def _extractors(self) -> list[features.Extractor]:
        import ray

        packed: list[PackedBackbone] = ray.get(self._reference)
        engines = {path: one.open() for path, one in {one.network: one for one in packed}.items()}
        return [
            features.Extractor("", engines[one.network], one.recipe, one.view) for one in packed
        ]

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """The features of a photo, or the pickled error."""
        from ray import cloudpickle

        lacking = [bool(lacks) for lacks in row["lacking"]]
        vectors: Sequence[Float32Array | None] = [None] * len(lacking)
        error = b""
        try:
            photo = PackedPhoto(row["digest"], cloudpickle.loads(row["read"]))
            _, vectors = features.extract_photo(photo, lacking, self._extractors)
        except errors.TriptychError as raised:
            error = cloudpickle.dumps(with_node(raised))
        except Exception as raised:
            # Raised again in the driver, as if it had computed the features itself.
            error = cloudpickle.dumps(raised)
        return {
            "digest": row["digest"],
            "error": error,
            **{str(n): b"" if v is None else v.tobytes() for n, v in enumerate(vectors)},
        }


def with_node(error: errors.TriptychError) -> errors.TriptychError:
    """The same error, with the node's address in its message."""
    import ray.util

    hint = ""
    if isinstance(error, errors.SourceError):
        hint = " Photos are read on the nodes, at the paths that they have on this machine."
    return type(error)(f"On the node {ray.util.get_node_ip_address()}: {error.message}{hint}")
