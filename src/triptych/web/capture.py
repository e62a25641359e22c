"""Keeping images that a committee was not sure of, in the inbox, for a person to review.

Two people have to agree: the owner of the studio, who opens the inbox (off by default), and the
sender, with each request (`triptych.web.uploads` refuses the option while the inbox is closed).
Images that a committee was sure of are never kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import flask

from triptych import errors
from triptych.results import NONE
from triptych.results import UNSURE
from triptych.results import Failure
from triptych.web import context
from triptych.web.context import Answer
from triptych.web.uploads import Upload

FIELDS = ("label", "prob", "status", "novelty", "top")


def keep(upload: Upload, answers: Sequence[Answer]) -> None:
    """Keep the images of a request that the committee was not sure of.

    An image that cannot be kept is logged and changes no answer.

    Args:
        upload: The request.
        answers: One for each of its images.
    """
    unsure = [
        (name, data, answer.to_dict()["verdict"])
        for (name, data), answer in zip(upload.images, answers, strict=True)
        if not isinstance(answer, Failure) and answer.status in (UNSURE, NONE)
    ]
    if not unsure:
        return
    studio = context.current()
    committee = studio.registry.resolve(upload.committee)

    def work() -> None:
        for name, data, verdict in unsure:
            record = {"committee": committee, **{field: verdict[field] for field in FIELDS}}
            studio.projects.keep(name, data if isinstance(data, bytes) else data.read(), record)

    try:
        studio.do(work)
    except errors.TriptychError as error:
        flask.current_app.logger.warning("A photo could not be kept for review: %s", error)
