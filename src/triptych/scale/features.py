"""Features of many photos, computed by all nodes of a Ray cluster.

What the backbones are goes to the nodes with the work: a node needs no weights, and each gets the
same network, so the features are those that this process would have computed. Photos are read on
the nodes, at the paths that they have here: on storage that all nodes see under the same path.
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

# Photos a task: what is computed again where a node dies, and how often the store gets some.
PIECE = 32


@dataclass(frozen=True)
class Shipped:
    """A backbone on its way to a node: an extractor with its network instead of an engine.

    Args:
        network: Where its files lie on the machine they come from, which names them.
        files: Their bytes, by the endings of their names.
        precision: At which it runs.
        recipe: How it wants its photos.
        view: Which look at the photos.
    """

    network: str
    files: Mapping[str, bytes]
    precision: str
    recipe: recipe.Recipe
    view: str

    def open(self) -> Engine:
        """What runs it, on one core."""
        with tempfile.TemporaryDirectory(prefix="triptych-") as scratch:
            path = Path(scratch) / "network"
            for suffix, data in self.files.items():
                path.with_suffix(suffix).write_bytes(data)
            options = EngineOptions(Path(scratch), self.precision, threads=1)
            return open_engine(path.with_suffix(".xml"), options, cache=False)


def ship(extractors: Sequence[features.Extractor]) -> list[Shipped]:
    """What nodes need of extractors.

    Raises:
        errors.SettingError: The engine of one cannot be opened anywhere but here.
    """
    files: dict[Path, dict[str, bytes]] = {}
    shipped = []
    for one in extractors:
        if one.network is None:
            raise errors.SettingError(f"{one.space} has no file that could be opened elsewhere.")
        # Several views of one network share its bytes, also in Ray's store.
        if one.network not in files:
            paths = (one.network.with_suffix(suffix) for suffix in (".xml", ".bin"))
            files[one.network] = {path.suffix: path.read_bytes() for path in paths}
        network = str(one.network)
        shipped.append(Shipped(network, files[one.network], one.precision, one.recipe, one.view))
    return shipped


def compute(
    wanted: Sequence[features.Wanted], extractors: Sequence[features.Extractor]
) -> Generator[features.Seen, None, None]:
    """Compute features on the nodes of the cluster that this process is connected to.

    Each core of the cluster looks at one photo at a time. What a node that dies was about to
    compute is computed by another.

    Args:
        wanted: Photos, and for each backbone whether its features are wanted.
        extractors: The backbones.

    Yields:
        The features of a photo, in any order.

    Raises:
        errors.SettingError: Ray is not installed.
        errors.TriptychError: A photo cannot be read on its node.
        errors.EngineError: The nodes cannot do it at all.
    """
    cluster.require()
    if not wanted:
        return
    import ray
    from ray import cloudpickle

    try:
        for row in _looked_at(wanted, ship(extractors)):
            if row["error"]:
                raise cloudpickle.loads(row["error"])
            found = (row[str(number)] for number in range(len(extractors)))
            yield row["digest"], [np.frombuffer(own, np.float32) if own else None for own in found]
    except ray.exceptions.RayError as error:
        raise errors.EngineError(
            f"The cluster could not compute features: {_reason(error)}. Look whether this "
            "Triptych is installed on every node. What was computed is kept."
        ) from error


def _looked_at(
    wanted: Sequence[features.Wanted], shipped: Sequence[Shipped]
) -> Iterable[dict[str, Any]]:
    import ray
    import ray.data
    from ray import cloudpickle

    rows = [
        {"digest": photo.digest, "read": cloudpickle.dumps(photo.read), "lacking": bytes(lacking)}
        for photo, lacking in wanted
    ]
    pieces = ray.data.from_items(rows, override_num_blocks=math.ceil(len(rows) / PIECE))
    cluster.hush(pieces)
    looking: Any = Looking  # Ray's own types know functions only
    return pieces.map(
        looking,
        fn_constructor_args=(ray.put(shipped),),
        compute=ray.data.ActorPoolStrategy(min_size=1),  # and as many as there are cores
        num_cpus=1,
    ).iter_rows()


def _reason(error: BaseException) -> str:
    """What was wrong at first, of all that followed from it."""
    while isinstance(before := getattr(error, "cause", None) or error.__cause__, BaseException):
        error = before
    return f"{type(error).__name__} {error}".strip().partition("\n")[0]


@dataclass(frozen=True)
class Photo:
    """A photo that came to a node; see `triptych.features.Photo`."""

    digest: bytes
    read: Callable[[], bytes]


class Looking:
    """Looks at photos on some node; called with each row.

    Args:
        shipped: A reference to the backbones in Ray's store.
    """

    def __init__(self, shipped: Any) -> None:
        self._shipped = shipped

    @functools.cached_property
    def _extractors(self) -> list[features.Extractor]:
        import ray

        shipped: list[Shipped] = ray.get(self._shipped)
        engines = {path: one.open() for path, one in {one.network: one for one in shipped}.items()}
        return [
            features.Extractor("", engines[one.network], one.recipe, one.view) for one in shipped
        ]

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """The features of a photo, or why there are none."""
        from ray import cloudpickle

        lacking = [bool(lacks) for lacks in row["lacking"]]
        vectors: Sequence[Float32Array | None] = [None] * len(lacking)
        error = b""
        try:
            photo = Photo(row["digest"], cloudpickle.loads(row["read"]))
            _, vectors = features.look(photo, lacking, self._extractors)
        except errors.TriptychError as raised:
            error = cloudpickle.dumps(_located(raised))
        except Exception as raised:
            # Raised where they are wanted, as by whoever computes at home.
            error = cloudpickle.dumps(raised)
        return {
            "digest": row["digest"],
            "error": error,
            **{str(n): b"" if v is None else v.tobytes() for n, v in enumerate(vectors)},
        }


def _located(error: errors.TriptychError) -> errors.TriptychError:
    """The same error, which says where it came about."""
    import ray.util

    hint = ""
    if isinstance(error, errors.SourceError):
        hint = " Photos are read on the nodes, at the paths that they have here."
    return type(error)(f"On the node {ray.util.get_node_ip_address()}: {error.message}{hint}")
