"""Importing Keras 2, TensorFlow Lite, SavedModel, OpenVINO and zips of them."""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from support import networks
from support.images import picture
from triptych import bundles
from triptych import errors
from triptych import images
from triptych import imports
from triptych.engines.options import EngineOptions
from triptych.inference import classifier
from triptych.preprocessing import recipe

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_converter")]

KERAS_2 = Path(__file__).parent / "saved_by_keras_2"
PHOTOS = [picture(seed) for seed in range(4)]
NAMES = "0 Red panda\n1 cat\n2 Class 3\n"

Take = Callable[..., bundles.Bundle]


@pytest.fixture(scope="module")
def take() -> Iterator[Take]:
    with imports.Importer() as importer:
        yield lambda model, home, **options: importer.import_model(
            imports.ExternalModel(model, **options), name="guest", home=home
        )


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "."), data)
    return path


def engine_answers(bundle: bundles.Bundle, pixels: np.ndarray) -> np.ndarray:
    """The probabilities for pixels of the network's size."""
    (member,) = bundle.committee(EngineOptions(home=bundle.folder, precision="f32")).members
    return member.engine.run(recipe.scale(member.recipe, pixels)).probs


def answers(bundle: bundles.Bundle, home: Path) -> np.ndarray:
    committee = bundle.committee(EngineOptions(home=home, precision="f32"))
    scored = classifier.Classifier(committee).score_many(
        [(str(n), photo) for n, photo in enumerate(PHOTOS)]
    )
    return np.concatenate([scores.probs for scores in scored])


def inputs(bundle: bundles.Bundle) -> np.ndarray:
    made_for = recipe.Recipe.from_dict(bundle.about["members"][0]["recipe"])
    return np.stack([recipe.resize(made_for, images.decode(photo)) for photo in PHOTOS])


