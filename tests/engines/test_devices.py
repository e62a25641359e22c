"""Devices: their names, what is said where there is none, and networks that run on them.

No graphics card is needed: Keras's backends run on the processor, too. TensorFlow's is tried here;
with PyTorch or JAX: ``TEST_BACKEND=torch python -m pytest tests/engines/test_devices.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import triptych
from support import bundles as support_bundles
from support import networks
from support.images import picture
from triptych import errors
from triptych.cli import main
from triptych.engines import devices
from triptych.engines import openvino
from triptych.engines.keras_engine import BATCH_SIZES
from triptych.engines.keras_engine import KerasEngine
from triptych.engines.keras_engine import KerasPixelEngine
from triptych.engines.openvino import OpenVINOEngine
from triptych.engines.options import EngineOptions
from triptych.engines.options import open_engine
from triptych.preprocessing import recipe as preprocessing
from triptych.preprocessing.recipe import SCALINGS
from triptych.preprocessing.recipe import Recipe

BACKEND = os.environ["KERAS_BACKEND"]
BY_KERAS = f"{BACKEND}:cpu"
HAS_GPU = devices.resolve("auto") != devices.CPU
needs_no_gpu = pytest.mark.skipif(HAS_GPU, reason="this machine has a graphics card")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("auto", "auto"),
        (" CPU ", "cpu"),
        ("GPU", "gpu"),
        ("npu", "npu"),
        ("OpenVINO:GPU.1", "openvino:GPU.1"),
        ("torch:cuda:1", "torch:cuda:1"),
        ("torch:mps", "torch:mps"),
        ("jax:gpu:0", "jax:gpu:0"),
        ("tensorflow:cpu", "tensorflow:cpu"),
    ],
)
def test_devices_have_names(text: str, name: str) -> None:
    assert devices.parse(text) == name


@pytest.mark.parametrize("text", ["", "gpu:", "cuda:0", "torch", "torch:", "GPU.1", "gpu:1", ":0"])
def test_other_names_are_refused_with_examples(text: str) -> None:
    with pytest.raises(errors.SettingError, match=r"expected auto, cpu, gpu, npu, or RUNTIME:DEV"):
        devices.parse(text)


@given(st.text())
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        name = devices.parse(text)
    except errors.SettingError:
        return
    assert devices.parse(name) == name


def test_the_processor_has_two_names() -> None:
    assert devices.resolve("cpu") == devices.resolve("openvino:cpu") == devices.CPU
    assert devices.CPU.is_processor
    assert devices.resolve(BY_KERAS).is_processor


def test_at_int8_auto_is_the_processor() -> None:
    assert devices.resolve("auto", "int8") == devices.CPU


@needs_no_gpu
def test_without_a_graphics_card_auto_imports_nothing_large() -> None:
    code = (
        "import sys; from triptych.engines import devices; print(devices.resolve('auto'), "
        "sorted({'keras', 'torch', 'jax', 'tensorflow'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "openvino:CPU []"


@needs_no_gpu
def test_a_gpu_that_is_not_there_is_refused_with_what_was_found() -> None:
    with pytest.raises(errors.SettingError) as raised:
        devices.resolve("gpu")
    assert "Got device gpu" in raised.value.message
    assert "OpenVINO finds CPU" in raised.value.message
    assert "--device cpu" in raised.value.message


@pytest.mark.parametrize("text", ["openvino:GPU.7", f"{BACKEND}:gpu:7"])
def test_a_named_device_that_is_not_there_is_refused(text: str) -> None:
    with pytest.raises(errors.SettingError, match=f"Got device {text}, and this machine has none"):
        devices.resolve(text)


def test_the_command_line_says_so_in_one_line(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(picture())
    ran = CliRunner().invoke(main, ["classify", str(photo), "--device", "cuda:0"])
    assert ran.exit_code == 2
    assert "Got device 'cuda:0'" in ran.output
    assert "Traceback" not in ran.output


def test_a_process_has_one_backend_of_keras() -> None:
    code = (
        f"import keras, triptych.engines.backends as b\n"
        f"keras.backend.backend = lambda: 'numpy'\n"
        f"try: b.use('{BACKEND}')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    environment = {**os.environ, "KERAS_BACKEND": BACKEND}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert "SettingError" in ran.stdout
    assert "this process runs Keras with numpy" in ran.stdout


def test_int8_is_refused_where_only_openvino_has_it(tmp_path: Path) -> None:
    path = networks.write_tiny(tmp_path / "network.xml", classes=3)
    options = EngineOptions(tmp_path, "int8", device=BY_KERAS)
    with pytest.raises(errors.SettingError, match=r"int8 and device .*OpenVINO only"):
        open_engine(path, options)


def test_a_processor_computes_f16_on_no_wish_of_a_person() -> None:
    with pytest.raises(errors.SettingError, match="f16, which is that of another device"):
        openvino.resolve_precision("f16")
    with pytest.raises(errors.SettingError, match="f16 or f32 on GPU"):
        openvino.resolve_precision("bf16", "GPU.0")
    assert openvino.resolve_precision("auto", "GPU.0") == "f16"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.write_tiny(tmp_path_factory.mktemp("tiny") / "network.xml", classes=5)


def inputs(count: int) -> np.ndarray:
    return np.random.default_rng(2).uniform(-1, 1, (count, 32, 32, 3)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 3, BATCH_SIZES[-1] + 2])
def test_any_batch_equals_openvino_whatever_it_is_filled_up_to(network: Path, count: int) -> None:
    engine = KerasEngine(network, devices.resolve(BY_KERAS), precision="f32")
    batch = inputs(count)
    expected = OpenVINOEngine(network, precision="f32").run(batch)
    output = engine.run(batch)
    np.testing.assert_allclose(output.probs, expected.probs, atol=1e-6)
    np.testing.assert_allclose(output.features, expected.features, atol=1e-5)
    assert engine.size_bytes == network.with_suffix(".bin").stat().st_size


@pytest.mark.parametrize("scaling", SCALINGS)
def test_pixels_are_scaled_on_the_device_as_recipes_scale_them(network: Path, scaling: str) -> None:
    recipe = Recipe((32, 32), scaling)
    engine = KerasPixelEngine(network, devices.resolve(BY_KERAS), recipe)
    pixels = np.random.default_rng(4).integers(0, 256, (2, 32, 32, 3), np.uint8)
    expected = engine.run(preprocessing.scale(recipe, pixels))
    output = engine.run_pixels(pixels)
    np.testing.assert_allclose(output.features, expected.features, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(output.probs, expected.probs, atol=1e-4)


def test_threads_get_the_outputs_of_their_photos(network: Path) -> None:
    options = EngineOptions(network.parent, "f32", max_batch=8, device=BY_KERAS)
    engine = open_engine(network, options)
    batch = inputs(8)
    expected = engine.run(batch).probs
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: engine.run(batch[n % 8][None]).probs[0], range(64)))
    for n, answer in enumerate(answers):
        np.testing.assert_allclose(answer, expected[n % 8], atol=1e-6)


def test_a_read_only_batch_is_taken(network: Path) -> None:
    batch = inputs(2)
    batch.flags.writeable = False
    KerasEngine(network, devices.resolve(BY_KERAS)).run(batch)


def test_a_device_that_takes_one_photo_at_a_time_gives_the_same(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = OpenVINOEngine(network, precision="f32").run(inputs(3))
    monkeypatch.setattr(openvino, "STATIC", ("CPU",))  # as an NPU
    output = OpenVINOEngine(network, precision="f32").run(inputs(3))
    np.testing.assert_allclose(output.probs, expected.probs, atol=1e-6)
    np.testing.assert_allclose(output.features, expected.features, atol=1e-5)


def test_a_committee_gives_the_same_verdicts_on_another_device(home: Path) -> None:
    bundle = support_bundles.write_runnable(home, "garden")
    photos = [(str(n), picture(n)) for n in range(6)]
    by_device = []
    for device in ("cpu", BY_KERAS):
        classifier = triptych.load(bundle.name, home=home, device=device, precision="f32")
        by_device.append([verdict.to_dict() for verdict in classifier.classify_many(photos)])
    for one, other in zip(*by_device, strict=True):
        assert one["verdict"]["label"] == other["verdict"]["label"]
        assert one["verdict"].get("status") == other["verdict"].get("status")
        assert abs(one["verdict"]["prob"] - other["verdict"]["prob"]) < 1e-5
