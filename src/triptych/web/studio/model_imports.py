"""Importing a classifier from elsewhere: upload, the question of its recipe, and progress."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flask
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from triptych.imports.formats import FORMATS
from triptych.studio import model_imports
from triptych.studio.model_imports import ImportOptions
from triptych.studio.model_imports import ModelImport
from triptych.utils.text import text
from triptych.web import context
from triptych.web.studio.blueprint import redirect_or_json

blueprint = flask.Blueprint("studio_imports", __name__, url_prefix="/imports")

ENDINGS = ",".join([".zip", *(ending for row in FORMATS for ending in row.endings)])
OUTPUTS = {"": None, "logits": True, "probabilities": False}
TITLES = {
    model_imports.RUNNING: text("Importing"),
    model_imports.ASKING: text("How were photos scaled?"),
    model_imports.DONE: text("Imported"),
    model_imports.FAILED: text("It was not imported"),
    model_imports.STOPPED: text("Stopped"),
}


@blueprint.get("")
def form() -> str:
    """The form for an upload."""
    return flask.render_template("studio/imports.html", formats=FORMATS, endings=ENDINGS)


@blueprint.post("")
def start() -> Response:
    """Upload a model, and start to import it."""
    job = start_import(flask.request.files.get("model"))
    return redirect_or_json(flask.url_for(".one", number=job.id), id=job.id)


def start_import(model: FileStorage | None) -> ModelImport:
    """Start to import an upload, with what the form says about it.

    Args:
        model: The upload.

    Raises:
        BadRequest: There is none.
        errors.Busy: Another one is being imported.
        errors.SettingError: Its name cannot be used.
    """
    here = context.current()
    if model is None or not model.filename:
        raise BadRequest(
            text("No file was chosen; expected a model, or a zip of one with its labels.")
        )
    folder = here.imports.new_folder()
    try:
        file = _save(model, folder, "model")
        name = flask.request.form.get("name", "").strip()
        options = ImportOptions(file, name or model_imports.suggested_name(model.filename))
        return here.imports.start(folder, _answered(options, folder))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@blueprint.get("/<number>")
def one(number: str) -> str:
    """How far an import is, its question, or its error."""
    job = context.current().imports.find(number)
    return flask.render_template("studio/import.html", job=job, title=TITLES[job.state])


@blueprint.get("/<number>.json")
def progress(number: str) -> Response:
    """The same as JSON."""
    return flask.jsonify(state(context.current().imports.find(number)))


def state(job: ModelImport) -> dict[str, Any]:
    """How far an import is, for pages and programs."""
    return {
        "id": job.id,
        "state": job.state,
        "name": job.options.name,
        "lines": job.lines,
        "message": job.message,
        "likely": [word for word, _ in job.likely],
        "version": job.version,
    }


@blueprint.post("/<number>")
def again(number: str) -> Response:
    """Try an upload again with other answers."""
    job = try_again(number)
    return redirect_or_json(flask.url_for(".one", number=job.id), id=job.id)


def try_again(number: str) -> ModelImport:
    """Import an upload again, with the answers of the form; what it leaves out stays.

    Raises:
        BadRequest: It is imported, or being imported.
        errors.Busy: Another one is.
        errors.UnknownName: There is none of that number.
    """
    here = context.current()
    job = here.imports.find(number)
    if job.state in (model_imports.RUNNING, model_imports.DONE):
        raise BadRequest(
            text("This model is imported, or is being imported; there is nothing to try.")
        )
    return here.imports.start(job.folder, _answered(job.options, job.folder, likely=job.likely))


@blueprint.post("/<number>/stop")
def stop(number: str) -> Response:
    """Stop an import."""
    context.current().imports.stop(number)
    return redirect_or_json(flask.url_for(".one", number=number), id=number)


def _answered(
    options: ImportOptions, folder: Path, *, likely: Sequence[tuple[str, str]] = ()
) -> ImportOptions:
    """The options with the answers of the form; what it leaves empty stays."""
    answers = flask.request.form
    changes: dict[str, Any] = {}
    if recipe := answers.get("recipe", "").strip():
        changes["recipe"] = recipe[:200]
    if answers.get("outputs"):
        changes["logits"] = OUTPUTS.get(answers["outputs"])
    if text := answers.get("labels_text", "").strip():
        (folder / "labels.txt").write_text(text + "\n", encoding="utf-8")
        changes["labels"] = "labels.txt"
    for field in ("labels", "photos"):
        upload = flask.request.files.get(field)
        if upload is not None and upload.filename:
            changes[field] = _save(upload, folder, field)
    if "photos" in changes and recipe in dict(likely):
        changes["recipe"] = options.recipe  # photos decide between these, whatever was marked
    return dataclasses.replace(options, **changes)


def _save(upload: FileStorage, folder: Path, field: str) -> str:
    """Save an upload in a folder of its own, under the last part of its name, made harmless."""
    last = re.split(r"[/\\]", upload.filename or "")[-1]
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", last).lstrip(".")[-80:] or "file"
    (folder / field).mkdir(exist_ok=True)
    context.current().change(lambda: upload.save(folder / field / name))
    return f"{field}/{name}"
