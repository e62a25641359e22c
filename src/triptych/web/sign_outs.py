"""Revoked sign-ins: their cookies are valid for weeks, and signed instead of stored."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

from triptych.utils import files

FILE = "signed_out.txt"


class SignOuts:
    """The ids of sign-ins that have ended, kept on disk until their cookies expire.

    Args:
        path: A file with an id and a time in each line; need not exist.
        lifetime_s: How long a cookie is valid, in seconds.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / FILE
        >>> SignOuts(path, lifetime_s=60).add("anna")
        >>> "anna" in SignOuts(path, lifetime_s=60), "bert" in SignOuts(path, lifetime_s=60)
        (True, False)
    """

    def __init__(self, path: Path, *, lifetime_s: float) -> None:
        self._path = path
        self._lifetime_s = lifetime_s
        self._lock = threading.Lock()
        self._ended_s: dict[str, float] = {}
        self._read_as: tuple[int, int] | None = None

    def __contains__(self, sign_in: object) -> bool:
        with self._lock:
            self._read()
            return sign_in in self._ended_s

    def add(self, sign_in: str) -> None:
        """End a sign-in.

        Raises:
            OSError: It cannot be written; the sign-in is revoked anyway until the next start.
        """
        with self._lock:
            self._read()
            now = time.time()
            self._ended_s[sign_in] = now
            recent = {name: at for name, at in self._ended_s.items() if at > now - self._lifetime_s}
            text = "".join(f"{name} {at:.0f}\n" for name, at in recent.items())
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with files.atomic_file(self._path) as new:
                new.write_text(text, encoding="utf-8")

    def _read(self) -> None:
        """Read what another process wrote meanwhile."""
        with contextlib.suppress(OSError):
            status = self._path.stat()
            if (read_as := (status.st_mtime_ns, status.st_size)) != self._read_as:
                rows = map(str.split, self._path.read_text("utf-8", "replace").splitlines())
                for row in rows:
                    if len(row) == 2 and row[1].isdecimal():
                        self._ended_s.setdefault(row[0], float(row[1]))
                self._read_as = read_as
