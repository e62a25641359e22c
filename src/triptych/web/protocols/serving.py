"""The studio's side of both protocols: the body of a request, and verdicts on its images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flask

from triptych.inference.classifier import ClassifyOptions
from triptych.results import Failure
from triptych.results import Verdict
from triptych.web import body as web_body
from triptych.web import classify
from triptych.web import context
from triptych.web import errors
from triptych.web import uploads


def body() -> bytes:
    """The body of the request, with its compression undone beside the loop.

    Raises:
        HTTPException: It is too large, or its compression is damaged or unknown.
        errors.Overloaded: Too much is waiting.
    """
    here, data = context.current(), uploads.body(flask.request)
    encoding = flask.request.headers.get("Content-Encoding", "identity").lower()
    if encoding == "identity":
        return data
    most = here.settings.max_request_bytes
    return here.do(lambda: web_body.inflate(data, encoding, max_bytes=most))


def verdicts(committee: str, images: Sequence[Any], question: ClassifyOptions) -> list[Verdict]:
    """Ask a committee about all images or none: these protocols know no answer in parts.

    Args:
        committee: Its name, perhaps with a version.
        images: Files or pixels, as `Classifier.classify` takes.
        question: Who is asked, and how.

    Raises:
        HTTPException: An image cannot be read; the message says which, and why.
    """
    named = [(uploads.base_name(None, number), image) for number, image in enumerate(images, 1)]
    answers = classify.answer_images(context.current(), committee, named, question)
    for index, answer in enumerate(answers):
        if isinstance(answer, Failure):
            flask.abort(
                errors.status_of(answer.code),
                f"The image at index {index} of {len(images)}: {answer.message}",
            )
    return [answer for answer in answers if isinstance(answer, Verdict)]
