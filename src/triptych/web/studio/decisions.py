"""Decisions about photos: stored at once, undone batch by batch, and used by retraining."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import flask
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from triptych import errors
from triptych.studio import review
from triptych.studio.projects import Decision
from triptych.studio.projects import Projects
from triptych.web import context
from triptych.web.studio.blueprint import redirect_or_json

blueprint = flask.Blueprint("studio_decisions", __name__, url_prefix="/projects/<key>")

MOVE, EXCLUDE, INCLUDE, RIGHT = "move", "exclude", "include", "right"
# How many of the newest decisions the page of decisions shows.
REMEMBERED = 2000
EXPECTED = f"expected one of: {MOVE}:CLASS, {EXCLUDE}, {INCLUDE}, {RIGHT}"


@blueprint.post("/decisions")
def decide(key: str) -> Response:
    """Move photos to another class, exclude or include them, or confirm their labels."""
    form = flask.request.form
    digests, what = form.getlist("digest"), form.get("do", "")
    if "one" in form:  # the button of one photo, which overrides the selection
        digest, _, what = form["one"].partition(" ")
        digests = [digest]
    if what == MOVE:
        what = f"{MOVE}:{form.get('to', '')}"
    if not digests:
        raise BadRequest("No photo was chosen. Choose at least one, then what to do with it.")
    digests = list(dict.fromkeys(digests))
    person = context.of_request().key.name

    def carry_out(projects: Projects) -> list[str]:
        verb, _, target = what.partition(":")
        if verb == MOVE and target.isascii() and target.isdecimal() and len(target) < 16:
            projects.decide(key, digests, class_id=int(target), person=person)
        elif what == EXCLUDE:
            projects.decide(key, digests, exclude=True, person=person)
        elif what == INCLUDE:
            projects.decide(key, digests, person=person)
        elif what == RIGHT:
            projects.confirm(key, digests, person=person)
        else:
            raise BadRequest(f"What to do with the photos is {what[:40]!r}; {EXPECTED}.")
        return digests

    return _answer(key, carry_out)


@blueprint.post("/decisions/undo")
def undo(key: str) -> Response:
    """Undo the latest batch of decisions."""
    return _answer(key, lambda projects: [decision.digest for decision in projects.undo(key)])


def _answer(key: str, carry_out: Callable[[Projects], list[str]]) -> Response:
    """Apply a change in the queue.

    Args:
        key: Of the project.
        carry_out: Applies the change, and returns the digests of its photos.

    Returns:
        For a script the current state of those photos, for a form a redirect to its page.
    """
    here = context.current()

    def work() -> dict[str, Any]:
        projects = here.projects
        digests = carry_out(projects)
        project, confirmed = projects.find(key), projects.confirmed(key)
        photos = {photo.digest: photo for photo in projects.photos(key, excluded=None, limit=-1)}
        last = undoable(projects, key)
        return {
            "photos": {
                digest: review.status_of(photos.get(digest), project, confirmed=confirmed)
                for digest in digests
            },
            "undoable": last.text if last else None,
        }

    address, back = (
        flask.url_for("studio_review.result", key=key),
        flask.request.form.get("back", ""),
    )
    pages = address.rpartition("/")[0]
    is_of_project = back == pages or back.startswith((f"{pages}/", f"{pages}?"))
    if is_of_project and "\\" not in back:  # browsers take a backslash for a slash
        address = back
    return redirect_or_json(address, **here.change(work))


@blueprint.get("/decisions")
def history(key: str) -> str:
    """The page of all decisions, the newest first."""
    here = context.current()
    decided = here.do(lambda: batches(here.projects, key))
    return flask.render_template(
        "studio/decisions.html",
        tab="Result",
        project=here.projects.find(key),
        batches=decided,
        undoable=next((batch for batch in decided if not batch.undone), None),
    )


@blueprint.post("/retrain")
def retrain(key: str) -> Response:
    """Train the project again with the options of the last training."""
    here = context.current()
    job = here.change(lambda: here.jobs.again(key))
    return redirect_or_json(flask.url_for("studio.teach", key=key), job=job.id)


# ------------------------------------------------------------------ in words


@dataclass(frozen=True)
class Batch:
    """A batch of decisions, which are undone together.

    Args:
        text: A sentence for people.
        at_s: When, in seconds since 1970.
        undone: Whether it was undone since.
        person: Who decided; empty where no key was required.
    """

    text: str
    at_s: float
    undone: bool
    person: str


def batches(projects: Projects, key: str) -> list[Batch]:
    """The batches of decisions of a project, the newest first.

    Raises:
        errors.UnknownName: There is no such project.
    """
    names = {photo.digest: photo.name for photo in projects.photos(key, excluded=None, limit=-1)}
    return [_batch(batch, names.get(batch[0].digest)) for batch in _groups(projects, key)]


def undoable(projects: Projects, key: str) -> Batch | None:
    """The batch that would be undone next."""
    batch = next((batch for batch in _groups(projects, key) if not batch[0].undone), None)
    if batch is None:
        return None
    with contextlib.suppress(errors.UnknownName):
        return _batch(batch, projects.photo(key, batch[0].digest).name)
    return _batch(batch, None)


def _groups(projects: Projects, key: str) -> Iterator[list[Decision]]:
    """The decisions of each batch, the newest first."""
    latest = projects.history(key, limit=REMEMBERED)
    return (list(batch) for _, batch in itertools.groupby(latest, lambda each: each.batch))


def _batch(decisions: list[Decision], name: str | None) -> Batch:
    """A batch as a sentence.

    Args:
        decisions: Decisions of the same kind.
        name: Name of the first one's photo; ``None`` if it was removed from the project.
    """
    first = decisions[0]
    photos = f"{len(decisions):,} photos" if len(decisions) > 1 else name or "a photo"
    if first.excluded_after and not first.excluded_before:
        sentence = f"Excluded {photos}."
    elif first.excluded_before and not first.excluded_after and first.before == first.after:
        sentence = f"Included {photos} again."
    elif first.after_name is None:
        sentence = f"Removed {photos} from {first.before_name or 'its class'}."
    elif first.before == first.after:
        sentence = f"Confirmed {photos} as {first.after_name}."
    else:
        sentence = f"Moved {photos} to {first.after_name}."
    return Batch(sentence, first.at_s, first.undone, first.person)
