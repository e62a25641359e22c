"""The inbox: photos of which a committee was unsure, to be labelled and added to a project."""

from __future__ import annotations

import flask
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from triptych.studio.projects import Project
from triptych.studio.projects import Projects
from triptych.web import context
from triptych.web.studio.blueprint import redirect_or_json

blueprint = flask.Blueprint("studio_inbox", __name__, url_prefix="/projects/inbox")

ON_A_PAGE = 100
CLASS, DISMISS = "class", "dismiss"


@blueprint.get("")
def inbox() -> str:
    """What waits for a person to look at; the newest first."""
    here = context.current()
    projects = here.projects.all()
    kept = here.projects.inbox(0, ON_A_PAGE)
    guess = kept[0].verdict.get("committee") if kept else None
    return flask.render_template(
        "studio/inbox.html",
        kept=kept,
        waiting=here.projects.waiting(),
        projects=projects,
        project=_chosen(projects, flask.request.args.get("project"), guess),
        done=_numbers(flask.request.args.get("done", "").split(",")),
    )


def _chosen(projects: list[Project], *keys: str | None) -> Project | None:
    """The project that was chosen; else the one whose committee was unsure, else the newest."""
    by_key = {project.key: project for project in projects}
    found = [by_key[key] for key in keys if key in by_key]
    return next(iter(found or projects), None)


def _numbers(texts: list[str]) -> list[int]:
    return [int(text) for text in texts if text.isascii() and text.isdecimal() and len(text) < 16]


@blueprint.post("/settle")
def settle() -> Response:
    """Add photos to a class of a project, or dismiss them."""
    form = flask.request.form
    numbers, what, key = _numbers(form.getlist("kept")), form.get("do", ""), form.get("project", "")
    if "one" in form:  # a button of one photo: whatever is chosen beside it
        number, _, what = form["one"].partition(" ")
        numbers = _numbers([number])
    if what == CLASS:
        what = f"{CLASS}:{form.get('to', '')}"
    if not numbers:
        raise BadRequest("No photo was chosen. Choose at least one, then what to do with it.")
    here = context.current()
    here.do(lambda: _settle(here.projects, numbers, key, what))
    return _answer(key, done=numbers)


def _settle(door: Projects, numbers: list[int], key: str, what: str) -> None:
    verb, _, home = what.partition(":")
    if what == DISMISS:
        door.dismiss(numbers)
    elif verb == CLASS and _numbers([home]):
        door.settle(numbers, key, int(home))
    else:
        raise BadRequest(
            f"What to do with the photos is {what[:40]!r}; expected {CLASS}:CLASS or {DISMISS}."
        )


@blueprint.post("/reopen")
def reopen() -> Response:
    """Put photos that were dealt with back into the inbox."""
    here, form = context.current(), flask.request.form
    numbers = _numbers(form.getlist("kept"))
    here.do(lambda: here.projects.reopen(numbers))
    return _answer(form.get("project", ""), done=[])


def _answer(key: str, *, done: list[int]) -> Response:
    """For the page's script how many still wait, for a form the page again."""
    numbers = ",".join(map(str, done)) or None
    page = flask.url_for("studio_inbox.inbox", project=key or None, done=numbers)
    return redirect_or_json(page, waiting=context.current().projects.waiting())
