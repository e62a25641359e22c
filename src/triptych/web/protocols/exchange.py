"""An inference request of the Open Inference Protocol, and its answer."""

from __future__ import annotations

import dataclasses
import json
import reprlib
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from werkzeug.exceptions import BadRequest

from triptych.inference.classifier import ClassifyOptions
from triptych.results import Verdict
from triptych.typing import Array
from triptych.typing import Float32Array
from triptych.web import uploads
from triptych.web.protocols import fields
from triptych.web.protocols import tensors

INPUT = "image"
PROBS, LABELS, VERDICT = "probs", "labels", "verdict"
OUTPUTS = (PROBS, LABELS, VERDICT)
# What clients add for servers that batch, or that know what came before.
IGNORED = (
    *("binary_data_output", "content_type", "headers", "priority", "timeout"),
    *("sequence_id", "sequence_start", "sequence_end"),
)
PARAMETERS = ("rule", "members", "fit", "coverage")
# More guesses than there are classes: all of them.
ALL = 2**31


@dataclass(frozen=True)
class Wanted:
    """An output that is asked for.

    Args:
        name: One of `OUTPUTS`.
        binary: Whether as binary data.
        classes: How many classes to name instead of probabilities; ``None`` for these.
    """

    name: str
    binary: bool
    classes: int | None = None


@dataclass(frozen=True)
class InferenceRequest:
    """What is asked.

    Args:
        images: Files or pixels.
        question: Who is asked, and how.
        outputs: What is wanted of the answer.
        id: What to call the answer; ``None`` if nothing.
    """

    images: Sequence[Any]
    question: ClassifyOptions
    outputs: tuple[Wanted, ...]
    id: str | None

    @property
    def guesses(self) -> int:
        """How many of the most probable classes the answer needs."""
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
        BadRequest: It is none; the message says why.
        RequestEntityTooLarge: Too many images.
        errors.SettingError: An option has an impossible value.
    """
    inputs = fields.need(body, "inputs", list, of="The request")
    if len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadRequest(f"{len(inputs)} inputs came; expected one, {INPUT!r}, for all images.")
    parameters = fields.may(body, "parameters", dict, of="The request") or {}
    return InferenceRequest(
        _images(tensors.read(inputs[0], rest, most=max_images), max_images),
        _question(parameters),
        _outputs(body, parameters),
        fields.may(body, "id", str, of="The request"),
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


def _question(parameters: dict[str, Any]) -> ClassifyOptions:
    of = "'parameters'"
    fields.only(parameters, (*PARAMETERS, *IGNORED), of=of)
    members, coverage = fields.may(parameters, "members", str, of=of), parameters.get("coverage")
    if coverage is not None and not (type(coverage) is float and 0 < coverage < 1):
        raise BadRequest(
            f"The coverage is {reprlib.repr(coverage)}; expected a number above 0 and below 1, "
            "such as 0.95."
        )
    return ClassifyOptions(
        members=tuple(name.strip() for name in members.split(",")) if members else None,
        rule=fields.may(parameters, "rule", str, of=of) or None,
        fit=fields.may(parameters, "fit", str, of=of) or None,
        coverage=coverage,
    )


def _outputs(body: dict[str, Any], parameters: dict[str, Any]) -> tuple[Wanted, ...]:
    binary = fields.may(parameters, "binary_data_output", bool, of="'parameters'") or False
    wanted = fields.may(body, "outputs", list, of="The request")
    if not wanted:
        return tuple(Wanted(name, binary) for name in OUTPUTS)
    if len(wanted) > len(OUTPUTS):
        raise BadRequest(f"{len(wanted)} outputs are asked for; expected {len(OUTPUTS)} at most.")
    return tuple(_output(each, binary) for each in wanted)


def _output(wanted: Any, binary: bool) -> Wanted:
    if not isinstance(wanted, dict):
        raise BadRequest("An output that is asked for is no JSON object.")
    name = fields.need(wanted, "name", str, of="An output")
    of = f"The output {name[:40]!r}"
    if name not in OUTPUTS:
        raise BadRequest(f"{of} does not exist; expected: {', '.join(OUTPUTS)}.")
    parameters = fields.may(wanted, "parameters", dict, of=of) or {}
    if "shared_memory_region" in parameters:
        raise BadRequest(f"{of} is wanted in shared memory, which is not written here.")
    classes = fields.may(parameters, "classification", int, of=of)
    if classes is not None and (name != PROBS or classes < 1):
        raise BadRequest(f"{of} with classification {classes}: expected 1 or more, of {PROBS!r}.")
    is_binary = fields.may(parameters, "binary_data", bool, of=of)
    return Wanted(name, binary if is_binary is None else is_binary, classes)


def write(
    request: InferenceRequest, verdicts: Sequence[Verdict], *, name: str, version: str
) -> tuple[bytes, int | None]:
    """Write an answer.

    Args:
        request: What was asked.
        verdicts: One per image.
        name: The model's.
        version: The model's.

    Returns:
        The body, and how much of it is JSON where binary data follows.
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
    header = json.dumps(answer).encode()
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
        LABELS: lambda verdict: verdict.label.name,
        VERDICT: lambda verdict: json.dumps(_short(verdict).to_dict()),
    }
    return np.array([rows[wanted.name](verdict) for verdict in verdicts], object)


def probs(verdict: Verdict) -> Float32Array:
    """The joined probabilities of a verdict that names all classes, shape (C,)."""
    row = np.zeros(len(verdict.top), np.float32)
    row[[guess.label.index for guess in verdict.top]] = [guess.prob for guess in verdict.top]
    return row


def _short(verdict: Verdict) -> Verdict:
    """A verdict that names as many guesses as the API does."""
    members = [dataclasses.replace(m, top=m.top[: ClassifyOptions.top]) for m in verdict.members]
    return dataclasses.replace(
        verdict, top=verdict.top[: ClassifyOptions.top], members=tuple(members)
    )
