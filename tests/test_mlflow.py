"""A bundle as an MLflow model: logged to a file store, loaded, and served by MLflow."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import triptych
from support.bundles import RUNNABLE_CLASSES
from support.bundles import write_multilabel
from support.bundles import write_runnable
from support.images import picture
from triptych import bundles
from triptych import errors
from triptych import mlflow as mlflow_model
from triptych.cli import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
    # Not imported here, which takes a second of each worker that collects the tests.
    pytest.mark.skipif(not importlib.util.find_spec("mlflow"), reason="needs MLflow"),
]

SETTINGS = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> bundles.Bundle:
    return write_runnable(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A file store, which this process logs to."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            **SETTINGS,
            "MLFLOW_TRACKING_URI": f"file://{folder}/store",
            "TRIPTYCH_HOME": str(folder / "home"),
            "TRIPTYCH_PRECISION": "f32",
        }.items():
            patch.setenv(name, value)
        yield str(folder)


@pytest.fixture(scope="module")
def model_uri(tiny: bundles.Bundle, store: str) -> str:
    return str(mlflow_model.log(tiny, registered_name="tiny").model_uri)


@pytest.fixture(scope="module")
def model(model_uri: str) -> Any:
    import mlflow

    return mlflow.pyfunc.load_model(model_uri)


def verdict(tiny: bundles.Bundle, photo: Any) -> dict[str, Any]:
    home = tiny.folder.parents[2]
    return triptych.load("tiny", home=home, precision="f32").classify(photo).to_dict()


def test_a_logged_model_answers_as_the_bundle(
    tiny: bundles.Bundle, model: Any, tmp_path: Path
) -> None:
    import pandas

    file = tmp_path / "photo.jpg"
    file.write_bytes(picture(4))
    table = pandas.DataFrame({"image": [picture(3), None], "path": [None, str(file)]})
    rows = model.predict(table).to_dict("records")
    assert [row["source"] for row in rows] == ["row 0", str(file)]
    for row, photo in zip(rows, (picture(3), picture(4)), strict=True):
        expected = verdict(tiny, photo)
        for name in ("label", "id", "prob", "status", "rule", "top", "novelty"):
            assert row[name] == expected["verdict"][name], name
        assert row["set"] == expected["verdict"]["set"]["labels"]
        assert row["coverage"] == expected["verdict"]["set"]["coverage"]
        assert row["members"] == expected["members"]
        assert row["error"] is None
    encoded = base64.b64encode(picture(3)).decode()
    texts = pandas.DataFrame({"image": [encoded, f"data:image/jpeg;base64,{encoded}"]})
    assert [row["prob"] for row in model.predict(texts).to_dict("records")] == 2 * [rows[0]["prob"]]
    (one,) = model.predict(pandas.DataFrame({"image": [picture(3)]}), params={"top": 1})["top"]
    assert len(one) == 1


def test_a_row_that_cannot_be_classified_says_why_and_the_others_are_answered(model: Any) -> None:
    import pandas

    table = pandas.DataFrame(
        {
            "image": [b"no photo", picture(3), None, picture(3), None],
            "path": [None, None, "/nowhere.jpg", "both.jpg", None],
        }
    )
    rows = model.predict(table).to_dict("records")
    assert [row["label"] in RUNNABLE_CLASSES for row in rows] == [False, True, False, False, False]
    assert rows[0]["code"] == "not_an_image"
    assert "nowhere.jpg" in rows[2]["error"]
    assert rows[3]["error"] == "Expected either 'image' or 'path', got 2."
    assert rows[4]["error"] == "Expected either 'image' or 'path', got 0."
    (text,) = model.predict(pandas.DataFrame({"image": ["no base64!"]}))["error"]
    assert "is a text that is not base64" in text
    with pytest.raises(errors.SettingError, match="Expected a table with a column 'image'"):
        model.predict([picture(3)])


def test_the_signature_is_that_of_the_answers(model: Any, model_uri: str) -> None:
    import mlflow
    import pandas
    from mlflow.models.utils import _enforce_schema

    signature = mlflow.models.get_model_info(model_uri).signature
    assert signature.inputs.input_names() == ["image", "path"]
    answers = model.predict(pandas.DataFrame({"image": [picture(3)]}))
    assert list(answers.columns) == signature.outputs.input_names()
    _enforce_schema(answers, signature.outputs)
    failed = model.predict(pandas.DataFrame({"image": [b"no photo"]}))
    _enforce_schema(failed[["source", "error", "code"]], signature.outputs)


def test_nothing_is_pickled_and_the_files_are_those_of_the_bundle(
    tiny: bundles.Bundle, model_uri: str
) -> None:
    import mlflow

    folder = Path(mlflow.artifacts.download_artifacts(model_uri))
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert not [name for name in written if name.endswith((".pkl", ".pickle", ".cloudpickle"))]
    assert {f"data/1/{name}" for name in (*tiny.about["files"], "bundle.json")} <= written
    described = (folder / "MLmodel").read_text()
    assert "loader_module: triptych.mlflow" in described
    assert "cloudpickle_version" not in described
    assert re.search(r"^triptych\[mlflow\]==", (folder / "requirements.txt").read_text(), re.M)
    network = folder / "data" / "1" / "members" / "small" / "network.bin"
    network.write_bytes(bytes(network.stat().st_size))
    with pytest.raises(errors.BundleError, match="is not the file that was written"):
        mlflow.pyfunc.load_model(str(folder))


@contextlib.contextmanager
def serving(model_uri: str, log: Path) -> Iterator[str]:
    """The address of ``mlflow models serve``, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with (
        log.open("w") as file,
        subprocess.Popen(
            [*command, "-m", model_uri, "--host", "127.0.0.1", "--port", str(port)],
            stdout=file,
            stderr=file,
            # MLflow starts uvicorn by its name.
            env={**os.environ, "MLFLOW_MODEL_SERVER_WORKERS": "1", "PATH": path},
            start_new_session=True,
        ) as process,
    ):
        try:
            address = f"http://127.0.0.1:{port}"
            while True:
                assert process.poll() is None, log.read_text()
                with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/ping"):
                    break
                time.sleep(0.1)
            yield address
        finally:
            os.killpg(process.pid, 15)


