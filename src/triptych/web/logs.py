"""One line for each request, for people on a terminal and as JSON for programs.

Names and contents of photos and query strings are never logged.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from datetime import timezone
from typing import Any
from urllib.parse import quote

import flask

from triptych.typing import Notify
from triptych.web import access
from triptych.web import context
from triptych.web import health

logger = logging.getLogger("triptych")
_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False
).encode  # json.dumps would create one for each line


def configure(form: str) -> Notify | None:
    """Write the log to stderr.

    Args:
        form: ``"json"``, ``"text"``, ``"auto"`` for text on a terminal and JSON elsewhere, or
            ``"off"``: only errors.

    Returns:
        If the log is JSON, a function that logs lines for people as JSON, too; else ``None``.
    """
    handler = logging.StreamHandler()
    text = form == "text" or (form != "json" and sys.stderr.isatty())
    handler.setFormatter(_TextFormatter() if text else _JSONFormatter())
    logger.handlers = [handler]
    logger.setLevel(logging.ERROR if form == "off" else logging.INFO)
    return None if text or form == "off" else logger.info


def register(app: flask.Flask) -> None:
    """Log the requests of an application, and send the id of each in ``X-Request-ID``."""
    app.before_request(_begin)
    app.after_request(_finish)


def _begin() -> None:
    context.of_request().is_watching = health.is_watching(flask.request)


def _finish(response: flask.Response) -> flask.Response:
    request_context = context.of_request()
    response.headers[context.ID_HEADER] = request_context.id
    noise = request_context.is_watching or flask.request.endpoint in access.STATIC
    logger.log(
        logging.DEBUG if noise else logging.INFO,
        "request",
        extra={
            "fields": {
                "request_id": request_context.id,
                "method": flask.request.method,
                "path": quote(flask.request.path),
                "endpoint": flask.request.endpoint,
                "status": response.status_code,
                "duration_ms": round(1000 * request_context.spent_s, 1),
                "images": request_context.images,
                "committee": request_context.committee or None,
                "error": request_context.error or None,
                "client": flask.request.remote_addr,
                "key": request_context.key.name or None,
            }
        },
    )
    return response


class _JSONFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _encode(line)


class _TextFormatter(logging.Formatter):
    """A line of text for people."""

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in _fields(record).items() if value)
        when = _time(record).astimezone().strftime("%H:%M:%S")
        line = f"{when} {record.levelname.lower()} {record.getMessage()} {fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, timezone.utc)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields or (
        {"request_id": context.of_request().id} if flask.has_request_context() else {}
    )
