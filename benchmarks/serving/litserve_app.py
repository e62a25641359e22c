"""For comparison: the same networks on LitServe, with OpenVINO.

    python litserve_app.py PORT JOB.json

The job says which networks (files, input size, scaling), at which precision, and how LitServe runs
them: `workers`, `threads` of each, `max_batch_size` and `batch_timeout`. A photo is resized to the
input of each network, without a crop. It runs in a separate environment, so it does not import
Triptych.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np
import openvino
from PIL import Image

CAFFE_MEAN = np.array([103.939, 116.779, 123.68], np.float32)
REQUEST_S = 120.0  # its default of 30 s refuses the last of 64 clients of slow networks

SCALE = {
    "caffe": lambda pixels: pixels[..., ::-1] - CAFFE_MEAN,
    "tf": lambda pixels: pixels / np.float32(127.5) - 1,
    "lite": lambda pixels: (pixels - 127) / np.float32(128),
}


class Committee(litserve.LitAPI):
    """Classifies with all networks in one request."""

    def __init__(self, job: dict[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.job = job

    def setup(self, device: str) -> None:
        """Compile the networks, in the process that runs them."""
        core, options = openvino.Core(), {}
        if self.job["precision"] != "auto":
            options["INFERENCE_PRECISION_HINT"] = self.job["precision"]
        if self.job["threads"]:
            options |= {"INFERENCE_NUM_THREADS": self.job["threads"], "ENABLE_CPU_PINNING": False}
        self.networks = [
            core.compile_model(network["path"], "CPU", options) for network in self.job["networks"]
        ]
        for network, about in zip(self.networks, self.job["networks"], strict=True):
            network(np.zeros((1, *about["size"], 3), np.float32))

    def decode_request(self, request):  # LitServe would parse the request as an annotated type
        """One photo to the input of each network."""
        photo = Image.open(request["image"].file).convert("RGB")
        resized: dict[tuple[int, int], np.ndarray] = {}
        inputs = []
        for network in self.job["networks"]:
            size = tuple(network["size"][::-1])
            if size not in resized:
                resized[size] = np.asarray(photo.resize(size), np.float32)
            inputs.append(SCALE[network["scaling"]](resized[size]))
        return inputs

    def predict(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Probabilities of each network, (C,)."""
        return [row[0] for row in self._run([pixels[np.newaxis] for pixels in inputs])]

    def encode_response(self, output: Any) -> dict[str, Any]:
        """The three most probable classes of each network."""
        return {
            "members": [
                [[int(number), float(probs[number])] for number in probs.argsort()[::-1][:3]]
                for probs in output
            ]
        }

    def _run(self, batches: list[np.ndarray]) -> list[np.ndarray]:
        return [network(batch)[0] for network, batch in zip(self.networks, batches, strict=True)]


class BatchedCommittee(Committee):
    """The same in batches; LitServe refuses these methods where a batch is one photo."""

    def batch(self, inputs: list[list[np.ndarray]]) -> list[np.ndarray]:
        """Photos to one batch per network."""
        return [np.stack(batch) for batch in zip(*inputs, strict=True)]

    def predict(self, batches: list[np.ndarray]) -> list[np.ndarray]:
        """Probabilities of each network, (N, C)."""
        return self._run(batches)

    def unbatch(self, output: list[np.ndarray]) -> list[Any]:
        """One answer per photo."""
        return list(zip(*output, strict=True))


def main() -> None:
    """Serve."""
    port, job = int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    if job["max_batch_size"] > 1:
        batching = {name: job[name] for name in ("max_batch_size", "batch_timeout")}
        committee = BatchedCommittee(job, **batching)
    else:
        committee = Committee(job)
    server = litserve.LitServer(
        committee, accelerator="cpu", workers_per_device=job["workers"], timeout=REQUEST_S
    )
    server.run(host="127.0.0.1", port=port, generate_client_file=False)


if __name__ == "__main__":
    main()
