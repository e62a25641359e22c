"""Sorting a heap: what the committee offers, accepting it, undoing that, and the job before."""

from __future__ import annotations

import dataclasses
from typing import Any

import flask
from werkzeug.exceptions import BadRequest

from triptych.studio.projects import Projects
from triptych.studio.sorting import PROJECT
from triptych.studio.sorting import Heap
from triptych.studio.sorting import plan
from triptych.studio.sorting import sorting as studio_sorting
from triptych.studio.sorting.sorting import HeapPhoto
from triptych.studio.sorting.sorting import Proposal
from triptych.web import context
from triptych.web import openapi
from triptych.web.project_api import schemas
from triptych.web.project_api import sorting_schemas
from triptych.web.project_api.blueprint import KEY
from triptych.web.project_api.blueprint import REFUSES
from triptych.web.project_api.blueprint import SAMPLE_DIGEST
from triptych.web.project_api.blueprint import blueprint
from triptych.web.project_api.blueprint import curl
from triptych.web.project_api.blueprint import json_body
from triptych.web.project_api.blueprint import read_json
from triptych.web.project_api.blueprint import read_query
from triptych.web.studio import sorting as sorting_page

WHICH, PHOTOS = sorting_schemas.HeapFilter(), sorting_schemas.HeapPhotoFilter()
SOURCE = sorting_schemas.HeapSource()
ACCEPT, UNDO = sorting_schemas.OfferToAccept(), sorting_schemas.AcceptedToUndo()


@blueprint.get("/<key>/sort")
@openapi.describe(
    sorting_schemas.Heap,
    refuses=REFUSES,
    samples={
        "Photos without a class": "curl {base}/api/v1/projects/garden/sort",
        "The inbox": "curl '{base}/api/v1/projects/garden/sort?source=inbox'",
    },
    parameters=[KEY, {"in": "query", "schema": sorting_schemas.HeapFilter}],
)
def heap(key: str) -> flask.Response:
    """Describe the photos that wait for a class, and those that can be accepted together.

    Offers come from the latest comparison: if it is needed again, start it at `/sort/job`.
    """
    wanted = read_query(WHICH)
    heap = _heap(key, wanted)
    return flask.jsonify(
        source=heap.source,
        closed=heap.is_closed,
        waiting=heap.total,
        by_hand=len(heap.photos),
        offers=[_offer(each) for each in heap.proposals],
        wrong_share=None if heap.is_closed else plan.WRONG_SHARE,
        promise=heap.promise,
        missing_promise=heap.missing_promise,
        version=heap.version,
        newest=heap.newest,
        needs_comparison=heap.needs_plan,
        new=heap.new,
        changes=heap.changes,
        left=dataclasses.asdict(heap.left) if heap.left else None,
    )


def _heap(key: str, wanted: dict[str, Any]) -> Heap:
    here = context.current()

    def read() -> Heap:
        _check_kind(here.projects, key)
        source, is_closed = wanted.get("source", PROJECT), wanted.get("closed") == "true"
        return studio_sorting.heap_of(
            here.projects, here.settings.home, key, source, is_closed=is_closed
        )

    return here.do(read)


def _check_kind(projects: Projects, key: str) -> None:
    if projects.find(key).multilabel:
        raise BadRequest(
            "Sorting is for projects with one class a photo, and the photos of this one can have "
            "any number."
        )


def _offer(proposal: Proposal) -> dict[str, Any]:
    return {
        "class_id": proposal.suggested.id,
        "class_name": proposal.suggested.name,
        "photos": len(proposal.photos),
        "digests": [photo.digest for photo in proposal.photos[: schemas.MOST_PHOTOS]],
        "tested": proposal.tested,
        "right": proposal.right,
    }


@blueprint.get("/<key>/sort/photos")
@openapi.describe(
    sorting_schemas.HeapPhotos,
    refuses=REFUSES,
    samples={"To be named by hand": "curl '{base}/api/v1/projects/garden/sort/photos?limit=50'"},
    parameters=[KEY, {"in": "query", "schema": sorting_schemas.HeapPhotoFilter}],
)
def heap_photos(key: str) -> flask.Response:
    """List the photos that wait for a class, with what the committee says of each.

    Those to be named by hand, the ones first whose label is worth most; or those of an offer, the
    strangest first.
    """
    wanted = read_query(PHOTOS)
    heap, class_id = _heap(key, wanted), wanted.get("class_id")
    photos = heap.photos
    if class_id is not None:
        offers = [each.photos for each in heap.proposals if each.suggested.id == class_id]
        photos = offers[0] if offers else []
    offset, limit = wanted.get("offset", 0), wanted.get("limit", 100)
    listed = [_photo(photo) for photo in photos[offset : offset + limit]]
    more = offset + limit if len(photos) > offset + limit else None
    return flask.jsonify(photos=listed, total=len(photos), next=more)


