"""What people decide about photos: at once on disk, undone one by one, and taught anew."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
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
# The newest decisions that the page of decisions looks back upon.
REMEMBERED = 2000
EXPECTED = f"expected one of: {MOVE}:CLASS, {EXCLUDE}, {INCLUDE}, {RIGHT}"


@blueprint.post("/decisions")
def decide(key: str) -> Response:
    """Move photos to another class, exclude them or take them in again, or call labels right."""
    form = flask.request.form
    digests, what = form.getlist("digest"), form.get("do", "")
    if "one" in form:  # a button of one photo: whatever is chosen beside it
        digest, _, what = form["one"].partition(" ")
        digests = [digest]
    if what == MOVE:
        what = f"{MOVE}:{form.get('to', '')}"
    if not digests:
        raise BadRequest("No photo was chosen. Choose at least one, then what to do with it.")
    digests = list(dict.fromkeys(digests))

    def carry_out(door: Projects) -> list[str]:
        _decide(door, key, digests, what)
        return digests

    return _answer(key, carry_out)


def _decide(door: Projects, key: str, digests: Sequence[str], what: str) -> None:
    verb, _, home = what.partition(":")
    if verb == MOVE and home.isascii() and home.isdecimal() and len(home) < 16:
        door.decide(key, digests, class_id=int(home))
    elif what == EXCLUDE:
        door.decide(key, digests, exclude=True)
    elif what == INCLUDE:
        door.decide(key, digests)
    elif what == RIGHT:
        door.confirm(key, digests)
    else:
        raise BadRequest(f"What to do with the photos is {what[:40]!r}; {EXPECTED}.")


@blueprint.post("/decisions/undo")
def undo(key: str) -> Response:
    """Undo what was decided last."""
    return _answer(key, lambda door: [decision.digest for decision in door.undo(key)])


def _answer(key: str, carry_out: Callable[[Projects], list[str]]) -> Response:
    """Carry something out beside the loop.

    Args:
        key: Of the project.
        carry_out: Gives the digests of the photos that it was about.

    Returns:
        For a page's script how those photos stand now, for a form the page that it came from.
    """
    here = context.current()

    def work() -> dict[str, Any]:
        digests = carry_out(here.projects)
        last = undoable(here.projects, key)
        return {
            "photos": _standing(here.projects, key, digests),
            "undoable": last.said if last else None,
        }

    return redirect_or_json(_back(key), **here.do(work))


def _standing(door: Projects, key: str, digests: Sequence[str]) -> dict[str, str]:
    project, confirmed = door.find(key), door.confirmed(key)
    photos = {photo.digest: photo for photo in door.photos(key, excluded=None, limit=-1)}
    return {
        digest: review.status_of(photos.get(digest), project, confirmed=confirmed)
        for digest in digests
    }


def _back(key: str) -> str:
    """The page that a form came from, if it is one of this project."""
    own = flask.url_for("studio_review.result", key=key)
    pages, back = own.rpartition("/")[0], flask.request.form.get("back", "")
    is_own = back == pages or back.startswith((f"{pages}/", f"{pages}?"))
    return back if is_own and "\\" not in back else own


@blueprint.get("/decisions")
def history(key: str) -> str:
    """All that was decided, the newest first."""
    here = context.current()
    found = here.do(lambda: batches(here.projects, key))
    return flask.render_template(
        "studio/decisions.html",
        tab="Result",
        project=here.projects.find(key),
        batches=found,
        undoable=next((batch for batch in found if not batch.undone), None),
    )


@blueprint.post("/retrain")
def retrain(key: str) -> Response:
    """Teach the project anew, as it was taught the last time."""
    here = context.current()
    job = here.do(lambda: here.jobs.again(key))
    return redirect_or_json(flask.url_for("studio.teach", key=key), job=job.id)


# ------------------------------------------------------------------ in words


@dataclass(frozen=True)
class Batch:
    """What was decided in one go, and is undone in one go.

    Args:
        said: A sentence for people.
        at_s: When, in seconds since 1970.
        undone: Whether it was undone since.
    """

    said: str
    at_s: float
    undone: bool


def batches(door: Projects, key: str) -> list[Batch]:
    """What was decided in a project, the newest first.

    Raises:
        errors.UnknownName: There is no such project.
    """
    names = {photo.digest: photo.name for photo in door.photos(key, excluded=None, limit=-1)}
    return [_batch(own, names.get(own[0].digest)) for own in _groups(door, key)]


def undoable(door: Projects, key: str) -> Batch | None:
    """What would be undone next."""
    own = next((own for own in _groups(door, key) if not own[0].undone), None)
    if own is None:
        return None
    with contextlib.suppress(errors.UnknownName):
        return _batch(own, door.photo(key, own[0].digest).name)
    return _batch(own, None)


def _groups(door: Projects, key: str) -> Iterator[list[Decision]]:
    """The decisions of each batch, the newest first."""
    latest = door.history(key, limit=REMEMBERED)
    return (list(own) for _, own in itertools.groupby(latest, lambda each: each.batch))


def _batch(own: list[Decision], name: str | None) -> Batch:
    """A batch in words.

    Args:
        own: Its decisions.
        name: Of the first one's photo; none where it was removed from the project.
    """
    what = f"{len(own):,} photos" if len(own) > 1 else name or "a photo"
    return Batch(_sentence(own[0], what), own[0].at_s, own[0].undone)


def _sentence(one: Decision, what: str) -> str:
    """What a batch did, all of which did the same, to which photos."""
    if one.excluded_after and not one.excluded_before:
        return f"Excluded {what}."
    if one.excluded_before and not one.excluded_after and one.before == one.after:
        return f"Took {what} in again."
    if one.after_name is None:
        return f"Took {what} out of {one.before_name or 'its class'}."
    if one.before == one.after:
        return f"Called {what} right as {one.after_name}."
    return f"Moved {what} to {one.after_name}."
