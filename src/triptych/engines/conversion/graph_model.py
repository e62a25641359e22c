"""What a graph from elsewhere does to photos, and the network that does the same.

A graph is an ONNX, TensorFlow Lite, TensorFlow SavedModel or OpenVINO file, as OpenVINO's front
ends read it. Everything here runs in a child process, as a file from elsewhere may crash them;
`GraphConverter` is the door to it. A front end translates operations and executes none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych import errors
from triptych.engines.conversion import requests
from triptych.engines.conversion.requests import RequestWorker
from triptych.typing import Array
from triptych.utils import files
from triptych.utils.text import text

NETWORK = "network.xml"
# As in `keras_model`: brightnesses of even pictures, and their size where a graph takes any.
PROBES = (0.0, 1.0, 255.0)
ANY_SIZE_PX = 96
BATCH = 3
# No float32 in a batch of photos is out of these by rounding alone.
SAME = 1e-4

LEARNED = ("Convolution", "GroupConvolution", "MatMul", "GroupConvolutionBackpropData")
ACTIVATIONS = {
    "Softmax": "softmax",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "hard_sigmoid",
    "LogSoftmax": "log_softmax",
}
# Operations that leave the meaning of numbers as it is.
TRANSPARENT = (
    "Convert",
    "FakeQuantize",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "ReduceMean",
    "AvgPool",
)
AFFINE = ("Add", "Subtract", "Multiply", "Divide")
TYPES = {"f32": np.float32, "f16": np.float16, "u8": np.uint8, "i8": np.int8}


@dataclass(frozen=True)
class GraphJob:
    """A graph to convert.

    Args:
        model: Path of its file or folder.
        folder: Where the network goes; appears complete or not at all.
        layout: ``"nhwc"`` or ``"nchw"``, of its input.
        size: Height and width of its input in pixels.
        output: Number of the output to take.
        activation: What makes it probabilities: ``"softmax"``, ``"sigmoid"`` or ``"none"``. One
            output is that of the second of two classes.
        grey_scaling: Mean and standard deviation that grey values are scaled by, for a graph that
            takes no colours.
        input_quantization: (scale, zero point) of an input in integers; ``None`` casts pixels.
        output_quantization: The same for the output.
        is_rounded: Whether the output's probabilities do not quite sum to 1, as integers stand for
            them; they are divided by their sum.
    """

    model: str
    folder: str
    layout: str
    size: tuple[int, int]
    output: int = 0
    activation: str = "none"
    grey_scaling: tuple[float, float] = (0.0, 1.0)
    input_quantization: tuple[float, int] | None = None
    output_quantization: tuple[float, int] | None = None
    is_rounded: bool = False


class GraphConverter(RequestWorker):
    """A child process that reads graphs; leave the ``with`` block to end it.

    Args:
        longest_s: How long a request may take, in seconds.
        memory_bytes: How much memory it may take.
    """

    def __init__(self, *, longest_s: float, memory_bytes: int) -> None:
        super().__init__(__name__, longest_s=longest_s, memory_bytes=memory_bytes)

    def inspect(self, model: Path) -> dict[str, Any]:
        """What a graph takes and gives; see `inspect`.

        Raises:
            errors.WeightsDamaged: It cannot be read, or has operations that are not taken.
            errors.EngineError: Reading it crashes, takes too long or too much memory.
        """
        facts: dict[str, Any] = self.request(
            {"inspect": str(model)}, text("Reading {name}", name=model.name)
        )
        return facts

    def predict(self, model: Path, inputs: Array, output: int) -> Array:
        """The outputs of a graph, unchanged, by OpenVINO.

        Args:
            model: Its file or folder.
            inputs: A batch as the graph takes it.
            output: Number of the output.

        Raises:
            errors.EngineError: It cannot be run.
        """
        with requests.array_file(inputs) as file:
            message = {"predict": str(model), "inputs": str(file), "output": output}
            self.request(message, text("Running {name}", name=model.name))
            outputs: Array = np.load(file)
        return outputs

    def run(self, job: GraphJob) -> None:
        """Convert a graph to a network with the outputs (probs, features).

        Raises:
            errors.WeightsDamaged: It has operations that are not taken.
            errors.EngineError: It cannot be converted.
        """
        self.request(asdict(job), text("Converting {name}", name=Path(job.model).name))


def read(path: str) -> Any:
    """Read a graph by the front end of its format.

    Raises:
        errors.WeightsDamaged: It cannot be read; the message has the front end's reason.
    """
    from openvino import Core

    try:
        return Core().read_model(path)
    except (RuntimeError, ValueError) as error:
        raise errors.WeightsDamaged(_reason(Path(path), str(error))) from error


def _reason(path: Path, text: str) -> str:
    """Why a front end does not read a file: operations by name, or the last line that says it."""
    found = re.search(
        r"(?:No conversion rule found for operations|does not support the following ONNX "
        r"operations|[Nn]o translator found for|cannot be converted[^:]*operation[^:]*)[:\s]+"
        r"([^\n]+)",
        text,
    )
    if found:
        return (
            f"{path.name} has operations that are not run here: {found[1].strip(' .')[:200]}. "
            "Expected a network of standard operations that nothing was added to; export the model "
            "for inference only, without random or custom operations."
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [
        line for line in lines if not re.match(r"(Exception from|Check '|To facilitate)", line)
    ]
    reason = (lines or ["no reason given"])[-1][:200].rstrip(".")
    return f"{path.name} cannot be read: {reason}. It may be cut short; export the model again."


def inspect(path: str) -> dict[str, Any]:
    """What a graph takes and gives, and how it begins and ends.

    Args:
        path: Its file or folder.

    Returns:
        ``inputs`` and ``outputs``, a (name, shape without the batch) each, the input's channels
        last; ``layout`` and ``dtype`` of the input and ``batch``, its number of photos or ``None``
        for any; ``names`` of its operations; ``front`` as in `keras_model.inspect`; and of each
        output ``dtypes`` and ``endings``.
    """
    network = read(path)
    facts: dict[str, Any] = {"inputs": [], "outputs": [], "names": [], "front": []}
    for port in network.inputs:
        shape = _dims(port.partial_shape)
        facts["inputs"].append((port.any_name, shape[1:] if shape else []))
    if len(network.inputs) == 1:
        port = network.input(0)
        layout, shape = _layout(path, _dims(port.partial_shape))
        facts |= {
            "layout": layout,
            "dtype": port.element_type.to_string(),
            "batch": (_dims(port.partial_shape) or [None])[0],
            "inputs": [(port.any_name, shape)],
        }
    fixed = network
    if facts.get("layout"):
        fixed = _fixed(path, facts["layout"], facts["inputs"][0][1], batch=1) or network
        facts["front"] = _front(fixed, facts)
    facts["names"] = sorted({part for op in network.get_ops() for part in _name_parts(op)})
    for port in fixed.outputs:
        shape = _dims(port.partial_shape) or []
        facts["outputs"].append((_port_name(port), _without_ones(shape[1:])))
    facts["dtypes"] = [port.element_type.to_string() for port in fixed.outputs]
    facts["endings"] = [_ending(port) for port in fixed.outputs]
    return facts


def _dims(shape: Any) -> list[int | None] | None:
    if shape.rank.is_dynamic:
        return None
    return [int(side.get_length()) if side.is_static else None for side in shape]


def _without_ones(shape: list[int | None]) -> list[int | None]:
    """(classes, 1, 1) and (1, 1, classes), as fully convolutional networks give, as (classes,)."""
    longer = [side for side in shape if side != 1]
    return longer if len(shape) > 1 and len(longer) == 1 else shape


def _port_name(port: Any) -> str:
    return str(min(port.names, default=port.node.get_friendly_name()))


def _name_parts(operation: Any) -> Iterable[str]:
    for part in str(operation.get_friendly_name()).split("/"):
        yield part
        yield re.sub(r"_\d+$", "", part)


def _layout(path: str, shape: list[int | None] | None) -> tuple[str | None, list[Any]]:
    """Where the channels of an input are, and its shape (height, width, channels).

    Where the shape does not tell, both layouts are tried.
    """
    if shape is None:
        shape = [None] * 4
    if len(shape) != 4:
        return None, shape[1:]
    _, a, b, c = shape
    last, first = c in (1, 3), a in (1, 3)
    if last != first:
        return ("nhwc", [a, b, c]) if last else ("nchw", [b, c, a])
    if not last and None not in (a, c):
        return None, [a, b, c]
    candidates = []
    for layout, sides in (("nchw", [b, c, 3]), ("nhwc", [a, b, 3])):
        if (a if layout == "nchw" else c) in (None, 1, 3) and _fixed(path, layout, sides, batch=1):
            candidates.append((layout, sides))
    return candidates[0] if len(candidates) == 1 else (None, [a, b, c])


def _fixed(path: str, layout: str, shape: Sequence[int | None], *, batch: int) -> Any:
    """The graph for photos of one size, if it can have it; any size is tried as `ANY_SIZE_PX`."""
    network = read(path)
    height, width, channels = (side or ANY_SIZE_PX for side in shape)
    sides = [height, width, channels] if layout == "nhwc" else [channels, height, width]
    if batch != 1:
        free_batch(network)
    try:
        network.reshape([batch, *sides])
    except RuntimeError:
        return None
    return network


def free_batch(network: Any) -> None:
    """Let reshapes to a fixed batch of 1 keep the batch that they get."""
    from openvino import opset13

    for node in network.get_ordered_ops():
        if node.get_type_name() != "Reshape":
            continue
        shape = node.input_value(1).get_node()
        if shape.get_type_name() != "Constant":
            continue
        target = np.array(shape.get_data())
        data = node.input_value(0).partial_shape
        leads = data.rank.is_static and len(data) and data[0].is_static and data[0] == 1
        if len(target) > 1 and target[0] == 1 and leads:
            if (target[1:] > 0).all():
                target[0] = -1
            elif not node.get_attributes()["special_zero"] or (target[1:] == 0).any():
                continue
            else:
                target[0] = 0
            node.input(1).replace_source_output(opset13.constant(target).output(0))


def _learned(operation: Any) -> bool:
    """Whether it multiplies by weights: the second input is computed from constants alone."""
    if operation.get_type_name() not in LEARNED:
        return False
    return any(is_constant(operation.input_value(n)) for n in (0, 1))


def is_constant(port: Any) -> bool:
    """Whether a tensor is computed from constants alone, such as weights, in a few steps."""
    left, seen = [port.get_node()], set()
    while left:
        node = left.pop()
        if node.get_type_name() == "Parameter":
            return False
        if node.get_friendly_name() not in seen:
            seen.add(node.get_friendly_name())
            left += [value.get_node() for value in node.input_values()]
            if len(seen) > 16:  # weights are decompressed in a few steps
                return False
    return True


def _front(network: Any, facts: dict[str, Any]) -> list[tuple[str, list[float]]]:
    """What is done to even pictures before the first layer with weights; see `keras_model`."""
    from openvino import Core
    from openvino import Model

    parameter = network.get_parameters()[0]
    first = next((each for each in network.get_ordered_ops() if _learned(each)), None)
    if first is None:
        return []
    port = next(value for value in first.input_values() if not is_constant(value))
    kinds = [node.get_type_name() for node in _between(port.get_node(), parameter)]
    kinds = [kind for kind in kinds if kind not in (*TRANSPARENT, "Constant", "Pad")]
    if not kinds:
        return []
    shape = list(network.input(0).shape)
    begin = Model([port], [parameter], "front")
    compiled = Core().compile_model(begin, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    means = []
    for value in PROBES:
        picture = np.full(shape, value, TYPES.get(facts["dtype"], np.float32))
        (output,) = compiled(picture).values()
        means.append(float(np.mean(output)))
    return [("+".join(dict.fromkeys(kinds)), means)] if np.isfinite(means).all() else []


def _between(node: Any, parameter: Any) -> list[Any]:
    """The operations from the input of a graph to one of its nodes."""
    left, seen = [node], {}
    while left:
        each = left.pop()
        name = each.get_friendly_name()
        if name not in seen and name != parameter.get_friendly_name():
            seen[name] = each
            left += [value.get_node() for value in each.input_values()]
    return list(seen.values())[::-1]


def _ending(port: Any) -> list[str]:
    """What computes an output, from its end back to the last layer with weights."""
    words: list[str] = []
    node = port.get_node()
    while node.get_type_name() != "Parameter":
        kind = node.get_type_name()
        if _learned(node):
            while words and words[-1] in AFFINE:  # its bias, and numbers that it is scaled by
                words.pop()
            return [*words, "linear"]
        inputs = [value for value in node.input_values() if not is_constant(value)]
        if kind in ACTIVATIONS:
            words.append(ACTIVATIONS[kind])
        elif kind not in (*TRANSPARENT, "Result"):
            words.append(kind)
        if not inputs:
            break
        node = inputs[0].get_node()
    return words


def build(job: GraphJob) -> Any:
    """The network with outputs (probs, features) of a graph, for photos (N, height, width, 3).

    Raises:
        errors.WeightsDamaged: It cannot be read.
    """
    from openvino import Model
    from openvino import opset13 as op

    network = read(job.model)
    old = network.get_parameters()[0]
    is_grey = _channels(old, job.layout) == 1
    sides = [*job.size, 1 if is_grey else 3]
    shape = sides if job.layout == "nhwc" else [sides[2], *sides[:2]]
    free_batch(network)
    try:
        network.reshape([-1, *shape])
        _check_batch(network, shape, old)
    except (RuntimeError, ValueError):  # it can take one photo at a time only
        network = read(job.model)
        network.reshape([1, *shape])
    old = network.get_parameters()[0]
    batch = network.input(0).partial_shape[0]
    photo = op.parameter([-1 if batch.is_dynamic else 1, *job.size, 3], np.float32, name="photo")
    image = _grey(op, photo, job.grey_scaling) if is_grey else photo
    if job.layout == "nchw":
        image = op.transpose(image, op.constant([0, 3, 1, 2]))
    image = _as_input(op, image, old.get_element_type(), job.input_quantization)
    for target in old.output(0).get_target_inputs():
        target.replace_source_output(image.output(0))
    result = network.outputs[job.output].get_node().input_value(0)
    features = _features(op, result)
    probs = _probabilities(op, result, job)
    outputs = [op.result(probs, name="probs"), op.result(features, name="features")]
    return Model(outputs, [photo], "network")


def _channels(parameter: Any, layout: str) -> int | None:
    dims = _dims(parameter.get_partial_shape()) or [None] * 4
    return dims[3 if layout == "nhwc" else 1]


def _check_batch(network: Any, shape: Sequence[int], parameter: Any) -> None:
    """Refuse a network of which a photo in a batch has other outputs than alone."""
    from openvino import Core

    rng = np.random.default_rng(0)
    dtype = TYPES.get(parameter.get_element_type().to_string(), np.float32)
    photos = rng.uniform(0, 1 if dtype in (np.float32, np.float16) else 127, (BATCH, *shape))
    compiled = Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    batch = [np.array(each) for each in compiled(photos.astype(dtype)).values()]
    for n in range(BATCH):
        alone = [np.array(each) for each in compiled(photos[n : n + 1].astype(dtype)).values()]
        for one, many in zip(alone, batch, strict=True):
            if one.shape[1:] != many.shape[1:] or len(many) != BATCH:
                raise ValueError("the shape of the outputs depends on the batch")
            if np.abs(one[0].astype(np.float64) - many[n]).max(initial=0) > SAME * max(
                1.0, float(np.abs(one.astype(np.float64)).max(initial=0))
            ):
                raise ValueError("the outputs depend on the batch")


def _grey(op: Any, photo: Any, scaling: Sequence[float]) -> Any:
    """As Pillow's ``convert("L")``: ITU-R 601 in integers; see `keras_model`."""
    weights = op.constant(np.array([19595, 38470, 7471], np.float32))
    weighted = op.reduce_sum(op.multiply(photo, weights), op.constant([3]), keep_dims=True)
    half, whole = (op.constant(np.float32(number)) for number in (32768, 65536))
    grey = op.floor(op.divide(op.add(weighted, half), whole))
    mean, std = (op.constant(np.float32(number)) for number in scaling)
    return op.divide(op.subtract(grey, mean), std)


