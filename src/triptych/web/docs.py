"""The API documentation: one page, generated from the OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flask

from triptych.web import access
from triptych.web import openapi

blueprint = flask.Blueprint("docs", __name__)

KEY = '-H "X-API-Key: $TRIPTYCH_API_KEY"'
REF = "#/components/schemas/"
METHODS = ("get", "post", "patch", "delete")


@dataclass(frozen=True)
class Operation:
    """One operation of the API: a method of a path.

    Args:
        method: Such as ``"GET"``.
        path: The address without the host.
        about: Its entry in the document.
    """

    method: str
    path: str
    about: dict[str, Any]

    @property
    def anchor(self) -> str:
        """Its fragment for links."""
        return f"{self.method}-{self.path}".replace("/", "-").strip("-").lower()


@blueprint.get("/docs")
def docs() -> str:
    """The page of the API."""
    document = openapi.document()
    has_key = access.gate().is_required

    def pasteable(command: str) -> str:
        """A sample command for this studio, with its address, and with the key if there is one."""
        command = command.replace(openapi.SAMPLE_BASE, flask.request.root_url.rstrip("/"))
        return command.replace("curl ", f"curl {KEY} ") if has_key else command

    return flask.render_template(
        "api.html",
        document=document,
        operations=[
            Operation(method.upper(), path, about)
            for path, methods in document["paths"].items()
            for method, about in methods.items()
            if method in METHODS
        ],
        schemas=document["components"]["schemas"],
        kind=kind,
        pasteable=pasteable,
        needs_key=has_key,
    )


def kind(schema: dict[str, Any]) -> tuple[str, list[str]]:
    """The type of a value in words, and the names of the schemas in it.

    Example:
        >>> kind({"type": "array", "items": {"$ref": "#/components/schemas/Guess"}})
        ('list of', ['Guess'])
        >>> kind({"type": ["string", "null"]})
        ('string or null', [])
    """
    if "$ref" in schema:
        return "", [schema["$ref"].removeprefix(REF)]
    if "anyOf" in schema:
        parts = [kind(choice) for choice in schema["anyOf"]]
        joined = " or ".join(words for words, _ in parts if words)
        return joined, [name for _, names in parts for name in names]
    if schema.get("type") == "array":
        words, names = kind(schema["items"])
        return f"list of {words}".strip(), names
    types = schema.get("type", "any")
    return " or ".join(types) if isinstance(types, list) else types, []
