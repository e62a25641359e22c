"""Photos of which a committee was not sure, kept for a person to look at.

Two people have to want it: the owner of the studio, who opens the inbox (off by default), and
whoever asks, with each request. Photos of which the committee was sure are never kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import flask
from werkzeug.exceptions import Forbidden

from triptych import errors
from triptych.results import NONE
from triptych.results import UNSURE
from triptych.results import Failure
from triptych.studio.projects import Projects
from triptych.web import context
from triptych.web.context import Answer
from triptych.web.uploads import Base64
from triptych.web.uploads import Upload

KEPT = (UNSURE, NONE)
Doubted = tuple[str, "bytes | Base64", Answer]
TOLD = ("label", "prob", "status", "novelty", "top")


def ask(upload: Upload) -> list[Answer]:
    """Ask about the images of a request, and keep those that may and shall be kept.

    Raises:
        Forbidden: They shall be kept, and the inbox of this studio is not open.
        errors.TriptychError: As `Studio.ask`; that one cannot be kept is logged and disturbs no
            answer.
    """
    here = context.current()
    if upload.keep and here.settings.inbox != "on":
        raise Forbidden(
            "The option keep is true, and this studio keeps no photos: its inbox is off. Leave "
            "the option out, or ask its owner to start it with --inbox on."
        )
    answers = here.ask(upload.committee, upload.images, upload.question)
    doubted = [
        (name, data, answer)
        for (name, data), answer in zip(upload.images, answers, strict=True)
        if upload.keep and not isinstance(answer, Failure) and answer.status in KEPT
    ]
    if doubted:
        committee = here.registry.resolve(upload.committee)
        try:
            here.do(lambda: _keep(here.projects, committee, doubted))
        except errors.TriptychError as error:
            flask.current_app.logger.warning("A photo could not be kept for review: %s", error)
    return answers


def _keep(door: Projects, committee: str, doubted: Sequence[Doubted]) -> None:
    for name, data, answer in doubted:
        told = answer.to_dict()["verdict"]
        verdict = {"committee": committee, **{part: told[part] for part in TOLD}}
        door.keep(name, data if isinstance(data, bytes) else data.read(), verdict)
