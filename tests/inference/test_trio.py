"""The committee `classic` from weight files to answers, against keras.applications.

The real weights need the internet, so Keras saves random ones in the same layout, a local server
offers them, and `triptych pull` downloads them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import triptych
from support import networks
from support.images import picture
from triptych import errors
from triptych.cli import main
from triptych.engines.activation_maps import ActivationMaps
from triptych.engines.conversion import store
from triptych.inference.classifier import ClassifyOptions
from triptych.inference.classifier import Scores
from triptych.models import zoo

pytestmark = pytest.mark.slow

MODULES = {"ResNet50": "resnet50", "VGG16": "vgg16", "Xception": "xception"}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def keras_models(keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The networks of keras.applications, and a mirror with files of their weights."""
    models = {}
    keras.utils.set_random_seed(0)
    for name in zoo.COMMITTEES["classic"]:
        row = zoo.find(name)
        model = getattr(keras.applications, name)(weights=None)
        networks.randomize(model, reach=100 if row.recipe.scaling == "caffe" else 1)
        path = tmp_path / "mirror" / row.weights.file
        networks.save_applications_weights(model, path)
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
    shutil.rmtree(tmp_path / "mirror")  # 0.7 GB
    assert ran.exit_code == 0, ran.output

    # As many as `randomize` asked Keras about: it compiles each network once.
    photos = [tmp_path / f"{number}.png" for number in range(2)]
    for seed, path in enumerate(photos, 7):
        path.write_bytes(picture(seed, size=(240, 320), format="PNG"))
    classifier = triptych.load("auto", precision="f32", home=tmp_path / "home", max_batch=2)
    assert classifier.committee.name == "classic"
    verdict = classifier.classify(photos[0], fit="square", top=1000)
    named = [(path.name, path) for path in photos]
    together = list(classifier.score_many(named, ClassifyOptions(fit="square")))

    expected = []
    for index, prediction in enumerate(verdict.members):
        model = keras_models[prediction.name]
        size = model.input_shape[1:3]
        loaded = [
            keras.utils.load_img(path, target_size=size, interpolation="bicubic") for path in photos
        ]
        module = getattr(keras.applications, MODULES[prediction.name])
        batch = module.preprocess_input(np.stack([*map(keras.utils.img_to_array, loaded)]))
        by_keras = networks.run(model, batch)
        for scores, row in zip(together, by_keras, strict=True):
            assert isinstance(scores, Scores)
            assert np.abs(scores.probs[index] - row).max() < 1e-4
        expected.append(by_keras[0])
        ours = np.empty(1000)
        for guess in prediction.top:
            ours[guess.label.index] = guess.prob
        assert np.abs(ours - expected[-1]).max() < 1e-4
        assert [g.label.index for g in prediction.top[:3]] == list(np.argsort(-expected[-1])[:3])
    mean = np.mean(expected, axis=0)
    assert verdict.label.index == mean.argmax()
    assert verdict.prob == pytest.approx(mean.max(), abs=1e-4)

    (vgg16,) = store.prepare([zoo.find("VGG16")], home=tmp_path / "home")
    with pytest.raises(errors.EngineError, match="has no map to show"):  # it bends after the mean
        ActivationMaps(vgg16)