def _photo(photo: HeapPhoto) -> dict[str, Any]:
    suggested = photo.suggested
    return {
        "digest": photo.digest,
        "name": photo.name,
        "status": photo.status,
        "class_id": suggested.id if suggested else None,
        "class_name": suggested.name if suggested else None,
        "prob": photo.prob,
        "strangeness": photo.strangeness,
    }


@blueprint.post("/<key>/sort/accept")
@openapi.describe(
    sorting_schemas.Accepted,
    refuses=REFUSES,
    samples={
        "An offer": curl("/garden/sort/accept", {"class_id": 2, "digests": [SAMPLE_DIGEST]}),
    },
    parameters=[KEY],
    requestBody=json_body(sorting_schemas.OfferToAccept),
)
def accept_offer(key: str) -> flask.Response:
    """Give the photos of an offer their class, as one batch, which can be undone.

    Photos that somebody else decided about meanwhile stay as they are.
    """
    here, form = context.current(), read_json(ACCEPT)
    here.do(lambda: _check_kind(here.projects, key))
    classes = dict.fromkeys(form["digests"], form["class_id"])
    source = form.get("source", PROJECT)
    done = sorting_page.carry_out(key, source, classes, sorting_page.ACCEPT)
    return flask.jsonify(
        batch=done.batch, digests=done.digests, skipped=done.skipped, inbox_ids=done.kept
    )


@blueprint.post("/<key>/sort/undo")
@openapi.describe(
    sorting_schemas.Undone,
    refuses=REFUSES,
    samples={"What was accepted": curl("/garden/sort/undo", {"batch": 7})},
    parameters=[KEY],
    requestBody=json_body(sorting_schemas.AcceptedToUndo),
)
def undo_sorting(key: str) -> flask.Response:
    """Undo a batch whole: its photos wait again. Refused if they were decided about since."""
    form = read_json(UNDO)
    ids = form.get("inbox_ids", [])
    source = plan.INBOX if ids else PROJECT
    sorting_page.take_back(key, source, form["batch"], ids)
    return flask.jsonify(waiting=sorting_page.counts(key)[source])


# ------------------------------------------------------------------ the comparison


@blueprint.get("/<key>/sort/job")
@openapi.describe(
    sorting_schemas.Comparison,
    refuses=REFUSES,
    samples={"How far it is": "curl {base}/api/v1/projects/garden/sort/job"},
    parameters=[KEY],
)
def comparison(key: str) -> flask.Response:
    """Describe the latest comparison of a project's photos."""
    here = context.current()
    here.do(lambda: here.projects.find(key))
    return flask.jsonify(job=sorting_page.state(here.sorting.latest(key)))


@blueprint.post("/<key>/sort/job")
@openapi.describe(
    sorting_schemas.Comparison,
    refuses=REFUSES,
    samples={"Photos without a class": curl("/garden/sort/job", {"source": "project"})},
    parameters=[KEY],
    requestBody={**json_body(sorting_schemas.HeapSource), "required": False},
)
def start_comparison(key: str) -> flask.Response:
    """Start to compare the photos and to ask the committee about them; one runs at a time."""
    here, source = context.current(), read_json(SOURCE).get("source", PROJECT)
    here.do(lambda: _check_kind(here.projects, key))
    here.change(lambda: here.sorting.start(key, source))
    return comparison(key)


@blueprint.post("/<key>/sort/job/stop")
@openapi.describe(
    sorting_schemas.Comparison,
    refuses=REFUSES,
    samples={"To stop it": curl("/garden/sort/job/stop")},
    parameters=[KEY],
)
def stop_comparison(key: str) -> flask.Response:
    """Stop the comparison, if it is under way; what the networks have computed is kept."""
    here = context.current()
    here.do(lambda: here.projects.find(key))
    here.change(lambda: here.sorting.stop(key))
    return comparison(key)
