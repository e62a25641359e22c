"""Constants and branches of a graph."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import numpy as np

Node = Any


def number(value: float) -> Node:
    """A float32 scalar."""
    from openvino import opset13 as op

    return op.constant(np.float32(value))


def integer(value: int) -> Node:
    """An int64 scalar."""
    from openvino import opset13 as op

    return op.constant(np.int64(value))


def integers(*values: int) -> Node:
    """An int64 vector."""
    from openvino import opset13 as op

    return op.constant(np.array(values, np.int64))


def either(
    condition: Node,
    values: Sequence[Node],
    then: Callable[..., Node],
    otherwise: Callable[..., Node],
) -> Node:
    """What one of two functions makes of some values; only that one runs.

    Args:
        condition: Which one, a scalar of bool.
        values: Nodes that the functions need, as their arguments.
        then: Makes a node of others like the values, for where the condition is true.
        otherwise: Likewise, for where it is false.
    """
    import openvino
    from openvino import opset13 as op

    branch = op.if_op(port(condition))
    bodies = []
    for function in (then, otherwise):
        inputs = [op.parameter(each.partial_shape, each.element_type) for each in map(port, values)]
        result = op.result(function(*inputs))
        bodies.append((openvino.Model([result], inputs), inputs, result))
    (then_body, then_inputs, then_result), (else_body, else_inputs, else_result) = bodies
    branch.set_then_body(then_body)
    branch.set_else_body(else_body)
    for value, then_input, else_input in zip(values, then_inputs, else_inputs, strict=True):
        branch.set_input(port(value), then_input, else_input)
    return branch.set_output(then_result, else_result)


def port(value: Node) -> Node:
    """The only output of a node, or the output itself."""
    return value.output(0) if hasattr(value, "get_type_name") else value


def length(value: Node, axis: int) -> int:
    """The length of an axis that is the same for every photo."""
    return int(port(value).partial_shape[axis].get_length())
