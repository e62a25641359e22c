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
from triptych.utils.text import ntext
from triptych.utils.text import text
from triptych.web import context
from triptych.web.studio.blueprint import redirect_or_json

blueprint = flask.Blueprint("studio_decisions", __name__, url_prefix="/projects/<key>")

MOVE, EXCLUDE, INCLUDE, RIGHT = "move", "exclude", "include", "right"
# In multi-label projects: one class of several, or none of all.
ADD, REMOVE, NO_CLASS = "add", "remove", "no-class"
NOTHING = text("none of the classes")
# How many of the newest decisions the page of decisions shows.
REMEMBERED = 2000
EXPECTED = (
    f"expected one of: {MOVE}:CLASS, {ADD}:CLASS, {REMOVE}:CLASS, {NO_CLASS}, {EXCLUDE}, "
    f"{INCLUDE}, {RIGHT}"
)


@blueprint.post("/decisions")
def decide(key: str) -> Response:
    """Move photos to another class, exclude or include them, or confirm their labels.

    In multi-label projects, one class is added or removed, and the others stay.
    """
    form = flask.request.form
    digests, what = form.getlist("digest"), form.get("do", "")
    if "one" in form:  # the button of one photo, which overrides the selection
        digest, _, what = form["one"].partition(" ")
        digests = [digest]
    if what in (MOVE, ADD, REMOVE):
        what = f"{what}:{form.get('to', '')}"
    if not digests:
        raise BadRequest(text("No photo was chosen. Choose at least one, then what to do with it."))
    digests = list(dict.fromkeys(digests))
    person = context.of_request().key.name

    def carry_out(projects: Projects) -> list[str]:
        verb, _, target = what.partition(":")
        is_number = target.isascii() and target.isdecimal() and len(target) < 16
        if verb == MOVE and is_number:
            projects.decide(key, digests, class_id=int(target), person=person)
        elif verb in (ADD, REMOVE) and is_number:
            projects.set_label(key, digests, int(target), verb == ADD, person=person)
        elif what == NO_CLASS:
            projects.decide(key, digests, class_id=(), person=person)
        elif what == EXCLUDE:
            projects.decide(key, digests, exclude=True, person=person)
        elif what == INCLUDE:
            projects.decide(key, digests, person=person)
        elif what == RIGHT:
            projects.confirm(key, digests, person=person)
        else:
            raise BadRequest(
                text(
                    "What to do with the photos is {what!r}; {expected}.",
                    what=what[:40],
                    expected=EXPECTED,
                )
            )
        return digests

    return _answer(key, carry_out)


@blueprint.post("/decisions/undo")
def undo(key: str) -> Response:
    """Undo the batch of decisions that the page showed; by default the latest."""
    sent = flask.request.form.get("batch", "")
    if sent and not (sent.isascii() and sent.isdecimal() and len(sent) < 16):
        raise BadRequest(
            text("The decision to undo came as {sent!r}; expected its number.", sent=sent[:40])
        )
    # Others may have decided since, and that is not what a person means who undoes.
    batch = int(sent) if sent else None
    return _answer(key, lambda projects: [one.digest for one in projects.undo(key, batch)])


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
            "labels": {digest: photos[digest].class_ids for digest in digests if digest in photos},
            "undoable": last.text if last else None,
            "batch": last.number if last else None,
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
        number: Its number in the project.
        text: A sentence for people.
        at_s: When, in seconds since 1970.
        undone: Whether it was undone since.
        person: Who decided; empty where no key was required.
    """

    number: int
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
    multilabel = projects.find(key).multilabel
    return [
        _batch(batch, names.get(batch[0].digest), multilabel=multilabel)
        for batch in _groups(projects, key)
    ]


def undoable(projects: Projects, key: str) -> Batch | None:
    """The batch that would be undone next."""
    batch = next((batch for batch in _groups(projects, key) if not batch[0].undone), None)
    if batch is None:
        return None
    name = None
    with contextlib.suppress(errors.UnknownName):
        name = projects.photo(key, batch[0].digest).name
    return _batch(batch, name, multilabel=projects.find(key).multilabel)


def _groups(projects: Projects, key: str) -> Iterator[list[Decision]]:
    """The decisions of each batch, the newest first."""
    latest = projects.history(key, limit=REMEMBERED)
    return (list(batch) for _, batch in itertools.groupby(latest, lambda each: each.batch))


def _batch(decisions: list[Decision], name: str | None, *, multilabel: bool) -> Batch:
    """A batch as a sentence.

    Args:
        decisions: Decisions of the same kind.
        name: Name of the first one's photo; ``None`` if it was removed from the project.
        multilabel: Whether the project is multi-label.
    """
    first, n = decisions[0], len(decisions)
    what = name if name and n == 1 else ntext("{n} photo", "{n} photos", n)
    before, after = ", ".join(first.names_before), ", ".join(first.names_after)
    gained = [one for one in first.names_after if one not in first.names_before]
    lost = [one for one in first.names_before if one not in first.names_after]
    if first.excluded_after and not first.excluded_before:
        sentence = text("Excluded {what}.", what=what)
    elif first.excluded_before and not first.excluded_after and before == after:
        sentence = text("Included {what} again.", what=what)
    elif first.labels_before == first.labels_after:
        sentence = text("Confirmed {what} as {classes}.", what=what, classes=after or NOTHING)
    elif not multilabel and (classes := len({each.labels_after for each in decisions})) > 1:
        sentence = text("Sorted {what} into {classes} classes.", what=what, classes=classes)
    elif not multilabel:
        moved = text("Moved {what} to {classes}.", what=what, classes=after)
        removed = text("Removed {what} from {classes}.", what=what, classes=before)
        sentence = moved if after else removed
    elif first.labels_after == ():
        sentence = text("Labelled {what} as {classes}.", what=what, classes=NOTHING)
    elif not lost:
        sentence = text("Added {classes} to {what}.", what=what, classes=", ".join(gained))
    elif not gained:
        sentence = text("Removed {classes} from {what}.", what=what, classes=", ".join(lost))
    else:
        sentence = text("Labelled {what} as {classes}.", what=what, classes=after)
    return Batch(first.batch, sentence, first.at_s, first.undone, first.person)
