"""The path under which a reverse proxy serves the studio."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from typing import Any

from triptych import errors

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")


def parse(text: str) -> str:
    """The prefix in a setting, without a slash at its end; empty for none.

    Raises:
        errors.SettingError: It is not a path, or has characters that are escaped in URLs.

    Example:
        >>> parse("/photos/triptych/")
        '/photos/triptych'
    """
    prefix = text.strip().rstrip("/")
    if prefix and not PREFIX.fullmatch(prefix):
        raise errors.SettingError(
            f"Got {text!r} as the path that the studio is served under; expected one such as "
            "/triptych, of letters, digits, dots, dashes and underscores."
        )
    return prefix


def strip(path: str, prefix: str) -> str:
    """A path without the prefix, whether or not the proxy has removed it.

    Example:
        >>> strip("/triptych/docs", "/triptych"), strip("/docs", "/triptych")
        ('/docs', '/docs')
        >>> strip("/triptychs", "/triptych"), strip("/triptych", "/triptych")
        ('/triptychs', '/')
    """
    is_below = path == prefix or path.startswith(f"{prefix}/")
    return (path[len(prefix) :] or "/") if is_below else path


def mount(app: WSGIApplication, prefix: str) -> Callable[[WSGIEnvironment, StartResponse], Any]:
    """A WSGI application whose addresses all begin with a prefix.

    Werkzeug's `DispatcherMiddleware` only works if the proxy does not remove the prefix.

    Args:
        app: The application.
        prefix: As returned by `parse`.
    """

    def mounted(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        path = strip(environ["PATH_INFO"], prefix)
        return app({**environ, "SCRIPT_NAME": prefix, "PATH_INFO": path}, start_response)

    return mounted if prefix else app
