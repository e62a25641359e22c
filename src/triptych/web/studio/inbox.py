"""The inbox: photos a committee was unsure about, to be labelled and added to a project."""

from __future__ import annotations

import flask
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from triptych.utils.text import text
from triptych.web import context
from triptych.web.studio.blueprint import redirect_or_json

blueprint = flask.Blueprint("studio_inbox", __name__, url_prefix="/projects/inbox")

ON_A_PAGE = 100
CLASS, DISMISS = "class", "dismiss"


@blueprint.get("")
def inbox() -> str:
    """The photos that wait for a label, the newest first."""
    here = context.current()
    projects = here.projects.all()
    photos = here.projects.inbox(0, ON_A_PAGE)
    # The selected project; else the one whose committee was unsure; else the newest.
    by_key = {project.key: project for project in projects}
    unsure = photos[0].verdict.get("committee", "") if photos else ""
    project = by_key.get(flask.request.args.get("project", "")) or by_key.get(unsure)
    return flask.render_template(
        "studio/inbox.html",
        photos=photos,
        waiting=here.projects.waiting(),
        projects=projects,
        project=project or next(iter(projects), None),
        done=_numbers(flask.request.args.get("done", "").split(",")),
    )


def _numbers(texts: list[str]) -> list[int]:
    return [int(text) for text in texts if text.isascii() and text.isdecimal() and len(text) < 16]


@blueprint.post("/settle")
def settle() -> Response:
    """Add photos to a class of a project, or dismiss them."""
    form = flask.request.form
    numbers, what, key = _numbers(form.getlist("kept")), form.get("do", ""), form.get("project", "")
    if "one" in form:  # the button of one photo, which overrides the selection
        number, _, what = form["one"].partition(" ")
        numbers = _numbers([number])
    if what == CLASS:
        what = f"{CLASS}:{form.get('to', '')}"
    if not numbers:
        raise BadRequest(text("No photo was chosen. Choose at least one, then what to do with it."))
    here = context.current()
    verb, _, class_id = what.partition(":")
    if what == DISMISS:
        here.change(lambda: here.projects.dismiss(numbers))
    elif verb == CLASS and _numbers([class_id]):
        person = context.of_request().key.name
        classes = dict.fromkeys(numbers, int(class_id))
        here.change(lambda: here.projects.settle(classes, key, person=person))
    else:
        raise BadRequest(
            text(
                "What to do with the photos is {what!r}; expected {class_}:CLASS or {dismiss}.",
                what=what[:40],
                class_=CLASS,
                dismiss=DISMISS,
            )
        )
    return _answer(key, done=numbers)


@blueprint.post("/reopen")
def reopen() -> Response:
    """Put reviewed photos back into the inbox."""
    here, form = context.current(), flask.request.form
    numbers = _numbers(form.getlist("kept"))
    here.change(lambda: here.projects.reopen(numbers))
    return _answer(form.get("project", ""), done=[])


def _answer(key: str, *, done: list[int]) -> Response:
    """For a script the number of waiting photos, for a form a redirect to the page."""
    numbers = ",".join(map(str, done)) or None
    page = flask.url_for("studio_inbox.inbox", project=key or None, done=numbers)
    return redirect_or_json(page, waiting=context.current().projects.waiting())
