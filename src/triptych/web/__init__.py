"""The studio: pages for people and a REST interface for programs, over the same committees."""

from __future__ import annotations

import flask
from flask.json.provider import DefaultJSONProvider

from triptych.settings import Settings
from triptych.web import api
from triptych.web import context
from triptych.web import errors
from triptych.web import guard
from triptych.web import pages
from triptych.web import words
from triptych.web.registry import Registry

# Parts of a multipart body that are not images: the options, with room to spare.
OPTION_PARTS = 16


class _Json(DefaultJSONProvider):
    """JSON as `to_dict` orders it, readable in every script."""

    sort_keys = False
    ensure_ascii = False


def create_app(
    settings: Settings, registry: Registry, *, run: context.Run = context.run_here
) -> flask.Flask:
    """Build the studio as a WSGI application.

    Args:
        settings: Its limits are enforced.
        registry: The committees that can be asked.
        run: Calls a function that computes for long; a server whose loop must stay free passes
            one that calls it in another thread.

    Example:
        >>> from triptych import settings
        >>> app = create_app(settings.load({}), Registry(print, ["lite"], "lite"))
        >>> app.test_client().get("/healthz").text
        'ok'
    """
    app = flask.Flask(__name__)
    app.json = _Json(app)
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_request_bytes,
        MAX_FORM_PARTS=settings.max_request_images + OPTION_PARTS,
    )
    app.extensions[context.KEY] = context.Studio(settings, registry, run)
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(api.blueprint)
    errors.register(app)
    guard.register(app)
    words.register(app)
    return app
