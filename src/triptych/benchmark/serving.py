"""The real server in a process of its own, on a free port of this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from triptych import errors

LOOK_S = 0.05
GRACE_S = 10.0


class Server:
    """``triptych serve``, open when this returns; `close` ends it.

    Args:
        options: Of the command, beside host and port. No variable of the environment counts.

    Raises:
        errors.EngineError: It did not start; the message says why.
    """

    def __init__(self, options: Sequence[str]) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="triptych-")
        self._log = Path(self._scratch.name) / "log"
        command = [sys.executable, "-m", "triptych", "serve", "--host=127.0.0.1", "--port=0"]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*command, *options], stdout=log, stderr=log, env=_environment()
            )
        try:
            self.port = self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> int:
        while True:
            ended = self._process.poll() is not None
            said = self._log.read_text()
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/", said):
                return int(found[1])
            if ended:
                reason = (said.strip().splitlines() or ["no reason given"])[-1]
                raise errors.EngineError(f"The server did not start: {reason}")
            time.sleep(LOOK_S)

    def close(self) -> None:
        """Tell it to stop, and wait until it has."""
        self._process.terminate()
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._scratch.cleanup()


def _environment() -> dict[str, str]:
    """Ours without settings: a key or a rate limit would keep our own clients out."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TRIPTYCH_")}
