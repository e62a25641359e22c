"""Folders of millions on many machines, by Ray Data: the same plan, the same parts.

    pages of the plan -> chunks -> photos read and cut -> answers, written -> counts, to the driver

A row is a chunk all the way. Photos are read and cut by actors beside those that hold the networks,
so that either can wait for the other; how many chunks are under way is bounded by Ray Data. What a
lost machine had under way is done again by others: a chunk's answers go to the same place whoever
writes them.
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
from triptych.batch.run import keep
from triptych.inference.classifier import Classifier
from triptych.results import Failure
from triptych.scale import cluster
from triptych.utils import concurrency

# Of a core, logically: the system lets either have what it needs of it.
ENGINE_SHARE = 0.75
# Reading waits for disks and networks, so each cutter reads several at once, and serves two cores.
CUTTER_SHARE, READERS = 0.5, 4


@dataclass(frozen=True)
class Crew:
    """How many actors there are, and what part of a node's cores Ray sets aside for each.

    Args:
        engines: How many hold the networks.
        engine_cpus: For each of them.
        cutters: How many read photos and cut them.
        cutter_cpus: For each of them.
    """

    engines: int
    engine_cpus: float
    cutters: int
    cutter_cpus: float

    @classmethod
    def of(cls, nodes: list[float], cores: int, *, most: int) -> Crew:
        """The crew that fills a cluster, and has room when its largest node is gone.

        Without that room, what a lost engine had under way would wait for a new node. But half of
        the cores are set aside at least, so that a small node does not get as much as a large one.

        Args:
            nodes: Cores of each node.
            cores: Of each engine.
            most: How many of either have something to do.

        Example:
            >>> Crew.of([2.0], cores=1, most=9)
            Crew(engines=2, engine_cpus=0.75, cutters=1, cutter_cpus=0.5)
            >>> Crew.of([1.0, 1.0, 1.0], cores=1, most=9)
            Crew(engines=3, engine_cpus=0.5, cutters=2, cutter_cpus=0.25)
        """
        total = sum(nodes)
        is_alone = total == max(nodes)
        left = total if is_alone else max(total - max(nodes), total / 2)
        engines = max(1, min(most, sum(int(node // cores) for node in nodes)))
        cutters = max(1, min(most, math.ceil(CUTTER_SHARE * total)))
        return cls(
            engines,
            _rounded(ENGINE_SHARE * left / engines),
            cutters,
            _rounded((1 - ENGINE_SHARE) * left / cutters),
        )


def _rounded(cpus: float) -> float:
    return math.floor(cpus * 10_000) / 10_000  # as finely as Ray counts


def classify(
    plan: batch.Plan,
    asked: batch.Asked,
    cutter: batch.Cutter,
    *,
    cores: int = 1,
    home: Path | None = None,
) -> Iterator[batch.Part]:
    """Answer the chunks that have no answers yet on the cluster this process is connected to.

    Args:
        plan: Which photos; each node finds them, and the folder of the answers, at the same path
            or URL.
        asked: Who, and how.
        cutter: How its members are shown photos.
        cores: Of a node, for each engine.
        home: Folder for everything that is kept, the same path on each node; by default each
            node's own.

    Yields:
        Each chunk when its answers are written.

    Raises:
        errors.EngineError: A node has not what it needs, or cannot write; the message says what.
    """
    nodes = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
    crew = Crew.of(nodes, cores, most=plan.answered.count(0))
    pages = [{"page": page, "answered": plan.answered_on(page)} for page in plan.pages]
    if not pages:
        return
    chunks: Any = ray.data.from_items(pages, override_num_blocks=len(pages))
    cluster.hush(chunks)
    # In bytes: a row is a chunk, and each travels by itself.
    chunks.context.target_max_block_size = 1
    answered = (
        chunks.flat_map(
            _chunks,
            fn_kwargs={"out": plan.out},
            compute=ray.data.TaskPoolStrategy(size=min(2, len(pages))),
            num_cpus=0,
        )
        .map(
            _Cutting,
            fn_constructor_args=(cutter,),
            compute=ray.data.ActorPoolStrategy(size=crew.cutters),
            num_cpus=crew.cutter_cpus,
        )
        .map(
            _Answering,
            fn_constructor_args=(plan.out, asked, cutter, cores, home),
            compute=ray.data.ActorPoolStrategy(size=crew.engines),
            num_cpus=crew.engine_cpus,
        )
    )
    for row in answered.iter_rows():
        error = row.pop("error")
        if error:
            raise errors.EngineError(f"A node of the cluster cannot go on: {error}")
        yield batch.Part(**row)


def _chunks(row: dict[str, Any], out: str) -> Iterator[dict[str, Any]]:
    for chunk in planning.read_page(out, row["page"], row["answered"]):
        yield {"number": chunk.number, "sources": [*map(planning.encoded, chunk.sources)]}


class _Cutting:
    """Reads the photos of a chunk and cuts them."""

    def __init__(self, cutter: batch.Cutter) -> None:
        self._cutter = cutter
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="triptych-cut")

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        sources = map(planning.decoded, row["sources"])
        cuts = concurrency.map_ahead(self._pool, self._cutter.cut, sources, ahead=2 * READERS)
        return {"number": row["number"], **self._cutter.pack(list(cuts))}


class _Answering:
    """Holds the networks, and writes what they answer."""

    def __init__(
        self, out: str, asked: batch.Asked, cutter: batch.Cutter, cores: int, home: Path | None
    ) -> None:
        self._out, self._asked, self._cutter = out, asked, cutter
        self._error = ""
        try:
            here = triptych.load(**asked.load, threads=cores, streams=cores, home=home)
            asked.check(here)
            self._classifier = Classifier(here.committee, coverage=here.coverage, threads=cores)
        except errors.TriptychError as error:
            self._error = error.message

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        try:
            if not self._error:
                return {**asdict(self._answer(row)), "error": ""}
        except errors.TriptychError as error:
            self._error = error.message
        # As a word of the row: raised here, it would come with Ray's own frames around it.
        return {**asdict(batch.Part(int(row["number"]), 0, 0)), "error": self._error}

    def _answer(self, row: Mapping[str, Any]) -> batch.Part:
        seen = list(self._cutter.unpack(row))
        good = ((cut.source, cut) for cut in seen if not isinstance(cut, Failure))
        answers = self._classifier.classify_many(good, self._asked.question)
        rows = [cut if isinstance(cut, Failure) else next(answers) for cut in seen]
        return keep(self._out, int(row["number"]), rows)