def test_mlflow_serves_a_model_that_a_command_logged(
    tiny: bundles.Bundle, store: str, tmp_path: Path
) -> None:
    home = str(tiny.folder.parents[2])
    logged = CliRunner().invoke(main, ["bundles", "log", "tiny", "--no-paths", "--home", home])
    assert logged.exit_code == 0, logged.output
    uri = logged.stdout.strip().splitlines()[-1]

    encoded = base64.b64encode(picture(3)).decode()
    records = [{"image": encoded}, {"image": base64.b64encode(b"text").decode()}]
    with serving(uri, tmp_path / "log.txt") as address:

        def ask(body: dict[str, Any]) -> list[dict[str, Any]]:
            request = urllib.request.Request(
                f"{address}/invocations",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request) as answer:
                return list(json.load(answer)["predictions"])

        right, wrong = ask({"dataframe_records": records, "params": {"top": 2}})
        (refused,) = ask({"dataframe_records": [{"path": __file__}]})
    expected = verdict(tiny, picture(3))["verdict"]
    assert (right["label"], right["status"]) == (expected["label"], expected["status"])
    assert right["prob"] == pytest.approx(expected["prob"], abs=1e-6)
    assert len(right["top"]) == 2
    assert (wrong["label"], wrong["code"]) == (None, "not_an_image")
    assert "does not read paths" in refused["error"]


def test_errors_are_in_words(
    tiny: bundles.Bundle, store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mlflow_model.save(tiny, tmp_path / "model")
    with pytest.raises(errors.SourceError, match=r"MLflow does not take the model: .*already"):
        mlflow_model.save(tiny, tmp_path / "model")
    monkeypatch.setattr(mlflow_model.extras.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.SettingError, match=r'pip install "triptych\[mlflow\]"'):
        mlflow_model.log(tiny)


def test_a_multilabel_model_answers_all_classes_that_hold(
    store: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import mlflow
    import pandas

    bowls = write_multilabel(tmp_path_factory.mktemp("bowls"))
    model = mlflow.pyfunc.load_model(mlflow_model.log(bowls).model_uri)
    photos = [picture(seed) for seed in range(4)]
    rows = model.predict(pandas.DataFrame({"image": [*photos, b"no photo"]})).to_dict("records")
    home = bowls.folder.parents[2]
    classifier = triptych.load("bowls", home=home, precision="f32")
    expected = [classifier.classify(photo).to_dict()["verdict"] for photo in photos]
    assert [row["labels"] for row in rows] == [*(each["labels"] for each in expected), None]
    assert [row["set"] for row in rows] == [None] * 5
    assert any(len(each["labels"]) > 1 for each in expected)
