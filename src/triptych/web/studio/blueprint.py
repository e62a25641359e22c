"""The blueprint that the parts of this package add their pages to."""

from __future__ import annotations

import flask

blueprint = flask.Blueprint("projects_teach", __name__, url_prefix="/projects")
