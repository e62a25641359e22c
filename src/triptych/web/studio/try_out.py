"""Trying a version out: where training ends, with photos or the camera, before any report."""

from __future__ import annotations

import contextlib

import flask
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from triptych import errors
from triptych.studio import sample_images
from triptych.studio.projects import Project
from triptych.utils.text import text
from triptych.web import classify_page
from triptych.web import context
from triptych.web.studio import progress
from triptych.web.studio import versions
from triptych.web.studio.blueprint import blueprint

# Drawings that the sample project was not trained on, and how long browsers may cache them.
UNSEEN_SEED = 1000
KEPT_S = 3600


@blueprint.route("/<key>/try", methods=["GET", "POST"])
def try_out(key: str) -> str | Response:
    """Photos and the camera for one version: by default the newest, published or not."""
    here = context.current()
    project = here.projects.find(key)
    bundle = here.do(lambda: versions.find(here.settings.home, key))
    if bundle is None:
        return flask.render_template("studio/not_taught.html", project=project, tab="Try")
    number = flask.request.args.get("version", "")
    version = bundle.find(number) if number else bundle.newest
    if version is None:
        raise errors.UnknownName(
            text("{project} has no version {number}.", project=project.title, number=number[:20])
        )
    name = f"{key}@{version.number}"
    facts = here.registry.facts(here.registry.resolve(name))
    with contextlib.suppress(errors.Overloaded):  # it is loaded while the person takes a photo
        here.loading.submit(lambda: here.registry.get(name))
    latest = here.do(lambda: here.jobs.latest(key))
    is_latest = latest is not None and latest.version == version.number
    return flask.render_template(
        "studio/try.html",
        tab="Try",
        project=project,
        cards=classify_page.cards(similar=classify_page.SIMILAR)
        if flask.request.method == "POST"
        else [],
        committees=[facts],
        settings=here.settings,
        similar=classify_page.SIMILAR,
        name=name,
        version=version,
        job=progress.of(latest) if latest and is_latest else None,
        drawings=_drawings(project),
    )


def _drawings(project: Project) -> list[str]:
    """The kinds of drawings on offer: those of the sample project."""
    kinds = list(sample_images.KINDS)
    return kinds if [label.name for label in project.classes] == kinds else []


@blueprint.get("/sample/<kind>.jpg")
def drawing(kind: str) -> flask.Response:
    """A drawing that the sample project was not trained on."""
    if kind not in sample_images.KINDS:
        raise NotFound(text("There is no drawing of {kind!r}.", kind=kind[:40]))
    data = context.current().do(lambda: sample_images.jpeg(kind, seed=UNSEEN_SEED))
    answer = flask.Response(data, mimetype="image/jpeg")
    answer.cache_control.private = True
    answer.cache_control.max_age = KEPT_S
    return answer
