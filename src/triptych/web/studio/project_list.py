"""The list of projects: create, import, rename and remove them, or open the sample."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import flask
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from triptych import bundles
from triptych import errors
from triptych.bundles.metrics import HeldOutAccuracy
from triptych.data.records import Finding
from triptych.studio import sample_images
from triptych.studio.projects import Project
from triptych.studio.projects import ProjectPhoto
from triptych.studio.projects.naming import MAX_TITLE
from triptych.typing import Progress
from triptych.utils.text import text
from triptych.web import context
from triptych.web.studio import training
from triptych.web.studio.blueprint import blueprint
from triptych.web.studio.blueprint import redirect_or_json

THUMBS = 4
# Kinds of projects: one class a photo, or any number.
SINGLE, MULTI = "single", "multi"

T = TypeVar("T")


@dataclass(frozen=True)
class ProjectSummary:
    """A project in the list.

    Args:
        project: The project.
        photos: Some of its photos.
        accuracy: Accuracy of its newest committee; ``None`` if none was trained.
    """

    project: Project
    photos: list[ProjectPhoto]
    accuracy: HeldOutAccuracy | None


@blueprint.get("")
def projects() -> str:
    """All projects; without any, an introduction."""
    here = context.current()

    def summaries() -> list[ProjectSummary]:
        return [
            ProjectSummary(
                project,
                here.projects.photos(project.key, limit=THUMBS),
                _accuracy(here.settings.home, project.key),
            )
            for project in here.projects.all()
        ]

    return flask.render_template(
        "studio/projects.html",
        summaries=here.do(summaries),
        max_bytes=here.settings.max_image_bytes,
    )


def _accuracy(home: Path, key: str) -> HeldOutAccuracy | None:
    with contextlib.suppress(errors.TriptychError):  # its result page says what is wrong
        if numbers := bundles.versions(home, key):
            return bundles.find(home, f"{key}@{numbers[-1]}").accuracy
    return None


@blueprint.post("")
def make() -> Response:
    """Create an empty project."""
    here, title = context.current(), flask.request.form.get("title", "")
    multilabel = _multilabel(default=SINGLE)
    return _open(here.change(lambda: here.projects.make(title, multilabel=multilabel)))


@blueprint.post("/<key>/kind")
def set_kind(key: str) -> Response:
    """Let photos have any number of classes, or exactly one."""
    here, multilabel = context.current(), _multilabel()
    here.change(lambda: here.projects.set_multilabel(key, multilabel))
    return redirect_or_json(flask.url_for(".photos", key=key))


def _multilabel(default: str = "") -> bool:
    kind = flask.request.form.get("kind", default)
    if kind not in (SINGLE, MULTI):
        raise BadRequest(
            text(
                "The kind is {kind!r}; expected one of: {single}, {multi}.",
                kind=kind[:40],
                single=SINGLE,
                multi=MULTI,
            )
        )
    return kind == MULTI


@blueprint.post("/sample")
def try_sample() -> Response:
    """Create the sample project and train it; or open it where that was done before."""
    here = context.current()
    key = here.change(lambda: sample_images.make_project(here.projects)).key
    if bundles.versions(here.settings.home, key):
        return redirect_or_json(flask.url_for(".try_out", key=key), key=key)
    with contextlib.suppress(errors.TriptychError):  # the page of the training says what is wrong
        here.change(lambda: here.jobs.start(key, training.DEFAULTS))
    return redirect_or_json(flask.url_for(".teach", key=key), key=key)


@blueprint.post("/import")
def take_in() -> Response:
    """Import a project from a zip with a folder for each class, or a document that names them."""
    findings: list[Finding] = []
    project = import_zip(report=findings.append)
    return redirect_or_json(
        flask.url_for(".photos", key=project.key),
        key=project.key,
        findings=[finding.to_dict() for finding in findings],
    )


def import_zip(*, report: Callable[[Finding], None] = lambda finding: None) -> Project:
    """Create a project from the zip in the current request.

    Args:
        report: Called with what was left out.

    Raises:
        BadRequest: There is none.
    """
    upload = flask.request.files.get("zip")
    if upload is None or not upload.filename:
        raise BadRequest(
            text("No zip was chosen; expected one with a folder of photos for each class.")
        )
    stem = re.split(r"[/\\]", upload.filename)[-1].rpartition(".")[0]
    title = flask.request.form.get("title", "").strip() or stem[:MAX_TITLE] or "Imported"
    projects, multilabel = context.current().projects, _multilabel(default=SINGLE)
    return with_zip(
        upload,
        lambda path, check: projects.import_from(
            path, title, multilabel=multilabel, progress=check, report=report
        ),
    )


def with_zip(upload: FileStorage, work: Callable[[Path, Progress], T]) -> T:
    """Do something with an uploaded zip, as long as the client waits for it.

    Args:
        upload: The zip.
        work: Called with its path, and a function that it calls now and then.

    Raises:
        errors.DeadlinePassed: It took too long; nothing of it is kept.
    """
    here = context.current()
    deadline, counts = here.deadline(), (0, 0)

    def check(done: int, total: int) -> None:
        nonlocal counts
        counts = (done, total)
        if not deadline.left_s:  # the client does not wait any more
            raise errors.Stopped(text("Given up."))

    def unpack() -> T:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "photos.zip"
            upload.save(path)
            return work(path, check)

    try:
        return deadline.result(here.changes.submit(unpack), stops=True)
    except errors.DeadlinePassed as error:
        done, total = counts
        if not total:  # it waited, or was listed
            raise
        raise errors.DeadlinePassed(
            text(
                "There was no answer within {limit:g} seconds: {done} of {total} files in the zip "
                "were read by then, and nothing of it was added. Divide the zip and send one part "
                "after the other, or start the studio with a longer deadline_s.",
                limit=here.settings.deadline_s,
                done=done,
                total=total,
            )
        ) from error


@blueprint.post("/<key>/rename")
def rename(key: str) -> Response:
    """Change the title of a project."""
    here, title = context.current(), flask.request.form.get("title", "")
    here.change(lambda: here.projects.rename(key, title))
    return redirect_or_json(flask.url_for(".projects"))


@blueprint.post("/<key>/remove")
def remove(key: str) -> Response:
    """Remove a project with its photos; committees that were trained from it stay."""
    here = context.current()
    here.change(lambda: here.projects.remove(key))
    return redirect_or_json(flask.url_for(".projects"))


def _open(project: Project) -> Response:
    return redirect_or_json(flask.url_for(".photos", key=project.key), key=project.key)
