"""The store of converted networks: files that changed on disk are rejected and made again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from triptych import errors
from triptych.engines.conversion import digests
from triptych.engines.conversion import int8
from triptych.engines.conversion import store
from triptych.engines.openvino import OpenVINOEngine
from triptych.engines.options import EngineOptions
from triptych.inference import committee
from triptych.models import zoo

LITE0 = zoo.find("lite0")
PHOTO = np.random.default_rng(0).uniform(-1, 1, (1, 224, 224, 3)).astype("float32")


def prepare(home: Path, messages: list[str] | None = None) -> Path:
    report = print if messages is None else messages.append
    (network,) = store.prepare([LITE0], home=home, report=report)
    return network


def probs(network: Path) -> np.ndarray:
    return OpenVINOEngine(network, precision="f32").run(PHOTO).probs


def overwrite_weights(network: Path) -> None:
    with network.with_suffix(".bin").open("r+b") as file:
        file.seek(1 << 20)
        file.write(bytes(4096))


def truncate_weights(network: Path) -> None:
    network.with_suffix(".bin").write_bytes(network.with_suffix(".bin").read_bytes()[:-1])


def remove_weights(network: Path) -> None:
    network.with_suffix(".bin").unlink()


def damage_graph(network: Path) -> None:
    network.write_bytes(network.read_bytes()[:1000])


def remove_graph(network: Path) -> None:
    network.unlink()


def damage_record(network: Path) -> None:
    network.with_suffix(".sha256").write_bytes(b"\xff\0")


DAMAGES = (
    overwrite_weights,
    truncate_weights,
    remove_weights,
    damage_graph,
    remove_graph,
    damage_record,
)


def test_a_network_that_changed_on_disk_is_converted_anew(tmp_path: Path) -> None:
    network = prepare(tmp_path)
    # sha256sum reads the record, too.
    subprocess.run(["sha256sum", "-c", "network.sha256"], cwd=network.parent, check=True)
    expected = probs(network)
    (network.parent / int8.FOLDER).mkdir()
    (network.parent / int8.FOLDER / "network.xml").write_text("made from photos")
    for damage in DAMAGES:
        damage(network)
        messages: list[str] = []
        assert prepare(tmp_path, messages) == network, damage
        assert "not those that were written there" in messages[0], damage
        np.testing.assert_array_equal(probs(network), expected, err_msg=str(damage))
        assert (network.parent / int8.FOLDER / "network.xml").read_text() == "made from photos"
        messages.clear()
        prepare(tmp_path, messages)
        assert messages == [], damage
        assert [path.name for path in (tmp_path / "engines").iterdir()] == [network.parent.name]


def test_networks_without_a_record_get_one(tmp_path: Path) -> None:
    network = prepare(tmp_path)
    record = network.with_suffix(".sha256")
    text = record.read_text()
    record.unlink()
    messages: list[str] = []
    prepare(tmp_path, messages)
    assert record.read_text() == text
    assert messages == []


def test_an_int8_network_of_the_zoo_that_changed_is_named(tmp_path: Path) -> None:
    network = prepare(tmp_path)
    # The f32 network stands for a quantized one.
    int8.install(network, network, {"from": "a test"})
    options = EngineOptions(tmp_path, precision="int8")
    assert committee.from_zoo("lite", options, members=["lite0"]).members
    overwrite_weights(int8.int8_path(network))
    assert not digests.is_unchanged(int8.int8_path(network))
    with pytest.raises(errors.EngineError, match=r"int8-1 are not those .*triptych optimize lite"):
        committee.from_zoo("lite", options, members=["lite0"])
