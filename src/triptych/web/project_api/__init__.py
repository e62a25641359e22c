"""The API of projects: bring photos, label them, train, watch, publish.

Each route does what a page does, by the same functions, and answers in JSON.

    blueprint   the blueprint, and reading requests
    schemas     the schemas of requests and responses; those of sorting in sorting_schemas
    projects    projects and their classes
    photos      photos: bringing, listing, reading, erasing; findings
    decisions   their classes: deciding, undoing, the history
    inbox       photos that wait for a decision, of all projects
    sorting     photos that wait for a class: offers, accepting and undoing
    jobs        training: start, stop, resume, state
    events      the progress of a job as server-sent events
    int8        smaller networks for a version
    versions    what was trained: list, publish, remove, download, export
    results     how good a version is: figures, its answers, label issues
    imports     classifiers from elsewhere
"""

from __future__ import annotations

from triptych.web.project_api import decisions
from triptych.web.project_api import imports
from triptych.web.project_api import inbox
from triptych.web.project_api import int8
from triptych.web.project_api import jobs
from triptych.web.project_api import photos
from triptych.web.project_api import projects
from triptych.web.project_api import results
from triptych.web.project_api import sorting
from triptych.web.project_api import versions
from triptych.web.project_api.blueprint import blueprint

blueprints = (blueprint, inbox.blueprint, imports.blueprint)

# Importing these adds their routes to the blueprint.
__all__ = [
    "blueprint",
    "blueprints",
    "decisions",
    "imports",
    "inbox",
    "int8",
    "jobs",
    "photos",
    "projects",
    "results",
    "sorting",
    "versions",
]
