"""The blueprint of the API of projects, and how its routes read requests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import flask
import flask_smorest
import marshmallow
from flask_smorest.fields import Upload
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import UnsupportedMediaType

from triptych import errors
from triptych.web import body as web_body
from triptych.web import request_schemas
from triptych.web import uploads

PREFIX = "/api/v1/projects"
blueprint: flask.Blueprint = flask_smorest.Blueprint("project_api", __name__, url_prefix=PREFIX)

# Enough for the decision about five thousand photos, with what is expected of each.
MOST_BYTES = 2 << 20
MOST_VALUES = 50_000
# Errors of any request about a project: something unknown or impossible, or a disk.
REFUSES = (400, 404, 409, 413, 415, 503, 504, 507)
ID_IN_PATH = {"type": "integer", "minimum": 1}


def in_path(name: str, description: str, example: str | int) -> dict[str, Any]:
    """A part of the address, for the document.

    Args:
        name: Its name in the route.
        description: What it is.
        example: A value; a number if it has to be one.
    """
    schema = ID_IN_PATH if isinstance(example, int) else {"type": "string"}
    return {
        "in": "path",
        "name": name,
        "required": True,
        "description": description,
        "schema": schema,
        "example": example,
    }


SAMPLE_DIGEST = hashlib.sha256(b"bee").hexdigest()
KEY = in_path("key", "The project's key, which is also the name of its committee.", "garden")


def curl(
    address: str,
    body: Mapping[str, Any] | None = None,
    *,
    method: str = "POST",
    below: str = PREFIX,
) -> str:
    """A sample command that sends a change.

    Args:
        address: What follows ``below``.
        body: What is sent in JSON, if anything.
        method: Of HTTP.
        below: The first part of the address.
    """
    words = ["curl"]
    if body is None or method != "POST":
        words.append(f"-X {method}")
    if body is not None:
        text = json.dumps(body, allow_nan=False)
        words.append(f"-H 'Content-Type: application/json' -d '{text}'")
    return " ".join([*words, f"{{base}}{below}{address}"])


def json_body(form: type[marshmallow.Schema]) -> dict[str, Any]:
    """The document's entry for a body in JSON."""
    return {"required": True, "content": {"application/json": {"schema": form}}}


def read_json(schema: marshmallow.Schema) -> dict[str, Any]:
    """The fields of a request, which come as a JSON object; none may come without a body.

    Args:
        schema: Of the fields.

    Raises:
        UnsupportedMediaType: The body is of another type.
        BadRequest: It is no JSON object.
        RequestEntityTooLarge: It has too many bytes or values.
        errors.SettingError: A field is unknown, missing, or has an impossible value.
    """
    request = flask.request
    is_chunked = "Transfer-Encoding" in request.headers  # so its length is not known yet
    if not request.mimetype and not request.content_length and not is_chunked:
        return request_schemas.check_options({}, schema)
    if request.mimetype != "application/json":
        raise UnsupportedMediaType(
            f"The body came as {request.mimetype or 'an unknown type'}; expected a JSON object, "
            "with the header Content-Type: application/json."
        )
    request.max_content_length = min(MOST_BYTES, request.max_content_length or MOST_BYTES)
    return uploads.read_json(
        request,
        lambda data: request_schemas.check_options(web_body.parse(data, most=MOST_VALUES), schema),
    )


def read_form(schema: marshmallow.Schema) -> dict[str, Any]:
    """The fields of a request that is a form; an empty one counts as omitted.

    Args:
        schema: Of the fields.

    Raises:
        UnsupportedMediaType: The body is of another type.
        errors.SettingError: A field is unknown, missing, or has an impossible value.
    """
    request = flask.request
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType(
            f"The body came as {request.mimetype or 'an unknown type'}; expected a form, as "
            "multipart/form-data."
        )
    given = {name: value for name, value in request.form.to_dict().items() if value}
    files = {name: value for name, value in request.files.to_dict().items() if value}
    for name in given.keys() & schema.fields.keys():
        if isinstance(schema.fields[name], Upload):
            raise errors.SettingError(
                f"The field {name} came without a file; expected one, as curl sends it by "
                f"-F {name}=@FILE."
            )
    return request_schemas.check_options({**given, **files}, schema)


def read_query(schema: marshmallow.Schema) -> dict[str, Any]:
    """The fields of a request's query string.

    Raises:
        errors.SettingError: A field is unknown, or has an impossible value.
    """
    query: MultiDict[str, str] = flask.request.args
    return request_schemas.check_options(query.to_dict(), schema)