def _as_input(op: Any, image: Any, dtype: Any, quantization: Sequence[float] | None) -> Any:
    """Photos in the numbers that the graph takes."""
    name = dtype.to_string()
    if name not in ("u8", "i8"):
        return image if name == "f32" else op.convert(image, name)
    low, high = (0, 255) if name == "u8" else (-128, 127)
    if quantization:
        scale, zero = quantization
        image = op.divide(image, op.constant(np.float32(scale)))
        image = op.add(op.round(image, "half_to_even"), op.constant(np.float32(zero)))
    return op.convert(op.clamp(image, low, high), name)


def _probabilities(op: Any, result: Any, job: GraphJob) -> Any:
    output = op.convert(result, "f32").output(0)
    if job.output_quantization:
        scale, zero = job.output_quantization
        steps = op.subtract(output, op.constant(np.float32(zero)))
        output = op.multiply(steps, op.constant(np.float32(scale))).output(0)
    sides = [side or 1 for side in (_dims(output.partial_shape) or [None, None])[1:]]
    classes = int(np.prod(sides))
    if len(sides) != 1:
        output = op.reshape(output, op.constant([0, classes]), special_zero=True).output(0)
    if job.is_rounded:
        total = op.maximum(
            op.reduce_sum(output, op.constant([1]), keep_dims=True), op.constant(np.float32(1e-6))
        )
        output = op.divide(output, total).output(0)
    if job.activation == "softmax":
        output = op.softmax(output, 1).output(0)
    elif job.activation == "sigmoid":
        output = op.sigmoid(output).output(0)
    if classes == 1:
        other = op.subtract(op.constant(np.float32(1)), output)
        output = op.concat([other.output(0), output], 1).output(0)
    return output


