"""The process that teaches, as its parent sees it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from typing import Any
from typing import cast

LOG = "log.txt"
CHILD = "triptych.studio.jobs.child"
# A network that is being converted does not hear that it should stop; after this nobody waits.
GRACE_S = 20.0


class Process:
    """A child that teaches what the order in a folder says.

    Args:
        folder: Of the job; gets the child's log.
    """

    def __init__(self, folder: Path) -> None:
        with (folder / LOG).open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", CHILD, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def messages(self) -> Iterator[dict[str, Any]]:
        """What it says, as it comes, until it ends."""
        for line in cast(IO[str], self._child.stdout):
            with contextlib.suppress(ValueError):  # cut short by its end
                yield json.loads(line)

    def stop(self) -> None:
        """Tell it to stop; does not wait."""
        cast(IO[str], self._child.stdin).close()

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        self._child.kill()

    def end(self) -> str | None:
        """Wait for its end, which may not take long any more.

        Returns:
            Why it ended, for people; ``None`` where it ended by itself and all is well.
        """
        try:
            code = self._child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            code = self._child.wait()
        cast(IO[str], self._child.stdout).close()
        self.stop()
        return _explained(code) if code else None


def _explained(code: int) -> str:
    if code == -signal.SIGKILL:
        return (
            "The process that was teaching was killed (SIGKILL); the machine may have run out of "
            "memory. Features computed so far are kept: go on, with fewer or smaller backbones if "
            "it happens again."
        )
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return f"The process that was teaching ended {how}. Features computed so far are kept."
