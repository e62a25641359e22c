"""For comparison: the same three networks on LitServe, with OpenVINO at its defaults and batching.

    python litserve_app.py PORT f32|bf16 RESNET50.xml VGG16.xml XCEPTION.xml

It runs in a separate environment, so it does not import Triptych.
"""

from __future__ import annotations

import sys
from typing import Any

import litserve
import numpy as np
import openvino
from PIL import Image

CAFFE_MEAN = np.array([103.939, 116.779, 123.68], np.float32)


def caffe(pixels: np.ndarray) -> np.ndarray:
    """ResNet50's and VGG16's preprocessing in Keras."""
    return pixels[..., ::-1] - CAFFE_MEAN


def tf(pixels: np.ndarray) -> np.ndarray:
    """Xception's preprocessing in Keras."""
    return pixels / 127.5 - 1


class Trio(litserve.LitAPI):
    """Classifies with all three networks in one request."""

    def __init__(self, precision: str, paths: list[str], **options: Any) -> None:
        super().__init__(**options)
        self.precision = precision
        self.paths = paths

    def setup(self, device: str) -> None:
        """Compile the networks, in the process that runs them."""
        core, options = openvino.Core(), {"INFERENCE_PRECISION_HINT": self.precision}
        self.networks = [core.compile_model(path, "CPU", options) for path in self.paths]
        for network in self.networks:
            _, height, width, _ = network.input(0).partial_shape.get_min_shape()
            network(np.zeros((1, height, width, 3), np.float32))

    def decode_request(self, request):  # LitServe would parse the request as an annotated type
        """One photo to three inputs."""
        photo = Image.open(request["image"].file).convert("RGB")
        small, large = (
            np.asarray(photo.resize(size), np.float32) for size in ((224, 224), (299, 299))
        )
        return [caffe(small), caffe(small), tf(large)]

    def batch(self, inputs: list[list[np.ndarray]]) -> list[np.ndarray]:
        """Photos to one batch per network."""
        return [np.stack(batch) for batch in zip(*inputs, strict=True)]

    def predict(self, batches: list[np.ndarray]) -> list[np.ndarray]:
        """Probabilities of each network, (N, classes)."""
        return [network(batch)[0] for network, batch in zip(self.networks, batches, strict=True)]

    def unbatch(self, output: list[np.ndarray]) -> list[Any]:
        """One answer per photo."""
        return list(zip(*output, strict=True))

    def encode_response(self, output: Any) -> dict[str, Any]:
        """The three most probable classes of each network."""
        return {
            "members": [
                [[int(number), float(probs[number])] for number in probs.argsort()[::-1][:3]]
                for probs in output
            ]
        }


def main() -> None:
    """Serve."""
    port, precision, *paths = sys.argv[1:]
    trio = Trio(precision, paths, max_batch_size=8, batch_timeout=0.01)
    server = litserve.LitServer(trio, accelerator="cpu")
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False)


if __name__ == "__main__":
    main()
