"""How fast a committee is on this machine, and where the time goes.

machine   the processor and the versions behind the figures
samples   the photos: a person's own, or drawn ones
report    the figures, and their one JSON form
local     in this process: stages, one photo at a time, a stream of photos, the bare networks
serving   the real server in a process of its own
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from collections.abc import Sequence

from triptych.benchmark import load_generator
from triptych.benchmark import local
from triptych.benchmark import serving
from triptych.benchmark.report import Load
from triptych.benchmark.report import Measured
from triptych.benchmark.report import Spread
from triptych.benchmark.samples import Sample
from triptych.inference.classifier import Classifier

ROUTE = "/api/v1/classify"


class Bench:
    """Measures step by step; what was measured so far is in ``measured``.

    Args:
        classifier: As the server will have it.
        samples: Photos of one kind each, at least one.
        seconds: How long each step measures.
        concurrency: With how many clients the server is asked, one step each.
        server: Options of ``triptych serve`` that give the same classifier.

    Example:
        >>> bench = Bench(classifier, samples, server=["--committee=lite"])  # doctest: +SKIP
        >>> for step in bench.run():  # doctest: +SKIP
        ...     print("done:", step)
    """

    def __init__(
        self,
        classifier: Classifier,
        samples: Sequence[Sample],
        *,
        seconds: float = 10.0,
        concurrency: Sequence[int] = (1, 4, 16),
        server: Sequence[str],
    ) -> None:
        self.measured = [Measured(sample) for sample in samples]
        self._classifier = classifier
        self._seconds = seconds
        self._concurrency = concurrency
        self._server = server

    @property
    def steps(self) -> int:
        """How many things `run` will have done."""
        return len(self.measured) * (4 + len(self._concurrency)) + 1  # and the server's start

    def run(self) -> Iterator[str]:
        """Measure; says each step when it is done.

        Raises:
            errors.EngineError: The server did not start.
        """
        self._classifier.warm_up()
        for own in self.measured:
            yield from self._in_process(own)
        with contextlib.closing(serving.Server(self._server)) as server:
            yield "the server is up"
            for own in self.measured:
                yield from self._over_http(own, server.port)

    def _in_process(self, own: Measured) -> Iterator[str]:
        name, photos = own.sample.name, own.sample.photos
        own.stages, asked = local.stages(self._classifier, photos, self._seconds)
        yield f"{name}: stages"
        own.bare_per_s = local.bare(self._classifier.committee, photos, asked, self._seconds)
        yield f"{name}: the networks alone"
        own.stream_per_s = local.stream(self._classifier, photos, self._seconds)
        yield f"{name}: a stream of photos"

    def _over_http(self, own: Measured, port: int) -> Iterator[str]:
        name, photos = own.sample.name, own.sample.photos
        requests = [load_generator.encode(ROUTE, photo) for photo in photos]
        own.alone, own.http = self._pairs(photos, requests, port)
        yield f"{name}: one photo here, one over HTTP"
        for count in self._concurrency:
            records = load_generator.keep_asking(
                port, requests, clients=count, seconds=self._seconds
            )
            own.loads.append(Load.of(count, records))
            yield f"{name}: over HTTP, {count} at once"

    def _pairs(
        self, photos: Sequence[bytes], requests: Sequence[bytes], port: int
    ) -> tuple[Spread, Spread]:
        """A photo in this process, and what a request takes beyond it, in turns.

        In turns, because what else the machine does goes up and down.
        """
        here_ms: list[float] = []

        def ask_here(number: int) -> None:
            start = time.perf_counter()
            self._classifier.classify(photos[number])
            here_ms.append((time.perf_counter() - start) * 1000)

        records = load_generator.keep_asking(
            port, requests, clients=1, seconds=self._seconds, before=ask_here
        )
        beyond_ms = [record.ms - ms for record, ms in zip(records, here_ms, strict=True)]
        return Spread.of(here_ms), Spread.of(beyond_ms)
