"""How fast a committee is on this machine, and where the time goes.

machine   the processor and the versions behind the figures
samples   the photos: a person's own, or synthetic ones
report    the figures, and their one JSON form
local     in this process: stages, one photo at a time, a stream of photos
networks  the networks alone, in the best of several ways to run them
serving   the real server in a process of its own
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from collections.abc import Sequence

from triptych.benchmark import load_generator
from triptych.benchmark import local
from triptych.benchmark import networks
from triptych.benchmark import serving
from triptych.benchmark.report import Latency
from triptych.benchmark.report import LoadReport
from triptych.benchmark.report import SampleReport
from triptych.benchmark.samples import Sample
from triptych.inference.classifier import Classifier

ROUTE = "/api/v1/classify"


class Bench:
    """Measures step by step; the results so far are in ``measured``.

    Args:
        classifier: As the server will have it.
        samples: Photos of one kind each, at least one.
        open_committee: Opens the same committee with a number of streams; the networks alone are
            measured with several.
        cores: Processor cores that the networks may use.
        seconds: How long each step measures.
        concurrency: Numbers of concurrent clients, one step each.
        server: Options of ``triptych serve`` that give the same classifier.

    Example:
        >>> bench = Bench(  # doctest: +SKIP
        ...     classifier,
        ...     samples,
        ...     open_committee=lambda streams: triptych.load("lite", streams=streams).committee,
        ...     cores=2,
        ...     server=["--committee=lite"],
        ... )
        >>> for step in bench.run():  # doctest: +SKIP
        ...     print("done:", step)
    """

    def __init__(
        self,
        classifier: Classifier,
        samples: Sequence[Sample],
        *,
        open_committee: networks.OpenCommittee,
        cores: int,
        seconds: float = 10.0,
        concurrency: Sequence[int] = (1, 4, 16),
        server: Sequence[str],
    ) -> None:
        self.measured = [SampleReport(sample) for sample in samples]
        self._classifier = classifier
        self._open_committee = open_committee
        self._cores = cores
        self._seconds = seconds
        self._concurrency = concurrency
        self._server = server

    @property
    def steps(self) -> int:
        """How many steps `run` takes."""
        return len(self.measured) * (4 + len(self._concurrency)) + 1  # and the server's start

    def run(self) -> Iterator[str]:
        """Measure, and yield what each step was when it is done.

        Raises:
            errors.EngineError: The server did not start.
        """
        self._classifier.warm_up()
        for report in self.measured:
            name, photos = report.sample.name, report.sample.photos
            report.stages, members_run = local.measure_stages(
                self._classifier, photos, self._seconds
            )
            yield f"{name}: stages"
            report.networks = networks.measure(
                self._open_committee,
                photos,
                members_run,
                cores=self._cores,
                seconds=self._seconds,
            )
            yield f"{name}: the networks alone"
            report.stream_per_s = local.measure_stream(self._classifier, photos, self._seconds)
            yield f"{name}: a stream of photos"
        with contextlib.closing(serving.ServerProcess(self._server)) as server:
            yield "the server is up"
            for report in self.measured:
                yield from self._over_http(report, server.port)

    def _over_http(self, report: SampleReport, port: int) -> Iterator[str]:
        name, photos = report.sample.name, report.sample.photos
        requests = [load_generator.encode_request(ROUTE, photo) for photo in photos]
        report.alone, report.http = self._pairs(photos, requests, port)
        yield f"{name}: one photo here, one over HTTP"
        for count in self._concurrency:
            records = load_generator.generate_load(
                port, requests, clients=count, seconds=self._seconds
            )
            report.loads.append(LoadReport.of(count, records))
            yield f"{name}: over HTTP, {count} at once"

    def _pairs(
        self, photos: Sequence[bytes], requests: Sequence[bytes], port: int
    ) -> tuple[Latency, Latency]:
        """A photo in this process, and what a request takes beyond it, in turns.

        In turns, because the load of the machine varies.
        """
        here_ms: list[float] = []

        def classify_here(number: int) -> None:
            start = time.perf_counter()
            self._classifier.classify(photos[number])
            here_ms.append((time.perf_counter() - start) * 1000)

        records = load_generator.generate_load(
            port, requests, clients=1, seconds=self._seconds, before=classify_here
        )
        beyond_ms = [record.ms - ms for record, ms in zip(records, here_ms, strict=True)]
        return Latency.of(here_ms), Latency.of(beyond_ms)
