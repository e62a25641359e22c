"""Small ONNX networks as other programs write them, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto
from onnx import helper
from onnx import numpy_helper

SIDE = 32
WIDTH = 12
PATCH = 8
PATCHES = (SIDE // PATCH) ** 2


class Graph:
    """Collects the nodes and weights of an ONNX graph."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, *shape: int) -> str:
        return self.constant(self._rng.normal(0, 0.4, shape).astype(np.float32))

    def constant(self, value: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, kind: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        name = to or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def save(self, path: Path, shape: list[Any], outputs: list[str], **names: Any) -> Path:
        image = helper.make_tensor_value_info("image", names.get("kind", TensorProto.FLOAT), shape)
        given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "foreign", [image], given, self.weights)
        opset = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        path.write_bytes(model.SerializeToString())
        return path


def conv(path: Path, *, batch: Any = "batch", side: Any = SIDE, end: str = "vector") -> Path:
    """A convolution and what follows it in networks of PyTorch, channels first.

    `end` is "vector", "map", "logits", "two" (a map and a vector), "joined" (the mean over the
    batch is taken away), "constant" (which ignores the photo) or "nan".
    """
    graph = Graph()
    x = graph.add("Conv", "image", graph.weight(WIDTH, 3, 4, 4), strides=[4, 4])
    x = graph.add("Relu", x, to="map" if end in ("map", "two") else "")
    outputs = {"map": ["map"], "two": ["map", "vector"]}.get(end, ["vector"])
    pooled = graph.add("GlobalAveragePool", x)
    flat = graph.constant(np.array([1 if batch == 1 else -1, WIDTH], np.int64))
    x = graph.add("Reshape", pooled, flat, to="" if end not in ("vector", "two") else "vector")
    if end == "logits":
        graph.add("Gemm", x, graph.weight(WIDTH, 1000), graph.weight(1000), to="vector")
    if end == "joined":
        mean = graph.add("ReduceMean", x, axes=[0], keepdims=1)
        graph.add("Sub", x, mean, to="vector")
    if end == "constant":
        zero = graph.add("Mul", x, graph.constant(np.float32(0)))
        graph.add("Add", zero, graph.weight(WIDTH), to="vector")
    if end == "nan":
        graph.add("Log", graph.add("Neg", graph.add("Exp", x)), to="vector")
    return graph.save(path, [batch, 3, side, side], outputs)


def transformer(path: Path, *, batch: Any = "batch", prefix: int = 1) -> Path:
    """Patches, tokens before them, and attention with the batch among the heads, as exports have.

    Gives tokens (N, prefix + 16, 12).
    """
    graph = Graph()
    free = 1 if batch == 1 else -1
    tokens = prefix + PATCHES
    x = graph.add("Conv", "image", graph.weight(WIDTH, 3, PATCH, PATCH), strides=[PATCH, PATCH])
    x = graph.add("Reshape", x, graph.constant(np.array([free, WIDTH, PATCHES], np.int64)))
    x = graph.add("Transpose", x, perm=[0, 2, 1])
    if prefix:
        first = graph.weight(1, prefix, WIDTH)
        if batch != 1:
            side = graph.add("Gather", graph.add("Shape", x), graph.constant(np.array([0])))
            rest = graph.constant(np.array([1, 1]))
            first = graph.add("Expand", first, graph.add("Concat", side, rest, axis=0))
        x = graph.add("Concat", first, x, axis=1)
    x = graph.add("Add", x, graph.weight(1, tokens, WIDTH))
    heads = [2 if batch == 1 else -1, tokens, WIDTH // 2]
    parts = []
    for _ in range(3):  # queries, keys, values: (N * heads, tokens, width of a head)
        y = graph.add("MatMul", x, graph.weight(WIDTH, WIDTH))
        split = graph.constant(np.array([free, tokens, 2, WIDTH // 2], np.int64))
        y = graph.add("Transpose", graph.add("Reshape", y, split), perm=[0, 2, 1, 3])
        parts.append(graph.add("Reshape", y, graph.constant(np.array(heads, np.int64))))
    query, key, value = parts
    scores = graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 2, 1]))
    y = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
    y = graph.add("Reshape", y, graph.constant(np.array([free, 2, tokens, WIDTH // 2], np.int64)))
    y = graph.add("Transpose", y, perm=[0, 2, 1, 3])
    y = graph.add("Reshape", y, graph.constant(np.array([free, tokens, WIDTH], np.int64)))
    graph.add("Add", x, y, to="tokens")
    return graph.save(path, [batch, 3, SIDE, SIDE], ["tokens"])


def last(path: Path, *, size: int = SIDE) -> Path:
    """A network of TensorFlow's layout, channels last, that takes a photo of any size."""
    graph = Graph()
    x = graph.add("Transpose", "image", perm=[0, 3, 1, 2])
    x = graph.add("Relu", graph.add("Conv", x, graph.weight(WIDTH, 3, 4, 4), strides=[4, 4]))
    graph.add("ReduceMean", x, axes=[2, 3], keepdims=0, to="vector")
    return graph.save(path, ["n", "h", "w", 3], ["vector"])
