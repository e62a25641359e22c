"""Networks run by Keras equal OpenVINO, operation by operation.

The whole networks of the zoo are compared in test_engines. On another backend of Keras, where it is
installed: ``TEST_BACKEND=torch python -m pytest tests/engines/test_keras_graph.py``, or ``jax``.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import openvino
import pytest
from openvino import opset13 as op

from support import foreign_networks
from support import networks
from support import operations
from support.operations import BLOCKS
from support.operations import ints
from triptych import errors
from triptych.engines import devices
from triptych.engines.conversion import backbone_graph
from triptych.engines.conversion.backbone_graph import BackboneJob
from triptych.engines.keras_engine import KerasEngine
from triptych.engines.keras_graph import KerasGraph
from triptych.engines.openvino import OPERATIONS
from triptych.engines.openvino import OpenVINOEngine
from triptych.preprocessing.recipe import Recipe

BACKEND = os.environ["KERAS_BACKEND"]

RNG = np.random.default_rng(1)
# Those that only OpenVINO runs; a network with one of them is refused.
ONLY_OPENVINO = {
    "DepthToSpace",
    "FakeQuantize",
    "Interpolate",
    "LRN",
    "NormalizeL2",
    "Reverse",
    "ShapeOf",
    "SpaceToDepth",
}


def opened(path: Path, precision: str = "f32") -> KerasEngine:
    return KerasEngine(path, devices.resolve(f"{BACKEND}:cpu"), precision=precision)


def test_each_operation_equals_openvino(tmp_path: Path) -> None:
    path = tmp_path / "network.xml"
    ends = np.cumsum(operations.write(path, *BLOCKS.values()))[:-1]
    image = RNG.normal(0, 1, (3, 6, 5, 4)).astype(np.float32)
    core = openvino.Core()
    expected = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image)
    output = opened(path).run(image)
    assert output.probs.dtype == output.features.dtype == np.float32
    np.testing.assert_allclose(output.probs, expected[0], rtol=1e-5, atol=1e-6)
    pairs = (np.split(features, ends, axis=1) for features in (output.features, expected[1]))
    wrong = {
        name: float(np.abs(ours - theirs).max())
        for name, ours, theirs in zip(BLOCKS, *pairs, strict=True)
        if not np.allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    }
    assert not wrong


def test_every_operation_that_bundles_may_have_is_compared_or_refused() -> None:
    compared = {name.split()[0] for name in BLOCKS} | {"Constant", "Parameter", "Result"}
    assert compared | ONLY_OPENVINO == OPERATIONS
    assert not compared & ONLY_OPENVINO


def test_what_only_openvino_runs_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "network.xml"
    operations.write(path, lambda x: op.depth_to_space(x, "blocks_first", 2))
    with pytest.raises(errors.EngineError, match=r"DepthToSpace.*only OpenVINO.*--device cpu"):
        KerasGraph(path, "float32")


def test_an_operation_on_the_batch_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "network.xml"
    operations.write(path, lambda x: op.gather(x, ints(0), ints(0)))
    with pytest.raises(errors.EngineError, match="over the photos of a batch"):
        KerasGraph(path, "float32")


def test_at_half_precision_what_follows_the_features_is_computed_at_f32(tmp_path: Path) -> None:
    path = networks.write_tiny(tmp_path / "network.xml", classes=5)
    image = RNG.uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    probs, features = opened(path, "bf16").run(image)
    core = openvino.Core()
    last = [node for node in core.read_model(path).get_ops() if node.get_type_name() == "Constant"]
    (dense,) = (node.data for node in last if node.data.shape == (64, 5))
    logits = features.astype(np.float64) @ dense
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(probs, expected / expected.sum(axis=1, keepdims=True), atol=1e-6)


def test_numbers_too_large_for_f16_are_refused_not_answered(tmp_path: Path) -> None:
    path = networks.write_tiny(tmp_path / "network.xml", classes=5)
    engine = opened(path, "f16")
    small = RNG.uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    assert np.isfinite(engine.run(small).probs).all()
    with pytest.raises(errors.EngineError, match=r"above 65504.*--precision f32"):
        engine.run(small * 60_000)


def test_a_transformer_without_classes(tmp_path: Path) -> None:
    path = foreign_networks.transformer(tmp_path / "vit.onnx")
    recipe = Recipe((32, 32), "torch").to_dict()
    folder = str(tmp_path / "made")
    job = BackboneJob(str(path), folder, "nchw", recipe, "tokens", "class+patches", 1)
    backbone_graph.make(job)
    network = tmp_path / "made" / backbone_graph.NETWORK
    photos = np.random.default_rng(0).normal(size=(3, 32, 32, 3)).astype(np.float32)
    probs, features = opened(network).run(photos)
    assert probs.shape == (3, 0)
    expected = OpenVINOEngine(network, precision="f32").run(photos).features
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
