"""How good a version is: its figures, its answers photo by photo, and label issues."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import TypeVar

import flask

from triptych.studio import review as studio_review
from triptych.studio.review import PhotoIssue
from triptych.studio.review import Review
from triptych.studio.review import ReviewedPhoto
from triptych.web import context
from triptych.web import openapi
from triptych.web.project_api import photos
from triptych.web.project_api import schemas
from triptych.web.project_api.blueprint import KEY
from triptych.web.project_api.blueprint import REFUSES
from triptych.web.project_api.blueprint import blueprint
from triptych.web.project_api.blueprint import read_query
from triptych.web.project_api.versions import VERSION

FILTER, ISSUES = schemas.ResultFilter(), schemas.IssueFilter()
SAMPLE = "{base}/api/v1/projects/garden/versions/1"

T = TypeVar("T")


@blueprint.get("/<key>/versions/<int:version>/result")
@openapi.describe(
    schemas.Result,
    refuses=REFUSES,
    samples={"Its figures": f"curl {SAMPLE}/result"},
    parameters=[KEY, VERSION],
)
def result(key: str, version: int) -> flask.Response:
    """Describe how good a version is: all figures, and how many labels may be wrong."""

    def describe(review: Review) -> dict[str, Any]:
        has_answers = review.predictions is not None
        return {
            "version": review.bundle.version,
            "classes": review.labels,
            "multilabel": review.bundle.multilabel,
            "metrics": review.metrics,
            "label_issues": len(review.label_issues()) if has_answers else None,
            "changes": review.changes,
            "advice": review.advice(),
        }

    return flask.jsonify(_read(key, version, describe))


@blueprint.get("/<key>/versions/<int:version>/photos")
@openapi.describe(
    schemas.PhotoResults,
    refuses=REFUSES,
    samples={
        "Its mistakes": f"curl '{SAMPLE}/photos?wrong=true'",
        "A cell of the confusion matrix": f"curl '{SAMPLE}/photos?label=ants&answer=bees'",
    },
    parameters=[KEY, VERSION, {"in": "query", "schema": schemas.ResultFilter}],
)
def result_photos(key: str, version: int) -> flask.Response:
    """List photos with a version's answers, page by page, those it was surest of first.

    Each is answered by networks that were not trained on it. A version of an older release may
    have none.
    """
    wanted = read_query(FILTER)

    def find(review: Review) -> list[ReviewedPhoto]:
        return review.cell(
            wanted.get("label"),
            wanted.get("answer"),
            held_out_only=wanted.get("photos", schemas.HELD_OUT) == schemas.HELD_OUT,
            wrong_only=wanted.get("wrong") == "true",
        )

    page, total, more = _page(_read(key, version, find), wanted)
    return flask.jsonify(photos=[_facts(each) for each in page], total=total, next=more)


@blueprint.get("/<key>/versions/<int:version>/label-issues")
@openapi.describe(
    schemas.LabelIssues,
    refuses=REFUSES,
    samples={"The likeliest": f"curl '{SAMPLE}/label-issues?limit=20'"},
    parameters=[KEY, VERSION, {"in": "query", "schema": schemas.IssueFilter}],
)
def label_issues(key: str, version: int) -> flask.Response:
    """List photos whose label of today may be wrong, page by page, the likeliest first.

    Those that are corrected, confirmed or excluded by a decision are no longer listed.
    """
    wanted = read_query(ISSUES)

    def find(review: Review) -> list[PhotoIssue]:
        return review.label_issues()

    page, total, more = _page(_read(key, version, find), wanted)
    issues = [
        {
            "result": _facts(each.reviewed),
            "class_id": each.suggested.id,
            "class_name": each.suggested.name,
            "given": each.given,
            "likely": each.likely,
        }
        for each in page
    ]
    return flask.jsonify(issues=issues, total=total, next=more)


def _read(key: str, version: int, describe: Callable[[Review], T]) -> T:
    """What is asked of a version, which is read in the queue."""
    here = context.current()
    return here.do(
        lambda: describe(studio_review.open(here.projects, here.settings.home, key, version))
    )


def _page(rows: Sequence[T], wanted: dict[str, Any]) -> tuple[Sequence[T], int, int | None]:
    """One page of rows, how many there are, and the offset of the next page."""
    offset, limit = wanted.get("offset", 0), wanted.get("limit", 100)
    more = offset + limit
    return rows[offset:more], len(rows), more if more < len(rows) else None


def _facts(reviewed: ReviewedPhoto) -> dict[str, Any]:
    answers = reviewed.answers
    if answers is None:
        answers = ((reviewed.answer, reviewed.prob),)
    return {
        "digest": reviewed.digest,
        "name": reviewed.name,
        "held_out": reviewed.held_out,
        "labels": reviewed.labels,
        "answers": [{"label": label, "prob": prob} for label, prob in answers],
        "photo": photos.facts(reviewed.photo) if reviewed.photo else None,
    }
