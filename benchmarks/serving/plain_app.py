"""For comparison: an app as in most tutorials, with Flask, gevent, and a route per network.

    python plain_app.py PORT BACKBONE [BACKBONE ...]

It calls `model.predict`, with random weights (speed does not depend on the values), and returns
class numbers. The networks are the Keras models that Triptych builds, which for those of
`keras.applications` are Keras' own.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import flask
import keras
import numpy as np
from gevent.pywsgi import WSGIServer

from triptych.models import zoo
from triptych.preprocessing import recipe

app = flask.Flask(__name__)


def add_route(name: str) -> keras.Model:
    """Build a network and serve it at its name."""
    backbone = zoo.find(name)
    model = backbone.build()
    app.add_url_rule(f"/{name}", name, answer(model, backbone.recipe), methods=["POST"])
    return model


def answer(model: keras.Model, photo_recipe: recipe.Recipe) -> Callable[[], flask.Response]:
    """A view that gives the three most probable classes of the uploaded photo."""

    def view() -> flask.Response:
        uploaded = io.BytesIO(flask.request.files["image"].read())
        image = keras.utils.load_img(uploaded, target_size=photo_recipe.size)
        batch = np.expand_dims(keras.utils.img_to_array(image, dtype="uint8"), axis=0)
        probs = model.predict(recipe.scale(photo_recipe, batch), verbose=0)[0]
        best = probs.argsort()[::-1][:3]
        return flask.jsonify(top=[[int(number), float(probs[number])] for number in best])

    return view


def main() -> None:
    """Warm up and serve."""
    for name in sys.argv[2:]:
        model = add_route(name)
        model.predict(np.zeros((1, *zoo.find(name).recipe.size, 3), np.float32), verbose=0)
    WSGIServer(("127.0.0.1", int(sys.argv[1])), app, log=None).serve_forever()


if __name__ == "__main__":
    main()
