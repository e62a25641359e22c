"""Publishing: the version that is served, its model card, and snippets for calling it."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from typing import IO

import flask
from werkzeug.wrappers import Response
from werkzeug.wsgi import ClosingIterator
from werkzeug.wsgi import wrap_file

from triptych import bundles as triptych_bundles
from triptych import errors
from triptych.bundles import model_card
from triptych.evaluation import metrics
from triptych.evaluation import paired
from triptych.studio.projects import Project
from triptych.utils.text import text
from triptych.web import access
from triptych.web import classify_page
from triptych.web import context
from triptych.web.studio import exports
from triptych.web.studio import int8
from triptych.web.studio import versions
from triptych.web.studio.versions import BundleVersions

blueprint = flask.Blueprint("studio_publish", __name__)

# Messages after a form was sent, by a word in the query string.
DONE = {
    "served": text("Published: requests by its name are answered by this version from now on."),
    "offline": text("Taken offline: requests by its name are no longer answered."),
    "card": text("The card is saved."),
}
FORM_BYTES = 64 * 1024
CHUNK_BYTES = 1 << 18


# ------------------------------------------------------------------ pages


@blueprint.get("/bundles")
def bundles() -> str:
    """All committees that were trained here or imported."""
    here = context.current()
    listed = here.do(lambda: versions.find_all(here.settings.home))
    return flask.render_template("studio/bundles.html", bundles=listed)


@blueprint.get("/projects/<key>/publish")
def publish(key: str) -> str | Response:
    """The versions of a project's committee, its card, and how to send it requests."""
    has_versions = bool(triptych_bundles.versions(context.current().settings.home, key))
    if has_versions and _project(key) is None:
        return flask.redirect(flask.url_for(".one", name=key))
    project = context.current().projects.find(key)
    about: dict[str, object] = _about(_bundle(key)) if has_versions else {"bundle": None}
    return flask.render_template(
        "studio/publish.html", project=project, tab="Publish", done=_done(), **about
    )


@blueprint.get("/bundles/<name>")
def one(name: str) -> str | Response:
    """The same page for a bundle without a project."""
    if _project(name):
        return flask.redirect(flask.url_for(".publish", key=name))
    return flask.render_template("studio/bundle.html", done=_done(), **_about(_bundle(name)))


@blueprint.route("/c/<name>", methods=["GET", "POST"])
def share(name: str) -> str:
    """A page for this committee only, to be shared; with a version, to try it before."""
    here = context.current()
    context.permitted(name)
    bare, _, number = name.partition("@")
    bundle = _bundle(bare)
    version = bundle.find(number) if number else bundle.served
    if version is None:
        raise errors.UnknownName(
            text("{bare} has no version {number}.", bare=bare, number=number)
            if number
            else text("{bare} is not published at present, so it cannot be used here.", bare=bare)
        )
    facts = here.registry.facts(here.registry.resolve(name))
    project = _project(bare)
    return flask.render_template(
        "studio/share.html",
        cards=classify_page.cards() if flask.request.method == "POST" else [],
        committees=[facts],
        settings=here.settings,
        name=name,
        bundle=bundle,
        title=project.title if project else bare,
        version=version,
    )


def _about(bundle: BundleVersions) -> dict[str, object]:
    """The template variables of a bundle."""
    here = context.current()
    return {
        "bundle": bundle,
        "fields": model_card.FIELDS,
        "is_default": here.registry.default == bundle.name,
        "shadow": _shadow(bundle),
        "exports": exports.about(bundle),
        "int8": int8.about(bundle, _project(bundle.name)),
        "snippets": snippets(bundle.name, has_key=access.gate().is_required),
    }


def _shadow(bundle: BundleVersions) -> dict[str, object] | None:
    """What is known of a version of the bundle that is compared with the published one."""
    shadow = context.current().shadow
    if shadow is None or shadow.committee != bundle.name:
        return None
    counts = shadow.counts
    surer = None
    if counts.photos:
        # A photo that only the shadow is sure of counts for it.
        surer = paired.paired(counts.only_shadow_sure, counts.only_published_sure, counts.photos)
    return {
        "version": shadow.version,
        "counts": counts,
        "otherwise": metrics.wilson(counts.disagreements, counts.photos),
        "surer": surer,
    }


def _done() -> str:
    return DONE.get(flask.request.args.get("done", ""), "")


# ------------------------------------------------------------------ actions


@blueprint.post("/bundles/<name>/active")
def activate(name: str) -> Response:
    """Serve another version, or none; requests in progress keep the version they began with."""
    flask.request.max_content_length = FORM_BYTES
    raw = flask.request.form.get("version", "")
    if not (raw.isascii() and raw.isdecimal() and len(raw) < 10):
        raise errors.SettingError(
            text(
                "The version is {raw!r}; expected its number, or 0 to take the bundle offline.",
                raw=raw[:20],
            )
        )
    version = int(raw)
    serve_version(name, version)
    return _back(name, "served" if version else "offline")


