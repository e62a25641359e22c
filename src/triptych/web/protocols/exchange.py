"""An inference request of the Open Inference Protocol, and its answer."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from marshmallow.fields import Raw
from werkzeug.exceptions import BadRequest

from triptych.inference.classifier import ClassifyOptions
from triptych.results import Verdict
from triptych.typing import Array
from triptych.typing import Float32Array
from triptych.utils import validation
from triptych.web import uploads
from triptych.web.protocols import tensors

INPUT = "image"
PROBS, LABELS, VERDICT = "probs", "labels", "verdict"
OUTPUTS = (PROBS, LABELS, VERDICT)
# Parameters for servers with batching or sequences, which are ignored.
IGNORED = (
    *("content_type", "headers", "priority", "timeout"),
    *("sequence_id", "sequence_start", "sequence_end"),
)
# More guesses than classes: all of them.
ALL = 2**31


class _RequestParametersRecord(validation.Record):
    rule = validation.Text(allow_none=True)
    members = validation.Text(allow_none=True)
    fit = validation.Text(allow_none=True)
    coverage = validation.Number(above=0, most=1, allow_none=True)
    binary_data_output = validation.Flag(allow_none=True)


class _OutputParametersRecord(validation.OpenRecord):
    binary_data = validation.Flag(allow_none=True)
    classification = validation.Integer(least=1, allow_none=True)
    shared_memory_region = Raw(allow_none=True)


class _OutputRecord(validation.OpenRecord):
    name = validation.Text(choices=OUTPUTS, required=True)
    parameters = validation.Object(_OutputParametersRecord, allow_none=True)

    @validation.post_load
    def _check(self, parts: dict[str, Any], **_: Any) -> dict[str, Any]:
        parameters = parts.get("parameters") or {}
        if "shared_memory_region" in parameters:
            region = parameters["shared_memory_region"]
            raise validation.wrong(
                region, "none: it is not written here", "parameters", "shared_memory_region"
            )
        classes = parameters.get("classification")
        if classes is not None and parts["name"] != PROBS:
            raise validation.wrong(classes, f"it of {PROBS!r} only", "parameters", "classification")
        return parts


class _RequestRecord(validation.OpenRecord):
    inputs = validation.Items(validation.Table(), least=1, most=1, required=True)
    outputs = validation.Items(validation.Object(_OutputRecord), most=len(OUTPUTS), allow_none=True)
    parameters = validation.Table(keys=lambda key: key not in IGNORED, allow_none=True)
    id = validation.Text(allow_none=True)


@dataclass(frozen=True)
class Wanted:
    """A requested output.

    Args:
        name: One of `OUTPUTS`.
        binary: Whether it is sent as binary data.
        classes: How many classes to return instead of probabilities; ``None`` for probabilities.
    """

    name: str
    binary: bool
    classes: int | None = None


@dataclass(frozen=True)
class InferenceRequest:
    """An inference request.

    Args:
        images: Files or pixels.
        question: Which committee answers, and with which options.
        outputs: The outputs that the answer needs.
        id: The id of the answer; ``None`` without one.
    """

    images: Sequence[Any]
    question: ClassifyOptions
    outputs: tuple[Wanted, ...]
    id: str | None

    @property
    def guesses(self) -> int:
        """How many of the most probable classes the response needs."""
        return max(
            [ClassifyOptions.top, *(o.classes or ALL for o in self.outputs if o.name == PROBS)]
        )


def read(body: dict[str, Any], rest: memoryview, *, max_images: int) -> InferenceRequest:
    """Read a request.

    Args:
        body: Its JSON.
        rest: The binary data that follows it.
        max_images: Most images in one request.

    Raises:
        BadRequest: It is malformed; the message says why.
        RequestEntityTooLarge: Too many images.
        errors.SettingError: An option has an impossible value.
    """
    request = validation.load(_RequestRecord, body, "request", error=BadRequest)
    parameters = validation.load(
        _RequestParametersRecord,
        request.get("parameters") or {},
        "request.parameters",
        error=BadRequest,
    )
    binary, outputs = bool(parameters.get("binary_data_output")), []
    for output in request.get("outputs") or [{"name": name} for name in OUTPUTS]:
        settings = output.get("parameters") or {}
        of_output = settings.get("binary_data")
        is_binary = binary if of_output is None else of_output
        outputs.append(Wanted(output["name"], is_binary, settings.get("classification")))
    members = parameters.get("members")
    return InferenceRequest(
        _images(tensors.read(request["inputs"][0], rest, most=max_images), max_images),
        ClassifyOptions(
            members=tuple(name.strip() for name in members.split(",")) if members else None,
            rule=parameters.get("rule") or None,
            fit=parameters.get("fit") or None,
            coverage=parameters.get("coverage"),
        ),
        tuple(outputs),
        request.get("id"),
    )


def _images(tensor: tensors.Tensor, most: int) -> Sequence[Any]:
    if tensor.name != INPUT:
        raise BadRequest(f"There is no input {tensor.name[:40]!r}; expected {INPUT!r}.")
    if isinstance(tensor.data, np.ndarray):
        data = tensor.data
        if data.ndim not in (3, 4) or data.shape[-1] != 3:
            raise BadRequest(
                f"Pixels came in the shape {list(data.shape)}; expected [N, height, width, 3], or "
                "[height, width, 3] for one image: red, green, blue."
            )
        if data.ndim == 3:
            return [data]
        uploads.check_count(len(data), most=most)
        return list(data)
    uploads.check_count(len(tensor.data), most=most)
    if tensor.shape not in ((len(tensor.data),), (len(tensor.data), 1)):
        raise BadRequest(f"Files came in the shape {list(tensor.shape)}; expected [N] or [N, 1].")
    return [uploads.Base64(file) if isinstance(file, str) else file for file in tensor.data]


def write(
    request: InferenceRequest, verdicts: Sequence[Verdict], *, name: str, version: str
) -> tuple[bytes, int | None]:
    """Write an answer.

    Args:
        request: The request.
        verdicts: One per image.
        name: The model's.
        version: The model's.

    Returns:
        The body, and the length of its JSON if binary data follows.
    """
    written = [
        tensors.write(wanted.name, _data(wanted, verdicts), binary=wanted.binary)
        for wanted in request.outputs
    ]
    answer = {
        "model_name": name,
        "model_version": version,
        **({} if request.id is None else {"id": request.id}),
        **({"parameters": {"warning": verdicts[0].warning}} if verdicts[0].warning else {}),
        "outputs": [tensor for tensor, _ in written],
    }
    header = json.dumps(answer, allow_nan=False).encode()
    is_binary = any(wanted.binary for wanted in request.outputs)
    return b"".join((header, *(raw for _, raw in written))), len(header) if is_binary else None


def _data(wanted: Wanted, verdicts: Sequence[Verdict]) -> Array:
    if wanted.name == PROBS and not wanted.classes:
        return np.array([probs(verdict) for verdict in verdicts])  # (N, C)
    rows: dict[str, Callable[[Verdict], Any]] = {
        PROBS: lambda verdict: [
            f"{guess.prob:f}:{guess.label.index}:{guess.label.name}"
            for guess in verdict.top[: wanted.classes]
        ],
        LABELS: lambda verdict: verdict.classes,
        VERDICT: lambda verdict: json.dumps(_short(verdict).to_dict(), allow_nan=False),
    }
    return np.array([rows[wanted.name](verdict) for verdict in verdicts], object)


def probs(verdict: Verdict) -> Float32Array:
    """The combined probabilities of a verdict with all classes, shape (C,)."""
    row = np.zeros(len(verdict.top), np.float32)
    row[[guess.label.index for guess in verdict.top]] = [guess.prob for guess in verdict.top]
    return row


def _short(verdict: Verdict) -> Verdict:
    """A verdict with as many guesses as the API returns."""
    members = [dataclasses.replace(m, top=m.top[: ClassifyOptions.top]) for m in verdict.members]
    return dataclasses.replace(
        verdict, top=verdict.top[: ClassifyOptions.top], members=tuple(members)
    )
