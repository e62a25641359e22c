"""A worker process: it loads committees, and classifies photos one at a time.

It serves several connections to the process that started it, each by a thread: while a photo of
one is classified, the next one arrives over another.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from triptych import errors
from triptych.bundles import loading
from triptych.engines import Engine
from triptych.engines import openvino
from triptych.engines.conversion import store
from triptych.engines.options import INT8
from triptych.engines.options import EngineOptions
from triptych.engines.single_photo import SinglePhotoEngine
from triptych.inference.classifier import Classifier
from triptych.preprocessing.recipe import Recipe
from triptych.results import Failure
from triptych.results import Verdict
from triptych.utils import concurrency
from triptych.utils import worker
from triptych.workers.messages import Classify
from triptych.workers.messages import Drop
from triptych.workers.messages import Load
from triptych.workers.messages import Request
from triptych.workers.messages import Response


class _Committees:
    """The committees of this process, and the responses to requests."""

    def __init__(self) -> None:
        # By key; where one could not be loaded, why.
        self._classifiers: dict[int, Classifier | errors.TriptychError] = {}
        self._classifying = threading.Lock()

    def serve(self, connection: Connection) -> None:
        """Respond to the requests of a connection until it is closed."""
        with contextlib.suppress(EOFError, ConnectionError), connection:
            while True:
                connection.send(self._respond(connection.recv()))

    def _respond(self, request: Request) -> Response:
        try:
            if isinstance(request, Classify):
                return self._classify(request)
            if isinstance(request, Load):
                self._load(request)
            elif isinstance(request, Drop):
                self._classifiers.pop(request.key, None)
        except errors.TriptychError as error:
            return error
        except Exception as error:
            return errors.EngineError(f"A worker process failed: {type(error).__name__}: {error}")
        return None

    def _classify(self, request: Classify) -> Verdict | Failure:
        classifier = self._classifiers[request.key]
        if isinstance(classifier, errors.TriptychError):
            raise classifier
        named = [(request.source, request.image)]
        with self._classifying:
            return next(classifier.classify_many(named, request.options))

    def _load(self, request: Load) -> None:
        options = EngineOptions(**request.options)
        is_int8 = options.precision == INT8
        precision = "f32"
        if not is_int8:
            precision = openvino.resolve_precision(options.precision, home=options.home)

        def open_network(member: str, network: Path, recipe: Recipe) -> Engine:
            cache = store.compiled_cache(options.home)
            return SinglePhotoEngine(
                network, recipe, precision=precision, cache=cache, is_int8=is_int8
            )

        try:
            classifier = loading.load_classifier(
                request.committee,
                options,
                # The members of a photo run beside each other where other cores have nothing to do.
                threads=options.threads or concurrency.cpu_count(),
                open_network=open_network,
                **request.settings,
            )
            classifier.warm_up()
            self._classifiers[request.key] = classifier
        except errors.TriptychError as error:
            self._classifiers[request.key] = error
            raise


def main() -> None:
    """Serve the connections whose file descriptors are in the command line."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Sent to the whole group by a terminal or a service manager: the parent finishes the
        # requests in progress, and then ends this process.
        signal.signal(number, signal.SIG_IGN)
    parent = worker.connect()
    committees = _Committees()
    for descriptor in sys.argv[1:]:
        connection = Connection(int(descriptor))
        threading.Thread(target=committees.serve, args=(connection,), daemon=True).start()
    parent.stopping.wait()


if __name__ == "__main__":
    main()
