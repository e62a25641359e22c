"""Small ONNX classifiers, made with the ``onnx`` package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SIZE = 32


def write(
    path: Path,
    *,
    layout: str = "nchw",
    ending: str = "softmax",
    classes: int = 3,
    batch: int | str = "n",
    size: int | str = SIZE,
    channels: int = 3,
    dtype: str = "float",
    front: tuple[float, float] | None = None,
    metadata: dict[str, str] | None = None,
    producer: str = "tests",
) -> Path:
    """Write a network of a convolution, a pooling and a dense layer, whose answers differ.

    `front` is what pixels are multiplied by, and what is added after.
    """
    import onnx
    from onnx import TensorProto
    from onnx import helper
    from onnx import numpy_helper

    rng = np.random.default_rng(0)
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(name: str, values: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    x = "image"
    element = {"float": TensorProto.FLOAT, "uint8": TensorProto.UINT8}[dtype]
    if dtype == "uint8":
        x = node("Cast", [x], "pixels", to=TensorProto.FLOAT)
        front = (1 / 255, 0.0)
    if layout == "nhwc":
        x = node("Transpose", [x], "nchw", perm=[0, 3, 1, 2])
    if front:
        x = node("Mul", [x, constant("factor", np.float32(front[0]))], "multiplied")
        x = node("Add", [x, constant("term", np.float32(front[1]))], "scaled")
    kernel = rng.normal(0, 0.6, (8, channels, 5, 5)).astype(np.float32)
    bias = rng.normal(0, 5.0, 8).astype(np.float32)
    inputs = [x, constant("kernel", kernel), constant("bias", bias)]
    x = node("Conv", inputs, "conv", strides=[3, 3])
    x = node("Relu", [x], "relu")
    x = node("GlobalAveragePool", [x], "pool")
    x = node("Flatten", [x], "features")
    outputs = 1 if ending == "one sigmoid" else classes
    weights = rng.normal(0, 2.0, (8, outputs)).astype(np.float32)
    x = node("Gemm", [x, constant("w", weights), constant("b", np.zeros(outputs, np.float32))], "d")
    if ending == "softmax":
        x = node("Softmax", [x], "probs", axis=1)
    elif ending in ("one sigmoid", "sigmoids"):
        x = node("Sigmoid", [x], "probs")
    sides = [size, size, channels] if layout == "nhwc" else [channels, size, size]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", element, [batch, *sides])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, [batch, outputs])],
        constants,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], producer_name=producer, ir_version=9
    )
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path
