"""A network from elsewhere as a backbone: photos in, one vector of features out.

Reading and changing the graph runs in a child process, as a file from elsewhere may crash the
front end that reads it; `BackboneConverter` is the door to it. Nothing in a file is executed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych import errors
from triptych.engines.conversion import graph_model
from triptych.engines.conversion import graph_rewrites
from triptych.engines.conversion import requests
from triptych.engines.conversion.graph_rewrites import dims_of
from triptych.engines.conversion.graph_rewrites import kind_of
from triptych.engines.conversion.requests import RequestWorker
from triptych.models.head import SIGMOID
from triptych.models.head import Head
from triptych.preprocessing.recipe import Recipe
from triptych.preprocessing.recipe import scale
from triptych.utils import files
from triptych.utils.text import text

NETWORK = "network.xml"
# What goes into the last layer with weights, instead of an output by its name.
PENULTIMATE = "penultimate"
BATCH = 3
# By how much features of a photo may differ in a batch, relative to the largest of them.
SAME = 1e-3
TYPES = ("f32", "f16", "bf16", "u8")


@dataclass(frozen=True)
class BackboneJob:
    """A graph to make a backbone of.

    Args:
        model: Path of its file.
        folder: Where the network goes; appears complete or not at all.
        layout: ``"nchw"`` or ``"nhwc"``, of its input.
        recipe: That of its photos, as JSON.
        output: Name of the output that is taken, or `PENULTIMATE`.
        reduction: ``"vector"``, ``"map nchw"``, ``"map nhwc"``, or a choice of tokens: ``"class"``,
            ``"mean"``, ``"patches"``, ``"class+patches"``.
        prefix: How many tokens come before those of the patches.
    """

    model: str
    folder: str
    layout: str
    recipe: dict[str, Any]
    output: str
    reduction: str
    prefix: int = 0


class BackboneConverter(RequestWorker):
    """A child process that reads graphs and makes backbones; leave the ``with`` block to end it.

    Args:
        longest_s: How long a request may take, in seconds.
        memory_bytes: How much memory it may take.
    """

    def __init__(self, *, longest_s: float, memory_bytes: int) -> None:
        super().__init__(__name__, longest_s=longest_s, memory_bytes=memory_bytes)

    def inspect(self, model: Path) -> list[tuple[str, list[int | None] | None, str]]:
        """The inputs of a graph: name, shape (``None`` where any, or unknown) and number type.

        Raises:
            errors.WeightsDamaged: It cannot be read.
            errors.EngineError: Reading it crashes, takes too long or too much memory.
        """
        inputs: list[tuple[str, list[int | None] | None, str]]
        inputs = self.request({"inspect": str(model)}, text("Reading {name}", name=model.name))
        return inputs

    def outputs(self, model: Path, layout: str, size: Sequence[int]) -> dict[str, Any]:
        """What a graph gives for a photo; see `outputs`.

        Raises:
            errors.WeightsDamaged: It cannot be read.
            errors.EngineError: It does not take such photos.
        """
        message = {"outputs": str(model), "layout": layout, "size": list(size)}
        facts: dict[str, Any] = self.request(message, text("Reading {name}", name=model.name))
        return facts

    def run(self, job: BackboneJob) -> dict[str, int]:
        """Make a network of a graph, with photos as input and features as its one output.

        Returns:
            Its ``feature_length``, ``parameters`` and ``multiply_adds``.

        Raises:
            errors.WeightsDamaged: It cannot be a backbone; the message says why.
            errors.EngineError: It cannot be converted.
        """
        facts: dict[str, int]
        facts = self.request(asdict(job), text("Converting {name}", name=Path(job.model).name))
        return facts


def with_head(network: Path, head: Head, folder: Path) -> None:
    """Write the network of a backbone with a trained head: outputs (probs, features).

    Args:
        network: That of a backbone that was added, whose one output are the features.
        head: Its trained head.
        folder: Where the network goes; appears complete or not at all.
    """
    import openvino
    from openvino import opset13 as op

    graph = openvino.Core().read_model(network)
    features = x = graph.output(0).get_node().input_value(0)
    *hidden, last = zip(head.kernels, head.biases, strict=True)
    for kernel, bias in hidden:
        x = op.relu(_dense(op, x, kernel, bias))
    logits = _dense(op, x, *last)
    probs = op.sigmoid(logits) if head.activation == SIGMOID else op.softmax(logits, 1)
    outputs = [op.result(probs, name="probs"), op.result(features, name="features")]
    with files.atomic_dir(folder) as scratch:
        made = openvino.Model(outputs, graph.get_parameters(), "network")
        openvino.save_model(made, scratch / NETWORK, compress_to_fp16=False)


def _dense(op: Any, x: Any, kernel: Any, bias: Any) -> Any:
    product = op.matmul(x, op.constant(np.asarray(kernel, np.float32)), False, False)
    return op.add(product, op.constant(np.asarray(bias, np.float32)[None]))


def inspect(path: str) -> list[tuple[str, list[int | None] | None, str]]:
    """The inputs of a graph; see `BackboneConverter.inspect`."""
    return [
        (port.any_name, dims_of(port), port.element_type.to_string())
        for port in graph_model.read(path).inputs
    ]


def outputs(path: str, layout: str, size: Sequence[int]) -> dict[str, Any]:
    """What a graph gives for one photo.

    Args:
        path: Its file.
        layout: ``"nchw"`` or ``"nhwc"``.
        size: Height and width of the photo in pixels.

    Returns:
        ``outputs``, the shape of each by name without the batch, `PENULTIMATE` among them where
        the only output comes from a layer with weights; and ``grid``, the rows and columns of
        patches that the first convolution makes, or ``None``.
    """
    network = _sized(graph_model.read(path), layout, size, batch=1)
    shapes = {_name(port): _shape(port) for port in network.outputs}
    if (port := _penultimate(network)) is not None:
        shapes[PENULTIMATE] = _shape(port)
    first = next((op for op in network.get_ordered_ops() if kind_of(op) == "Convolution"), None)
    grid = _shape(first.output(0))[1:] if first is not None else None
    return {"outputs": shapes, "grid": grid if grid and len(grid) == 2 else None}


def make(job: BackboneJob) -> dict[str, int]:
    """Make the network; see `BackboneConverter.run`."""
    import openvino

    recipe = Recipe.from_dict(job.recipe)
    one = _sized(graph_model.read(job.model), job.layout, recipe.size, batch=1)
    costs = {
        "parameters": sum(
            math.prod(op.get_output_shape(0)) for op in one.get_ops() if _is_weight(op)
        ),
        "multiply_adds": max(1, sum(map(_multiply_adds, one.get_ops()))),
    }
    network, length = _batched(job, recipe, one)
    with files.atomic_dir(Path(job.folder)) as folder:
        openvino.save_model(network, folder / NETWORK, compress_to_fp16=False)
    return {"feature_length": length, **costs}


def _batched(job: BackboneJob, recipe: Recipe, one: Any) -> tuple[Any, int]:
    """The network for any number of photos, and the length of its features."""
    from openvino._offline_transformations import apply_moc_transformations

    problem: Exception | None = None
    for is_freed in (False, True):
        network = graph_model.read(job.model)
        try:
            if is_freed:
                graph_rewrites.free_batch(network, one)
            network = _with_photos(_sized(network, job.layout, recipe.size, batch=-1), job)
            apply_moc_transformations(network, False)
            graph_rewrites.write_sides(network)
            apply_moc_transformations(network, False)
            graph_rewrites.spell_out_attention(network)
            graph_rewrites.write_shapes(network)
            return network, _check_features(network, recipe, Path(job.model).name)
        except (RuntimeError, ValueError) as error:
            problem = error
    raise errors.WeightsDamaged(
        f"{Path(job.model).name} takes one photo at a time, and cannot be made to take several "
        f"({_first_line(problem)}). Export it with a dynamic batch: in PyTorch with dynamic_shapes "
        "or dynamic_axes for the first axis; Keras does so by itself."
    ) from problem


def _sized(network: Any, layout: str, size: Sequence[int], *, batch: int) -> Any:
    sides = [3, *size] if layout == "nchw" else [*size, 3]
    network.reshape([batch, *sides])
    return network


def _with_photos(network: Any, job: BackboneJob) -> Any:
    """The graph for photos (N, height, width, 3), with features (N, F) as its one output."""
    from openvino import Model
    from openvino import opset13 as op

    (old,) = network.get_parameters()
    photo = op.parameter([-1, *job.recipe["size"], 3], np.float32, name="photo")
    image = op.transpose(photo, op.constant([0, 3, 1, 2])) if job.layout == "nchw" else photo
    if (kind := old.get_element_type().to_string()) != "f32":
        image = op.convert(image, kind)
    port = _penultimate(network) if job.output == PENULTIMATE else None
    if port is None:
        (result,) = (each for each in network.outputs if _name(each) == job.output)
        port = result.get_node().input_value(0)
    for target in old.output(0).get_target_inputs():
        target.replace_source_output(image.output(0))
    if port.get_element_type().to_string() != "f32":
        port = op.convert(port, "f32").output(0)
    features = _reduced(op, port, job.reduction, job.prefix)
    length = math.prod(_shape(features.output(0)))
    features = op.reshape(features, op.constant(np.array([0, length])), special_zero=True)
    return Model([op.result(features, name="features")], [photo], "network")


def _reduced(op: Any, port: Any, reduction: str, prefix: int) -> Any:
    def mean(x: Any, *axes: int) -> Any:
        return op.reduce_mean(x, op.constant(list(axes)), keep_dims=False)

    def tokens(first: int, end: int) -> Any:
        ends = [op.constant([each]) for each in (first, end, 1, 1)]
        return op.slice(port, *ends)

    if reduction == "vector":
        return op.reshape(port, op.constant([0, math.prod(_shape(port))]), special_zero=True)
    if reduction.startswith("map"):
        return mean(port, 2, 3) if reduction == "map nchw" else mean(port, 1, 2)
    if reduction == "mean":
        return mean(port, 1)
    parts = {
        "class": lambda: mean(tokens(0, 1), 1),
        "patches": lambda: mean(tokens(prefix, _shape(port)[0]), 1),
    }
    chosen = [parts[each]() for each in reduction.split("+")]
    return chosen[0] if len(chosen) == 1 else op.concat(chosen, 1)


def _check_features(network: Any, recipe: Recipe, name: str) -> int:
    """The length of the features, if they are as good in a batch as for single photos.

    Raises:
        ValueError: A photo has other features in a batch than by itself.
        errors.WeightsDamaged: The features are none.
    """
    from openvino import Core

    rng = np.random.default_rng(0)
    # Blocks of colours rather than noise, which networks average away.
    small = rng.integers(0, 256, (BATCH, 8, 8, 3), np.uint8)
    rows, columns = ((np.arange(side) * 8) // side for side in recipe.size)
    photos = scale(recipe, np.ascontiguousarray(small[:, rows][:, :, columns]))
    compiled = Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    batch = np.array(compiled(photos)[0])
    alone = np.concatenate([np.array(compiled(photos[n : n + 1])[0]) for n in range(BATCH)])
    if batch.shape != alone.shape or len(batch) != BATCH:
        raise ValueError(f"{BATCH} photos give {batch.shape[0]} vectors")
    if not np.isfinite(alone).all():
        raise errors.WeightsDamaged(
            f"{name} gives features that are no finite numbers. Its weights are damaged, or it "
            "needs another recipe."
        )
    if np.abs(batch - alone).max() > SAME * max(1e-6, float(np.abs(alone).max())):
        raise ValueError("a photo has other features in a batch than by itself")
    if not np.ptp(alone, axis=0).any():
        raise errors.WeightsDamaged(
            f"{name} gives the same features for different photos, so that nothing could be "
            "learned from them. Take another output with --output."
        )
    return int(batch.shape[1])


def _penultimate(network: Any) -> Any | None:
    """The input of the layer with weights that the only output comes from, if there is one."""
    if len(network.outputs) != 1:
        return None
    node = network.output(0).get_node().input_value(0).get_node()
    while kind_of(node) in (
        "Add",
        "Multiply",
        "Softmax",
        "Sigmoid",
        "Reshape",
        "Squeeze",
        "Convert",
    ):
        values = [each for each in node.input_values() if not graph_model.is_constant(each)]
        if len(values) != 1:
            return None
        node = values[0].get_node()
    if kind_of(node) != "MatMul" or not graph_model.is_constant(node.input_value(1)):
        return None
    return node.input_value(0)


def _name(port: Any) -> str:
    return str(min(port.names, default=port.node.get_friendly_name()))


def _shape(port: Any) -> list[int]:
    """Without the batch.

    Raises:
        errors.WeightsDamaged: It depends on more than the size of the photo.
    """
    dims = dims_of(port)
    if dims is None or None in dims[1:]:
        raise errors.WeightsDamaged(
            f"The shape of {_name(port)[:60]!r} depends on what is in a photo: "
            f"{port.partial_shape}. Expected one shape for all photos of a size."
        )
    return [side for side in dims[1:] if side is not None]


def _is_weight(op: Any) -> bool:
    return kind_of(op) == "Constant" and op.get_output_element_type(0).is_real()


def _multiply_adds(op: Any) -> int:
    """Of a convolution or a product with weights, for a network of one photo."""
    kind = kind_of(op)
    if kind in ("Convolution", "GroupConvolution"):
        kernel = op.get_input_shape(1)
        return int(math.prod(list(op.get_output_shape(0))[2:]) * math.prod(kernel))
    if kind == "MatMul":
        shape = list(op.get_input_shape(0))
        shared = shape[-2 if op.get_attributes()["transpose_a"] else -1]
        return int(math.prod(op.get_output_shape(0)) * shared)
    return 0


def _first_line(error: Exception | None) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200].rstrip(".") if lines else type(error).__name__


def _answer(request: dict[str, Any]) -> Any:
    if "inspect" in request:
        return inspect(request["inspect"])
    if "outputs" in request:
        return outputs(request["outputs"], request["layout"], request["size"])
    return make(BackboneJob(**request))


if __name__ == "__main__":
    requests.serve(_answer, prepare=lambda: None)
