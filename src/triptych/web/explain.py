"""The web part of an explanation, from top to bottom: the request, the queue, the answer.

`triptych.inference.classifier.Classifier.explain` computes it.
"""

from __future__ import annotations

from typing import Any

import flask
from werkzeug.exceptions import BadRequest

from triptych.web import context
from triptych.web import request_schemas
from triptych.web import uploads


def explain_request(request: flask.Request) -> flask.Response:
    """Find which parts of a request's image are evidence for a class.

    Args:
        request: Its body is multipart/form-data, the bytes of one image, or JSON.

    Returns:
        A PNG file or JSON, as the option ``format`` or else the header Accept says.

    Raises:
        BadRequest: There is no image in it, or several; the description says why.
        RequestEntityTooLarge: Too many bytes.
        errors.SettingError: An option that does not exist, or an impossible value.
        errors.ImageError: The image cannot be read.
        errors.UnknownName: No such committee, member, rule or class.
        errors.WeightsMissing: The committee's weights have to be fetched first.
        errors.Overloaded: Too many images are waiting.
        errors.DeadlinePassed: It took too long.
    """
    images, in_json = uploads.images(request)
    if len(images) > 1:
        raise BadRequest(f"{len(images)} images came; expected one. Send one request for each.")
    options = request_schemas.read_options(request, in_json, request_schemas.WHY)
    accepted = request.accept_mimetypes.best_match(("application/json", "image/png"))
    is_png = options.pop("format", "png" if accepted == "image/png" else "json") == "png"

    studio = context.current()
    deadline = studio.deadline()
    classifier = studio.classifier(options.pop("committee", None), deadline)
    request_context = context.of_request()
    request_context.committee = classifier.committee.name
    request_context.images += 1
    source, data = images[0]

    def work() -> bytes | dict[str, Any]:
        explanation = classifier.explain(
            data, source=source, stop=lambda: not deadline.left_s, **options
        )
        return explanation.overlay() if is_png else explanation.to_dict()

    answer = deadline.result(studio.queue.submit(work), stops=True)
    if isinstance(answer, bytes):
        return flask.Response(answer, mimetype="image/png")
    return flask.jsonify(answer)
