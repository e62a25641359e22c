"""The list of projects: make one, try the sample, bring one in, rename and remove."""

from __future__ import annotations

import contextlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import flask
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from triptych import bundles
from triptych import errors
from triptych.studio import sample_images
from triptych.studio.projects import Project
from triptych.studio.projects import ProjectPhoto
from triptych.studio.projects.naming import MAX_TITLE
from triptych.web import context
from triptych.web.studio import versions
from triptych.web.studio.blueprint import blueprint
from triptych.web.studio.blueprint import redirect_or_json

THUMBS = 4


@dataclass(frozen=True)
class Card:
    """What the list shows of a project.

    Args:
        project: Itself.
        photos: Some of it.
        accuracy: Of its newest committee; ``None`` where none was taught.
    """

    project: Project
    photos: list[ProjectPhoto]
    accuracy: versions.HeldOutAccuracy | None


@blueprint.get("")
def shelf() -> str:
    """All projects; without any, an invitation."""
    here = context.current()
    return flask.render_template(
        "studio/projects.html",
        cards=here.do(lambda: _cards(here)),
        max_bytes=here.settings.max_image_bytes,
    )


def _cards(here: context.Studio) -> list[Card]:
    return [
        Card(
            project,
            here.projects.photos(project.key, limit=THUMBS),
            _accuracy(here.settings.home, project.key),
        )
        for project in here.projects.all()
    ]


def _accuracy(home: Path, key: str) -> versions.HeldOutAccuracy | None:
    with contextlib.suppress(errors.TriptychError):  # its own page says what is wrong
        if numbers := bundles.versions(home, key):
            return versions.accuracy_of(bundles.find(home, f"{key}@{numbers[-1]}").metrics)
    return None


@blueprint.post("")
def make() -> Response:
    """Make an empty project."""
    return _open(context.current().projects.make(flask.request.form.get("title", "")))


@blueprint.post("/sample")
def try_sample() -> Response:
    """Make the sample project, or open it when it is there."""
    here = context.current()
    return _open(here.do(lambda: sample_images.make_project(here.projects)))


@blueprint.post("/import")
def take_in() -> Response:
    """Make a project of a zip with a folder for each class."""
    here = context.current()
    sent = flask.request.files.get("zip")
    if sent is None or not sent.filename:
        raise BadRequest("No zip was chosen; expected one with a folder of photos for each class.")
    title = flask.request.form.get("title", "").strip() or _title_of(sent.filename)
    return _open(here.do(lambda: _take_in(here, sent, title)))


def _take_in(here: context.Studio, sent: FileStorage, title: str) -> Project:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photos.zip"
        sent.save(path)
        return here.projects.import_from(path, title)


def _title_of(name: str) -> str:
    last = re.split(r"[/\\]", name)[-1]
    return last.rpartition(".")[0][:MAX_TITLE] or "Imported"


@blueprint.post("/<key>/rename")
def rename(key: str) -> Response:
    """Give a project another title."""
    context.current().projects.rename(key, flask.request.form.get("title", ""))
    return redirect_or_json(flask.url_for(".shelf"))


@blueprint.post("/<key>/remove")
def remove(key: str) -> Response:
    """Remove a project with its photos; what was taught from it stays."""
    here = context.current()
    here.do(lambda: here.projects.remove(key))
    return redirect_or_json(flask.url_for(".shelf"))


def _open(project: Project) -> Response:
    return redirect_or_json(flask.url_for(".photos", key=project.key), key=project.key)
