"""Projects and their classes."""

from __future__ import annotations

import dataclasses
from typing import Any

import flask
from werkzeug.exceptions import BadRequest

from triptych.data.records import Finding
from triptych.studio import projects as studio_projects
from triptych.studio.projects import naming
from triptych.web import context
from triptych.web import openapi
from triptych.web.project_api import schemas
from triptych.web.project_api.blueprint import KEY
from triptych.web.project_api.blueprint import REFUSES
from triptych.web.project_api.blueprint import blueprint
from triptych.web.project_api.blueprint import curl
from triptych.web.project_api.blueprint import in_path
from triptych.web.project_api.blueprint import json_body
from triptych.web.project_api.blueprint import read_json
from triptych.web.studio import project_list

CLASS = in_path("class_id", "The number of the class.", 1)
NEW, CHANGE, NAME = schemas.NewProject(), schemas.ProjectChange(), schemas.ClassName()


def facts(project: studio_projects.Project) -> dict[str, Any]:
    """A project as a JSON object."""
    return dataclasses.asdict(project)


@blueprint.get("")
@openapi.describe(
    schemas.Projects, refuses=REFUSES, samples={"All projects": "curl {base}/api/v1/projects"}
)
def projects() -> flask.Response:
    """List the projects, the newest first."""
    here = context.current()
    return flask.jsonify(projects=[facts(each) for each in here.do(lambda: here.projects.all())])


@blueprint.post("")
@openapi.describe(
    schemas.MadeProject,
    refuses=REFUSES,
    samples={
        "An empty project": curl("", {"title": "My garden"}),
        "A zip with a folder for each class": (
            "curl -F zip=@photos.zip -F title='My garden' {base}/api/v1/projects"
        ),
    },
    requestBody={
        "required": True,
        "content": {
            "application/json": {"schema": schemas.NewProject},
            "multipart/form-data": {"schema": schemas.ZippedProject},
        },
    },
)
def make_project() -> flask.Response:
    """Create a project: an empty one, or one from a zip.

    Its key is made from its title. The zip has a folder of photos for each class, and is taken
    whole or not at all.
    """
    if flask.request.mimetype == "multipart/form-data":
        findings: list[Finding] = []
        made = facts(project_list.import_zip(report=findings.append))
        return flask.jsonify({**made, "findings": [finding.to_dict() for finding in findings]})
    here, wanted = context.current(), read_json(NEW)
    return flask.jsonify(facts(here.change(lambda: here.projects.make(**wanted))))


@blueprint.get("/<key>")
@openapi.describe(
    schemas.Project,
    refuses=REFUSES,
    samples={"One project": "curl {base}/api/v1/projects/garden"},
    parameters=[KEY],
)
def one_project(key: str) -> flask.Response:
    """Describe a project, with its classes."""
    here = context.current()
    return flask.jsonify(facts(here.do(lambda: here.projects.find(key))))


@blueprint.patch("/<key>")
@openapi.describe(
    schemas.Project,
    refuses=REFUSES,
    samples={"Another title": curl("/garden", {"title": "Weeds"}, method="PATCH")},
    parameters=[KEY],
    requestBody=json_body(schemas.ProjectChange),
)
def change_project(key: str) -> flask.Response:
    """Change the title of a project, or whether photos can have several classes.

    Its key stays the same.
    """
    here, changes = context.current(), read_json(CHANGE)
    if not changes:
        raise BadRequest("There is nothing to change; expected title or multilabel.")

    def change() -> studio_projects.Project:
        naming.title(changes.get("title", key))  # before anything is changed
        if "multilabel" in changes:
            here.projects.set_multilabel(key, changes["multilabel"])
        if "title" in changes:
            here.projects.rename(key, changes["title"])
        return here.projects.find(key)

    return flask.jsonify(facts(here.change(change)))


@blueprint.delete("/<key>")
@openapi.describe(
    schemas.Removed,
    refuses=REFUSES,
    samples={"For good": curl("/garden", method="DELETE")},
    parameters=[KEY],
)
def remove_project(key: str) -> flask.Response:
    """Remove a project with its photos for good; committees that were trained from it stay."""
    here = context.current()
    here.change(lambda: here.projects.remove(key))
    return flask.jsonify(removed=1)


# ------------------------------------------------------------------ classes


@blueprint.post("/<key>/classes")
@openapi.describe(
    schemas.Class,
    refuses=REFUSES,
    samples={"Another class": curl("/garden/classes", {"name": "wasps"})},
    parameters=[KEY],
    requestBody=json_body(schemas.ClassName),
)
def add_class(key: str) -> flask.Response:
    """Add a class to a project."""
    here, name = context.current(), read_json(NAME)["name"]
    return flask.jsonify(
        dataclasses.asdict(here.change(lambda: here.projects.add_class(key, name)))
    )


@blueprint.patch("/<key>/classes/<int:class_id>")
@openapi.describe(
    schemas.Class,
    refuses=REFUSES,
    samples={"Another name": curl("/garden/classes/1", {"name": "hornets"}, method="PATCH")},
    parameters=[KEY, CLASS],
    requestBody=json_body(schemas.ClassName),
)
def rename_class(key: str, class_id: int) -> flask.Response:
    """Rename a class; its number stays the same."""
    here, name = context.current(), read_json(NAME)["name"]

    def rename() -> studio_projects.Class:
        here.projects.rename_class(key, class_id, name)
        classes = {each.id: each for each in here.projects.find(key).classes}
        return classes.get(class_id, studio_projects.Class(class_id, name, 0))

    return flask.jsonify(dataclasses.asdict(here.change(rename)))


@blueprint.delete("/<key>/classes/<int:class_id>")
@openapi.describe(
    schemas.Removed,
    refuses=REFUSES,
    samples={"A class": curl("/garden/classes/1", method="DELETE")},
    parameters=[KEY, CLASS],
)
def remove_class(key: str, class_id: int) -> flask.Response:
    """Remove a class; its photos stay, without it. Undoing the decision brings it back."""
    here, person = context.current(), context.of_request().key.name
    here.change(lambda: here.projects.remove_class(key, class_id, person=person))
    return flask.jsonify(removed=1)
