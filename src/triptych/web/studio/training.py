"""Training a project: the options, and a job that is followed, stopped and resumed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flask
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from triptych import errors
from triptych.models import weights
from triptych.models import zoo
from triptych.studio.jobs import Job
from triptych.studio.jobs import config as job_config
from triptych.studio.projects import Project
from triptych.training.finetune import pace
from triptych.utils.text import text
from triptych.web import context
from triptych.web.studio import progress
from triptych.web.studio.blueprint import blueprint
from triptych.web.studio.blueprint import redirect_or_json

HEADS = {
    "linear": text("right from 5 photos a class on, and quick"),
    "mlp": text("dense layers with dropout; for many photos"),
}
AUGMENTATIONS = {
    "flips": text("mirrored photos, too: one more pass through the networks"),
    "crops": text("parts of photos, too: two more passes"),
}
DEFAULTS: dict[str, Any] = {
    "backbones": list(zoo.COMMITTEES["lite"]),
    "head": "linear",
    "augment": [],
    "fine_tune": False,
    "seed": 0,
}
# In multi-label projects a class is answered from a threshold on, chosen for the best F1 or a
# stated precision.
F1, PRECISION = "f1", "precision"
PERCENT = 95.0


@blueprint.get("/<key>/teach")
def teach(key: str) -> str:
    """The options of training, and the progress of the latest job."""
    here = context.current()
    project = here.projects.find(key)
    latest, faults = here.do(lambda: (here.jobs.latest(key), here.projects.findings(key)))
    options = _options(project, latest)
    networks = [
        {**zoo.facts(row), "here": weights.locate(row) is not None, "command": weights.command(row)}
        for row in zoo.rows(here.settings.home)
    ]
    return flask.render_template(
        "studio/teach.html",
        tab="Teach",
        project=project,
        job=progress.of(latest) if latest else None,
        learned=_photos(project),
        options=options,
        reasons=_reasons(here.settings.home, project, options, latest),
        faults=[each.message for each in faults if each.kind == "faulty_class"],
        networks=networks,
        absent=[row for row in networks if row["name"] in options["backbones"] and not row["here"]],
        heads=HEADS,
        augmentations=AUGMENTATIONS,
        tuning_s=_tuning_s(here.settings.home, project, options["backbones"]),
        percent_right=100 * (options.get("label_precision") or PERCENT / 100),
        has_tensorflow=importlib.util.find_spec("tensorflow") is not None,
    )


def _options(project: Project, latest: Job | None) -> dict[str, Any]:
    """The options of the latest training, without those that the project cannot have."""
    return {**DEFAULTS, **(job_config.for_kind(project, latest.options) if latest else {})}


def _tuning_s(home: Path, project: Project, backbones: list[str]) -> float | None:
    """Estimated time of fine-tuning; ``None`` if none was done on this machine yet."""
    rows = [row for row in zoo.rows(home) if row.name in backbones]
    return pace.estimate(
        home, photos=_photos(project), costs=[row.multiply_adds / 1e9 for row in rows]
    )


def _photos(project: Project) -> int:
    """How many photos it learns from."""
    return project.photos - project.excluded - project.unsorted


def _reasons(
    home: Path, project: Project, options: dict[str, Any], latest: Job | None
) -> list[str]:
    """Reasons why it cannot start now."""
    if latest and latest.is_under_way:
        return [text("This project is being taught now.")]
    try:
        fields = {*DEFAULTS, "label_precision"} & options.keys()
        job_config.check(project, {name: options[name] for name in fields}, home)
    except errors.WeightsMissing:
        return []  # other networks can be selected
    except errors.TriptychError as error:
        return [error.message]
    return []


@blueprint.post("/<key>/teach")
def start(key: str) -> Response:
    """Start training the project, in a separate process."""
    form = flask.request.form
    backbones, seed = form.getlist("backbones"), form.get("seed", "0")
    if not backbones:
        raise BadRequest(text("No network was chosen. Choose at least one under More."))
    if not (seed.isascii() and seed.isdecimal() and len(seed) < 10):
        raise BadRequest(
            text("The seed is {seed!r}; expected a whole number, such as 0.", seed=seed[:40])
        )
    options = {
        "backbones": backbones,
        "head": form.get("head", DEFAULTS["head"]),
        "augment": form.getlist("augment"),
        "fine_tune": "fine_tune" in form,
        "seed": int(seed),
        **_threshold(form.get("threshold", F1), form.get("percent", "")),
    }
    start_job(key, options)
    return redirect_or_json(_address(key))


def _threshold(choice: str, percent: str) -> dict[str, float]:
    """The option for the thresholds of a multi-label project; none for the best F1."""
    if choice == F1:
        return {}
    try:
        share = float(percent) / 100
    except ValueError:
        share = 0.0
    if choice != PRECISION or not 0 < share <= 1:
        raise BadRequest(
            text(
                "The share of right answers is {share!r}; expected per cent, such as 95.",
                share=percent[:40],
            )
        )
    return {"label_precision": share}


def start_job(key: str, options: Mapping[str, Any]) -> Job:
    """Start training a project.

    Args:
        key: Of the project.
        options: Those of `config.FIELDS` that differ from `DEFAULTS`.
    """
    here = context.current()
    return here.change(lambda: here.jobs.start(key, {**DEFAULTS, **options}))


@blueprint.get("/<key>/job.json")
def job(key: str) -> Response:
    """The progress of the latest job."""
    return flask.jsonify(progress.of(_latest(key)))


@blueprint.post("/<key>/job/stop")
def stop(key: str) -> Response:
    """Stop the latest job; features computed so far, or the best so far, are kept."""
    here, number = context.current(), _latest(key).id
    here.change(lambda: here.jobs.stop(number))
    return redirect_or_json(_address(key))


@blueprint.post("/<key>/job/resume")
def resume(key: str) -> Response:
    """Resume the latest job, with the features computed so far."""
    here, number = context.current(), _latest(key).id
    here.change(lambda: here.jobs.resume(number))
    return redirect_or_json(_address(key))


def _latest(key: str) -> Job:
    here = context.current()
    latest = here.do(lambda: here.jobs.latest(key))
    if latest is None:
        raise errors.UnknownName(text("This project was not taught yet, so there is no job."))
    return latest


def _address(key: str) -> str:
    return flask.url_for(".teach", key=key)
