"""What was trained: versions to publish, remove, download and export."""

from __future__ import annotations

import dataclasses
from typing import Any

import flask
from werkzeug.wrappers import Response

from triptych import bundles
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
from triptych.web.studio import exports as export_pages
from triptych.web.studio import publish as publish_pages
from triptych.web.studio import versions as bundle_versions

VERSION = in_path("version", "The number of the version.", 1)
FILE = in_path("file", "The name of the export's zip.", "garden-1-onnx.zip")
ZIP = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
PUBLISH, EXPORT = schemas.VersionToPublish(), schemas.NewExport()


@blueprint.get("/<key>/versions")
@openapi.describe(
    schemas.Versions,
    refuses=REFUSES,
    samples={"All versions": "curl {base}/api/v1/projects/garden/versions"},
    parameters=[KEY],
)
def versions(key: str) -> flask.Response:
    """List the versions of a project's committee, the newest first.

    All figures of one are at `/api/v1/bundles/KEY@VERSION`. To try one before it is published,
    classify photos with `committee=KEY@VERSION`.
    """
    return _versions(key)


def _versions(key: str) -> flask.Response:
    here = context.current()

    def find() -> bundle_versions.BundleVersions | None:
        here.projects.find(key)
        return bundle_versions.find(here.settings.home, key)

    bundle = here.do(find)
    if bundle is None:
        return flask.jsonify(active=None, versions=[])
    return flask.jsonify(active=bundle.active, versions=[_facts(each) for each in bundle.versions])


def _facts(version: bundle_versions.Version) -> dict[str, Any]:
    accuracy = version.accuracy
    return {
        "version": version.number,
        "created": version.created,
        "classes": version.classes,
        "members": version.members,
        "photos": version.photos,
        "top1": accuracy.top1 if accuracy else None,
        "interval": [accuracy.low, accuracy.high] if accuracy else None,
        "images": accuracy.photos if accuracy else None,
        "multilabel": version.multilabel,
        "macro_f1": version.macro_f1,
        "damage": version.damage,
    }


@blueprint.post("/<key>/publish")
@openapi.describe(
    schemas.Versions,
    refuses=REFUSES,
    samples={"The first version": curl("/garden/publish", {"version": 1})},
    parameters=[KEY],
    requestBody=json_body(schemas.VersionToPublish),
)
def publish(key: str) -> flask.Response:
    """Publish a version: from now on it answers requests by the committee's name.

    It is loaded first, so that what cannot be loaded is not published. Requests that are under way
    keep the version that they began with.
    """
    here, version = context.current(), read_json(PUBLISH)["version"]
    here.projects.find(key)
    publish_pages.serve_version(key, version or 0)
    return _versions(key)


@blueprint.delete("/<key>/versions/<int:version>")
@openapi.describe(
    schemas.Removed,
    refuses=REFUSES,
    samples={"For good": curl("/garden/versions/1", method="DELETE")},
    parameters=[KEY, VERSION],
)
def remove_version(key: str, version: int) -> flask.Response:
    """Remove a version that is not published; its number is not given to another one."""
    here = context.current()

    def remove() -> None:
        here.projects.find(key)
        bundles.remove_version(here.settings.home, key, version)
        here.registry.refresh(key)

    here.arrange(remove)
    return flask.jsonify(removed=1)


@blueprint.get("/<key>/versions/<int:version>/bundle.zip")
@openapi.describe(
    None,
    refuses=REFUSES,
    other_forms=ZIP,
    samples={
        "To be imported elsewhere": (
            "curl -o garden.zip {base}/api/v1/projects/garden/versions/1/bundle.zip"
        )
    },
    parameters=[KEY, VERSION],
)
def bundle_file(key: str, version: int) -> Response:
    """Download a version as one file, for `triptych bundles import`."""
    context.current().projects.find(key)
    return publish_pages.download(key, version)


# ------------------------------------------------------------------ exports


@blueprint.get("/<key>/exports")
@openapi.describe(
    schemas.Exports,
    refuses=REFUSES,
    samples={"All exports": "curl {base}/api/v1/projects/garden/exports"},
    parameters=[KEY],
)
def exports(key: str) -> flask.Response:
    """List the exports of a project's committee, and how the latest one stands."""
    context.current().projects.find(key)
    return _exports(key)


def _exports(key: str) -> flask.Response:
    here = context.current()
    job, files = here.exports.latest(key), here.do(lambda: here.exports.files(key))
    return flask.jsonify(
        job=export_pages.state(job) if job else None,
        files=[dataclasses.asdict(file) for file in files],
    )


@blueprint.post("/<key>/exports")
@openapi.describe(
    schemas.Exports,
    refuses=REFUSES,
    samples={"As ONNX": curl("/garden/exports", {"version": 1, "format": "onnx"})},
    parameters=[KEY],
    requestBody=json_body(schemas.NewExport),
)
def start_export(key: str) -> flask.Response:
    """Start an export of a version; one runs at a time."""
    here, form = context.current(), read_json(EXPORT)
    here.projects.find(key)
    precision = form.get("precision", "f32")
    here.change(lambda: here.exports.start(key, form["version"], form["format"], precision))
    return _exports(key)


@blueprint.post("/<key>/exports/stop")
@openapi.describe(
    schemas.Exports,
    refuses=REFUSES,
    samples={"To stop it": curl("/garden/exports/stop")},
    parameters=[KEY],
)
def stop_export(key: str) -> flask.Response:
    """Stop the export of a project's committee, if one is under way; nothing of it is kept."""
    here = context.current()
    here.projects.find(key)
    here.change(lambda: here.exports.stop(key))
    return _exports(key)


@blueprint.get("/<key>/exports/files/<file>")
@openapi.describe(
    None,
    refuses=REFUSES,
    other_forms=ZIP,
    samples={
        "One export": (
            "curl -o garden.zip {base}/api/v1/projects/garden/exports/files/garden-1-onnx.zip"
        )
    },
    parameters=[KEY, FILE],
)
def export_file(key: str, file: str) -> Response:
    """Download an export with its classes, card and program, as a zip."""
    context.current().projects.find(key)
    return export_pages.download(key, file)


@blueprint.delete("/<key>/exports/files/<file>")
@openapi.describe(
    schemas.Removed,
    refuses=REFUSES,
    samples={"One export": curl("/garden/exports/files/garden-1-onnx.zip", method="DELETE")},
    parameters=[KEY, FILE],
)
def remove_export(key: str, file: str) -> flask.Response:
    """Remove an export."""
    here = context.current()
    here.projects.find(key)
    here.change(lambda: here.exports.remove(key, file))
    return flask.jsonify(removed=1)
