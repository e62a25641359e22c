"""The REST API: the same answers as on the page, as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flask
import flask_smorest

from triptych import bundles as triptych_bundles
from triptych.models import weights
from triptych.models import zoo
from triptych.results import Failure
from triptych.web import context
from triptych.web import errors
from triptych.web import openapi
from triptych.web import request_schemas
from triptych.web import response_schemas
from triptych.web.classify import classify_request
from triptych.web.explain import explain_request

blueprint: flask.Blueprint = flask_smorest.Blueprint("api", __name__, url_prefix="/api/v1")

PHOTO = {"schema": {"type": "string", "format": "binary"}}
# Any content type is accepted: the format is detected from the bytes.
ONE_PHOTO = {"image/*": PHOTO, "application/octet-stream": PHOTO}
CLASSIFY_BODIES = {
    "multipart/form-data": {"schema": request_schemas.Form},
    "application/json": {"schema": request_schemas.Request},
    **ONE_PHOTO,
}
EXPLAIN_BODIES = {
    "multipart/form-data": {"schema": request_schemas.WhyForm},
    "application/json": {"schema": request_schemas.WhyRequest},
    **ONE_PHOTO,
}
EXPLAIN_SAMPLES = {
    "The committee's map of the class that it answers with, as a picture": (
        "curl -F image=@photo.jpg '{base}/api/v1/explain?format=png' > why.png"
    ),
    "One member's map of any class, in numbers": (
        "curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' "
        "'{base}/api/v1/explain?member=EfficientNetLite0&label=Egyptian%20cat'"
    ),
}
CLASSIFY_SAMPLES = {
    "Photos as the files of a form": (
        "curl -F image=@photo.jpg -F image=@photo.jpg -F rule=mean {base}/api/v1/classify"
    ),
    "One photo as the body": (
        "curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' '{base}/api/v1/classify?top=5'"
    ),
    "Photos in JSON, in base64": (
        """printf '{"images": [{"name": "photo.jpg", "b64": "%s"}], "coverage": 0.95}' """
        """"$(base64 < photo.jpg | tr -d '\\n')" |\n"""
        "  curl --data-binary @- -H 'Content-Type: application/json' {base}/api/v1/classify"
    ),
}
NAME = {
    "in": "path",
    "name": "name",
    "required": True,
    "description": "The bundle's name, or its name and a version, such as garden@2.",
    "schema": {"type": "string"},
    "example": "garden",
}


@blueprint.post("/classify")
@openapi.describe(
    response_schemas.ANSWERS,
    refuses=(400, 404, 409, 413, 415, 503, 504, 507),
    of_images=True,
    samples=CLASSIFY_SAMPLES,
    parameters=[{"in": "query", "schema": request_schemas.Options}],
    requestBody={"required": True, "content": CLASSIFY_BODIES},
)
def classify() -> tuple[flask.Response, int]:
    """Classify one image or many.

    The answers are in the order of the images. A bad image does not affect the others: it gets an
    error instead of a verdict. If it is the only image, its error is also the error of the request.
    Options go into the query string, the form or the JSON; by default they are the committee's.
    """
    _, answers = classify_request(flask.request)
    body: dict[str, Any] = {"results": [answer.to_dict() for answer in answers]}
    if len(answers) == 1 and isinstance(answers[0], Failure):
        body = {"error": body["results"][0]["error"], **body}
        return flask.jsonify(body), errors.status_of(answers[0].code)
    return flask.jsonify(body), 200


@blueprint.post("/explain")
@openapi.describe(
    response_schemas.Explanation,
    refuses=(400, 404, 409, 413, 415, 503, 504, 507),
    other_forms={"image/png": PHOTO},
    samples=EXPLAIN_SAMPLES,
    parameters=[{"in": "query", "schema": request_schemas.Why}],
    requestBody={"required": True, "content": EXPLAIN_BODIES},
)
def explain() -> flask.Response:
    """Show which parts of an image are evidence for a class.

    The map is that of one member, or the weighted mean of all that the rule runs. The answer names
    the method: a class activation map if the network allows it, else occlusion, which runs the
    network about 65 times.
    """
    return explain_request(flask.request)


@blueprint.get("/committees")
@openapi.describe(
    response_schemas.Committees, samples={"All committees": "curl {base}/api/v1/committees"}
)
def committees() -> flask.Response:
    """List the committees on offer, and which of them answers by default."""
    registry = context.current().registry
    facts = [registry.facts(name).to_dict() for name in context.committees()]
    default = context.permitted(None) or registry.default
    return flask.jsonify(default=default, committees=facts)


@blueprint.get("/models")
@openapi.describe(response_schemas.Models, samples={"All networks": "curl {base}/api/v1/models"})
def models() -> flask.Response:
    """List the networks, those of the zoo and those that were added, and what is known of each."""
    rows = zoo.rows(context.current().settings.home)
    return flask.jsonify(
        models=[{**zoo.facts(row), "here": weights.locate(row) is not None} for row in rows]
    )


@blueprint.get("/bundles")
@openapi.describe(
    response_schemas.Bundles,
    refuses=(409, 503, 504, 507),
    samples={"All bundles": "curl {base}/api/v1/bundles"},
)
def bundles() -> flask.Response:
    """List the committees that were trained here or imported."""
    studio = context.current()
    home = studio.settings.home
    listed = studio.do(
        lambda: [_facts(bundle, home) for bundle in triptych_bundles.listed(home, unpublished=True)]
    )
    return flask.jsonify(bundles=listed)


@blueprint.get("/bundles/<name>")
@openapi.describe(
    response_schemas.BundleWithMetrics,
    refuses=(404, 409, 503, 504, 507),
    samples={"One bundle": "curl {base}/api/v1/bundles/garden"},
    parameters=[NAME],
)
def one_bundle(name: str) -> flask.Response:
    """Describe a trained committee, with the metrics of its evaluation."""
    studio = context.current()
    home = studio.settings.home

    def find() -> dict[str, Any]:
        bundle = triptych_bundles.find(home, name)
        return {**_facts(bundle, home), "metrics": bundle.metrics}

    return flask.jsonify(studio.do(find))


def _facts(bundle: triptych_bundles.Bundle, home: Path) -> dict[str, Any]:
    return {
        **bundle.facts,
        "versions": triptych_bundles.versions(home, bundle.name),
        "active": triptych_bundles.active(home, bundle.name),
    }
