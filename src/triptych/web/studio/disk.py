"""The page that tells what takes disk space, and frees it."""

from __future__ import annotations

import flask
from werkzeug.exceptions import BadRequest

from triptych import bundles
from triptych.studio import disk_usage
from triptych.utils import formatting
from triptych.utils.text import text
from triptych.web import context

blueprint = flask.Blueprint("studio_disk", __name__, url_prefix="/disk")

FORM_BYTES = 4096


@blueprint.get("")
def page() -> str:
    """What takes space."""
    return _render()


@blueprint.post("/free")
def free() -> str:
    """Free one part."""
    flask.request.max_content_length = FORM_BYTES
    here, key = context.current(), flask.request.form.get("part", "")
    freed = here.do(lambda: disk_usage.free(here.settings.home, key))
    return _render(done=text("{size} were freed.", size=formatting.size(freed)))


@blueprint.post("/remove-version")
def remove_version() -> str:
    """Remove a version of a bundle that is not active."""
    flask.request.max_content_length = FORM_BYTES
    here = context.current()
    name, _, number = flask.request.form.get("version", "").partition("@")
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise BadRequest(text("The version is not known; expected its name, as garden@2."))

    def remove() -> None:
        bundles.remove_version(here.settings.home, name, int(number))
        here.registry.refresh(name)

    here.arrange(remove)
    done = text("Version {version} of {name} is removed.", version=int(number), name=name)
    return _render(done=done)


def _render(done: str = "") -> str:
    here = context.current()
    home = here.settings.home
    parts, versions, free_bytes = here.do(
        lambda: (
            disk_usage.parts(home),
            disk_usage.versions(home),
            disk_usage.free_space(home),
        )
    )
    return flask.render_template(
        "studio/disk.html",
        parts=parts,
        versions=versions,
        total_bytes=sum(part.size_bytes for part in parts),
        free_bytes=free_bytes,
        home=str(home),
        done=done,
    )
