"""``triptych scale serve`` as a server to measure: it starts Ray on this machine, and ends it."""

from __future__ import annotations

import sys
from pathlib import Path

from serving.servers import Server


def of(committee: str, precision: str, home: Path, *options: str) -> Server:
    """Ours, on Ray."""
    command = (sys.executable, "-m", "triptych", "scale", "serve", "--port", "{port}")
    chosen = ("--committee", committee, "--precision", precision, "--home", str(home))
    quiet = ("--log-format", "off", "--max-requests-per-minute", "0")
    paths = ("/api/v1/classify",)
    return Server(f"Triptych {precision} on Ray", (*command, *chosen, *quiet, *options), paths)
