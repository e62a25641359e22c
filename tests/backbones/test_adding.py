"""A file with a network becomes a backbone; ONNX Runtime says what its features are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner
from click.testing import Result

from support import foreign_networks as foreign
from support import networks
from triptych import backbones
from triptych import errors
from triptych.backbones import ForeignNetwork
from triptych.cli import main
from triptych.engines.conversion import store
from triptych.engines.openvino import OpenVINOEngine
from triptych.models import zoo
from triptych.models.zoo import added

pytestmark = pytest.mark.usefixtures("one_reader")
TORCH = "torch:32"


def features(row: zoo.Backbone, images: np.ndarray) -> np.ndarray:
    assert row.network
    return OpenVINOEngine(row.network, precision="f32").run(images).features


def onnx_outputs(path: Path, images: np.ndarray) -> np.ndarray:
    """The first output of a file in ONNX Runtime, photo by photo; photos are channels last."""
    session = onnxruntime.InferenceSession(path)
    rows = [session.run(None, {"image": each[None].transpose(0, 3, 1, 2)})[0] for each in images]
    return np.concatenate(rows)


def noise(count: int = 3, side: int = foreign.SIDE) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, side, side, 3)).astype(np.float32)


@pytest.mark.parametrize("batch", ["batch", 1])
@pytest.mark.parametrize(("end", "pool"), [("vector", ()), ("map", (2, 3))])
def test_features_are_those_of_onnx_runtime(
    tmp_path: Path, batch: str | int, end: str, pool: tuple[int, ...]
) -> None:
    path = foreign.conv(tmp_path / "net.onnx", batch=batch, end=end)
    row = backbones.add(ForeignNetwork(path, TORCH), home=tmp_path / "home").row
    expected = onnx_outputs(path, noise())
    expected = expected.mean(axis=pool) if pool else expected
    np.testing.assert_allclose(features(row, noise()), expected, rtol=1e-4, atol=1e-5)
    assert (row.name, row.feature_length) == ("net", foreign.WIDTH)
    # The convolution: 8 x 8 places, 12 kernels of 3 x 4 x 4.
    assert row.multiply_adds == 64 * 12 * 48
    assert zoo.find("NET", tmp_path / "home") == row


TOKENS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "class": lambda tokens: tokens[:, 0],
    "mean": lambda tokens: tokens.mean(axis=1),
    "patches": lambda tokens: tokens[:, 1:].mean(axis=1),
    "class+patches": lambda tokens: np.concatenate(
        [tokens[:, 0], tokens[:, 1:].mean(axis=1)], axis=1
    ),
}


@pytest.mark.parametrize("batch", ["batch", 1])
@pytest.mark.parametrize("tokens", TOKENS)
def test_tokens_are_taken_as_said(tmp_path: Path, batch: str | int, tokens: str) -> None:
    path = foreign.transformer(tmp_path / "vit.onnx", batch=batch)
    each = backbones.add(ForeignNetwork(path, TORCH, tokens), home=tmp_path / "home")
    expected = TOKENS[tokens](onnx_outputs(path, noise()))
    np.testing.assert_allclose(features(each.row, noise()), expected, rtol=1e-4, atol=1e-5)


def test_tokens_of_patches_alone_need_no_word(tmp_path: Path) -> None:
    path = foreign.transformer(tmp_path / "vit.onnx", prefix=0)
    each = backbones.add(ForeignNetwork(path, TORCH), home=tmp_path / "home")
    expected = onnx_outputs(path, noise()).mean(axis=1)
    np.testing.assert_allclose(features(each.row, noise()), expected, rtol=1e-4, atol=1e-5)
    assert each.taken == "mean of 16 tokens, of its output"


def test_channels_last_and_any_size(tmp_path: Path) -> None:
    path = foreign.last(tmp_path / "tf.onnx")
    row = backbones.add(ForeignNetwork(path, "-1..1:48x64:square"), home=tmp_path / "home").row
    images = np.random.default_rng(0).normal(size=(2, 48, 64, 3)).astype(np.float32)
    expected = onnxruntime.InferenceSession(path).run(None, {"image": images})[0]
    np.testing.assert_allclose(features(row, images), expected, rtol=1e-4, atol=1e-5)
    assert (row.recipe.size, row.recipe.scaling, row.recipe.fit) == ((48, 64), "tf", "square")


def test_the_input_of_the_last_layer_is_an_output(tmp_path: Path) -> None:
    lines: list[str] = []
    path = foreign.conv(tmp_path / "net.onnx", end="logits")
    home = tmp_path / "home"
    logits = backbones.add(ForeignNetwork(path, TORCH), home=home, name="a", report=lines.append)
    assert "look like the classes of ImageNet" in "".join(lines)
    network = ForeignNetwork(path, TORCH, output="penultimate")
    before = backbones.add(network, home=home, name="b")
    assert (logits.row.feature_length, before.row.feature_length) == (1000, foreign.WIDTH)
    same = onnx_outputs(foreign.conv(tmp_path / "vector.onnx"), noise())
    np.testing.assert_allclose(features(before.row, noise()), same, rtol=1e-4, atol=1e-5)


def test_an_openvino_file_of_pixels(tmp_path: Path) -> None:
    import openvino
    from openvino import opset13 as op

    image = op.parameter([1, 32, 32, 3], np.uint8, name="image")
    x = op.transpose(op.convert(image, "f32"), op.constant([0, 3, 1, 2]))
    pooled = op.reduce_mean(x, op.constant([2, 3]), keep_dims=True)
    openvino.save_model(openvino.Model([pooled], [image]), tmp_path / "net.xml")
    row = backbones.add(ForeignNetwork(tmp_path / "net.xml", "raw"), home=tmp_path / "home").row
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(features(row, pixels), pixels.mean(axis=(1, 2)), rtol=1e-4)
    (tmp_path / "net.bin").unlink()
    with pytest.raises(errors.SourceError, match=r"net\.bin are not beside it"):
        backbones.add(ForeignNetwork(tmp_path / "net.xml", "raw"), home=tmp_path, name="other")


@pytest.mark.slow
@pytest.mark.usefixtures("one_converter")
def test_a_keras_file(tmp_path: Path, keras: object) -> None:
    import keras as library

    layers = library.layers
    image = library.Input((32, 32, 3))
    x = layers.Conv2D(8, 4, strides=4, activation="relu")(image)
    model = library.Model(image, layers.GlobalAveragePooling2D()(x))
    model.save(tmp_path / "net.keras")
    row = backbones.add(ForeignNetwork(tmp_path / "net.keras", "tf"), home=tmp_path / "home").row
    expected = networks.run(model, noise())
    np.testing.assert_allclose(features(row, noise()), expected, rtol=1e-4, atol=1e-5)


REFUSED = {
    "joined": (errors.WeightsDamaged, "a photo has other features in a batch than by itself"),
    "constant": (errors.WeightsDamaged, "same features for different photos"),
    "nan": (errors.WeightsDamaged, "no finite numbers"),
    "two": (errors.SettingError, r"2 outputs; name one with --output: map \(12 x 8 x 8\), vector"),
}


@pytest.mark.parametrize("end", REFUSED)
def test_what_is_no_backbone_is_refused(tmp_path: Path, end: str) -> None:
    path = foreign.conv(tmp_path / "net.onnx", end=end)
    kind, words = REFUSED[end]
    with pytest.raises(kind, match=words):
        backbones.add(ForeignNetwork(path, TORCH), home=tmp_path / "home")
    assert not list(added.listed(tmp_path / "home"))


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (None, "not in the file. Say it with --recipe"),
        ("torch:64", "64 x 64 pixels, and the network takes 32 x 32"),
        (":32", "lacks the scaling"),
        ("nonsense:32", "expected 0..1, -1..1, raw"),
    ],
)
def test_a_recipe_that_cannot_be_known_is_asked_for(
    tmp_path: Path, recipe: str | None, words: str
) -> None:
    path = foreign.conv(tmp_path / "net.onnx")
    with pytest.raises((errors.SettingError, errors.UnknownName), match=words):
        backbones.add(ForeignNetwork(path, recipe), home=tmp_path / "home")


def test_the_recipe_beside_a_network_is_read(tmp_path: Path) -> None:
    recipe = {"size": {"height": 32, "width": 32}, "resample": 2, "do_center_crop": False}
    recipe |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_normalize": True}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(recipe))
    path = foreign.conv(tmp_path / "model.onnx")
    row = backbones.add(ForeignNetwork(path), home=tmp_path / "home").row
    assert row.recipe.to_dict() == {
        "size": [32, 32],
        "scaling": "tf",
        "fit": "square",
        "crop_share": 1.0,
        "interpolation": "bilinear",
    }


def test_the_same_name_is_given_once(tmp_path: Path) -> None:
    home, path = tmp_path / "home", foreign.conv(tmp_path / "net.onnx")
    for name, words in (("lite0", "EfficientNetLite0 already"), ("../net", "cannot be called")):
        with pytest.raises(errors.SettingError, match=words):
            backbones.add(ForeignNetwork(path, TORCH), home=home, name=name)
    backbones.add(ForeignNetwork(path, TORCH), home=home)
    with pytest.raises(errors.SettingError, match="triptych backbones remove net"):
        backbones.add(ForeignNetwork(path, TORCH), home=home, name="Net")
    with pytest.raises(errors.UnknownName, match="there are: net"):
        backbones.remove("nett", home)
    backbones.remove("NET", home)
    with pytest.raises(errors.UnknownName):
        zoo.find("net", home)


def test_another_network_of_the_same_name_has_other_stored_features(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = backbones.add(
        ForeignNetwork(foreign.conv(tmp_path / "net.onnx"), TORCH), home=home
    ).folder.name
    backbones.remove("net", home)
    path = foreign.conv(tmp_path / "net.onnx", end="map")
    second = backbones.add(ForeignNetwork(path, TORCH), home=home).folder.name
    assert first != second


def test_a_network_that_changed_on_disk_is_not_run(tmp_path: Path) -> None:
    home, path = tmp_path / "home", foreign.conv(tmp_path / "net.onnx")
    each = backbones.add(ForeignNetwork(path, TORCH), home=home)
    assert store.prepare([each.row], home=home) == [each.row.network]
    with (each.folder / "network.bin").open("r+b") as file:
        file.write(b"\xff\xff")
    with pytest.raises(errors.WeightsDamaged, match="not those that were written"):
        store.prepare([each.row], home=home)


def test_one_damaged_folder_hides_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home, path = tmp_path / "home", foreign.conv(tmp_path / "net.onnx")
    each = backbones.add(ForeignNetwork(path, TORCH), home=home)
    broken = each.folder.with_name("broken-0")
    shutil.copytree(each.folder, broken)
    about = json.loads((broken / added.ABOUT).read_text())
    (broken / added.ABOUT).write_text(json.dumps({**about, "multiply_adds": "many"}))
    assert [one.row.name for one in added.listed(home)] == ["net"]
    assert "multiply_adds is 'many'" in caplog.text


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def test_the_commands(tmp_path: Path) -> None:
    home, path = tmp_path / "home", foreign.transformer(tmp_path / "vit.onnx")
    assert "No backbone was added yet" in run("backbones", "list", "--home", home).output
    asked = run("backbones", "add", path, "--recipe", TORCH, "--home", home)
    assert asked.exit_code == 2
    assert "17 tokens of 12 numbers" in asked.output
    assert "--tokens class|mean|patches|class+patches" in asked.output
    done = run("backbones", "add", path, "--recipe", TORCH, "--tokens", "class", "--home", home)
    assert done.exit_code == 0
    assert "vit: 12 features" in done.stdout
    listed = run("backbones", "list", "--json", "--home", home)
    assert json.loads(listed.stdout)["taken"] == "class token, the first of 17, of its output"
    assert "vit.onnx" in run("backbones", "list", "--home", home).output
    rows = [
        json.loads(line) for line in run("models", "--json", "--home", home).output.splitlines()
    ]
    assert (rows[-1]["name"], rows[-1]["top1"]) == ("vit", None)
    assert run("backbones", "remove", "vit", "--home", home).output == "Removed vit.\n"
    wrong = run("backbones", "add", tmp_path / "net.pth", "--home", home)
    assert wrong.exit_code == 1
