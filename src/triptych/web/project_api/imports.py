"""Importing a classifier from elsewhere: upload, state, the answer to its question, stopping."""

from __future__ import annotations

import flask
import flask_smorest
from flask_smorest.fields import Upload
from marshmallow import fields
from marshmallow import validate

from triptych.inference.answer_schemas import Answer
from triptych.inference.answer_schemas import Exact
from triptych.inference.answer_schemas import about
from triptych.studio.model_imports import ModelImport
from triptych.web import context
from triptych.web import openapi
from triptych.web.project_api.blueprint import REFUSES
from triptych.web.project_api.blueprint import in_path
from triptych.web.project_api.blueprint import read_form
from triptych.web.studio import model_imports as import_pages

PREFIX = "/api/v1/imports"
blueprint: flask.Blueprint = flask_smorest.Blueprint("import_api", __name__, url_prefix=PREFIX)

ID = in_path("number", "The id of the import.", "0f8fad5bd9cb469fa16570867728950e")
OUTPUTS = tuple(word for word in import_pages.OUTPUTS if word)


class ImportAnswers(Exact):
    """What you know about a model; the rest is found out, or asked for."""

    recipe = fields.String(
        metadata=about(
            "How photos are prepared outside of the model: 0..1, -1..1, raw, caffe, torch, or a "
            "backbone for its scaling; then size, fit and interpolation, if you like.",
            expected="SCALING[:SIZE[:FIT[:INTERPOLATION]]], such as torch:224:crop:bilinear",
            example="torch:224:crop:bilinear",
        )
    )
    outputs = fields.String(
        validate=validate.OneOf(OUTPUTS),
        metadata=about("What it outputs.", expected=f"one of: {', '.join(OUTPUTS)}"),
    )
    labels_text = fields.String(
        metadata=about(
            "Its classes, one a line, in the order of the outputs.", expected="names of classes"
        )
    )
    labels = Upload(metadata=about("The same as a file, or as JSON.", expected="a file"))
    photos = Upload(
        metadata=about(
            "A zip with a folder of photos for each class: they decide the recipe, if the model "
            "does not tell it.",
            expected="a file",
        )
    )


class NewImport(ImportAnswers):
    """A model to be imported."""

    model = Upload(
        required=True,
        metadata=about(
            "A file of Keras, ONNX or TensorFlow Lite, or a zip of one, of a SavedModel or of "
            "OpenVINO, with its labels.",
            expected="a file",
        ),
    )
    name = fields.String(
        metadata=about(
            "The name of the committee. By default from the name of the file.",
            expected="a name such as 'garden'",
            example="garden",
        )
    )


class Import(Answer):
    """A model that is imported."""

    id = fields.String(metadata=about("Its id, which nobody guesses."))
    state = fields.String(
        metadata=about(
            "asking: it waits for an answer, mostly for its recipe.",
            enum=list(import_pages.TITLES),
        )
    )
    name = fields.String(metadata=about("The name of the committee.", example="garden"))
    lines = fields.List(fields.String(), metadata=about("What was found out, for people."))
    message = fields.String(metadata=about("The question, or why it failed; else empty."))
    likely = fields.List(
        fields.String(), metadata=about("Recipes to choose from, the likeliest first.")
    )
    version = fields.Integer(
        allow_none=True, metadata=about("The version that was made; null before.")
    )


NEW, ANSWERS = NewImport(), ImportAnswers()


@blueprint.post("")
@openapi.describe(
    Import,
    refuses=REFUSES,
    samples={
        "With its labels": (
            "curl -F model=@model.onnx -F labels=@labels.txt -F recipe=torch:224 "
            "{base}/api/v1/imports"
        )
    },
    requestBody={"required": True, "content": {"multipart/form-data": {"schema": NewImport}}},
)
def start_import() -> flask.Response:
    """Upload a model, and start to import it as a committee; one is imported at a time.

    It is kept only if it answers as the program does that it was made for. What its file does not
    tell is asked for: the state is then `asking`, and the upload waits for an hour.
    """
    return _answer(import_pages.start_import(read_form(NEW)["model"]))


@blueprint.get("/<number>")
@openapi.describe(
    Import,
    refuses=REFUSES,
    samples={"How far it is": "curl {base}/api/v1/imports/0f8fad5bd9cb469fa16570867728950e"},
    parameters=[ID],
)
def one_import(number: str) -> flask.Response:
    """Describe an import: how far it is, what it asks, what it made, or why it failed."""
    return _answer(context.current().imports.find(number))


@blueprint.post("/<number>")
@openapi.describe(
    Import,
    refuses=REFUSES,
    samples={
        "The recipe": (
            "curl -F recipe=torch:224 {base}/api/v1/imports/0f8fad5bd9cb469fa16570867728950e"
        )
    },
    parameters=[ID],
    requestBody={"required": True, "content": {"multipart/form-data": {"schema": ImportAnswers}}},
)
def answer_import(number: str) -> flask.Response:
    """Answer the question of an import, or try one that failed again, without a new upload."""
    context.current().imports.find(number)
    read_form(ANSWERS)
    return _answer(import_pages.try_again(number))


@blueprint.post("/<number>/stop")
@openapi.describe(
    Import,
    refuses=REFUSES,
    samples={
        "To stop it": "curl -X POST {base}/api/v1/imports/0f8fad5bd9cb469fa16570867728950e/stop"
    },
    parameters=[ID],
)
def stop_import(number: str) -> flask.Response:
    """Stop an import, if it is under way; nothing of it is kept but the upload, for an hour."""
    here = context.current()
    here.change(lambda: here.imports.stop(number))
    return _answer(here.imports.find(number))


def _answer(job: ModelImport) -> flask.Response:
    return flask.jsonify({**import_pages.state(job), "version": job.version or None})
