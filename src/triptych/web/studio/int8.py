"""Making int8 networks from the page *Publish*: start, follow, stop."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flask
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from triptych import bundles
from triptych import errors
from triptych.engines.conversion import int8 as networks
from triptych.engines.conversion import quantize as conversion
from triptych.studio.projects import Project
from triptych.studio.quantizing import QuantizingJob
from triptych.tuning import quantize
from triptych.utils.text import text
from triptych.web import context
from triptych.web.studio.blueprint import redirect_or_json
from triptych.web.studio.versions import BundleVersions

blueprint = flask.Blueprint("studio_int8", __name__, url_prefix="/bundles/<name>/int8")

TITLES = {
    "running": text("Making int8 networks"),
    "done": text("Int8 networks are made"),
    "stopped": text("Stopped"),
    "failed": text("No int8 networks"),
}


def about(bundle: BundleVersions, project: Project | None) -> dict[str, Any]:
    """The template variables of the section on int8 networks.

    Args:
        bundle: A bundle with its versions.
        project: The project that it is trained from, if there is one.
    """
    here = context.current()
    job = here.quantizing.latest(bundle.name)
    versions = [one for one in bundle.versions if not one.damage]
    numbers = [one.number for one in versions]
    return {
        "job": state(job) if job else None,
        "missing": _missing(),
        "numbers": here.do(lambda: numbers_with_int8(here.settings.home, bundle.name, numbers)),
        "versions": versions,
        "selected": job.version if job else bundle.active or bundle.newest.number,
        "project": project,
        "fewest": quantize.FEWEST_HELD_OUT,
    }


def numbers_with_int8(home: Path, name: str, numbers: Sequence[int]) -> list[int]:
    """Those versions of a bundle that have int8 networks."""
    found = {number: bundles.find(home, f"{name}@{number}") for number in numbers}
    return [
        number
        for number, bundle in found.items()
        if all(networks.int8_path(network).exists() for network in bundle.networks)
    ]


def _missing() -> str:
    """Why no int8 networks can be made here; empty if they can."""
    try:
        conversion.check_installed()
    except errors.SettingError as error:
        return error.message
    return ""


def state(job: QuantizingJob) -> dict[str, Any]:
    """The state of a job, for pages and programs."""
    return {
        "state": job.state,
        "title": text("{state}: version {version}", state=TITLES[job.state], version=job.version),
        "said": job.said,
        "under_way": job.is_under_way,
        "version": job.version,
        "began_s": job.began_s,
    }


@blueprint.post("")
def start(name: str) -> Response:
    """Start to make int8 networks, in a process of its own."""
    form = flask.request.form
    number = form.get("version", "")
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise BadRequest(
            text("The version is {number!r}; expected its number.", number=number[:20])
        )
    project = name if form.get("project") else None
    start_with(name, int(number), flask.request.files.get("photos"), project=project)
    return redirect_or_json(_address(name))


def start_with(name: str, version: int, upload: FileStorage | None, *, project: str | None) -> None:
    """Start to make int8 networks with photos of an upload, of a project, or of both.

    Args:
        name: Of the bundle.
        version: Its version.
        upload: A zip of photos.
        project: Key of the project.
    """
    here, photos = context.current(), None
    try:
        if upload is not None and upload.filename:
            with tempfile.NamedTemporaryFile(suffix=".zip", delete=False) as file:
                photos = Path(file.name)
                here.change(lambda: upload.save(file))
        here.change(lambda: here.quantizing.start(name, version, photos, project=project))
    except BaseException:  # the job, which removes it, has not begun
        if photos:
            photos.unlink(missing_ok=True)
        raise


@blueprint.get("/job.json")
def job(name: str) -> Response:
    """The progress of the latest job."""
    latest = context.current().quantizing.latest(name)
    if latest is None:
        raise errors.UnknownName(text("No int8 networks were made since the studio was started."))
    return flask.jsonify(state(latest))


@blueprint.post("/stop")
def stop(name: str) -> Response:
    """Stop what is under way."""
    here = context.current()
    here.change(lambda: here.quantizing.stop(name))
    return redirect_or_json(_address(name))


def _address(name: str) -> str:
    return flask.url_for("studio_publish.one", name=name, _anchor="int8")
