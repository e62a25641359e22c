"""Fixtures and the environment that every test shares."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Generator
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from typing import ClassVar

import hypothesis
import jinja2
import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2.bccache import Bucket
from werkzeug.routing import Rule

from support import studios
from triptych import settings
from triptych.engines.conversion import convert
from triptych.utils import extras
from triptych.web import create_app
from triptych.web.registry import Registry

# A browser, and one process that converts, for the modules that use them.
pytest_plugins = ["support.browser", "support.conversion"]

# Before anything imports Keras: TensorFlow is the reference the engines are compared with. The
# files that compare another backend of Keras with OpenVINO say how.
os.environ["KERAS_BACKEND"] = os.environ.get("TEST_BACKEND", "tensorflow")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
# Processes that tests start import `support`, too.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")])
)
# Nothing of the person who runs the tests changes them, but for the precision of the networks:
# `make test PRECISION=f32` runs as on a processor without bf16.
for name in [name for name in os.environ if name.startswith("TRIPTYCH_")]:
    if name != "TRIPTYCH_PRECISION":
        del os.environ[name]
# A busy machine makes no test fail; speed is measured in benchmarks. The same examples every time:
# a red run means that a change broke something. `make test-all` draws others.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None, derandomize=False, max_examples=300)
hypothesis.settings.load_profile("same")


class CompiledTemplates(jinja2.BytecodeCache):
    """Compiled templates of this process: most tests create an application of their own."""

    def __init__(self) -> None:
        self._bytecode: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._bytecode:
            bucket.bytecode_from_string(self._bytecode[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._bytecode[bucket.key] = bucket.bytecode_to_string()


class CompiledRule(Rule):
    """Rules of URLs, likewise: Werkzeug compiles two functions for each."""

    _builders: ClassVar[dict[str, Any]] = {}

    def _compile_builder(self, append_unknown: bool = True) -> Any:
        key = f"{self._trace} {self.defaults} {append_unknown}"
        if key not in self._builders:
            self._builders[key] = super()._compile_builder(append_unknown)
        return self._builders[key]


Flask.jinja_options["bytecode_cache"] = CompiledTemplates()
Flask.url_rule_class = CompiledRule

# What files are called that start clusters.
RAY = "test_scale_"


def pytest_report_header() -> str:
    names = ("keras", "tensorflow-cpu", "openvino", "numpy", "pillow", "flask", "gevent")
    installed = [f"{d.metadata['Name']} {d.version}" for d in metadata.distributions()]
    lowered = {line.split()[0].lower(): line for line in installed}
    precision = os.environ.get("TRIPTYCH_PRECISION", "auto")
    return f"precision {precision}, with " + ", ".join(
        lowered[name] for name in names if name in lowered
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that need Ray go first, then those with a browser, and those with slow tests next.

    Where such a file came last, all other workers would wait for it. And as the browser's files
    come in a row, and hold no other tests, a worker starts one Chromium for all that it gets.
    """
    ray, browser, slow = (
        {item.path for item in items if item.get_closest_marker(kind)}
        for kind in ("ray", "browser", "slow")
    )
    assert all(path.name.startswith(RAY) for path in ray), f"call files with Ray {RAY}...py"
    mixed = {
        item.path
        for item in items
        if item.path in browser and not item.get_closest_marker("browser")
    }
    assert not mixed, f"keep tests with a browser in files of their own: {mixed}"
    items.sort(
        key=lambda item: (item.path not in ray, item.path not in browser, item.path not in slow)
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Collect without the garbage collector: imported objects stay, and are many to traverse."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)  # of xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests run on one worker, and all that need Ray on the same: one cluster is enough.

    Not by xdist's own groups: with pytest 9.2 they are overlooked.
    """
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return RAY if RAY in file else file

    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted networks: one folder for all tests of a run, so that each is converted once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "engines"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def _removed_when_passed(
    request: pytest.FixtureRequest, engines: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Remove what a file of tests wrote, unless one failed: all files together fill a small disk.

    What later files use, too, belongs beside `engines`, which is made before this looks.
    """
    folder = tmp_path_factory.getbasetemp()
    failed = request.session.testsfailed
    kept = set(folder.iterdir())
    yield
    if request.session.testsfailed == failed:
        for path in set(folder.iterdir()) - kept:
            if path.is_symlink() or path.is_file():
                path.unlink()
            else:
                shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def home(engines: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TRIPTYCH_HOME for a file of tests, not shared with other files."""
    home = tmp_path_factory.mktemp("home")
    (home / "engines").symlink_to(engines, target_is_directory=True)
    return home


_test_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _isolated_folders(
    _removed_when_passed: None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep tests away from the folders of the person who runs them."""
    monkeypatch.setenv("TRIPTYCH_HOME", str(home))
    monkeypatch.setenv("KERAS_HOME", str(home.with_name(f"keras-{next(_test_numbers)}")))


@pytest.fixture(scope="session")
def keras():  # type: ignore[no-untyped-def]
    """Keras on the TensorFlow backend."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # As in the program's own processes: a third less time to import.
        patch.setattr("sys.meta_path", [convert.Hidden(*convert.NEEDLESS), *sys.meta_path])
        warnings.simplefilter("ignore")
        with extras.large_import():
            import keras
    return keras


@pytest.fixture(scope="session")
def photos() -> Path:
    """Photos beside the checkout, which only the project's machines have."""
    folder = Path(__file__).parent.parent.parent / "shared" / "data" / "imagenet-mini"
    if not folder.is_dir():
        pytest.skip("needs the labelled photos of shared/data/imagenet-mini")
    return folder


@pytest.fixture
def terminal() -> Iterator[None]:
    """As on a terminal: a process that was started in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def registry() -> Registry:
    """Two committees; the default one is loaded, as a server does before it opens."""
    registry = Registry(studios.fake_classifier, studios.catalogue("lite", "classic"), "lite")
    registry.get()
    return registry


@pytest.fixture
def app(registry: Registry) -> Flask:
    return create_app(settings.load({}, max_request_images=4), registry)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
