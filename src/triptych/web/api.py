"""REST: the same answers as the page, as JSON."""

from __future__ import annotations

import flask

from triptych.results import Failure
from triptych.web import context
from triptych.web import errors
from triptych.web import uploads

blueprint = flask.Blueprint("api", __name__)


@blueprint.post("/api/v1/classify")
def classify() -> tuple[flask.Response, int]:
    """Answer one image or many, in order; a bad one does not disturb the others.

    Raises:
        400: There is no image in the request, or an option has an impossible value.
        404: No such committee, member or rule.
        413: Too many images or bytes.
    """
    here = context.current()
    upload = uploads.read(flask.request, max_images=here.settings.max_request_images)
    answers = here.ask(upload.committee, upload.images, upload.question)
    # With one image the status tells all; among many, each answer speaks for itself.
    alone = answers[0] if len(answers) == 1 else None
    status = errors.status_of(alone.code) if isinstance(alone, Failure) else 200
    return flask.jsonify(results=[answer.to_dict() for answer in answers]), status


@blueprint.get("/api/v1/committees")
def committees() -> flask.Response:
    """The committees on offer, and which of them answers by default."""
    registry = context.current().registry
    facts = [registry.facts(name).to_dict() for name in registry.names]
    return flask.jsonify(default=registry.default, committees=facts)
