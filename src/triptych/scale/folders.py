"""Classify folders of photos on many machines, by Ray Data, with the plan and shards of `batch`.

    pages of the plan -> chunks -> preprocessed photos -> shards written -> counts, to the driver

Each row is a chunk. Photos are read and preprocessed by actors of their own, so that disks and
processors are busy at the same time; Ray Data bounds how many chunks are in progress. The
chunks of a lost machine are done again by others: a chunk is always written to the same file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.data

import triptych
from triptych import batch
from triptych import errors
from triptych.batch import plan as planning
from triptych.batch import shards
from triptych.inference.classifier import Classifier
from triptych.results import Failure
from triptych.scale import cluster
from triptych.utils import concurrency

# Share of the cores that Ray reserves for prediction; processes still use what they need.
ENGINE_SHARE = 0.75
# Reading waits for disks, so each preprocessing actor reads several photos and serves two cores.
PREPROCESSORS_PER_CORE, READERS = 0.5, 4


@dataclass(frozen=True)
class WorkerPlan:
    """How many actors to start, and how many cores Ray reserves for each.

    Args:
        engines: Actors that run the networks.
        engine_cpus: Cores reserved for each.
        preprocessors: Actors that read and preprocess photos.
        preprocessor_cpus: Cores reserved for each.
    """

    engines: int
    engine_cpus: float
    preprocessors: int
    preprocessor_cpus: float

    @classmethod
    def of(cls, nodes: list[float], cores: int, *, most: int) -> WorkerPlan:
        """Plan actors that fill a cluster and still fit when its largest node is lost.

        Without that room the chunks of a lost node would wait for a new one. At least half of the
        cores are reserved, so that a small node does not get as many actors as a large one.

        Args:
            nodes: Cores of each node.
            cores: Cores of each engine.
            most: Most actors of either kind that have something to do.

        Example:
            >>> WorkerPlan.of([2.0], cores=1, most=9)
            WorkerPlan(engines=2, engine_cpus=0.75, preprocessors=1, preprocessor_cpus=0.5)
            >>> WorkerPlan.of([1.0, 1.0, 1.0], cores=1, most=9)
            WorkerPlan(engines=3, engine_cpus=0.5, preprocessors=2, preprocessor_cpus=0.25)
        """
        total = sum(nodes)
        is_alone = total == max(nodes)
        left = total if is_alone else max(total - max(nodes), total / 2)
        engines = max(1, min(most, sum(int(node // cores) for node in nodes)))
        preprocessors = max(1, min(most, math.ceil(PREPROCESSORS_PER_CORE * total)))
        return cls(
            engines,
            _rounded(ENGINE_SHARE * left / engines),
            preprocessors,
            _rounded((1 - ENGINE_SHARE) * left / preprocessors),
        )


def _rounded(cpus: float) -> float:
    return math.floor(cpus * 10_000) / 10_000  # Ray's resolution


def classify(
    plan: batch.BatchPlan,
    manifest: batch.Manifest,
    preprocessor: batch.Preprocessor,
    *,
    cores: int = 1,
    home: Path | None = None,
) -> Iterator[batch.Shard]:
    """Classify the chunks that have no shard yet, on the cluster this process is connected to.

    Args:
        plan: Which photos; each node reads them and writes the shards at the same path or URL.
        manifest: Who, and how.
        preprocessor: How its members are shown photos.
        cores: Cores of each engine.
        home: The home folder, the same path on each node; by default each node's own.

    Yields:
        Each shard when it has been written.

    Raises:
        errors.EngineError: A node lacks something, or cannot write; the message says what.
    """
    nodes = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
    workers = WorkerPlan.of(nodes, cores, most=plan.answered.count(0))
    pages = [{"page": page, "answered": plan.answered_on(page)} for page in plan.pages]
    if not pages:
        return
    chunks: Any = ray.data.from_items(pages, override_num_blocks=len(pages))
    cluster.silence(chunks)
    # In bytes: each row, which is a chunk, becomes a block of its own.
    chunks.context.target_max_block_size = 1
    results = (
        chunks.flat_map(
            _chunks,
            fn_kwargs={"out": plan.out},
            compute=ray.data.TaskPoolStrategy(size=min(2, len(pages))),
            num_cpus=0,
        )
        .map(
            PreprocessActor,
            fn_constructor_args=(preprocessor,),
            compute=ray.data.ActorPoolStrategy(size=workers.preprocessors),
            num_cpus=workers.preprocessor_cpus,
        )
        .map(
            PredictActor,
            fn_constructor_args=(plan.out, manifest, preprocessor, cores, home),
            compute=ray.data.ActorPoolStrategy(size=workers.engines),
            num_cpus=workers.engine_cpus,
        )
    )
    for row in results.iter_rows():
        error = row.pop("error")
        if error:
            raise errors.EngineError(f"A node of the cluster cannot go on: {error}")
        yield batch.Shard(**row)


def _chunks(row: dict[str, Any], out: str) -> Iterator[dict[str, Any]]:
    for chunk in planning.read_page(out, row["page"], row["answered"]):
        yield {"number": chunk.number, "sources": [*map(planning.encode, chunk.sources)]}


class PreprocessActor:
    """Reads and preprocesses the photos of a chunk."""

    def __init__(self, preprocessor: batch.Preprocessor) -> None:
        self._preprocessor = preprocessor
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="triptych-cut")

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Preprocess a chunk."""
        sources = map(planning.decode, row["sources"])
        crops = concurrency.map_ahead(
            self._pool, self._preprocessor.crop, sources, ahead=2 * READERS
        )
        return {"number": row["number"], **self._preprocessor.pack(list(crops))}


class PredictActor:
    """Runs the networks, and writes a chunk's answers."""

    def __init__(
        self,
        out: str,
        manifest: batch.Manifest,
        preprocessor: batch.Preprocessor,
        cores: int,
        home: Path | None,
    ) -> None:
        self._out, self._manifest, self._preprocessor = out, manifest, preprocessor
        self._error = ""
        try:
            here = triptych.load(
                **manifest.load, device="cpu", threads=cores, streams=cores, home=home
            )
            manifest.check(here)
            self._classifier = Classifier(here.committee, coverage=here.coverage, threads=cores)
        except errors.TriptychError as error:
            self._error = error.message

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Classify a chunk; returns its counts, or the error."""
        try:
            if not self._error:
                crops = list(self._preprocessor.unpack(row))
                good = ((crop.source, crop) for crop in crops if not isinstance(crop, Failure))
                answers = self._classifier.classify_many(good, self._manifest.options)
                rows = [crop if isinstance(crop, Failure) else next(answers) for crop in crops]
                shard = shards.write(self._out, int(row["number"]), rows)
                return {**asdict(shard), "error": ""}
        except errors.TriptychError as error:
            self._error = error.message
        # Returned, not raised: Ray would wrap it in its own traceback.
        return {**asdict(batch.Shard(int(row["number"]), 0, 0)), "error": self._error}
