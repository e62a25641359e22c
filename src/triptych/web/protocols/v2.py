"""The Open Inference Protocol, which KServe and Triton speak, over HTTP.

Source: https://github.com/kserve/open-inference-protocol, and Triton's extensions for binary
tensor data, classification and model configuration.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flask

import triptych
from triptych.web import body as web_body
from triptych.web import context
from triptych.web import health
from triptych.web import uploads
from triptych.web.protocols import exchange
from triptych.web.protocols import serving

EXTENSIONS = ("binary_tensor_data", "classification", "model_configuration", "model_repository")
PLATFORM = "triptych_committee"
# Names of tensor types in the model configuration.
CONFIG_TYPES = {"FP32": "TYPE_FP32", "BYTES": "TYPE_STRING"}
HEADER_LENGTH = "Inference-Header-Content-Length"

blueprint = flask.Blueprint("v2", __name__)


@blueprint.get("/v2")
def server() -> dict[str, Any]:
    """The name and version of the server, and the extensions it supports."""
    return {"name": "triptych", "version": triptych.__version__, "extensions": list(EXTENSIONS)}


@blueprint.get("/v2/health/live")
def live() -> dict[str, bool]:
    """Says that the server can answer at all."""
    return {"live": True}


@blueprint.get("/v2/health/ready")
def ready() -> tuple[dict[str, bool], int]:
    """Says whether the default committee answers at once; 503 if not."""
    is_ready = not health.unready()
    return {"ready": is_ready}, 200 if is_ready else 503


@blueprint.get("/v2/models/<name>")
@blueprint.get("/v2/models/<name>/versions/<version>")
def metadata(name: str, version: str | None = None) -> dict[str, Any]:
    """The inputs and outputs of a committee."""
    model = serving.find_model(name, version)
    return {
        "name": model.name,
        "versions": model.versions,
        "platform": PLATFORM,
        "inputs": [
            {
                "name": exchange.INPUT,
                "datatype": "BYTES",
                "shape": [-1],
                # How files are sent in JSON, and what may be sent instead.
                "parameters": {"content_type": "base64", "alternative": "UINT8 [-1, -1, -1, 3]"},
            }
        ],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": shape}
            for name, datatype, shape in _outputs(model)
        ],
    }


@blueprint.get("/v2/models/<name>/config")
@blueprint.get("/v2/models/<name>/versions/<version>/config")
def config(name: str, version: str | None = None) -> dict[str, Any]:
    """The same as Triton's model configuration."""
    model = serving.find_model(name, version)
    return {
        "name": model.name,
        "platform": PLATFORM,
        "backend": "triptych",
        # Shapes are complete, without an implicit batch dimension.
        "max_batch_size": 0,
        "input": [{"name": exchange.INPUT, "data_type": CONFIG_TYPES["BYTES"], "dims": [-1]}],
        "output": [
            {"name": name, "data_type": CONFIG_TYPES[datatype], "dims": shape}
            for name, datatype, shape in _outputs(model)
        ],
    }


def _outputs(model: serving.ServedModel) -> list[tuple[str, str, list[int]]]:
    return [
        (exchange.PROBS, "FP32", [-1, model.classes]),
        (exchange.LABELS, "BYTES", [-1]),
        (exchange.VERDICT, "BYTES", [-1]),
    ]


@blueprint.get("/v2/models/<name>/ready")
@blueprint.get("/v2/models/<name>/versions/<version>/ready")
def model_ready(name: str, version: str | None = None) -> tuple[dict[str, Any], int]:
    """Says whether a committee answers at once; 503 if it has to be loaded first."""
    model = serving.find_model(name, version)
    return {"name": model.name, "ready": model.is_ready}, 200 if model.is_ready else 503


@blueprint.post("/v2/models/<name>/infer")
@blueprint.post("/v2/models/<name>/versions/<version>/infer")
def infer(name: str, version: str | None = None) -> flask.Response:
    """Classify images."""
    model = serving.find_model(name, version)
    most = context.current().settings.max_request_images
    json_length = flask.request.headers.get(HEADER_LENGTH)

    def parse(data: bytes) -> exchange.InferenceRequest:
        header, rest = web_body.split(data, json_length)
        return exchange.read(web_body.parse(header), rest, max_images=most)

    request = uploads.read_json(flask.request, parse)
    question = dataclasses.replace(request.question, top=request.guesses)
    verdicts = serving.verdicts(model.key, request.images, question)
    body, header_length = exchange.write(request, verdicts, name=model.name, version=model.version)
    if header_length is None:
        return flask.Response(body, mimetype="application/json")
    headers = {HEADER_LENGTH: str(header_length)}
    return flask.Response(body, headers=headers, mimetype="application/octet-stream")