def serve_version(name: str, version: int) -> None:
    """Serve a version under the name of its bundle.

    Args:
        name: Of the bundle.
        version: Its number; 0 takes the bundle offline.

    Raises:
        errors.UnknownName: There is no such version.
        errors.BundleError: It cannot be loaded; or the default committee would be taken offline.
    """
    here = context.current()
    if not version and here.registry.default == name:
        raise errors.BundleError(
            text(
                "{name} is the studio's default committee and stays online: without it the "
                "studio would not be ready. Start the studio with another --committee first.",
                name=name,
            )
        )

    def switch() -> None:
        if version:
            # Load it before it becomes active, so that no version that cannot be loaded does.
            here.registry.get(f"{name}@{version}")
        triptych_bundles.activate(here.settings.home, name, version)
        here.registry.refresh(name)

    here.arrange(switch)


@blueprint.post("/bundles/<name>/card")
def edit(name: str) -> Response:
    """Save a person's texts for the card of a bundle."""
    here = context.current()
    flask.request.max_content_length = FORM_BYTES
    words = {field: flask.request.form.get(field, "") for field in model_card.FIELDS}
    here.change(lambda: triptych_bundles.save_card_texts(here.settings.home, name, words))
    return _back(name, "card")


@blueprint.get("/bundles/<name>/<int:version>.zip")
def download(name: str, version: int) -> Response:
    """A version as one file, for `triptych bundles import`."""
    here = context.current()
    bundle = triptych_bundles.find(here.settings.home, f"{name}@{version}")

    def pack() -> IO[bytes]:
        with contextlib.ExitStack() as undo:
            # An unnamed temporary file, which is removed whatever happens.
            file = undo.enter_context(tempfile.TemporaryFile(dir=here.settings.home))
            triptych_bundles.pack_into(bundle, file)
            undo.pop_all()
            return file

    if not here.downloads.acquire(blocking=False):
        raise errors.Overloaded(
            text(
                "{downloads} downloads are under way already. Try again when one is done.",
                downloads=context.DOWNLOADS,
            )
        )
    with contextlib.ExitStack() as undo:
        undo.callback(here.downloads.release)
        file = here.do(pack)
        done = undo.pop_all()
    size = file.tell()
    file.seek(0)
    body = ClosingIterator(wrap_file(flask.request.environ, file, CHUNK_BYTES), done.close)
    response = flask.Response(body, mimetype="application/zip", direct_passthrough=True)
    response.headers.set("Content-Disposition", "attachment", filename=f"{name}-{version}.zip")
    response.content_length = size
    return response


# ------------------------------------------------------------------ bundles and projects


def _bundle(name: str) -> BundleVersions:
    here = context.current()
    bundle = here.do(lambda: versions.find(here.settings.home, name))
    if bundle is None:
        names = ", ".join(triptych_bundles.names(here.settings.home)) or "none yet"
        raise errors.UnknownName(
            text("There is no bundle {name!r}; there are: {names}.", name=name, names=names)
        )
    return bundle


def _project(name: str) -> Project | None:
    """The project that a bundle is trained from, if there is one."""
    try:
        return context.current().projects.find(name)
    except errors.UnknownName:
        return None


def _back(name: str, done: str) -> Response:
    """Redirect to the page of the form."""
    if _project(name):
        return flask.redirect(flask.url_for(".publish", key=name, done=done), 303)
    return flask.redirect(flask.url_for(".one", name=name, done=done), 303)


# ------------------------------------------------------------------ snippets

VARIABLE = "TRIPTYCH_API_KEY"
HERE = """\
import triptych

verdict = triptych.load("{name}").classify("photo.jpg")
print(verdict.label.name, verdict.prob)
"""
ELSEWHERE = """\
import json
{imports}import urllib.request

with open("photo.jpg", "rb") as photo:
    request = urllib.request.Request(
        "{address}",
        data=photo.read(),
        headers={{{headers}}},
    )
with urllib.request.urlopen(request) as answer:
    print(json.load(answer)["results"][0]["verdict"])
"""


@dataclass(frozen=True)
class Snippet:
    """A snippet to copy.

    Args:
        id: Of the element that shows it.
        title: What it is for.
        text: What is copied.
    """

    id: str
    title: str
    text: str


def snippets(name: str, *, has_key: bool) -> list[Snippet]:
    """Code that sends photos to a committee.

    Args:
        name: Of the committee.
        has_key: Whether the studio requires an API key.
    """
    address = flask.url_for("api.classify", committee=name, _external=True)
    option, imports, headers = "", "", '"Content-Type": "application/octet-stream"'
    if has_key:
        option, imports = f'-H "Authorization: Bearer ${VARIABLE}" ', "import os\n"
        headers += f', "Authorization": "Bearer " + os.environ["{VARIABLE}"]'
    curl = f'curl {option}-F image=@photo.jpg "{address}"\n'
    elsewhere = ELSEWHERE.format(imports=imports, address=address, headers=headers)
    return [
        Snippet("curl", text("From a terminal"), curl),
        Snippet("elsewhere", text("From Python, anywhere"), elsewhere),
        Snippet("here", text("From Python, on this machine"), HERE.format(name=name)),
    ]
