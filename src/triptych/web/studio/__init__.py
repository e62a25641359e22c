"""The pages of projects: teach, look at mistakes, correct and publish."""

from __future__ import annotations

import flask

from triptych.web import context
from triptych.web.studio import decisions
from triptych.web.studio import inbox
from triptych.web.studio import publish
from triptych.web.studio import review
from triptych.web.studio import teach

blueprints: tuple[flask.Blueprint, ...] = (
    teach.blueprint,
    review.blueprint,
    review.figures_blueprint,
    decisions.blueprint,
    inbox.blueprint,
    publish.blueprint,
)

TABS = {
    "Photos": "projects_teach.photos",
    "Teach": "projects_teach.teach",
    "Result": "projects_review.result",
    "Publish": "projects_publish.publish",
}


def register(app: flask.Flask) -> None:
    """Add the pages to an application."""
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    app.add_template_global(tabs)


def inbox_is_open() -> bool:
    """Whether photos may be kept for review; all pages ask."""
    here = context.current()
    return here.teaching and here.settings.inbox == "on"


def tabs() -> dict[str, str]:
    """The pages that every project has, by their names: the endpoints, in order."""
    return {
        name: endpoint
        for name, endpoint in TABS.items()
        if endpoint in flask.current_app.view_functions
    }
