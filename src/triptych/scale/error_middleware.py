"""ASGI middleware for Ray Serve's proxies that turns their errors into the API's.

A proxy answers by itself where no ingress can: when the ingress died, or too many requests wait.
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

# Set in the environment of Ray Serve's controller, which passes it on to its proxies.
VARIABLES: Mapping[str, str] = {
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "triptych.scale.error_middleware:middlewares",
}
# A header of every response of our server, by which the proxies' own are told apart.
OUR_HEADER = "x-content-type-options"
LOST = errors.Overloaded(
    "The process that was answering has died and is being replaced. Send the request again."
)
FULL = errors.Overloaded("Too many requests are waiting. Try again later.")
LATE = errors.DeadlinePassed(
    "There was no answer within the deadline. Try again when the server is less busy."
)
# By the status of the proxy's response.
REPLACEMENTS: Mapping[int, errors.TriptychError] = {503: FULL, 408: LATE}
# Added to the deadline, so that an ingress gives up before its proxy does.
EXTRA_TIMEOUT_S = 10.0


def middlewares() -> list[Middleware]:
    """The middleware that Ray Serve puts around its proxies."""
    return [Middleware(ErrorMiddleware)]


class ErrorMiddleware:
    """Replaces a proxy's own errors by those of the API.

    Args:
        app: The proxy.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and replace the response if it is the proxy's own error."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = is_replaced = False

        async def send_ours(message: Message) -> None:
            nonlocal has_started, is_replaced
            if is_replaced:
                return
            error = None
            if message["type"] == "http.response.start":
                has_started = True
                if OUR_HEADER not in Headers(raw=message["headers"]):
                    error = REPLACEMENTS.get(message["status"])
            is_replaced = error is not None
            await (_send_error(error, send) if error else send(message))

        await self._app(scope, receive, send_ours)
        if not has_started:
            await _send_error(LOST, send)


async def _send_error(error: errors.TriptychError, send: Send) -> None:
    body = json.dumps({"error": error.to_dict()}, allow_nan=False).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    if isinstance(error, errors.Overloaded):
        headers["retry-after"] = str(error.retry_after_s)
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
