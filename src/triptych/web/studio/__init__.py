"""The pages of projects: train, review mistakes, correct labels and publish."""

from __future__ import annotations

import flask

from triptych.utils.text import text
from triptych.web import context
from triptych.web.studio import decisions
from triptych.web.studio import disk
from triptych.web.studio import exports
from triptych.web.studio import int8
from triptych.web.studio import model_imports
from triptych.web.studio import photos
from triptych.web.studio import project_list
from triptych.web.studio import publish
from triptych.web.studio import review
from triptych.web.studio import sorting
from triptych.web.studio import training
from triptych.web.studio import try_out
from triptych.web.studio.blueprint import blueprint

# Importing these adds their routes to one blueprint.
__all__ = ["photos", "project_list", "training", "try_out"]

blueprints: tuple[flask.Blueprint, ...] = (
    blueprint,
    review.blueprint,
    decisions.blueprint,
    sorting.blueprint,
    publish.blueprint,
    exports.blueprint,
    int8.blueprint,
    model_imports.blueprint,
    disk.blueprint,
)

TABS = {
    text("Photos"): "studio.photos",
    text("Sort"): "studio_sorting.sort",
    text("Teach"): "studio.teach",
    text("Try"): "studio.try_out",
    text("Result"): "studio_review.result",
    text("Publish"): "studio_publish.publish",
}


def register(app: flask.Flask) -> None:
    """Add the pages to an application."""
    for each in blueprints:
        app.register_blueprint(each)
    app.add_template_global(tabs)


def inbox_is_open() -> bool:
    """Whether photos may be kept for review; used by all pages."""
    here = context.current()
    return here.teaching and here.settings.inbox == "on"


def tabs() -> dict[str, str]:
    """The pages of a project: endpoints by title, in order."""
    return {
        name: endpoint
        for name, endpoint in TABS.items()
        if endpoint in flask.current_app.view_functions
    }
