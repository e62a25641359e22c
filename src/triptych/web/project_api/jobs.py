"""Training: start, stop, resume, and the state of a job, also as it changes."""

from __future__ import annotations

import flask

from triptych import errors
from triptych.studio.jobs import Job
from triptych.web import context
from triptych.web import openapi
from triptych.web.project_api import events
from triptych.web.project_api import schemas
from triptych.web.project_api.blueprint import KEY
from triptych.web.project_api.blueprint import REFUSES
from triptych.web.project_api.blueprint import blueprint
from triptych.web.project_api.blueprint import curl
from triptych.web.project_api.blueprint import in_path
from triptych.web.project_api.blueprint import json_body
from triptych.web.project_api.blueprint import read_json
from triptych.web.studio import training

NUMBER = in_path("number", "The number of the job.", 1)
TEACHING = schemas.Teaching()
LAST_ID = {
    "in": "header",
    "name": events.LAST_ID,
    "description": "The id of the last event that came, after a connection was lost.",
    "schema": {"type": "string"},
}


@blueprint.post("/<key>/jobs")
@openapi.describe(
    schemas.Job,
    refuses=REFUSES,
    samples={"With one network": curl("/garden/jobs", {"backbones": ["EfficientNetLite0"]})},
    parameters=[KEY],
    requestBody={**json_body(schemas.Teaching), "required": False},
)
def start_job(key: str) -> flask.Response:
    """Start training a committee on a project's photos; refused while a training is under way.

    It makes a version, which answers under the project's key once it is published.
    """
    return _answer(training.start_job(key, read_json(TEACHING)))


@blueprint.get("/<key>/jobs")
@openapi.describe(
    schemas.Jobs,
    refuses=REFUSES,
    samples={"All trainings": "curl {base}/api/v1/projects/garden/jobs"},
    parameters=[KEY],
)
def jobs(key: str) -> flask.Response:
    """List the trainings of a project, the latest first."""
    here = context.current()
    listed = here.do(lambda: here.jobs.of(key))
    return flask.jsonify(jobs=[events.facts(job, here) for job in listed])


@blueprint.get("/<key>/jobs/<int:number>")
@openapi.describe(
    schemas.Job,
    refuses=REFUSES,
    samples={"Its progress": "curl {base}/api/v1/projects/garden/jobs/1"},
    parameters=[KEY, NUMBER],
)
def one_job(key: str, number: int) -> flask.Response:
    """Describe a training: its progress, accuracies as they come, and how it ended."""
    return _answer(_find(key, number))


@blueprint.post("/<key>/jobs/<int:number>/stop")
@openapi.describe(
    schemas.Job,
    refuses=REFUSES,
    samples={"To stop it": curl("/garden/jobs/1/stop")},
    parameters=[KEY, NUMBER],
)
def stop_job(key: str, number: int) -> flask.Response:
    """Stop a training; features that were computed, or the best epoch so far, are kept."""
    here, job = context.current(), _find(key, number)
    here.change(lambda: here.jobs.stop(job.id))
    return _answer(_find(key, number))


@blueprint.post("/<key>/jobs/<int:number>/resume")
@openapi.describe(
    schemas.Job,
    refuses=REFUSES,
    samples={"To go on": curl("/garden/jobs/1/resume")},
    parameters=[KEY, NUMBER],
)
def resume_job(key: str, number: int) -> flask.Response:
    """Go on with a training that ended early, on the photos and classes as they are now."""
    here, job = context.current(), _find(key, number)
    return _answer(here.change(lambda: here.jobs.resume(job.id)))


@blueprint.get("/<key>/jobs/<int:number>/events")
@openapi.describe(
    None,
    refuses=REFUSES,
    # Before OpenAPI 3.2, this is the schema of each event.
    other_forms={events.MEDIA_TYPE: {"schema": schemas.Event}},
    other_statuses={"204": {"description": "The last event was the end of the job."}},
    samples={"As it goes": "curl -N {base}/api/v1/projects/garden/jobs/1/events"},
    parameters=[KEY, NUMBER, LAST_ID],
)
def job_events(key: str, number: int) -> flask.Response:
    """Follow a training as server-sent events, each with the job as it is then.

    Events are called `progress`, and the last one `end`; after that the stream is closed. A stream
    also ends after ten minutes, or when the studio stops: connect again with the id of the last
    event in `Last-Event-ID`, as browsers' EventSource does by itself.
    """
    return events.respond(_find(key, number))


def _answer(job: Job) -> flask.Response:
    return flask.jsonify(events.facts(job, context.current()))


def _find(key: str, number: int) -> Job:
    here = context.current()

    def find() -> Job:
        here.projects.find(key)
        job = here.jobs.state(number)
        if job.key != key:
            raise errors.UnknownName(f"The project {key} has no job {number}.")
        return job

    return here.do(find)
