"""The result of a training: accuracy, mistakes, label issues, and comparison of versions."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import flask
from werkzeug.wrappers import Response

from triptych import bundles
from triptych import errors
from triptych.evaluation import figures
from triptych.studio import review as studio_review
from triptych.studio.review import MultilabelReview
from triptych.studio.review import Review
from triptych.utils.text import text
from triptych.web import context
from triptych.web.studio import decisions

blueprint = flask.Blueprint("studio_review", __name__, url_prefix="/projects/<key>/result")

REPORT = "report.html"
# The file contains its style and pictures. It may come from elsewhere, so it may do nothing else.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox"
)
FIRST_ISSUES = 6
ON_A_PAGE = 60


@blueprint.get("")
def result(key: str) -> str:
    """The evaluation of a version; by default the newest."""
    here = context.current()
    project = here.projects.find(key)
    if not bundles.versions(here.settings.home, key):
        return flask.render_template("studio/not_taught.html", project=project, tab="Result")

    def describe(review: Review) -> dict[str, Any]:
        issues = review.label_issues()
        several: dict[str, Any] = {}
        if isinstance(review, MultilabelReview):
            several = {"counts": review.counts(), "together": review.together()}
        return {
            **several,
            "f": figures.prepare(review.labels, review.metrics),
            "issues": issues[:FIRST_ISSUES],
            "issues_total": len(issues),
            "mistakes": review.mistakes(),
            "advice": review.advice(),
        }

    return _show("studio/result.html", key, describe)


def _show(
    template: str,
    key: str,
    describe: Callable[[Review], dict[str, Any]],
    *,
    of: str = "version",
    **variables: Any,
) -> str:
    """Render a page about a version, which is read in the queue.

    Args:
        template: Of the page.
        key: Of the project.
        describe: Returns the template variables of a version; runs outside of the request context.
        of: Which argument of the query string names the version.
        **variables: Other variables of the template.
    """
    here, version = context.current(), _number(of)

    def read_values() -> dict[str, Any]:
        review = studio_review.open(here.projects, here.settings.home, key, version)
        return {
            "tab": "Result",
            "project": review.project,
            "review": review,
            "versions": bundles.versions(here.settings.home, key),
            "active": bundles.active(here.settings.home, key),
            "undoable": decisions.undoable(here.projects, key),
            **describe(review),
        }

    return flask.render_template(template, **here.do(read_values), **variables)


def _number(name: str) -> int | None:
    """A number in the query string; ``None`` if it is missing."""
    raw = flask.request.args.get(name) or None
    if raw is None or (raw.isascii() and raw.isdecimal() and len(raw) < 10):
        return int(raw) if raw else None
    raise errors.SettingError(
        text("The {name} is {raw!r}; expected a whole number, such as 2.", name=name, raw=raw[:40])
    )


@blueprint.get("/cell")
def cell(key: str) -> str:
    """The photos behind a cell, a row or a column of the confusion matrix.

    Of a multi-label version, those for which a class was missed, or answered wrongly.
    """
    args, start = flask.request.args, _number("from") or 0
    label, answer = args.get("truth") or None, args.get("answer") or None
    missed, extra = args.get("missed") or None, args.get("extra") or None
    everything = args.get("photos") == "all"

    def describe(review: Review) -> dict[str, Any]:
        wrong = missed or extra
        if wrong and isinstance(review, MultilabelReview):
            is_missed = missed is not None
            rows = review.wrong(wrong, missed=is_missed, held_out_only=not everything)
            return _page(rows, start)
        return _page(review.cell(label, answer, held_out_only=not everything), start)

    return _show(
        "studio/cell.html",
        key,
        describe,
        label=label,
        answer=answer,
        missed=missed,
        extra=extra,
        everything=everything,
    )


def _page(rows: Sequence[Any], start: int) -> dict[str, Any]:
    """One page of rows, and the starts of the pages before and after it."""
    more = start + ON_A_PAGE
    return {
        "shown": rows[start:more],
        "start": start,
        "total": len(rows),
        "before": max(0, start - ON_A_PAGE) if start else None,
        "more": more if more < len(rows) else None,
    }


@blueprint.get("/label-issues")
def label_issues(key: str) -> str:
    """Photos whose label may be wrong, the likeliest first."""
    start = _number("from") or 0
    return _show(
        "studio/label_issues.html", key, lambda review: _page(review.label_issues(), start)
    )


@blueprint.get("/doubted")
def old_label_issues(key: str) -> Response:
    """The address of this page until 0.1.0."""
    args = flask.request.args
    query: dict[str, Any] = {name: args[name] for name in ("version", "from") if name in args}
    new = flask.url_for(".label_issues", key=key, **query)
    return flask.redirect(new, 301)


@blueprint.get("/compare")
def compare(key: str) -> str:
    """Two versions compared on the same photos."""
    here, older = context.current(), _number("before")
    everything = flask.request.args.get("photos") == "all"

    def describe(after: Review) -> dict[str, Any]:
        before = studio_review.open(here.projects, here.settings.home, key, older)
        change = studio_review.compare(before, after, held_out_only=not everything)
        return {"older": before, "change": change}

    return _show("studio/compare.html", key, describe, of="after", everything=everything)


@blueprint.get("/report")
def report(key: str) -> flask.Response:
    """The report of a version, as training wrote it."""
    here, version = context.current(), _number("version")

    def read_report() -> bytes:
        bundle = studio_review.bundle_of(here.projects, here.settings.home, key, version)
        if REPORT not in bundle.about["files"]:
            raise errors.UnknownName(
                text(
                    "Version {version} of {bundle} has no report.",
                    version=bundle.version,
                    bundle=bundle.name,
                )
            )
        return (bundle.folder / REPORT).read_bytes()

    response = flask.Response(here.do(read_report), mimetype="text/html")
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    return response
