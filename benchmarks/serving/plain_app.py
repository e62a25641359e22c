"""For comparison: an app as in most tutorials, with Flask, gevent, and a route per network.

    python plain_app.py PORT

It calls `model.predict`, with random weights, and returns class numbers, as names would have to be
downloaded.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import flask
import keras
import numpy as np
from gevent.pywsgi import WSGIServer
from keras.applications import resnet50
from keras.applications import vgg16
from keras.applications import xception

app = flask.Flask(__name__)
resnet50_model = resnet50.ResNet50(weights=None)
vgg16_model = vgg16.VGG16(weights=None)
xception_model = xception.Xception(weights=None)


@app.post("/resnet50")
def ask_resnet50() -> flask.Response:
    """The first network's answer."""
    return answer(resnet50_model, resnet50.preprocess_input)


@app.post("/vgg16")
def ask_vgg16() -> flask.Response:
    """The second network's answer."""
    return answer(vgg16_model, vgg16.preprocess_input)


@app.post("/xception")
def ask_xception() -> flask.Response:
    """The third network's answer."""
    return answer(xception_model, xception.preprocess_input)


def answer(model: keras.Model, preprocess: Any) -> flask.Response:
    """The three most probable classes of the uploaded photo."""
    uploaded = io.BytesIO(flask.request.files["image"].read())
    image = keras.utils.load_img(uploaded, target_size=model.input_shape[1:3])
    batch = np.expand_dims(keras.utils.img_to_array(image), axis=0)
    probs = model.predict(preprocess(batch), verbose=0)[0]
    best = probs.argsort()[::-1][:3]
    return flask.jsonify(top=[[int(number), float(probs[number])] for number in best])


def main() -> None:
    """Warm up and serve."""
    for model in (resnet50_model, vgg16_model, xception_model):
        model.predict(np.zeros((1, *model.input_shape[1:]), np.float32), verbose=0)
    WSGIServer(("127.0.0.1", int(sys.argv[1])), app, log=None).serve_forever()


if __name__ == "__main__":
    main()
