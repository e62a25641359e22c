"""The container's health check: exits with 0 if the studio is ready."""

import http.client
import os
import sys

PATH = "/readyz"

connection = http.client.HTTPConnection(
    "127.0.0.1", int(os.environ.get("TRIPTYCH_PORT") or 5000), timeout=3
)
try:
    connection.request("GET", PATH)
    sys.exit(0 if connection.getresponse().status == 200 else 1)
except OSError as error:
    sys.exit(f"No answer: {error}")
