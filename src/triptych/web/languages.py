"""The texts of pages in the language of the person."""

from __future__ import annotations

import flask


def register(app: flask.Flask) -> None:
    """Let templates translate: ``_('...')``, ``ngettext``, ``{% trans %}``."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_null_translations(newstyle=True)  # type: ignore[attr-defined]
