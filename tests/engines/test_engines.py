"""Every engine gives the same answers for a batch as row by row.

For every family of networks, OpenVINO at f32 equals Keras on TensorFlow, and so does the converted
network where Keras computes it.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from support import disks
from support import networks
from support.keras_engine import KerasEngine
from triptych import errors
from triptych.engines import Engine
from triptych.engines import batching
from triptych.engines import devices
from triptych.engines import keras_engine
from triptych.engines.activation_maps import ActivationMaps
from triptych.engines.conversion import convert
from triptych.engines.conversion import efficientnet_lite
from triptych.engines.fake import FakeEngine
from triptych.engines.openvino import OpenVINOEngine
from triptych.engines.openvino import has_bf16
from triptych.engines.openvino import resolve_precision
from triptych.models import weights
from triptych.models import zoo
from triptych.utils import files

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_converter")]

# The smallest network of each family.
FAMILIES = list(
    {
        row.family: row.name
        for row in sorted(zoo.BACKBONES.values(), key=lambda row: -row.parameters)
    }.values()
)
SMALLEST = min(FAMILIES, key=lambda name: zoo.find(name).multiply_adds)

# Those that the other tests do not wait for; test_trio has the article's three.
HEAVY = {
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionResNetV2",
    "InceptionV3",
    "NASNetMobile",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "Xception",
}


def by_weight(names: Iterable[str]) -> list[Any]:
    """Names of networks, the large ones marked as thorough."""
    return [
        pytest.param(name, marks=[pytest.mark.thorough] if name in HEAVY else []) for name in names
    ]


FIRST_TOGETHER = """
import pathlib, sys, threading
import numpy as np
from triptych.engines.openvino import OpenVINOEngine
engine = OpenVINOEngine(pathlib.Path(sys.argv[1]), streams=2)
together = threading.Barrier(8)
def ask():
    together.wait()
    engine.run(np.zeros((1, 224, 224, 3), np.float32))
