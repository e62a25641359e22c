"""The real server in a process of its own, on a free port of this machine."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence

from triptych import errors
from triptych.utils.worker import Worker

POLL_S = 0.05
GRACE_S = 10.0


class ServerProcess:
    """``triptych serve``, open when this returns; `close` ends it.

    Args:
        options: Of the command, beside host and port. No variable of the environment counts.

    Raises:
        errors.EngineError: It did not start; the message says why.
    """

    def __init__(self, options: Sequence[str]) -> None:
        # Without our settings: an API key or a rate limit would keep our own clients out.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TRIPTYCH_")}
        self._worker = Worker(
            "triptych",
            *("serve", "--host=127.0.0.1", "--port=0", *options),
            environment=environment,
        )
        try:
            self.port = self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> int:
        while True:
            has_ended = self._worker.has_ended
            if address := re.search(r"http://127\.0\.0\.1:(\d+)/", self._worker.output()):
                return int(address[1])
            if has_ended:
                raise errors.EngineError(f"The server did not start: {self._worker.reason}")
            time.sleep(POLL_S)

    def close(self) -> None:
        """Tell it to stop, and wait until it has."""
        self._worker.terminate()
        self._worker.wait(GRACE_S)
        self._worker.close()
