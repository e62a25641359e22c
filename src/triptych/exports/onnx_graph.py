"""A graph of OpenVINO, translated into one of ONNX.

`triptych.exports.onnx_operations` has the table of operations; branches are translated here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from triptych import errors
from triptych.exports import channel_scales
from triptych.exports import onnx_operations
from triptych.exports.onnx_operations import UnknownError
from triptych.exports.source import KEY
from triptych.typing import Array
from triptych.utils.text import text

# The oldest that has all that is needed, for the sake of older runtimes.
OPSET, IR_VERSION = 18, 8
# Constants up to this size are shared where they are equal.
SHARED_BYTES = 256


class Builder:
    """Nodes and constants of an ONNX graph, or of one side of a branch in it.

    Args:
        outer: The graph that the branch is in.
    """

    def __init__(self, outer: Builder | None = None) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        # By the operation of OpenVINO and the index of its output, its name here.
        self.values: dict[tuple[int, int], str] = {}
        self._shared: dict[tuple[Any, ...], str] = {}
        self._counts: dict[str, int] = outer._counts if outer else {}

    def name(self, kind: str) -> str:
        """A name that nothing else in the file has."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return f"{kind}_{self._counts[kind]}"

    def add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node with one output, and return the name of that."""
        (output,) = self.add_many(kind, inputs, 1, **attributes)
        return output

    def add_many(
        self, kind: str, inputs: Sequence[str], outputs: int, **attributes: Any
    ) -> list[str]:
        """Add a node, and return the names of its outputs."""
        import onnx

        name = self.name(kind)
        names = [name if number == 0 else f"{name}:{number}" for number in range(outputs)]
        self.nodes.append(onnx.helper.make_node(kind, inputs, names, name, **attributes))
        return names

    def constant(self, values: Any, dtype: Any = None) -> str:
        """Add a constant, and return its name."""
        import onnx

        array: Array = np.ascontiguousarray(np.asarray(values, dtype))
        # `ascontiguousarray` gives scalars an axis.
        array = array.reshape(np.shape(values))
        key = (array.dtype.str, array.shape, array.tobytes())
        is_small = array.nbytes <= SHARED_BYTES
        if is_small and key in self._shared:
            return self._shared[key]
        name = self.name("constant")
        self.initializers.append(onnx.numpy_helper.from_array(array, name))
        if is_small:
            self._shared[key] = name
        return name

    def input(self, source: Any) -> str:
        """The name of an input of an operation; a constant is added where it is used."""
        node = source.get_node()
        if node.get_type_name() == "Constant":
            return self.constant(onnx_operations.data(node))
        return self.values[node.get_instance_id(), source.get_index()]


def translate(graph: Any) -> Any:
    """Translate a graph.

    Args:
        graph: An OpenVINO model whose inputs and outputs have names.

    Returns:
        A checked ``onnx.ModelProto``, with the metadata of the graph.

    Raises:
        errors.EngineError: It has an operation that cannot be translated; the message names it.
    """
    import onnx

    builder = Builder()
    inputs = []
    for port in graph.inputs:
        name = port.any_name
        inputs.append(onnx.helper.make_tensor_value_info(name, _type(port), _sides(port, name)))
    for node, port in zip(graph.get_parameters(), graph.inputs, strict=True):
        builder.values[node.get_instance_id(), 0] = port.any_name
    _add_all(builder, graph)
    outputs = []
    for port in graph.outputs:
        name = port.any_name
        # Of its own name also where one value is two outputs, or a constant.
        value = builder.input(port.get_node().input_value(0))
        builder.nodes.append(onnx.helper.make_node("Identity", [value], [name], f"output_{name}"))
        outputs.append(onnx.helper.make_tensor_value_info(name, _type(port), _sides(port, name)))
    body = onnx.helper.make_graph(builder.nodes, KEY, inputs, outputs, builder.initializers)
    model = onnx.helper.make_model(
        body,
        producer_name="triptych",
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    if graph.has_rt_info([KEY]):
        text = graph.get_rt_info([KEY]).astype(str)
        onnx.helper.set_model_props(model, {KEY: text, **_description(json.loads(text))})
    return model


def _description(metadata: dict[str, Any]) -> dict[str, str]:
    """Metadata that programs show which do not know ours."""
    return {"name": str(metadata.get("name", ""))}


def _add_all(builder: Builder, graph: Any) -> None:
    channel_scales.unify(graph)
    needed = _needed(graph)
    for node in graph.get_ordered_ops():
        kind = node.get_type_name()
        if kind in ("Parameter", "Constant", "Result") or node.get_instance_id() not in needed:
            continue
        try:
            if kind == "If":
                names = _branch(builder, node)
            else:
                names = onnx_operations.translate(builder, node)
        except UnknownError as error:
            raise errors.EngineError(
                text(
                    "The operation {kind}{error} cannot be written as ONNX. Export this committee "
                    "to another format, such as openvino (.xml).",
                    kind=kind,
                    error=error,
                )
            ) from None
        for index, name in enumerate(names):
            builder.values[node.get_instance_id(), index] = name


def _needed(graph: Any) -> set[int]:
    """The operations that are computed, without those that are translated with another one."""
    needed: set[int] = set()
    rest = [result.input_value(0).get_node() for result in graph.get_results()]
    while rest:
        node = rest.pop()
        if node.get_instance_id() in needed:
            continue
        needed.add(node.get_instance_id())
        rest += onnx_operations.sources(node)
    return needed


def _branch(builder: Builder, node: Any) -> list[str]:
    import onnx

    sides = []
    bodies = (node.get_then_body(), node.get_else_body())
    for number, body in enumerate(bodies):
        inner = Builder(builder)
        inputs = {each.body_parameter_index: each for each in node.get_input_descriptions(number)}
        for index, parameter in enumerate(body.get_parameters()):
            # A branch reads values of the graph around it by their names.
            outer = builder.input(node.input_value(inputs[index].input_index))
            inner.values[parameter.get_instance_id(), 0] = outer
        _add_all(inner, body)
        results, outputs = body.get_results(), []
        for each in sorted(
            node.get_output_descriptions(number), key=lambda each: each.output_index
        ):
            source = results[each.body_value_index].input_value(0)
            output = inner.add("Identity", [inner.input(source)])
            outputs.append(
                onnx.helper.make_tensor_value_info(output, _type(source), _sides(source, output))
            )
        sides.append(
            onnx.helper.make_graph(
                inner.nodes, inner.name("branch"), [], outputs, inner.initializers
            )
        )
    return builder.add_many(
        "If",
        [builder.input(node.input_value(0))],
        node.get_output_size(),
        then_branch=sides[0],
        else_branch=sides[1],
    )


def _type(port: Any) -> int:
    import onnx

    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(port.element_type.to_dtype())))


def _sides(port: Any, name: str) -> list[int | str]:
    names = {0: "height", 1: "width"} if name == "image" else {}
    return [
        names.get(axis, f"{name}_{axis}") if side.is_dynamic else side.get_length()
        for axis, side in enumerate(port.partial_shape)
    ]
