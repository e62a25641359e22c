"""Rewrites of a graph from elsewhere: any number of photos, and plainer operations.

All change an OpenVINO model and leave what it computes as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def free_batch(network: Any, one: Any) -> None:
    """Let a graph that was written for one photo take several.

    The number of photos is a factor of the first side everywhere, as nearly all networks have it;
    whether the result is right is checked afterwards, on photos.

    Args:
        network: The graph, which is changed.
        one: The same graph for one photo, with all shapes known.
    """
    from openvino import opset13 as op

    shapes = {each.get_friendly_name(): each.get_output_partial_shape(0) for each in one.get_ops()}
    image, of_photo = network.input(0), _names_after(network.get_parameters()[0])
    for node in network.get_ordered_ops():
        name = node.get_friendly_name()
        if name not in of_photo:
            continue
        if kind_of(node) == "Reshape" and kind_of(node.input_value(1).get_node()) == "Constant":
            shape = shapes[name]
            if shape.is_static and len(shape) > 1:
                target = np.array([-1, *list(shape.to_shape())[1:]], np.int64)
                node.input(1).replace_source_output(op.constant(target).output(0))
        # A class token is a constant for one photo, put beside the patches of each.
        if kind_of(node) == "Concat" and node.get_attributes()["axis"] != 0:
            for n, value in enumerate(node.input_values()):
                shape = value.partial_shape
                if value.get_node().get_friendly_name() not in of_photo and shape.is_static:
                    batch = op.gather(op.shape_of(image), op.constant([0]), op.constant(0))
                    ones = op.constant(np.ones(len(shape) - 1, np.int64))
                    many = op.broadcast(value, op.concat([batch, ones], 0), [], "BIDIRECTIONAL")
                    node.input(n).replace_source_output(many.output(0))


def spell_out_attention(network: Any) -> None:
    """Attention as products and a softmax, which more programs know than the one operation."""
    from openvino import opset13 as op

    for node in network.get_ordered_ops():
        if kind_of(node) != "ScaledDotProductAttention" or node.get_attributes()["causal"]:
            continue
        query, key, value, *rest = node.input_values()
        if rest and not rest[0].get_element_type().is_real():
            continue  # a mask of true and false
        width = int(query.partial_shape[-1].get_length())
        factor = rest[1] if len(rest) > 1 else op.constant(np.float32(width**-0.5))
        scores = op.multiply(op.matmul(query, key, False, True), factor)
        if rest and not _is_zero(rest[0]):
            scores = op.add(scores, rest[0])
        attended = op.matmul(op.softmax(scores, -1), value, False, False)
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(attended.output(0))


def write_sides(network: Any) -> None:
    """Sides of tensors that a graph looks up, as constants where they are the same for all photos.

    PyTorch exports attention so: its factor is computed from the width of the queries.
    """
    from openvino import opset13 as op

    for node in network.get_ordered_ops():
        if kind_of(node) not in ("Slice", "Gather"):
            continue
        shape_of, *where = (value.get_node() for value in node.input_values())
        if kind_of(shape_of) != "ShapeOf" or any(kind_of(each) != "Constant" for each in where):
            continue
        sides = dims_of(shape_of.input_value(0))
        numbers = [np.array(each.data) for each in where]
        if sides is None:
            continue
        if kind_of(node) == "Gather":
            picked = np.array(sides, object)[numbers[0]]
        else:
            start, stop, step = (int(each.item()) for each in numbers[:3])
            picked = np.array(sides, object)[slice(start, stop, step)]
        if None not in np.ravel(picked):
            kind = np.int32 if node.get_element_type().to_string() == "i32" else np.int64
            constant = op.constant(np.asarray(picked, kind))
            for target in node.output(0).get_target_inputs():
                target.replace_source_output(constant.output(0))


def write_shapes(network: Any) -> None:
    """Reshapes and broadcasts to a number of photos that a graph computes, without computing it.

    A reshape takes a constant with one free side. What is broadcast to the photos, such as a class
    token, is added to a zero of each photo: every program can do that.

    Args:
        network: Its input has the shape (N, height, width, 3) and is float32.
    """
    from openvino import opset13 as op

    photos, zero = network.get_parameters()[0], op.constant(np.float32(0))
    zeros = op.multiply(op.reduce_mean(photos, op.constant([1, 2, 3]), keep_dims=True), zero)
    for node in network.get_ordered_ops():
        sides = dims_of(node.output(0)) or [None, None]
        if kind_of(node) not in ("Reshape", "Broadcast") or sides.count(None) != 1:
            continue
        if kind_of(node.input_value(1).get_node()) == "Constant":
            continue
        if kind_of(node) == "Reshape":
            target = op.constant(np.array([-1 if side is None else side for side in sides]))
            node.input(1).replace_source_output(target.output(0))
        elif sides[0] is None and node.get_attributes()["mode"] != "explicit":
            one = op.constant(np.array([1, *sides[1:]], np.int64))
            ones = op.constant(np.array([-1] + [1] * (len(sides) - 1), np.int64))
            each = op.broadcast(node.input_value(0), one, broadcast_spec="BIDIRECTIONAL")
            many = op.add(each, op.reshape(zeros, ones, special_zero=False))
            for target in node.output(0).get_target_inputs():
                target.replace_source_output(many.output(0))


def _is_zero(port: Any) -> bool:
    node = port.get_node()
    return kind_of(node) == "Constant" and not np.array(node.data).any()


def _names_after(node: Any) -> set[str]:
    names, left = {node.get_friendly_name()}, [node]
    while left:
        for output in left.pop().outputs():
            for target in output.get_target_inputs():
                following = target.get_node()
                if following.get_friendly_name() not in names and kind_of(following) != "ShapeOf":
                    names.add(following.get_friendly_name())
                    left.append(following)
    return names


def kind_of(node: Any) -> str:
    """The name of a node's operation."""
    return str(node.get_type_name())


def dims_of(port: Any) -> list[int | None] | None:
    """The shape of a tensor, with ``None`` for a side that may be any; ``None`` for any shape."""
    shape = port.partial_shape
    if shape.rank.is_dynamic:
        return None
    return [int(side.get_length()) if side.is_static else None for side in shape]
