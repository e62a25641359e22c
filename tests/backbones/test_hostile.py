"""Files that nobody should trust: refused with a reason, in bounded memory, and nothing is run."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from support import foreign_networks as foreign
from triptych import backbones
from triptych import errors
from triptych.backbones import ForeignNetwork


def custom(path: Path) -> None:
    model = onnx.load(foreign.conv(path))
    model.graph.node[1].domain = "evil.org"
    path.write_bytes(model.SerializeToString())


def outside(path: Path) -> None:
    (path.parent.parent / "secret.bin").write_bytes(bytes(8 * 3 * 4 * 4 * 4))
    model = onnx.load(foreign.conv(path))
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../secret.bin")
    path.write_bytes(model.SerializeToString())


def huge(path: Path) -> None:
    model = onnx.load(foreign.conv(path))
    model.graph.initializer[0].dims[0] = 1 << 50
    path.write_bytes(model.SerializeToString())


def bomb(path: Path) -> None:
    """A few bytes that would be made into 400 GB of constants."""
    graph = foreign.Graph()
    x = graph.add("GlobalAveragePool", "image")
    shape = graph.constant(np.array([10**11], np.int64))
    ones = graph.add("ConstantOfShape", shape)
    graph.add("Add", x, graph.add("ReduceSum", graph.add("Sin", ones), keepdims=0), to="out")
    graph.save(path, ["n", 3, 32, 32], ["out"])


def cut(path: Path) -> None:
    data = foreign.conv(path).read_bytes()
    path.write_bytes(data[: len(data) // 2])


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weights": [1.0]}))


@pytest.mark.parametrize("make", [custom, outside, huge, bomb, cut, pickled])
def test_hostile_files_are_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "net.onnx"
    make(path)
    with pytest.raises((errors.SourceError, errors.WeightsDamaged, errors.EngineError)) as raised:
        backbones.add(ForeignNetwork(path, "torch:32"), home=tmp_path / "home")
    assert "net.onnx" in raised.value.message
    assert not (tmp_path / "home" / "backbones").exists()
