"""The studio in a separate process that can be killed, and a client that acts like the pages."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

OPEN = "The studio is open at http://127.0.0.1:"
READY_S = 600.0  # a first start converts networks


class Server:
    """A studio on a home folder.

    Args:
        home: The home folder.
        *options: Further options of ``triptych serve``.
    """

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self._log = home / f"server-{uuid.uuid4().hex[:8]}.log"
        environ = {
            name: text for name, text in os.environ.items() if not name.startswith("TRIPTYCH_")
        }
        command = [sys.executable, "-m", "triptych", "serve", "--home", str(home), "--port", "0"]
        with self._log.open("w") as file:
            self.process = subprocess.Popen(
                [*command, *options],
                env={**environ, "TRIPTYCH_INBOX": "on"},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.port = self._wait()

    def _wait(self) -> int:
        until = time.monotonic() + READY_S
        while self.process.poll() is None and time.monotonic() < until:
            text = self._log.read_text()
            if OPEN in text:
                return int(text.split(OPEN)[1].split("/")[0])
            time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"The studio did not open:\n{self._log.read_text()[-2000:]}")

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Stop it gracefully."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.kill()


@contextlib.contextmanager
def running(home: Path, *options: str) -> Iterator[Server]:
    """A studio, which is stopped afterwards."""
    server = Server(home, *options)
    try:
        yield server
    finally:
        server.stop()


class Client:
    """Sends one request after another over one connection.

    Args:
        port: Of the studio.
    """

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def get(self, path: str) -> bytes:
        """Get an address.

        Raises:
            RuntimeError: It was refused.
        """
        return self._send("GET", path, None, {"Accept": "*/*"})

    def post(self, path: str, fields: Mapping[str, Any] | Sequence[tuple[str, Any]] = ()) -> Any:
        """Send the fields of a form; gives the response's JSON.

        Raises:
            RuntimeError: It was refused.
        """
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._json(path, urlencode(fields, doseq=True).encode(), kind)

    def upload(self, path: str, fields: Mapping[str, Any], name: str, data: bytes) -> Any:
        """Send a photo with the fields of its form; gives the response's JSON.

        Raises:
            RuntimeError: It was refused.
        """
        mark = uuid.uuid4().hex
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
            for key, value in fields.items()
        ]
        head = f'--{mark}\r\nContent-Disposition: form-data; name="photo"; filename="{name}"\r\n'
        parts.append(f"{head}Content-Type: image/jpeg\r\n\r\n".encode() + data)
        body = b"".join(parts) + f"\r\n--{mark}--\r\n".encode()
        return self._json(path, body, {"Content-Type": f"multipart/form-data; boundary={mark}"})

    def _json(self, path: str, body: bytes, kind: Mapping[str, str]) -> Any:
        return json.loads(self._send("POST", path, body, {"Accept": "application/json", **kind}))

    def _send(self, verb: str, path: str, body: bytes | None, head: Mapping[str, str]) -> bytes:
        self._connection.request(verb, path, body, dict(head))
        response = self._connection.getresponse()
        content = response.read()
        if response.status >= 400:
            raise RuntimeError(f"{verb} {path}: {response.status} {content[:300]!r}")
        return content