def test_teachable_machines_keras_download_needs_nothing_said(tmp_path: Path, take: Take) -> None:
    model = (KERAS_2 / "keras_model.h5").read_bytes()
    path = zipped(tmp_path / "kit.zip", keras_model__h5=model, labels__txt=NAMES.encode())
    bundle = take(path, tmp_path)
    assert [label.name for label in bundle.labels] == ["Red panda", "cat", "Class 3"]
    made_for = bundle.about["members"][0]["recipe"]
    assert made_for == {
        "size": [32, 32],
        "scaling": "tf",
        "fit": "crop",
        "crop_share": 1.0,
        "interpolation": "lanczos",
    }
    # The answers of Keras 2 (tf_keras 2.21), in which the file was written.
    expected = json.loads((KERAS_2 / "expected.json").read_text())["expected"]
    blocks = np.random.default_rng(1).integers(0, 256, (6, 2, 2, 3))
    pixels = blocks.repeat(16, 1).repeat(16, 2).astype(np.uint8)
    np.testing.assert_allclose(engine_answers(bundle, pixels), expected, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 0.02


def test_a_keras_2_file_by_itself_asks_for_its_recipe(tmp_path: Path, take: Take) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text(NAMES)
    with pytest.raises(errors.SettingError, match=r"the likeliest first: 0\.\.1"):
        take(KERAS_2 / "keras_model.h5", tmp_path, labels=labels)
    bundle = take(KERAS_2 / "keras_model.h5", tmp_path, labels=labels, recipe="-1..1")
    assert bundle.about["members"][0]["recipe"]["fit"] == "square"


@pytest.fixture(scope="module")
def of_tensorflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network as SavedModel and as TensorFlow Lite, in floating point and quantized."""
    tf = pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("tensorflow")
    rng = np.random.default_rng(0)

    class Network(tf.Module):
        def __init__(self) -> None:
            self.kernel = tf.Variable(rng.normal(0, 0.4, (5, 5, 3, 8)).astype(np.float32))
            self.weights = tf.Variable(rng.normal(0, 2.0, (8, 3)).astype(np.float32))

        @tf.function(input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.float32, name="image")])
        def __call__(self, image: Any) -> dict[str, Any]:
            features = tf.reduce_mean(
                tf.nn.relu(tf.nn.conv2d(image, self.kernel, 3, "VALID")), [1, 2]
            )
            return {"probs": tf.nn.softmax(features @ self.weights)}

    network = Network()
    tf.saved_model.save(network, folder / "saved", signatures=network.__call__)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
    (folder / "model_unquant.tflite").write_bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [rng.choice(np.float32([-1, 1, 0]), (1, 4, 4, 3)).repeat(8, 1).repeat(8, 2)]
        for _ in range(32)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    (folder / "model.tflite").write_bytes(converter.convert())
    return folder


def test_a_saved_model_answers_as_in_tensorflow(
    of_tensorflow: Path, tmp_path: Path, take: Take
) -> None:
    tf = pytest.importorskip("tensorflow")
    (tmp_path / "labels.txt").write_text(NAMES)
    bundle = take(of_tensorflow / "saved", tmp_path, labels=tmp_path / "labels.txt", recipe="0..1")
    signature = tf.saved_model.load(of_tensorflow / "saved").signatures["serving_default"]
    expected = signature(image=tf.constant(inputs(bundle) / np.float32(255)))["probs"]
    assert np.ptp(expected, axis=0).max() > 0.02
    np.testing.assert_allclose(answers(bundle, tmp_path), expected, atol=1e-4)
    shutil.make_archive(str(tmp_path / "saved"), "zip", of_tensorflow / "saved")
    again = take(tmp_path / "saved.zip", tmp_path, labels=tmp_path / "labels.txt", recipe="0..1")
    np.testing.assert_array_equal(answers(again, tmp_path), answers(bundle, tmp_path))


@pytest.mark.parametrize("name", ["model_unquant.tflite", "model.tflite"])
def test_teachable_machines_lite_downloads_need_nothing_said(
    name: str, of_tensorflow: Path, tmp_path: Path, take: Take
) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    path = of_tensorflow / name
    files = {name.replace(".", "__"): path.read_bytes(), "labels__txt": NAMES.encode()}
    bundle = take(zipped(tmp_path / "kit.zip", **files), tmp_path)
    interpreter = litert.Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    (image,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    expected = []
    for pixels in inputs(bundle):
        is_float = image["dtype"] == np.float32
        interpreter.set_tensor(
            image["index"], (pixels / np.float32(127.5) - 1 if is_float else pixels)[np.newaxis]
        )
        interpreter.invoke()
        expected.append(interpreter.get_tensor(output["index"])[0].astype(np.float64))
    sums = np.sum(expected, axis=1, keepdims=True)  # integers do not quite sum to 256
    step = 0.0 if name == "model_unquant.tflite" else 1 / 256
    assert np.ptp(np.divide(expected, sums), axis=0).max() > 0.02
    np.testing.assert_allclose(
        answers(bundle, tmp_path), np.divide(expected, sums), atol=1e-4 + 2 * step
    )
    assert bundle.about["members"][0]["recipe"]["scaling"] == ("tf" if step == 0 else "raw")
    assert bundle.about["members"][0]["recipe"]["crop_share"] == 1.0


def test_an_openvino_network_is_taken(tmp_path: Path, take: Take) -> None:
    networks.write_tiny(tmp_path / "net.xml", classes=3)
    (tmp_path / "labels.txt").write_text(NAMES)
    bundle = take(tmp_path / "net.xml", tmp_path, labels=tmp_path / "labels.txt", recipe="0..1")
    assert bundle.about["members"][0]["recipe"]["size"] == [32, 32]
    (tmp_path / "net.bin").unlink()
    with pytest.raises(errors.SourceError, match=r"its weights net\.bin are not beside it"):
        take(tmp_path / "net.xml", tmp_path, labels=tmp_path / "labels.txt", recipe="0..1")


# Hostile files.


def test_zips_that_reach_out_or_fill_the_disk_are_refused(tmp_path: Path, take: Take) -> None:
    model = (KERAS_2 / "keras_model.h5").read_bytes()
    with zipfile.ZipFile(tmp_path / "slip.zip", "w") as archive:
        archive.writestr("../keras_model.h5", model)
    with pytest.raises(errors.SourceError, match=r"it writes to '\.\./keras_model\.h5'"):
        take(tmp_path / "slip.zip", tmp_path)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(3):
            archive.writestr(f"keras_model{n}.h5", bytes(40 << 20))
    with pytest.raises(errors.SourceError, match="it would unpack to 120 MB"):
        take(tmp_path / "bomb.zip", tmp_path)
    link = zipfile.ZipInfo("model.onnx")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(errors.SourceError, match=r"'model\.onnx' is a link"):
        take(tmp_path / "link.zip", tmp_path)
    with pytest.raises(errors.SourceError, match=r"Expected one model in two\.zip, and found 2"):
        take(zipped(tmp_path / "two.zip", a__h5=model, b__h5=model), tmp_path)
    with pytest.raises(errors.SourceError, match="found 0: none"):
        take(zipped(tmp_path / "none.zip", labels__txt=b"a"), tmp_path)
    assert not (tmp_path.parent / "keras_model.h5").exists()


def test_pickles_are_refused_by_name(tmp_path: Path, take: Take) -> None:
    for name in ("model.pkl", "model.onnx", "model.h5"):
        (tmp_path / name).write_bytes(b"\x80\x04\x95\x1c\x00\x00\x00")
        with pytest.raises(errors.SourceError, match="is a pickle, which runs code"):
            take(tmp_path / name, tmp_path)


def test_tensorflow_js_is_refused_with_the_way_out(tmp_path: Path, take: Take) -> None:
    model = b'{"format": "layers-model", "modelTopology": {}, "weightsManifest": []}'
    path = zipped(tmp_path / "web.zip", model__json=model, weights__bin=b"", metadata__json=b"{}")
    with pytest.raises(errors.SourceError, match=r"is a TensorFlow\.js model.*output_format keras"):
        take(path, tmp_path)


def changed(path: Path, change: Callable[[h5py.File], None]) -> Path:
    shutil.copyfile(KERAS_2 / "keras_model.h5", path)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def test_hostile_keras_2_files_are_refused(tmp_path: Path, take: Take) -> None:
    (tmp_path / "labels.txt").write_text(NAMES)
    options: dict[str, Any] = {"labels": tmp_path / "labels.txt", "recipe": "-1..1"}
    kernel = "model_weights/sequential_3/dense/kernel:0"

    def with_lambda(file: h5py.File) -> None:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"].append(
            {"class_name": "Lambda", "config": {"name": "evil", "function": ["...", None, None]}}
        )
        file.attrs["model_config"] = json.dumps(config, allow_nan=False)

    def linked(file: h5py.File) -> None:
        del file[kernel]
        file[kernel] = h5py.ExternalLink("/etc/passwd", "/x")

    def elsewhere(file: h5py.File) -> None:
        shape = file[kernel].shape
        del file[kernel]
        file.create_dataset(kernel, shape, np.float32, external=[("/etc/passwd", 0, 1 << 20)])

    def huge(file: h5py.File) -> None:
        del file[kernel]
        file.create_dataset(kernel, (1 << 20, 1 << 14), np.float32, chunks=(64, 64))

    def weights_only(file: h5py.File) -> None:
        del file.attrs["model_config"]

    for change, message in (
        (with_lambda, "has code of its own inside, which is not run: Lambda 'evil'"),
        (linked, "links to other weights at 'kernel:0'"),
        (elsewhere, "has its weights 'kernel:0' in another file"),
        (huge, "would unpack to 68,719,4"),
        (weights_only, "has weights, and not the layers that they belong to"),
    ):
        with pytest.raises(errors.TriptychError, match=message):
            take(changed(tmp_path / "model.h5", change), tmp_path, **options)
    whole = (KERAS_2 / "keras_model.h5").read_bytes()
    (tmp_path / "model.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(errors.SourceError, match="cannot be read as HDF5"):
        take(tmp_path / "model.h5", tmp_path, **options)
    assert not (tmp_path / "bundles").exists()


def test_hostile_lite_files_are_refused(of_tensorflow: Path, tmp_path: Path, take: Take) -> None:
    (tmp_path / "labels.txt").write_text(NAMES)
    options: dict[str, Any] = {"labels": tmp_path / "labels.txt", "recipe": "-1..1"}
    whole = (of_tensorflow / "model_unquant.tflite").read_bytes()
    path = tmp_path / "model.tflite"
    for share in (0.02, 0.2, 0.7):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(
            errors.TriptychError, match=r"(cut short|damaged|cannot be read|failed)"
        ):
            take(path, tmp_path, **options)
    # A kernel of 5 x 5 x 3 x 8, of which one side becomes enormous.
    shape = struct.pack("<4i", 8, 5, 5, 3)
    assert whole.count(shape) == 1
    path.write_bytes(whole.replace(shape, struct.pack("<4i", 1 << 30, 5, 5, 3)))
    with pytest.raises(errors.WeightsDamaged, match=r"has the shape \(1073741824, 5, 5, 3\)"):
        take(path, tmp_path, **options)
    assert not (tmp_path / "bundles").exists()


def test_saved_models_that_run_code_or_read_files_are_refused(
    of_tensorflow: Path, tmp_path: Path, take: Take
) -> None:
    (tmp_path / "labels.txt").write_text(NAMES)
    options: dict[str, Any] = {"labels": tmp_path / "labels.txt", "recipe": "0..1"}
    for operation, reason in ((b"PyFunc", "run code"), (b"ReadFil", "")):
        folder = tmp_path / operation.decode()
        shutil.copytree(of_tensorflow / "saved", folder)
        graph = (folder / "saved_model.pb").read_bytes()
        # The name of an operation, by another of the same length.
        old = b"\x12\x06Conv2D" if len(operation) == 6 else b"\x12\x07Softmax"
        assert old in graph
        new = old[:2] + operation
        (folder / "saved_model.pb").write_bytes(graph.replace(old, new))
        expected = (
            f"has operations that {reason}, and is not opened: PyFunc" if reason else "ReadFil"
        )
        with pytest.raises(errors.TriptychError, match=expected):
            take(folder, tmp_path, **options)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "saved_model.pb").write_bytes(graph[:999])
    with pytest.raises(errors.SourceError, match="cannot be read as a SavedModel: it is cut short"):
        take(tmp_path / "cut", tmp_path, **options)
    assert not (tmp_path / "bundles").exists()
