"""What Ray Serve's proxies answer in their own words, in ours.

A proxy answers itself where no ingress can: the one that had a request died, or too many wait.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp
from starlette.types import Message
from starlette.types import Receive
from starlette.types import Scope
from starlette.types import Send

from triptych import errors

# In the environment of Ray Serve's controller, which hands it on to its proxies.
VARIABLES: Mapping[str, str] = {
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "triptych.scale.error_middleware:middlewares",
}
# Every answer of a studio has it.
OURS = "x-content-type-options"
LOST = errors.Overloaded(
    "The process that was answering is gone, and another one takes its place. Try again soon."
)
FULL = errors.Overloaded("Too many requests are waiting. Try again a little later.")
LATE = errors.DeadlinePassed(
    "There was no answer in time, so it was given up. Try again when less is going on."
)
# By the status that a proxy gives them.
OWN: Mapping[int, errors.TriptychError] = {503: FULL, 408: LATE}
# Than a request may take, before a proxy gives up what an ingress should have given up itself.
LONGER_S = 10.0


def middlewares() -> list[Middleware]:
    """What Ray Serve puts around its proxies."""
    return [Middleware(Refusals)]


class Refusals:
    """Says in the form of the API that a request was not answered, and that it may come again.

    Args:
        app: The proxy.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and mend its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        await self._app(scope, receive, answer.send)
        if not answer.begun:
            await _refuse(LOST, send)


class _Answer:
    """An answer under way.

    Args:
        send: Takes its messages.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._refused = False
        self.begun = False

    async def send(self, message: Message) -> None:
        """Take a message of the proxy; its own refusal becomes ours."""
        if self._refused:
            return
        error = None
        if message["type"] == "http.response.start":
            self.begun = True
            error = None if OURS in Headers(raw=message["headers"]) else OWN.get(message["status"])
            self._refused = error is not None
        await (_refuse(error, self._send) if error else self._send(message))


async def _refuse(error: errors.TriptychError, send: Send) -> None:
    body = json.dumps({"error": error.to_dict()}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    if isinstance(error, errors.Overloaded):
        headers["retry-after"] = str(error.retry_after_s)
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
