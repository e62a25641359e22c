"""Exporting from the page *Publish*: start, follow, stop, download."""

from __future__ import annotations

import time
from typing import Any

import flask
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from triptych import errors
from triptych.exports import formats
from triptych.studio.exports import ExportJob
from triptych.utils.text import text
from triptych.web import context
from triptych.web.studio.blueprint import redirect_or_json
from triptych.web.studio.int8 import numbers_with_int8
from triptych.web.studio.versions import BundleVersions

blueprint = flask.Blueprint("studio_exports", __name__, url_prefix="/bundles/<name>/exports")

FORM_BYTES = 4096
TITLES = {
    "running": "Exporting",
    "done": text("Exported"),
    "stopped": text("Stopped"),
    "failed": text("It did not work"),
}


def about(bundle: BundleVersions) -> dict[str, Any]:
    """The template variables of the section on exports."""
    here = context.current()
    job, home = here.exports.latest(bundle.name), here.settings.home
    versions = [one for one in bundle.versions if not one.damage]
    numbers = [one.number for one in versions]
    files, int8_numbers = here.do(
        lambda: (here.exports.files(bundle.name), numbers_with_int8(home, bundle.name, numbers))
    )
    return {
        "job": state(job) if job else None,
        "files": files,
        "formats": [{"row": row, "missing": _missing(row)} for row in formats.FORMATS.values()],
        "versions": versions,
        "selected": {
            "version": job.version if job else bundle.active or bundle.newest.number,
            "format": job.format if job else next(iter(formats.FORMATS)),
            "precision": job.precision if job else "f32",
        },
        "int8": int8_numbers,
        # Each time another address: one that differs in what follows # only is not loaded again.
        "again": _address(bundle.name, at=int(time.time())),
    }


def _missing(row: formats.Format) -> str:
    """Why a format cannot be written here; empty if it can."""
    try:
        row.require()
    except errors.SettingError as error:
        return error.message
    return ""


def state(job: ExportJob) -> dict[str, Any]:
    """The state of an export, for pages and programs."""
    form = f"{job.format}, {job.precision}"
    return {
        "state": job.state,
        "title": text(
            "{state}: version {version} as {form}",
            state=TITLES[job.state],
            version=job.version,
            form=form,
        ),
        "said": job.said,
        "under_way": job.is_under_way,
        "file": job.file if job.state == "done" else None,
        "version": job.version,
        "format": job.format,
        "precision": job.precision,
        "began_s": job.began_s,
    }


@blueprint.post("")
def start(name: str) -> Response:
    """Start an export, in a process of its own."""
    flask.request.max_content_length = FORM_BYTES
    form, here = flask.request.form, context.current()
    number = form.get("version", "")
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise BadRequest(
            text("The version is {number!r}; expected its number.", number=number[:20])
        )
    kind, precision = form.get("format", ""), form.get("precision", "f32")
    here.change(lambda: here.exports.start(name, int(number), kind, precision))
    return redirect_or_json(_address(name))


@blueprint.get("/job.json")
def job(name: str) -> Response:
    """The progress of the latest export."""
    latest = context.current().exports.latest(name)
    if latest is None:
        raise errors.UnknownName(text("Nothing was exported since the studio was started."))
    return flask.jsonify(state(latest))


@blueprint.post("/stop")
def stop(name: str) -> Response:
    """Stop the export that is under way."""
    here = context.current()
    here.change(lambda: here.exports.stop(name))
    return redirect_or_json(_address(name))


@blueprint.get("/<file>")
def download(name: str, file: str) -> Response:
    """An export with its classes, card and program, as a zip."""
    here = context.current()
    path = here.do(lambda: here.exports.find(name, file))
    return flask.send_file(path, mimetype="application/zip", as_attachment=True, download_name=file)


@blueprint.post("/<file>/remove")
def remove(name: str, file: str) -> Response:
    """Remove an export."""
    here = context.current()
    here.change(lambda: here.exports.remove(name, file))
    return redirect_or_json(_address(name))


def _address(name: str, at: int | None = None) -> str:
    """The section on the page of the bundle, which redirects to its project's where it has one."""
    return flask.url_for("studio_publish.one", name=name, at=at, _anchor="export")
