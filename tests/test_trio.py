"""The article's trio from official files to answers, against keras.applications itself.

No real weights can be had without the internet, so Keras saves random ones in the official
layout, a server on this machine offers them, and `triptych pull` fetches them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from functools import partial
from http.server import SimpleHTTPRequestHandler
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import networks
import triptych
from pictures import picture
from triptych import zoo
from triptych.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MODULES = {"ResNet50": "resnet50", "VGG16": "vgg16", "Xception": "xception"}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def keras_models(keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """keras.applications' own networks, with a mirror of files that hold their weights."""
    models = {}
    keras.utils.set_random_seed(0)
    for name in zoo.COMMITTEES["classic"]:
        row = zoo.find(name)
        model = getattr(keras.applications, name)(weights=None)
        networks.shake(model, reach=100 if row.recipe.scaling == "caffe" else 1)
        path = tmp_path / "mirror" / row.weights.file
        networks.save_official(model, path)
        digest = f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}"
        pinned = dataclasses.replace(row, weights=dataclasses.replace(row.weights, hash=digest))
        monkeypatch.setitem(zoo.BACKBONES, name, pinned)
        models[name] = model
    return models


def test_pull_and_classify_equal_keras_applications(
    keras: Any, keras_models: dict[str, Any], tmp_path: Path
) -> None:
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "mirror"))
    )
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        ran = CliRunner().invoke(main, ["pull", "classic", "--from", address])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert ran.exit_code == 0, ran.output

    photo = tmp_path / "photo.png"
    photo.write_bytes(picture(7, size=(240, 320), form="PNG"))
    classifier = triptych.load("auto", precision="f32", home=tmp_path / "home")
    assert classifier.committee.name == "classic"
    verdict = classifier.classify(photo, fit="square", top=1000)

    expected = []
    for prediction in verdict.members:
        model = keras_models[prediction.name]
        size = model.input_shape[1:3]
        loaded = keras.utils.load_img(photo, target_size=size, interpolation="bicubic")
        module = getattr(keras.applications, MODULES[prediction.name])
        batch = module.preprocess_input(keras.utils.img_to_array(loaded)[None])
        expected.append(np.asarray(model.predict_on_batch(batch))[0])
        ours = np.empty(1000)
        for guess in prediction.top:
            ours[guess.label.index] = guess.prob
        assert np.abs(ours - expected[-1]).max() < 1e-4
        assert [g.label.index for g in prediction.top[:3]] == list(np.argsort(-expected[-1])[:3])
    mean = np.mean(expected, axis=0)
    assert verdict.label.index == mean.argmax()
    assert verdict.prob == pytest.approx(mean.max(), abs=1e-4)
