"""Photos and thumbnails of projects, by their content."""

from __future__ import annotations

import re

import flask

from triptych import errors
from triptych import images
from triptych.images import preview
from triptych.web import context
from triptych.web.studio.blueprint import blueprint

DIGEST = re.compile(r"[0-9a-f]{64}")
# Under this address there is never another photo.
FOR_EVER = "private, max-age=31536000, immutable"


@blueprint.get("/photos/<digest>/thumb.jpg")
def thumb(digest: str) -> flask.Response:
    """A small copy of a photo."""
    _check(digest)
    # Not in the queue: it was made when the photo came, and a page has many.
    return _picture(context.current().projects.thumbnail(digest), "image/jpeg")


@blueprint.get("/photos/<digest>.jpg")
def full(digest: str) -> flask.Response:
    """A photo as it came; in a form that browsers do not show, as a JPEG."""
    here = context.current()
    _check(digest)
    limits = images.Limits(here.settings.max_image_bytes, here.settings.max_image_pixels)
    data, kind = here.do(lambda: preview.shown(here.projects.read(digest), limits=limits))
    return _picture(data, kind)


def _check(digest: str) -> None:
    if not DIGEST.fullmatch(digest):
        raise errors.UnknownName(
            f"There is no photo {digest[:80]!r}; expected the SHA-256 of a photo, in 64 "
            "hexadecimal digits."
        )


def _picture(data: bytes, kind: str) -> flask.Response:
    response = flask.Response(data, mimetype=kind)
    response.headers["Cache-Control"] = FOR_EVER
    return response
