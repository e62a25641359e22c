"""The OpenAPI document, generated from handlers and schemas, and served at ``/openapi.json``."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import TypeVar

import flask
import flask_smorest

import triptych
from triptych.inference import answer_schemas
from triptych.web import response_schemas

Handler = TypeVar("Handler", bound=Callable[..., Any])

# The studio's address in samples; readers insert their own.
SAMPLE_BASE = "http://127.0.0.1:5000"
OF_PROJECTS = re.compile("/api/v1/(projects|inbox|imports)")
PATH, KEY = "openapi.json", "openapi"
ABOUT = (
    "Show one photo or many to a committee of networks and get one verdict for each. "
    "A probability is a number from 0 to 1. Below /api/v1/projects, photos are brought and "
    "labelled, and committees are trained, judged and published; below /api/v1/imports, "
    "classifiers from elsewhere become committees."
)
# The key can be sent in either header.
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The studio's API key."},
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same key, for programs that cannot send the other header.",
    },
}
LATER = {
    "Retry-After": {
        "description": "When to try again, in seconds.",
        "schema": {"type": "integer"},
    }
}
REFUSALS = {
    400: "The request or one of its options cannot be understood, or an image is damaged.",
    401: "The studio has an API key, and the request does not carry it.",
    403: "The request was sent by a page of another site, or to a name that is not the studio's, "
    "or it wants images kept where the inbox is off.",
    404: "There is no such committee, member, bundle or project, or no such part of it.",
    409: "A bundle on the studio's disk is damaged, the same work is under way already, or what "
    "the request is based on was changed meanwhile.",
    413: "Too many bytes, pixels or images.",
    415: "The bytes are no image, or one of a format that is not read; or the body is of another "
    "type than is expected.",
    429: "This client sent too many requests.",
    500: "Something went wrong inside the studio.",
    503: "Too much is waiting already, or weights have to be fetched first.",
    504: "It took longer than a request may take.",
    507: "The disk of the studio is full, or nothing can be written to it.",
}
ALWAYS = (401, 403, 429, 500)
OF_IMAGES = (400, 413, 415)

_served = flask.Blueprint("api-docs", __name__)


@_served.get(f"/{PATH}")
def openapi_json() -> flask.Response:
    """The document as JSON."""
    text = flask.json.dumps(document(), indent=2)
    return flask.current_app.response_class(text, mimetype="application/json")


def register(app: flask.Flask, *blueprints: flask.Blueprint, keyless: bool) -> None:
    """Serve the API of blueprints, and its document.

    Args:
        app: The studio.
        *blueprints: Made by flask-smorest.
        keyless: Whether no key is required.
    """
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    app.register_blueprint(_served)
    prefix = app.config["APPLICATION_ROOT"]
    app.extensions[KEY] = functools.cache(lambda: _build(blueprints, prefix, keyless=keyless))


def document() -> dict[str, Any]:
    """The document of the application that answers this request."""
    document: dict[str, Any] = flask.current_app.extensions[KEY]()
    return document


def _build(blueprints: Sequence[flask.Blueprint], prefix: str, *, keyless: bool) -> dict[str, Any]:
    """The document, built at the first request, as most servers never need it.

    A running application takes no more blueprints, so flask-smorest gets a separate one.
    """
    described = flask.Flask(__name__)
    api = flask_smorest.Api()
    api.ERROR_SCHEMA = response_schemas.Error
    api.DEFAULT_ERROR_RESPONSE_NAME = None  # all statuses are listed
    api.init_app(
        described,
        spec_kwargs={
            "title": "Triptych",
            "version": triptych.__version__,
            "openapi_version": "3.1.0",
            "info": {"description": ABOUT, "license": {"name": "Apache-2.0"}},
            "servers": [{"url": prefix}],
            "security": [] if keyless else [{name: []} for name in SECURITY],
        },
    )
    for name, scheme in SECURITY.items():
        api.spec.components.security_scheme(name, scheme)
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
    document: dict[str, Any] = api.spec.to_dict()
    # The addresses of projects and their inbox last, and those of one thing beside each other.
    ordered = sorted(document["paths"], key=lambda path: path if OF_PROJECTS.match(path) else "")
    document["paths"] = {path: document["paths"][path] for path in ordered}
    return document


def describe(
    answer: type[answer_schemas.Answer] | dict[str, Any] | None,
    *,
    refuses: Sequence[int] = (),
    of_images: bool = False,
    error_forms: Mapping[int, type[answer_schemas.Answer]] = {},
    other_forms: Mapping[str, Any] = {},
    other_statuses: Mapping[str, Any] = {},
    samples: Mapping[str, str],
    **more: Any,
) -> Callable[[Handler], Handler]:
    """Describe an operation in the document, beyond its handler's docstring.

    Args:
        answer: The schema of its response; ``None`` if that is never JSON.
        refuses: Error statuses, beside those of all operations.
        of_images: Whether the status may be that of an only image.
        error_forms: Schemas of errors that hold more than all errors do, by status.
        other_forms: Other forms of its response than JSON, by media type.
        other_statuses: Responses that are neither the answer nor an error, by status.
        samples: Sample commands by title; ``{base}`` is the studio's address.
        **more: Other fields of the document's operation.
    """
    responses: dict[str, Any] = {"200": _response("The answer.", answer), **other_statuses}
    if answer is None:
        responses["200"]["content"] = {}
    responses["200"]["content"] |= other_forms
    for status in sorted({*refuses, *ALWAYS}):
        is_refusal = of_images and status in OF_IMAGES
        usual = response_schemas.Refusal if is_refusal else response_schemas.Error
        form = error_forms.get(status, usual)
        responses[str(status)] = _response(REFUSALS[status], form)
        if status in (429, 503):
            responses[str(status)]["headers"] = LATER
    code_samples = [
        {"lang": "Shell", "label": label, "source": command.replace("{base}", SAMPLE_BASE)}
        for label, command in samples.items()
    ]
    described: Callable[[Handler], Handler] = flask_smorest.Blueprint.doc(
        responses=responses, **{"x-codeSamples": code_samples}, **more
    )
    return described


def _response(description: str, form: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": form}}}
