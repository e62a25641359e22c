"""The page of keys: who may use the studio, for what, and the links for guests."""

from __future__ import annotations

import flask
from werkzeug.wrappers import Response

from triptych import bundles
from triptych import errors
from triptych.studio.keys import ASK
from triptych.studio.keys import LONGEST_NAME
from triptych.studio.keys import OWN
from triptych.utils.text import text
from triptych.web import access
from triptych.web import context
from triptych.web import permissions

blueprint = flask.Blueprint("keys", __name__, url_prefix="/keys")

FORM_BYTES = 16 * 1024
# Messages after a form was sent, by a word in the query string.
DONE = {
    "removed": text("Taken back: it is refused from now on, and who was signed in with it, too.")
}


@blueprint.get("")
def page() -> str:
    """All keys, and the forms to make and to take back one."""
    return _render(done=DONE.get(flask.request.args.get("done", ""), ""))


@blueprint.post("")
def make() -> str | Response:
    """Make a key, and show it this once."""
    flask.request.max_content_length = FORM_BYTES
    form, gate, here = flask.request.form, access.gate(), context.current()
    role, committee = form.get("role", ""), form.get("committee", "")
    if not gate.is_required and role != OWN:
        raise errors.SettingError(
            text(
                "The first key has the role {role!r}; expected {own}: with it, every request "
                "needs a key, and nobody could make another one.",
                role=role[:20],
                own=OWN,
            )
        )
    if committee and committee not in here.registry.names:
        raise errors.UnknownName(
            text(
                "There is no committee {committee!r} on offer; there are: {names}.",
                committee=committee[:80],
                names=", ".join(here.registry.names),
            )
        )
    quota = form.get("requests_per_minute", "") or "0"
    if not (quota.isascii() and quota.isdecimal() and len(quota) < 10):
        raise errors.SettingError(
            text(
                "The requests per minute are {quota!r}; expected a number, 0 for any.",
                quota=quota[:20],
            )
        )
    was_required = gate.is_required
    key, key_text = gate.keys.add(
        form.get("name", ""), role, committee=committee or None, requests_per_minute=int(quota)
    )
    if not was_required:  # whoever makes the first key is not locked out by it
        access.start_session(key)
        context.of_request().key = key
    link = ""
    if key.committee and key.committee in bundles.names(here.settings.home):
        link = flask.url_for(
            "studio_publish.share", name=key.committee, key=key_text, _external=True
        )
    return _render(made=key, text=key_text, link=link)


@blueprint.post("/<key_id>/remove")
def remove(key_id: str) -> Response:
    """Take a key back."""
    access.gate().keys.remove(key_id)
    return flask.redirect(flask.url_for(".page", done="removed"), 303)


def _render(**values: object) -> str:
    gate, registry = access.gate(), context.current().registry
    return flask.render_template(
        "keys.html",
        keys=gate.keys.all(),
        committees=registry.names,
        is_required=gate.is_required,
        meanings=permissions.MEANINGS if gate.is_required else {OWN: permissions.MEANINGS[OWN]},
        selected=ASK if gate.is_required else OWN,
        longest=LONGEST_NAME,
        **values,
    )
