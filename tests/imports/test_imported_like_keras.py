"""Random models answer as in Keras, on its TensorFlow backend, or are refused."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import event
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from scipy import special

from support import networks
from support.images import picture
from triptych import errors
from triptych.engines.options import EngineOptions
from triptych.imports.importer import ExternalModel
from triptych.imports.importer import Importer
from triptych.inference import classifier

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_converter")]

PHOTOS = [picture(seed) for seed in range(4)]

# What stands before the first layer with weights: all that takes pixels from 0 to 255 to what
# networks are trained on.
FRONTS = {
    "rescaling": lambda k, x: k.layers.Rescaling(1 / 255)(x),
    "signed": lambda k, x: k.layers.Rescaling(1 / 127.5, offset=-1)(x),
    "normalization": lambda k, x: k.layers.Normalization(mean=117.0, variance=4100.0)(x),
    "ops": lambda k, x: (x - 127.5) / 127.5,
    "divide": lambda k, x: k.ops.divide(x, 255.0),
    "tf": lambda k, x: k.applications.xception.preprocess_input(x),
    "caffe": lambda k, x: k.applications.resnet50.preprocess_input(x),
    "torch": lambda k, x: k.applications.densenet.preprocess_input(x),
}
COLOURS_ONLY = ("caffe", "torch")
NO_FRONT = "none"
AUGMENTATION = {
    "flip": lambda k: k.layers.RandomFlip(),
    "rotation": lambda k: k.layers.RandomRotation(0.2),
    "zoom": lambda k: k.layers.RandomZoom(0.2),
    "translation": lambda k: k.layers.RandomTranslation(0.1, 0.1),
    "contrast": lambda k: k.layers.RandomContrast(0.3),
    "brightness": lambda k: k.layers.RandomBrightness(0.3),
    "noise": lambda k: k.layers.GaussianNoise(0.5),
    "dropout": lambda k: k.layers.Dropout(0.4),
    # Keras crops in training only, though it declares the size in inference, too.
    "crop": lambda k: lambda x: k.layers.Resizing(28, 28)(k.layers.RandomCrop(28, 28)(x)),
    "resizing": lambda k: k.layers.Resizing(30, 26),
}
ENDINGS = {
    "softmax": lambda k, x: dense(k, 3, "softmax")(x),
    "logits": lambda k, x: dense(k, 3)(x),
    "softmax layer": lambda k, x: k.layers.Softmax()(dense(k, 3)(x)),
    "activation": lambda k, x: k.layers.Activation("softmax")(dense(k, 3)(x)),
    "ops.softmax": lambda k, x: k.ops.softmax(dense(k, 3)(x)),
    "identity": lambda k, x: k.layers.Identity()(dense(k, 3, "softmax")(x)),
    "reshape": lambda k, x: k.layers.Reshape((3,))(dense(k, 3, "softmax")(x)),
    "twice": lambda k, x: k.layers.Softmax()(dense(k, 3, "softmax")(x)),
    "log_softmax": lambda k, x: k.ops.log_softmax(dense(k, 3)(x)),
    "sigmoid": lambda k, x: dense(k, 1, "sigmoid")(x),
    "ops.sigmoid": lambda k, x: k.ops.sigmoid(dense(k, 1)(x)),
    "logit": lambda k, x: dense(k, 1)(x),
    "sigmoids": lambda k, x: dense(k, 3, "sigmoid")(x),
    "relu": lambda k, x: dense(k, 3, "relu")(x),
    "per cent": lambda k, x: 100.0 * dense(k, 3, "softmax")(x),
}
REFUSED = ("sigmoids", "relu", "per cent")


def dense(keras: Any, units: int, activation: str | None = None) -> Any:
    spread = keras.initializers.RandomNormal(stddev=2.0, seed=1)
    return keras.layers.Dense(units, activation=activation, kernel_initializer=spread)


BODIES = {
    "pooled": lambda k: [
        k.layers.Conv2D(6, 5, strides=2, activation="relu"),
        k.layers.GlobalAveragePooling2D(),
    ],
    "flat": lambda k: [
        k.layers.Conv2D(4, 3, strides=3, padding="same"),
        k.layers.BatchNormalization(),
        k.layers.ReLU(6.0),
        k.layers.MaxPooling2D(3, 2, "same"),
        k.layers.Flatten(),
        k.layers.Dense(5, activation="tanh"),
    ],
    "separable": lambda k: [
        k.layers.SeparableConv2D(8, 3, activation="gelu"),
        k.layers.LayerNormalization(),
        k.layers.DepthwiseConv2D(3, padding="same"),
        k.layers.GlobalMaxPooling2D(),
    ],
}


@dataclass(frozen=True)
class Drawn:
    """The layers of a model, by the names above."""

    front: str
    augmentation: tuple[str, ...]
    is_augmented_first: bool
    body: str
    ending: str
    wrapping: str
    is_grey: bool


drawn = st.builds(
    Drawn,
    front=st.sampled_from([*FRONTS, NO_FRONT]),
    augmentation=st.lists(st.sampled_from(list(AUGMENTATION)), max_size=3).map(tuple),
    is_augmented_first=st.booleans(),
    body=st.sampled_from(list(BODIES)),
    ending=st.sampled_from(list(ENDINGS)),
    wrapping=st.sampled_from(["flat", "nested", "sequential", "twice"]),
    is_grey=st.booleans(),
).filter(lambda each: not (each.is_grey and each.front in COLOURS_ONLY))


def build(keras: Any, each: Drawn) -> Any:
    """The model in Keras, with the name of another network."""
    keras.utils.set_random_seed(7)
    image = x = keras.Input((32, 36, 1 if each.is_grey else 3))
    steps = [lambda x, name=name: AUGMENTATION[name](keras)(x) for name in each.augmentation]
    front = FRONTS.get(each.front, lambda keras, x: x)
    steps.insert(len(steps) if each.is_augmented_first else 0, lambda x: front(keras, x))
    for step in steps:
        x = step(x)
    layers = BODIES[each.body](keras)
    if each.wrapping in ("nested", "twice"):
        body = keras.Sequential([keras.Input(x.shape[1:]), *layers], name="xception")
        x = body(x)
    else:
        for layer in layers:
            x = layer(x)
    model = keras.Model(image, ENDINGS[each.ending](keras, x))
    if each.wrapping == "sequential":
        return keras.Sequential([keras.Input(image.shape[1:]), model])
    if each.wrapping == "twice":
        outer = keras.Input(image.shape[1:])
        return keras.Model(outer, keras.Sequential([model, keras.layers.Identity()])(outer))
    return model


def by_keras(keras: Any, model: Any, each: Drawn) -> np.ndarray:
    """From the file of a photo to probabilities, by Keras."""
    mode = "grayscale" if each.is_grey else "rgb"
    photos = [
        keras.utils.load_img(io.BytesIO(photo), color_mode=mode, target_size=(32, 36))
        for photo in PHOTOS
    ]
    pixels = np.stack([keras.utils.img_to_array(photo) for photo in photos])
    outputs = networks.run(model, pixels / 255 if each.front == NO_FRONT else pixels)
    outputs = outputs.astype(np.float64)
    if each.ending in ("logits", "log_softmax"):
        outputs = special.softmax(outputs, axis=1)
    if each.ending == "logit":
        outputs = special.expit(outputs)
    return outputs if outputs.shape[1] > 1 else np.concatenate([1 - outputs, outputs], axis=1)


@pytest.fixture(scope="module")
def importer() -> Iterator[Importer]:
    with Importer() as importer:
        yield importer


# Six models, or eighteen where others are drawn (`make test-all`): each takes more than a second.
@settings(
    max_examples=settings.default.max_examples // 16,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(each=drawn)
def test_a_random_model_answers_as_in_keras_or_is_refused(
    each: Drawn, keras: Any, importer: Importer
) -> None:
    model = build(keras, each)
    expected = by_keras(keras, model, each)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        path = networks.save_keras(model, home / "guest.keras")
        labels = home / "labels.txt"
        labels.write_text("\n".join("abc"[: expected.shape[1]]))

        def bring(text: str | None) -> Any:
            model = ExternalModel(path, labels, text)
            return importer.import_model(model, name="guest", home=home)

        if each.front == NO_FRONT:
            with pytest.raises(errors.SettingError, match="does not tell how photos were scaled"):
                bring(None)
        else:
            with pytest.raises(errors.SettingError, match="would be scaled twice"):
                bring("-1..1")
        text = "0..1" if each.front == NO_FRONT else None
        if each.ending in REFUSED:
            event("refused")
            with pytest.raises(errors.SettingError, match="ends in"):
                bring(text)
            return
        bundle = bring(text)
        loaded = bundle.committee(EngineOptions(home=home, precision="f32"))
        answers = classifier.Classifier(loaded).score_many(list(enumerate(PHOTOS)))
        probs = np.concatenate([scores.probs for scores in answers])
    assert np.abs(probs - expected).max() < 1e-3, each