threads = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def inputs(row: zoo.Backbone, count: int) -> np.ndarray:
    """Pictures rather than noise, which has no structure that convolutions could detect."""
    rng = np.random.default_rng(3)
    coarse = rng.uniform(-1, 1, (count, 6, 6, 3))
    height, width = row.recipe.size
    picture = coarse.repeat(-(-height // 6), axis=1).repeat(-(-width // 6), axis=2)
    return picture[:, :height, :width].astype(np.float32) * (
        100 if row.recipe.scaling == "raw" else 1
    )


class Pairs(dict[str, tuple[Any, Path]]):
    """By family, a randomized Keras network, and the same converted from its saved weights."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, name: str) -> tuple[Any, Path]:
        import keras

        keras.utils.set_random_seed(0)
        model = zoo.find(name).build()
        networks.randomize(model)
        file = zoo.find(name).weights.file
        path = self._folder / "files" / (file if file.endswith(".h5") else f"{name}.h5")
        networks.save_applications_weights(model, path)
        convert.run([convert.ConversionJob(name, str(path), str(self._folder / name))], print)
        self[name] = (zoo.with_features(model), self._folder / name / convert.NETWORK)
        return self[name]


@pytest.fixture(scope="module")
def pairs(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return Pairs(tmp_path_factory.mktemp("families"))


@pytest.mark.parametrize("name", by_weight(FAMILIES))
def test_openvino_f32_equals_keras_at_batch_1_3_and_8(name: str, pairs: Pairs) -> None:
    model, path = pairs[name]
    batch = inputs(zoo.find(name), 8)
    reference = KerasEngine(model).run(batch)
    engine = OpenVINOEngine(path, precision="f32")
    assert reference.probs.max(axis=1).min() > 0.02, "too flat to compare anything"
    for size in (1, 3, 8):
        output = engine.run(batch[:size])
        assert np.abs(output.probs - reference.probs[:size]).max() < 1e-4
        for probs, other in zip(output.probs, reference.probs[:size], strict=True):
            assert list(np.argsort(-probs)[:3]) == list(np.argsort(-other)[:3])
        scale = np.abs(reference.features).max()
        np.testing.assert_allclose(
            output.features, reference.features[:size], rtol=1e-3, atol=1e-4 * scale
        )


def kernel(layer: Any) -> np.ndarray | None:
    return getattr(layer, "kernel", None)


@functools.cache
def by_operations(path: Path) -> keras_engine.KerasEngine:
    """The network in operations of Keras, which are compiled for each size of batch."""
    return keras_engine.KerasEngine(path, devices.resolve("tensorflow:cpu"), precision="f32")


@pytest.mark.parametrize("name", by_weight(FAMILIES))
def test_the_same_network_by_keras_operations_equals_it(name: str, pairs: Pairs) -> None:
    model, path = pairs[name]
    # As many as `test_a_batch_equals_its_rows` asks the smallest one about.
    batch = inputs(zoo.find(name), 5 if name == SMALLEST else 2)
    reference = KerasEngine(model).run(batch)
    output = by_operations(path).run(batch)
    assert np.abs(output.probs - reference.probs).max() < 1e-4
    scale = np.abs(reference.features).max()
    np.testing.assert_allclose(output.features, reference.features, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.parametrize("name", by_weight(["ResNet50", "MobileNet", "MobileNetV2", "DenseNet121"]))
def test_class_activation_maps_equal_keras(name: str, pairs: Pairs) -> None:
    import keras

    model, path = pairs[name]
    batch = inputs(zoo.find(name), 1)
    pools = [a for a in model.layers if isinstance(a, keras.layers.GlobalAveragePooling2D)]
    last_map = [pool.input for pool in pools if pool.input.shape[1] > 1][-1]
    features = networks.run(keras.Model(model.input, last_map), batch)[0]
    last = [layer for layer in model.layers if kernel(layer) is not None][-1]
    weights, bias = last.get_weights()
    # Zhou et al.: the dense layer at each place of the map. MobileNet's is a convolution of 1 x 1.
    expected = features @ weights.reshape(features.shape[-1], -1) + bias  # (h, w, C)
    evidence = ActivationMaps(path).evidence(batch)
    assert evidence is not None
    scale = np.abs(expected).max()
    np.testing.assert_allclose(evidence, expected.transpose(2, 0, 1), atol=1e-3 * scale)


@pytest.mark.parametrize("name", by_weight(["MobileNetV3Small", "VGG16", "ConvNeXtTiny"]))
def test_networks_with_a_nonlinear_head_have_no_class_activation_map(
    name: str, pairs: Pairs
) -> None:
    with pytest.raises(errors.EngineError, match="has no map to show"):
        ActivationMaps(pairs[name][1])


@pytest.fixture(params=["fake", "keras", "openvino", "keras operations", "batching"])
def engine(request: pytest.FixtureRequest) -> tuple[Engine, zoo.Backbone]:
    row = zoo.find("MobileNetV2")
    if request.param == "fake":
        return FakeEngine(), row
    pairs = request.getfixturevalue("pairs")
    smallest = zoo.find(SMALLEST)
    model, path = pairs[SMALLEST]
    built = {
        "keras": lambda: KerasEngine(model),
        "openvino": lambda: OpenVINOEngine(path, precision="f32"),
        "keras operations": lambda: by_operations(path),
        "batching": lambda: batching.batched(OpenVINOEngine(path, precision="f32"), max_batch=4),
    }
    return built[request.param](), smallest


def test_a_batch_equals_its_rows(engine: tuple[Engine, zoo.Backbone]) -> None:
    run, row = engine[0].run, engine[1]
    batch = inputs(row, 5)
    whole = run(batch)
    single = [run(batch[n : n + 1]) for n in range(5)]
    np.testing.assert_allclose(whole.probs, [one.probs[0] for one in single], atol=1e-6)
    np.testing.assert_allclose(
        whole.features, [one.features[0] for one in single], rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(whole.probs.sum(axis=1), 1, atol=1e-4)
    assert whole.probs.dtype == whole.features.dtype == np.float32
    again = run(batch)
    np.testing.assert_array_equal(again.probs, whole.probs)


def test_threads_get_the_answers_of_their_images(pairs: Pairs) -> None:
    from concurrent.futures import ThreadPoolExecutor

    engine = OpenVINOEngine(pairs["MobileNetV2"][1], precision="f32")
    batch = inputs(zoo.find("MobileNetV2"), 8)
    expected = engine.run(batch).probs
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: engine.run(batch[n % 8][None]).probs[0], range(64)))
    for n, answer in enumerate(answers):
        np.testing.assert_allclose(answer, expected[n % 8], atol=1e-6)


@pytest.mark.parametrize(
    "attempt", [0, *(pytest.param(n, marks=pytest.mark.thorough) for n in (1, 2, 3))]
)
def test_simultaneous_first_calls_do_not_deadlock(pairs: Pairs, attempt: int) -> None:
    # Without what `openvino._made_core` does, every third process stood still for ever.
    _, network = pairs["MobileNetV2"]
    command = [sys.executable, "-c", FIRST_TOGETHER, str(network)]
    assert subprocess.run(command, timeout=300).returncode == 0


@pytest.mark.parametrize("kind", ["keras", "openvino", "keras operations"])
def test_a_batch_of_the_wrong_size_is_refused(kind: str, pairs: Pairs) -> None:
    model, path = pairs["MobileNetV2"]
    kinds: dict[str, Callable[[], Engine]] = {
        "keras": lambda: KerasEngine(model),
        "openvino": lambda: OpenVINOEngine(path),
        "keras operations": lambda: by_operations(path),
    }
    engine = kinds[kind]()
    with pytest.raises(errors.EngineError, match=r"224,\s?224.*\(1, 8, 8, 3\)"):
        engine.run(np.zeros((1, 8, 8, 3), np.float32))


def test_precision_auto_takes_what_was_measured_to_be_faster(tmp_path: Path) -> None:
    assert resolve_precision("f32", home=tmp_path) == "f32"
    precision = resolve_precision("auto", home=tmp_path)
    assert precision in ("f32", "bf16")
    assert resolve_precision("auto", home=tmp_path) == precision
    if has_bf16():
        (record,) = (tmp_path / "engines" / "measured").glob("*.json")
        written = json.loads(record.read_text())
        for bf16_ms, expected in ((1.0, "bf16"), (1.99, "f32"), (3.0, "f32")):
            record.write_text(json.dumps({**written, "ms": {"f32": 2.0, "bf16": bf16_ms}}))
            assert resolve_precision("auto", home=tmp_path) == expected
    else:
        assert precision == "f32"


@pytest.mark.skipif(has_bf16(), reason="this processor has bf16")
def test_bf16_on_a_processor_without_it_is_refused_with_alternatives() -> None:
    with pytest.raises(errors.SettingError, match="no bf16 arithmetic"):
        resolve_precision("bf16")


def test_a_network_is_compiled_by_one_process_at_a_time(tmp_path: Path) -> None:
    path = networks.write_tiny(tmp_path / "tiny" / "network.xml", classes=3)
    cache = tmp_path / "compiled"
    starting = Thread(target=OpenVINOEngine, args=(path,), kwargs={"cache": cache})
    with files.exclusive(cache / "tiny.lock"):
        starting.start()
        starting.join(0.5)
        assert not list(cache.glob("*.blob"))
    starting.join()
    assert list(cache.glob("*.blob"))
    cache.chmod(0o500)
    assert OpenVINOEngine(path, cache=cache).size_bytes > 0


def test_a_damaged_network_on_disk_says_how_to_repair_it(tmp_path: Path) -> None:
    path = tmp_path / "network.xml"
    path.write_text("<net>")
    with pytest.raises(errors.EngineError, match=r"cannot compile .*network.xml.*made anew"):
        OpenVINOEngine(path)


def test_a_conversion_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    wrong = tmp_path / zoo.find("MobileNetV2").weights.file
    wrong.write_bytes(b"not weights")
    with pytest.raises(errors.WeightsDamaged, match="does not fit MobileNetV2"):
        convert.run(
            [convert.ConversionJob("MobileNetV2", str(wrong), str(tmp_path / "out"))], print
        )
    assert list(tmp_path.iterdir()) == [wrong]


def test_openvino_sends_no_telemetry(tmp_path: Path) -> None:
    code = (
        "from triptych.engines import openvino; openvino.has_bf16(); import sys; "
        "print([name for name in sys.modules if name.startswith('openvino_telemetry.')])"
    )
    # On machines that test, it would be silent by itself.
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_a_disk_too_full_for_a_network_is_named(tmp_path: Path) -> None:
    """It writes nothing but a part of one file."""
    with disks.mounted(tmp_path, 1):
        row = zoo.find("EfficientNetLite0")
        with pytest.raises(errors.DiskError, match="make room, and try again"):
            efficientnet_lite.write(row, weights.require(row), tmp_path / "network")
        assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("name", zoo.COMMITTEES["lite"])
def test_lite_built_without_keras_equals_keras_conversion(name: str, tmp_path: Path) -> None:
    row = zoo.find(name)
    file = weights.require(row)
    efficientnet_lite.write(row, file, tmp_path / "direct")
    convert.run([convert.ConversionJob(name, str(file), str(tmp_path / "keras"))], print)
    direct, by_keras = (
        OpenVINOEngine(tmp_path / folder / convert.NETWORK, precision="f32")
        for folder in ("direct", "keras")
    )
    batch = inputs(row, 2)
    np.testing.assert_allclose(direct.run(batch).probs, by_keras.run(batch).probs, atol=1e-6)
    np.testing.assert_allclose(direct.run(batch).features, by_keras.run(batch).features, atol=1e-5)
