"""A backbone that only tests know: real layers and a row of the zoo, and hardly any work.

In any backbone of the zoo, TensorFlow prepares one training step for longer than a test may take.

python -m support.tiny_backbone  (the conversion process, which then knows it, too)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from triptych.engines.conversion import convert
from triptych.engines.conversion import requests
from triptych.models import zoo
from triptych.preprocessing.recipe import Recipe

TINY = zoo.Backbone(
    name="TinyNet",
    family="TinyNet",
    builder="support.tiny_backbone:build",
    recipe=Recipe((64, 64), "tf"),
    feature_length=48,
    parameters=60_744,
    multiply_adds=3_685_248,
    top1=0.5,
    weights=zoo.WeightsSource("tiny.h5", None, None, None, 0.3),
    licence="Apache-2.0",
    paper="none, 2026",
)


def build(weights: None, input_shape: tuple[int, int, int]) -> Any:
    """Four convolutions, one of them depthwise, with batch norms."""
    import keras

    layers = keras.layers
    image = x = keras.Input(input_shape)
    for convolution in (
        layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False),
        layers.DepthwiseConv2D(3, padding="same", use_bias=False),
        layers.Conv2D(24, 1, use_bias=False),
        layers.Conv2D(48, 3, strides=2, padding="same", use_bias=False),
    ):
        # Without momentum its statistics are those of the last batch.
        x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.0)(convolution(x)))
    features = layers.GlobalAveragePooling2D()(x)
    probs = layers.Dense(1000, activation="softmax", name="predictions")(features)
    return keras.Model(image, probs, name="tiny")


def drawn() -> Any:
    """The network with weights drawn by lot, and with statistics of random pictures.

    With others it would be ill-conditioned: any step of training would ruin it.
    """
    import keras

    keras.utils.set_random_seed(0)
    model = TINY.build()
    rng = np.random.default_rng(0)
    for _ in range(4):  # a norm's statistics are right once those of the norms before it are
        blocks = rng.uniform(-1, 1, (32, 8, 8, 3)).astype(np.float32)
        model(blocks.repeat(8, axis=1).repeat(8, axis=2), training=True)
    return model


if __name__ == "__main__":
    zoo.BACKBONES[TINY.name] = TINY
    requests.serve(convert._answer, prepare=convert._prepare)