def _features(op: Any, result: Any) -> Any:
    """The input of the last layer with weights, of shape (N, D); a mean over positions."""
    node = result.get_node()
    while not _learned(node):
        inputs = [value for value in node.input_values() if not is_constant(value)]
        if not inputs or inputs[0].get_node().get_type_name() == "Parameter":
            break
        node = inputs[0].get_node()
    port = next((v for v in node.input_values() if not is_constant(v)), result)
    if port.get_element_type().to_string() != "f32":
        port = op.convert(port, "f32").output(0)
    shape = port.partial_shape
    if shape.rank.is_static and len(shape) == 4:
        axes = [2, 3] if node.get_type_name() != "MatMul" else [1, 2]
        return op.reduce_mean(port, op.constant(axes), keep_dims=False)
    if shape.rank.is_static and len(shape) == 3:
        return op.reduce_mean(port, op.constant([1]), keep_dims=False)
    return port


def convert(job: GraphJob) -> None:
    """Write the network of a graph, with the operations that bundles may have."""
    import openvino
    from openvino._offline_transformations import apply_moc_transformations

    from triptych.engines.openvino import check_operations

    network = build(job)
    apply_moc_transformations(network, False)
    with files.atomic_dir(Path(job.folder)) as folder:
        openvino.save_model(network, folder / NETWORK, compress_to_fp16=False)
        del network
        try:
            check_operations(folder / NETWORK)
        except errors.EngineError as error:
            kind = re.search(r"has the operation (\S+)", error.message)
            name = kind[1] if kind else "unknown"
            raise errors.WeightsDamaged(
                text(
                    "{path} has the operation {name}, which is not run in bundles. Expected a "
                    "network that classifies photos, of the usual layers.",
                    path=Path(job.model).name,
                    name=name,
                )
            ) from error


def predict(path: str, inputs: Array, output: int) -> Array:
    """The outputs of a graph, unchanged, one photo at a time."""
    from openvino import Core

    network = read(path)
    network.reshape([1, *inputs.shape[1:]])
    compiled = Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rows = [np.array(compiled(each[np.newaxis])[output]) for each in inputs]
    return np.concatenate(rows)


def _answer(request: dict[str, Any]) -> Any:
    if "inspect" in request:
        return inspect(request["inspect"])
    if "predict" in request:
        file = request["inputs"]
        np.save(file, predict(request["predict"], np.load(file), request["output"]))
        return None
    convert(GraphJob(**request))
    return None


if __name__ == "__main__":
    requests.serve(_answer, prepare=lambda: None)
