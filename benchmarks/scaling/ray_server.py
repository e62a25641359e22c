"""``triptych scale serve`` as a server to measure: it starts and stops Ray on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

from serving.servers import Server


def server(committee: str, precision: str, home: Path, *options: str) -> Server:
    """Triptych on Ray."""
    command = (sys.executable, "-m", "triptych", "scale", "serve", "--port", "{port}")
    selected = ("--committee", committee, "--precision", precision, "--home", str(home))
    quiet = ("--log-format", "off", "--max-requests-per-minute", "0")
    paths = ("/api/v1/classify",)
    return Server(f"Triptych {precision} on Ray", (*command, *selected, *quiet, *options), paths)
