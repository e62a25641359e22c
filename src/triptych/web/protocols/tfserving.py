"""TF Serving's REST interface: predict, status and metadata.

Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

from typing import Any

import flask
from marshmallow.fields import Raw
from werkzeug.exceptions import BadRequest

from triptych.inference.classifier import ClassifyOptions
from triptych.utils import validation
from triptych.web import body
from triptych.web import context
from triptych.web import uploads
from triptych.web.protocols import exchange
from triptych.web.protocols import serving
from triptych.web.protocols import tensors

INPUT = "image_bytes"
SIGNATURE = "serving_default"
EXPECTED = (
    'expected {"b64": "..."} with the bytes of an image file in base64, or pixels as a list of '
    "rows of [red, green, blue]"
)

blueprint = flask.Blueprint("tfserving", __name__)


class _PredictRecord(validation.Record):
    instances = validation.Items()
    inputs = Raw(allow_none=True)
    signature_name = validation.Text(allow_none=True)


@blueprint.post("/v1/models/<name>:predict")
@blueprint.post("/v1/models/<name>/versions/<version>:predict")
def predict(name: str, version: str | None = None) -> flask.Response:
    """Classify images, by rows ("instances") or by columns ("inputs")."""
    model = serving.find_model(name, version)
    most = context.current().settings.max_request_images
    is_by_rows, images = uploads.read_json(
        flask.request, lambda text: _images(body.parse(text), most=most)
    )
    verdicts = serving.verdicts(model.key, images, ClassifyOptions(top=exchange.ALL))
    probs = [exchange.probs(verdict).tolist() for verdict in verdicts]
    return flask.jsonify({"predictions" if is_by_rows else "outputs": probs})


def _images(request: dict[str, Any], *, most: int) -> tuple[bool, list[Any]]:
    request = validation.load(_PredictRecord, request, "request", error=BadRequest)
    signature = request.get("signature_name")
    if signature not in (None, "", SIGNATURE):
        raise BadRequest(f"There is no signature {signature!r}; expected {SIGNATURE!r}.")
    is_by_rows = "instances" in request
    if is_by_rows == ("inputs" in request):
        raise BadRequest("Expected either 'instances' or 'inputs' in the request.")
    values = (
        request["instances"]
        if is_by_rows
        else validation.load(
            validation.Items(), _unnamed(request["inputs"]), "request.inputs", error=BadRequest
        )
    )
    uploads.check_count(len(values), most=most)
    return is_by_rows, [_image(_unnamed(value), index) for index, value in enumerate(values)]


def _unnamed(value: Any) -> Any:
    """A value, which may be wrapped in an object with the name of the only input."""
    return value[INPUT] if isinstance(value, dict) and list(value) == [INPUT] else value


def _image(value: Any, index: int) -> Any:
    of = f"The image at index {index}"
    if isinstance(value, dict) and list(value) == ["b64"]:
        text = validation.load(validation.Text(), value["b64"], f"{of}: b64", error=BadRequest)
        return uploads.Base64(text)
    if not isinstance(value, list):
        raise BadRequest(f"{of} is of another form; {EXPECTED}.")
    pixels = tensors.pixels(value, of=of)
    if pixels.ndim != 3 or pixels.shape[-1] != 3:
        raise BadRequest(f"{of} has pixels in the shape {list(pixels.shape)}; {EXPECTED}.")
    return pixels


@blueprint.get("/v1/models/<name>")
@blueprint.get("/v1/models/<name>/versions/<version>")
def status(name: str, version: str | None = None) -> dict[str, Any]:
    """The versions of a committee, and whether they are loaded."""
    model = serving.find_model(name, version)
    versions = (
        [serving.find_model(model.name, each) for each in model.versions]
        if version is None
        else [model]
    )
    return {
        "model_version_status": [
            {
                "version": each.version,
                # START means not loaded yet.
                "state": "AVAILABLE" if each.is_ready else "START",
                "status": {"error_code": "OK", "error_message": ""},
            }
            for each in reversed(versions)
        ]
    }


@blueprint.get("/v1/models/<name>/metadata")
@blueprint.get("/v1/models/<name>/versions/<version>/metadata")
def metadata(name: str, version: str | None = None) -> dict[str, Any]:
    """The inputs and outputs of a committee."""
    model = serving.find_model(name, version)
    signature = {
        "inputs": {INPUT: _tensor(INPUT, "DT_STRING", -1)},
        "outputs": {exchange.PROBS: _tensor(exchange.PROBS, "DT_FLOAT", -1, model.classes)},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": model.name, "signature_name": "", "version": model.version},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }


def _tensor(name: str, dtype: str, *sizes: int) -> dict[str, Any]:
    dim = [{"size": str(size), "name": ""} for size in sizes]
    return {"name": name, "dtype": dtype, "tensor_shape": {"dim": dim, "unknown_rank": False}}
