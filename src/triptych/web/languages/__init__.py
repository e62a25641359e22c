"""The texts of pages in the language of the person, and those of scripts.

Templates say ``_('...')``, ``ngettext`` or ``{% trans %}``; sentences and numbers from below are
`Text` and `Quantity`, which are translated where a template puts them out. Programs get English.
"""

from __future__ import annotations

from typing import Any

import flask
import jinja2
from markupsafe import Markup

from triptych.utils.text import Quantity
from triptych.utils.text import Text
from triptych.web import access
from triptych.web.languages.language import ENGLISH
from triptych.web.languages.language import LANGUAGES
from triptych.web.languages.language import Language

blueprint = flask.Blueprint("languages", __name__)
COOKIE = "triptych_language"
COOKIE_S = 365 * 24 * 3600
# Scripts of pages send the language of their page, so that messages in JSON are in it, too.
HEADER = "X-Page-Language"
# Chinese in traditional characters is another language to read.
TRADITIONAL = ("zh-hant", "zh-tw", "zh-hk", "zh-mo")


def register(app: flask.Flask) -> None:
    """Translate pages: ``_('...')``, ``ngettext`` and ``{% trans %}`` in templates."""
    env = app.jinja_env
    env.policies["ext.i18n.trimmed"] = True
    env.extend(newstyle_gettext=True)  # before the extension, which would set it to False
    env.add_extension("jinja2.ext.i18n")
    env.finalize = _finalize
    env.globals.update(gettext=_gettext, ngettext=_ngettext)
    env.globals.update(language=current, languages=LANGUAGES.values)
    app.register_blueprint(blueprint)
    app.after_request(_vary)


def current() -> Language:
    """The language of the page: what the person chose, else the first the browser asks for."""
    if not flask.has_request_context():
        return ENGLISH
    if "language" not in flask.g:
        flask.g.language = _negotiated(flask.request)
    language: Language = flask.g.language
    return language


def _negotiated(request: flask.Request) -> Language:
    if language := LANGUAGES.get(request.cookies.get(COOKIE, "")):
        return language
    for tag, quality in request.accept_languages:
        name = tag.lower().replace("_", "-")
        if quality <= 0 or name.startswith(TRADITIONAL):
            continue
        for language in LANGUAGES.values():
            if name.partition("-")[0] == language.tag.partition("-")[0]:
                return language
    return ENGLISH


def _gettext(message: str, **values: Any) -> Markup:
    language = current()
    return Markup(language.gettext(message)) % _written(values, language)


def _ngettext(one: str, many: str, n: int, **values: Any) -> Markup:
    language = current()
    values.setdefault("num", n)
    return Markup(language.ngettext(one, many, n)) % _written(values, language)


def _written(values: dict[str, Any], language: Language) -> dict[str, Any]:
    return {
        name: language.write(value) if isinstance(value, Text | Quantity) else value
        for name, value in values.items()
    }


@jinja2.pass_context  # or Jinja would translate constants once, for all languages
def _finalize(context: jinja2.runtime.Context, value: Any) -> Any:
    """What a template puts out: sentences and numbers in the language of the page."""
    return current().write(value) if isinstance(value, Text | Quantity) else value


def for_page(data: Any) -> Any:
    """JSON for a script of a page, in the language of that page; for programs unchanged."""
    if not flask.has_request_context():
        return data
    language = LANGUAGES.get(flask.request.headers.get(HEADER, "").replace("-", "_"), ENGLISH)
    return data if language.is_english else _translated(data, language)


def _translated(data: Any, language: Language) -> Any:
    if isinstance(data, dict):
        return {key: _translated(value, language) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_translated(value, language) for value in data]
    return language.write(data) if isinstance(data, Text | Quantity) else data


def _vary(response: flask.Response) -> flask.Response:
    if "language" in flask.g:
        response.vary.update(("Accept-Language", "Cookie"))
    return response


@blueprint.post("/language")
def choose() -> flask.typing.ResponseReturnValue:
    """Keep the language that a person chose, and go back to the page."""
    name = flask.request.form.get("language", "")
    path = flask.request.form.get("next", "")
    is_here = access.LOCAL_PATH.fullmatch(path)
    response = flask.redirect(path if is_here else flask.url_for("classify.page"), 303)
    if name in LANGUAGES:
        response.set_cookie(
            COOKIE,
            name,
            max_age=COOKIE_S,
            path=flask.current_app.config["APPLICATION_ROOT"],
            secure=flask.request.is_secure,
            httponly=True,
            samesite="Lax",
        )
    return response
