"""Importing ONNX files: the same answers as in onnxruntime, or a reason why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import onnx_models
from support.images import picture
from triptych import bundles
from triptych import errors
from triptych import images
from triptych import imports
from triptych.engines.options import EngineOptions
from triptych.inference import classifier
from triptych.preprocessing import recipe

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

PHOTOS = [picture(seed) for seed in range(4)]


def named(path: Path, *names: str) -> Path:
    path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return path


def take(model: Path, home: Path, classes: int = 3, **options: Any) -> bundles.Bundle:
    labels = named(home / "labels.txt", *[f"class {n}" for n in range(classes)])
    external = imports.ExternalModel(model, **{"labels": labels, **options})
    return imports.import_model(external, name="guest", home=home)


def answers(bundle: bundles.Bundle, home: Path) -> np.ndarray:
    committee = bundle.committee(EngineOptions(home=home, precision="f32"))
    scored = classifier.Classifier(committee).score_many(
        [(str(n), photo) for n, photo in enumerate(PHOTOS)]
    )
    return np.concatenate([scores.probs for scores in scored])


def of_onnxruntime(path: Path, bundle: bundles.Bundle, *, nchw: bool, scale: float) -> np.ndarray:
    made_for = recipe.Recipe.from_dict(bundle.about["members"][0]["recipe"])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    rows = []
    for photo in PHOTOS:
        pixels = recipe.resize(made_for, images.decode(photo))
        batch = pixels[np.newaxis]
        if "float" in image.type:
            batch = (batch * np.float32(scale)).astype(np.float32)
        if nchw:
            batch = batch.transpose(0, 3, 1, 2)
        rows.append(session.run(None, {image.name: batch})[0][0])
    return np.stack(rows)


@pytest.mark.parametrize(
    "kind", [{}, {"layout": "nhwc"}, {"ending": "logits"}, {"batch": 1}, {"size": "side"}]
)
def test_a_file_answers_as_in_onnxruntime(kind: dict[str, Any], tmp_path: Path) -> None:
    path = onnx_models.write(tmp_path / "guest.onnx", **kind)
    bundle = take(path, tmp_path, recipe="0..1:32" if "size" in kind else "0..1")
    expected = of_onnxruntime(path, bundle, nchw=kind.get("layout") != "nhwc", scale=1 / 255)
    if kind.get("ending") == "logits":
        expected = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
    assert np.ptp(expected, axis=0).max() > 0.02, "too alike to compare anything"
    np.testing.assert_allclose(answers(bundle, tmp_path), expected, atol=1e-4)
    assert bundle.about["members"][0]["recipe"]["scaling"] == "unit"


def test_bytes_are_taken_as_they_are_and_one_sigmoid_is_the_second_class(tmp_path: Path) -> None:
    path = onnx_models.write(
        tmp_path / "guest.onnx", dtype="uint8", ending="one sigmoid", layout="nhwc"
    )
    bundle = take(path, tmp_path, classes=2)  # nothing has to be said
    assert bundle.about["members"][0]["recipe"]["scaling"] == "raw"
    expected = of_onnxruntime(path, bundle, nchw=False, scale=1.0)
    np.testing.assert_allclose(answers(bundle, tmp_path)[:, 1:], expected, atol=1e-4)


def test_layers_that_scale_pixels_are_found(tmp_path: Path) -> None:
    path = onnx_models.write(tmp_path / "guest.onnx", front=(1 / 127.5, -1.0))
    messages: list[str] = []
    labels = named(tmp_path / "l.txt", "a", "b", "c")
    bundle = imports.import_model(
        imports.ExternalModel(path, labels), name="guest", home=tmp_path, report=messages.append
    )
    assert bundle.about["members"][0]["recipe"]["scaling"] == "raw"
    assert "the model scales its pixels itself" in messages[0]
    assert messages[-1].startswith("Answers as onnxruntime does:")
    with pytest.raises(errors.SettingError, match="so they would be scaled twice"):
        take(path, tmp_path, recipe="0..1")


def test_metadata_tells_recipe_and_classes(tmp_path: Path) -> None:
    metadata = {
        "task": "classify",
        "names": "{0: 'ant', 1: 'bee', 2: 'cat'}",
        "imgsz": "[32, 32]",
    }
    path = onnx_models.write(tmp_path / "guest.onnx", metadata=metadata)
    bundle = take(path, tmp_path, labels=None)
    assert [label.name for label in bundle.labels] == ["ant", "bee", "cat"]
    member = bundle.about["members"][0]["recipe"]
    assert (member["scaling"], member["fit"], member["crop_share"]) == ("unit", "crop", 1.0)
    path = onnx_models.write(
        tmp_path / "other.onnx", metadata={"Image.NominalPixelRange": "Normalized_1_1"}
    )
    assert take(path, tmp_path).about["members"][0]["recipe"]["scaling"] == "tf"
    path = onnx_models.write(tmp_path / "x.onnx", metadata={**metadata, "task": "detect"})
    with pytest.raises(errors.SettingError, match="was made to detect; expected one that class"):
        take(path, tmp_path)


def test_a_recipe_that_is_not_known_is_asked_for(tmp_path: Path) -> None:
    path = onnx_models.write(tmp_path / "guest.onnx", producer="pytorch")
    with pytest.raises(
        errors.SettingError,
        match=r"Say it with --recipe, the likeliest first: torch .*, 0\.\.1 .*Or give .* --photos",
    ):
        take(path, tmp_path)
    path = onnx_models.write(tmp_path / "guest.onnx")
    with pytest.raises(errors.SettingError, match=r"the likeliest first: 0\.\.1"):
        take(path, tmp_path)
    path = onnx_models.write(tmp_path / "guest.onnx", size="side")
    with pytest.raises(errors.SettingError, match="takes photos of any size"):
        take(path, tmp_path, recipe="0..1")
    with pytest.raises(errors.SettingError, match="are not in it"):
        take(path, tmp_path, labels=None)
    with pytest.raises(errors.SettingError, match="ends in 3 sigmoids"):
        take(onnx_models.write(tmp_path / "m.onnx", ending="sigmoids"), tmp_path, recipe="0..1")


# Hostile files: each is refused before any library opens it, or in a process that is lost.

Change = Callable[[Any, Path], None]


def custom(model: Any, folder: Path) -> None:
    model.graph.node[0].domain = "com.evil"
    model.graph.node[0].op_type = "Shell"


def in_a_branch(model: Any, folder: Path) -> None:
    node = onnx.helper.make_node("Shell", [], ["y"], domain="com.evil")
    branch = onnx.helper.make_graph([node], "branch", [], [])
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("body", branch))


def outside(model: Any, folder: Path) -> None:
    (folder / "secret").write_bytes(bytes(1 << 16))
    external(model, "../secret")


def absolute(model: Any, folder: Path) -> None:
    external(model, "/etc/passwd")


def by_link(model: Any, folder: Path) -> None:
    (folder / "secret").write_bytes(bytes(1 << 16))
    (folder / "models" / "weights").symlink_to(folder / "secret")
    external(model, "weights")


def missing(model: Any, folder: Path) -> None:
    external(model, "weights.bin")


def external(model: Any, location: str) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


def huge(model: Any, folder: Path) -> None:
    model.graph.initializer[0].dims[0] = 1 << 35


def huge_activations(model: Any, folder: Path) -> None:
    for side in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        side.dim_value = 200_000


def huge_when_run(model: Any, folder: Path) -> None:
    """A constant of 80 GB that a few bytes make, added to the photo."""
    shape = onnx.numpy_helper.from_array(np.array([200_000, 100_000], np.int64), "shape")
    model.graph.initializer.append(shape)
    model.graph.node[0].input[0] = "sum"
    for n, (kind, inputs, output) in enumerate(
        (
            ("ConstantOfShape", ["shape"], "huge"),
            ("ReduceMax", ["huge"], "zero"),
            ("Add", ["image", "zero"], "sum"),
        )
    ):
        attributes = {"keepdims": 0} if kind == "ReduceMax" else {}
        node = onnx.helper.make_node(kind, inputs, [output], **attributes)
        model.graph.node.insert(n, node)


HOSTILE = {
    custom: "operations of its own, which are not run: com.evil.Shell",
    in_a_branch: "operations of its own, which are not run: com.evil.Shell",
    outside: "has its weights in '../secret', which is outside of its folder",
    absolute: "has its weights in '/etc/passwd', which is outside of its folder",
    by_link: "has its weights in 'weights', which is outside of its folder",
    missing: "has its weights in 'weights.bin', which is not there",
    huge: r"have the shape \(34359738368, 3, 5, 5\), and has [\d,]+ bytes",
    huge_when_run: r"it takes more memory than a file of its size may|takes more than the",
    huge_activations: "takes photos of 200000 x 200000 pixels; expected at most 2048|failed",
}


@pytest.mark.parametrize("change", HOSTILE, ids=lambda change: change.__name__)
def test_hostile_files_are_refused(change: Change, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    path = onnx_models.write(tmp_path / "models" / "guest.onnx")
    model = onnx.load(path)
    change(model, tmp_path)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(errors.TriptychError, match=HOSTILE[change]):
        take(path, tmp_path, recipe="0..1")
    assert not (tmp_path / "bundles").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_files_that_are_cut_short_are_refused(share: float, tmp_path: Path) -> None:
    path = onnx_models.write(tmp_path / "guest.onnx")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(errors.SourceError, match="cannot be read as ONNX"):
        take(path, tmp_path, recipe="0..1")


def test_an_operation_that_bundles_do_not_run_is_named(tmp_path: Path) -> None:
    path = onnx_models.write(tmp_path / "guest.onnx")
    model = onnx.load(path)
    model.graph.node[1].op_type = "Sin"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(errors.WeightsDamaged, match="has the operation Sin, which is not run"):
        take(path, tmp_path, recipe="0..1")


def test_a_committee_of_ours_is_named(tmp_path: Path) -> None:
    metadata = {"triptych": json.dumps({}, allow_nan=False)}
    path = onnx_models.write(tmp_path / "guest.onnx", metadata=metadata)
    with pytest.raises(errors.SettingError, match="a committee that Triptych exported"):
        take(path, tmp_path)
