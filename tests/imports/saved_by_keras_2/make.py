"""Makes ``keras_model.h5`` and ``expected.json``: pip install tf_keras==2.21.0 tensorflow-cpu.

The model has the layout of Teachable Machine's image models, with a small network in the place
of MobileNetV2: a Sequential of one with network and pooling, and one with two dense layers.
"""

import json
from pathlib import Path

import numpy as np
import tf_keras as keras

HERE = Path(__file__).parent

keras.utils.set_random_seed(0)
image = keras.Input((32, 32, 3), name="input_1")
x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="Conv1")(image)
x = keras.layers.BatchNormalization(name="bn_Conv1")(x)
x = keras.layers.ReLU(6.0, name="Conv1_relu")(x)
x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
x = keras.layers.BatchNormalization(name="depthwise_BN")(x)
network = keras.Model(image, keras.layers.ReLU(6.0, name="out_relu")(x), name="network")
rng = np.random.default_rng(0)
for layer in network.layers:
    if isinstance(layer, keras.layers.BatchNormalization):
        gamma, beta, mean, variance = (w.shape for w in layer.get_weights())
        layer.set_weights(
            [
                rng.uniform(0.5, 2.0, gamma),
                rng.normal(0.3, 0.3, beta),
                rng.normal(0, 0.3, mean),
                rng.uniform(0.2, 0.6, variance),
            ]
        )
pooled = keras.Sequential([network, keras.layers.GlobalAveragePooling2D()], name="sequential_1")
spread = keras.initializers.RandomNormal(stddev=0.25, seed=1)
head = keras.Sequential(
    [
        keras.Input((8,)),
        keras.layers.Dense(16, activation="relu", kernel_initializer=spread, name="dense"),
        keras.layers.Dense(
            3, activation="softmax", use_bias=False, kernel_initializer=spread, name="dense_2"
        ),
    ],
    name="sequential_3",
)
model = keras.Sequential([pooled, head], name="sequential_4")
photos = np.random.default_rng(1).integers(0, 256, (6, 2, 2, 3)).repeat(16, 1).repeat(16, 2)
expected = model.predict(photos.astype(np.float32) / 127.5 - 1, verbose=0)
model.save(HERE / "keras_model.h5")
text = json.dumps({"expected": expected.tolist()}, allow_nan=False)
(HERE / "expected.json").write_text(text + "\n")
print(expected)
