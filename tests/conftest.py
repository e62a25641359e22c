"""Fixtures that several test files share."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

import fake_studio
from triptych import settings
from triptych.web import create_app
from triptych.web.registry import Registry


@pytest.fixture(autouse=True)
def no_weights_of_this_machine(monkeypatch, tmp_path):
    """Tests see no weights of Keras, whatever the machine's cache holds."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


@pytest.fixture
def registry() -> Registry:
    """Two committees; the default one is loaded, as a server does before it opens."""
    registry = Registry(fake_studio.load, ["lite", "classic"], "lite")
    registry.get()
    return registry


@pytest.fixture
def app(registry) -> Flask:
    return create_app(settings.load({}, max_request_images=4), registry)


@pytest.fixture
def client(app) -> FlaskClient:
    return app.test_client()
