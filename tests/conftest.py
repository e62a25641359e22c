"""Fixtures and the environment that every test shares."""

from __future__ import annotations

import os
import warnings
from importlib import metadata
from pathlib import Path

import hypothesis
import pytest
from flask import Flask
from flask.testing import FlaskClient

import fake_studio
from triptych import settings
from triptych.web import create_app
from triptych.web.registry import Registry

# A browser, for the modules that use one.
pytest_plugins = ["browsing"]

# Before anything imports Keras: TensorFlow is the reference the engines are compared with.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
for name in [name for name in os.environ if name.startswith("TRIPTYCH_")]:
    del os.environ[name]
# A busy machine makes no test fail; speed is measured in benchmarks.
hypothesis.settings.register_profile("triptych", deadline=None)
hypothesis.settings.load_profile("triptych")


def pytest_report_header() -> str:
    names = ("keras", "tensorflow-cpu", "openvino", "numpy", "pillow", "flask", "gevent")
    found = [f"{d.metadata['Name']} {d.version}" for d in metadata.distributions()]
    lowered = {line.split()[0].lower(): line for line in found}
    return "with " + ", ".join(lowered[name] for name in names if name in lowered)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One TRIPTYCH_HOME for the whole run, so that networks are converted once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def _own_folders(
    home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the person who runs the tests is read or written."""
    monkeypatch.setenv("TRIPTYCH_HOME", str(home))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))


@pytest.fixture(scope="session")
def keras():  # type: ignore[no-untyped-def]
    """Keras on the TensorFlow backend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras
    return keras


@pytest.fixture(scope="session")
def photos() -> Path:
    """The photos that lie beside the checkout on the project's own machines."""
    folder = Path(__file__).parent.parent.parent / "shared" / "data" / "imagenet-mini"
    if not folder.is_dir():
        pytest.skip("needs the labelled photos of shared/data/imagenet-mini")
    return folder


@pytest.fixture
def registry() -> Registry:
    """Two committees; the default one is loaded, as a server does before it opens."""
    registry = Registry(fake_studio.load, fake_studio.offers("lite", "classic"), "lite")
    registry.get()
    return registry


@pytest.fixture
def app(registry: Registry) -> Flask:
    return create_app(settings.load({}, max_request_images=4), registry)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
