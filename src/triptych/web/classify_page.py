"""The studio's first page: a form, and below it the photos with their verdicts."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import flask

from triptych import errors
from triptych import images
from triptych.ensemble.rules import RULES
from triptych.images import preview
from triptych.inference.committee import select_names
from triptych.utils.text import text
from triptych.web import classify
from triptych.web import context
from triptych.web import request_schemas
from triptych.web.registry import Facts

blueprint = flask.Blueprint("classify", __name__)

FITS = {
    "": text("as each network was trained"),
    "crop": text("keep the proportions, take the centre"),
    "square": text("squeeze the whole photo into the square"),
}
# How many similar training photos a verdict shows, and how long browsers may cache them.
SIMILAR = 6
KEPT_S = 3600
COVERAGES = (0.8, 0.9, 0.95, 0.99)


@blueprint.route("/", methods=["GET", "POST"])
def page() -> str:
    """The studio; with photos in the request, their verdicts too."""
    here = context.current()
    registry = here.registry
    sent = request_schemas.options_from_form(flask.request.values)
    known = {name: sent[name] for name in sent if name in request_schemas.OPTIONS.fields}
    options = request_schemas.check_options(known)
    asked = registry.facts(registry.resolve(context.permitted(options.get("committee"))))
    coverage = options.get("coverage", here.settings.coverage)
    names = context.committees()
    # Training photos may be private, and a guest has a key for asking one committee.
    most_similar = 0 if context.of_request().key.committee else SIMILAR
    return flask.render_template(
        "classify.html",
        cards=cards(similar=most_similar) if flask.request.method == "POST" else [],
        values=_form_values(asked, options),
        ignored=[name[:40] for name in sent if name not in known],
        options=list(request_schemas.OPTIONS.fields),
        # A version that is not the active one is offered only where it is asked for.
        committees=[registry.facts(name) for name in dict.fromkeys([*names, asked.name])],
        fetches={name: here.fetches.find(name) for name in registry.names},
        registry=registry,
        settings=here.settings,
        rules=RULES,
        fits=FITS,
        coverage=coverage,
        coverages=_coverages(here.settings.coverage, coverage),
        similar=most_similar,
    )


@blueprint.get("/similar/<digest>.jpg")
def similar(digest: str) -> flask.Response:
    """A thumbnail of a training photo; an empty response if the studio does not have it."""
    here = context.current()
    data = here.do(lambda: _thumbnail(here, digest))
    if data is None:
        # No error: a bundle may come from elsewhere, and the page requests each of its photos.
        return flask.Response(status=204)
    answer = flask.Response(data, mimetype="image/jpeg")
    answer.cache_control.private = True
    answer.cache_control.max_age = KEPT_S
    return answer


def _thumbnail(here: context.Studio, digest: str) -> bytes | None:
    if not here.teaching:
        return None
    try:
        return here.projects.thumbnail(digest)
    except errors.UnknownName:
        return None


def _form_values(asked: Facts, options: Mapping[str, Any]) -> dict[str, str]:
    """What the form's fields show: the options of the request, else the committee's defaults."""
    members = options.get("members", [])
    if members and asked.members:  # they are unknown until it is loaded
        members = select_names(asked.name, asked.members, members)
    return {
        "committee": asked.name,
        "members": ",".join(members),
        "rule": options.get("rule", asked.rule),
        "fit": options.get("fit", ""),
        "top": str(options.get("top", "")),
    }


def _coverages(default: float, requested: float) -> dict[str, float]:
    """The coverages on offer, by their values in the form; empty for the studio's default."""
    shares = sorted({*COVERAGES, default, requested})
    return {"" if share == default else str(share): share for share in shares}


def cards(*, similar: int = 0) -> list[dict[str, Any]]:
    """The photos of the request with their verdicts, for the templates.

    Args:
        similar: How many training photos each verdict shows. They may be private, so shared pages
            show none.
    """
    here = context.current()
    upload, answers = classify.classify_request(flask.request, similar=similar)
    limits = here.settings.image_limits
    photos = here.do(lambda: [_photo(data, limits) for _, data in upload.images])
    order = here.registry.facts(here.registry.resolve(upload.committee)).members
    return [
        {"answer": answer.to_dict(), "photo": photo, "order": order}
        for answer, photo in zip(answers, photos, strict=True)
    ]


def _photo(data: Any, limits: images.Limits) -> str | None:
    """A thumbnail of a photo, embedded in the page, since photos are not stored."""
    try:
        small = preview.jpeg(data, limits=limits)
    except errors.ImageError:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"
