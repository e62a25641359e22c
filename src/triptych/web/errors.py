"""The error handler: JSON for programs, a page for people, and no tracebacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import RequestEntityTooLarge

from triptych import errors
from triptych.utils import files
from triptych.utils import formatting
from triptych.utils.text import text
from triptych.web import context

# The format of errors for programs, by path prefix; elsewhere that of the API.
FORMS: dict[str, Callable[[dict[str, str]], Any]] = {
    "/api/": lambda error: error,
    "/metrics": lambda error: error,
    "/v1/": lambda error: error["message"],
    "/v2": lambda error: error["message"],
}
# Blueprints with pages, whose errors are pages, too.
PAGES = ("classify", "docs", "access", "studio_publish", "studio_imports")
LONGEST_MESSAGE = 1000
# What Werkzeug says to people, as sentences that can be translated.
DESCRIPTIONS: dict[str, str] = {
    str(sentence): sentence
    for sentence in (
        text(
            "The requested URL was not found on the server. If you entered the URL manually please "
            "check your spelling and try again."
        ),
        text("The method is not allowed for the requested URL."),
    )
}


def register(app: flask.Flask) -> None:
    """Handle every error of an application here."""
    for kind in (Exception, HTTPException):  # the second replaces flask-smorest's
        app.register_error_handler(kind, answer)


def status_of(code: str) -> int:
    """The HTTP status of an error code; 500 for one that is not in the tree.

    Example:
        >>> status_of("not_an_image")
        415
    """
    return _statuses(errors.TriptychError).get(code, 500)


def _statuses(kind: type[errors.TriptychError]) -> dict[str, int]:
    below = {code: s for child in kind.__subclasses__() for code, s in _statuses(child).items()}
    return {kind.code: kind.status, **below}


def answer(error: Exception) -> flask.Response:
    """The response to an error."""
    status, body = _describe(error)
    # A message may quote the request: it is cut, and made valid UTF-8.
    message = body["message"].encode(errors="backslashreplace").decode()
    if len(message) > LONGEST_MESSAGE:
        body["message"] = f"{message[:LONGEST_MESSAGE]} ..."
    elif message != body["message"]:
        body["message"] = message
    context.of_request().error = body["code"]
    response = flask.make_response(_render(status, body))
    response.status_code = status
    if isinstance(error, errors.Overloaded):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, HTTPException):
        for name, value in error.get_headers():  # such as Allow, which a 405 must have
            if name.lower() != "content-type":
                response.headers[name] = value
    return response


def _describe(error: Exception) -> tuple[int, dict[str, str]]:
    error = files.disk_error(error) or error
    if isinstance(error, errors.TriptychError):
        body = error.to_dict()
        home = str(context.current().settings.home)
        if home in body["message"]:
            # Paths are not for clients; they are in the log.
            flask.current_app.logger.error("%s", error.message)
            body["message"] = body["message"].replace(home, "HOME")
        return error.status, body
    if isinstance(error, HTTPException):
        description = error.description or error.name
        message = DESCRIPTIONS.get(description, description)
        is_default = error.description == type(error).description
        if isinstance(error, RequestEntityTooLarge) and is_default:
            most = flask.current_app.config["MAX_CONTENT_LENGTH"]
            parts = flask.current_app.config["MAX_FORM_PARTS"]
            message = text(
                "The request is too large; at most {most} are taken, all images together, "
                "and {parts} parts of a form. Send fewer at a time.",
                most=formatting.size(most),
                parts=parts,
            )
        code = error.name.lower().replace(" ", "_")
        return error.code or 500, {"code": code, "message": message}
    flask.current_app.logger.error(text("Unexpected error"), exc_info=error)
    return 500, {
        "code": "internal",
        "message": text(
            "Something went wrong inside the studio; its log says what, under the id "
            "{id}. Try again, and please report it when it happens twice.",
            id=context.of_request().id,
        ),
    }


def _render(status: int, body: dict[str, str]) -> flask.Response | str:
    request = flask.request
    for prefix, form in FORMS.items():
        if request.path.startswith(prefix):
            return flask.jsonify(error=form(body))
    # Browsers accept HTML explicitly, programs accept anything.
    if request.blueprint in PAGES or "text/html" in request.accept_mimetypes.values():
        return flask.render_template("error.html", status=status, error=body)
    return flask.jsonify(error=body)
