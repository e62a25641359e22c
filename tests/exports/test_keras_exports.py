"""Keras, SavedModel and LiteRT files answer as the committee does.

The whole way, with a process for each runtime, is in the tests of the program beside the file.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13 as op
from PIL import Image

from support import bundles as small
from support import networks
from support import operations
from triptych import errors
from triptych.bundles import loading
from triptych.engines.openvino import OpenVINOEngine
from triptych.engines.options import EngineOptions
from triptych.ensemble import conformal
from triptych.ensemble import ood
from triptych.ensemble import params
from triptych.ensemble import rules
from triptych.ensemble.cascade import Stage
from triptych.ensemble.multilabel import unfitted as unfitted_multilabel
from triptych.exports import checking
from triptych.exports import exporting
from triptych.exports import formats
from triptych.exports import keras_committee
from triptych.exports import keras_formats
from triptych.exports import keras_layers
from triptych.exports import keras_worker
from triptych.exports import papers
from triptych.exports.source import Answer
from triptych.exports.source import Source
from triptych.inference.classifier import Classifier
from triptych.inference.committee import Committee
from triptych.inference.committee import Member
from triptych.preprocessing import recipe
from triptych.preprocessing.recipe import Recipe
from triptych.results import Label
from triptych.results import Verdict
from triptych.typing import UInt8Image

RNG = np.random.default_rng(3)
SIDES = (32, 32, 48)
CLASSES = 6
MEMBERS = [f"net {number}" for number in range(len(SIDES))]
RECIPES = [Recipe((side, side), "tf" if side == 32 else "caffe") for side in SIDES]
KINDS = ("keras", "savedmodel", "litert")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    small.write_runnable(home)
    return home


@pytest.fixture(scope="module")
def committee(tmp_path_factory: pytest.TempPathFactory) -> Committee:
    """Three networks, two of which crop alike, with everything fitted."""
    folder = tmp_path_factory.mktemp("networks")
    paths = [
        networks.write_tiny(folder / f"{index}.xml", classes=CLASSES, size=side, seed=index)
        for index, side in enumerate(SIDES)
    ]
    engines = [OpenVINOEngine(path, precision="f32") for path in paths]
    photos = [recipe.apply(RECIPES[1], photo) for photo in checking.draw_photos()]
    reference = ood.fit(engines[1].run(np.stack(photos)).features)
    quantiles = tuple(0.2 + 0.6 * level for level in conformal.GRID)
    fitted = params.EnsembleParams(
        temperatures=(0.7, 1.0, 1.6),
        weights=(1.0, 2.0, 0.5),
        stages=(Stage(1, 0.5, 1.2), Stage(0, 0.45), Stage(2)),
        rules={rule: params.RuleParams(1.3, 0.4, quantiles) for rule in rules.RULES},
    )
    members = tuple(
        Member(name, engine, each, ood=reference if index == 1 else None, network=path)
        for index, (name, engine, each, path) in enumerate(
            zip(MEMBERS, engines, RECIPES, paths, strict=True)
        )
    )
    labels = tuple(Label(f"class {index}", f"class {index}", index) for index in range(CLASSES))
    return Committee("three", members, labels, fitted)


def spec_of(source: Source, *, is_int8: bool = False) -> keras_committee.CommitteeSpec:
    members, fitted = source.committee.members, source.committee.params
    return keras_committee.CommitteeSpec(
        names=[member.name for member in members],
        networks=source.networks,
        recipes=[member.recipe for member in members],
        params=fitted,
        rule=source.committee.rule,
        quantile=source.quantile,
        reference=members[fitted.stages[0].member].ood,
        is_int8=is_int8,
    )


def runner(compute: keras_worker.Compute, source: Source) -> formats.Run:
    recipes = [member.recipe for member in source.committee.members]
    by_name = dict(zip(keras_committee.input_names(recipes), recipes, strict=True))

    def run(photo: UInt8Image) -> Answer:
        return formats.answer(
            compute({name: recipe.resize(each, photo)[None] for name, each in by_name.items()})
        )

    return run


def test_each_operation_equals_openvino_after_saving(tmp_path: Path, keras: Any) -> None:
    path = tmp_path / "network.xml"
    ends = np.cumsum(operations.write(path, *operations.BLOCKS.values()))[:-1]
    image = keras.Input((6, 5, 4))
    keras.Model(image, keras_layers.outputs(path, image)).save(tmp_path / "saved.keras")
    batch = RNG.normal(0, 1, (3, 6, 5, 4)).astype(np.float32)
    probs, features = networks.run(keras.saving.load_model(tmp_path / "saved.keras"), batch)

    core = openvino.Core()
    expected = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(batch)
    np.testing.assert_allclose(probs, expected[0], atol=1e-6)
    pairs = (np.split(each, ends, axis=1) for each in (features, expected[1]))
    wrong = {
        name: float(np.abs(ours - theirs).max())
        for name, ours, theirs in zip(operations.BLOCKS, *pairs, strict=True)
        if not np.allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    }
    assert not wrong


def convolved(
    x: Any, kernel: tuple[int, ...], strides: list[int], dilations: list[int], pads: list[int]
) -> Any:
    weights, channels = operations.weights(*kernel), int(np.prod(kernel[:-3]))
    convolve = op.group_convolution if len(kernel) == 5 else op.convolution
    y = convolve(x, weights, strides, pads[:2], pads[2:], dilations)
    return op.clamp(op.add(y, operations.weights(1, channels, 1, 1)), 0.0, 6.0)


@pytest.mark.parametrize("strides", [[1, 1], [2, 2], [2, 1]])
@pytest.mark.parametrize("dilations", [[1, 1], [2, 2]])
def test_convolutions_with_biases_and_margins_become_layers(
    tmp_path: Path, keras: Any, strides: list[int], dilations: list[int]
) -> None:
    """Without margins, with TensorFlow's, and with others; depthwise and in groups, too."""
    blocks = [
        lambda x, kernel=kernel, pads=pads: convolved(x, kernel, strides, dilations, pads)
        for kernel in ((7, 4, 3, 2), (4, 2, 1, 3, 2), (2, 3, 2, 3, 2))
        for pads in ([0, 0, 0, 0], [1, 0, 1, 1], [2, 1, 0, 1])
    ]
    path = tmp_path / "network.xml"
    operations.write(path, *blocks)
    image = keras.Input((6, 5, 4))
    model = keras.Model(image, keras_layers.outputs(path, image))
    kinds = [type(layer).__name__ for layer in model.layers]
    assert (kinds.count("Conv2D"), kinds.count("DepthwiseConv2D")) == (6, 3)
    assert "Add" not in kinds
    batch = RNG.normal(0, 1, (3, 6, 5, 4)).astype(np.float32)
    core = openvino.Core()
    expected = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(batch)
    np.testing.assert_allclose(model(batch)[1], expected[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", rules.RULES)
def test_a_committee_answers_the_same_by_every_rule(committee: Committee, rule: str) -> None:
    configured = committee.configured(rule=rule)
    source = exporting.source_of(configured, "f32", 0.9)
    model = keras_committee.build(spec_of(source))
    assert [each.name for each in model.inputs] == ["image_32x32", "image_48x48"]

    def compute(inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {name: each[0] for name, each in networks.run(model, dict(inputs)).items()}

    compared = checking.compare(
        Classifier(configured), runner(compute, source), source, checking.draw_photos()
    )
    assert compared.largest < 1e-5
    assert compared.verdicts == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_multilabel_committee_answers_all_classes_that_hold(
    home: Path, tmp_path: Path, kind: str
) -> None:
    small.write_multilabel(home)
    loaded = loading.load_committee("bowls", EngineOptions(home, precision="f32"))
    source = exporting.source_of(loaded, "f32", 0.9)
    path = (tmp_path / "bowls").with_suffix(formats.FORMATS[kind].ending)
    request = {
        "path": str(path),
        "names": [member.name for member in loaded.members],
        "is_int8": False,
        "metadata": keras_formats.metadata(source),
    }
    keras_worker.WRITERS[kind](keras_committee.build(spec_of(source)), request)
    run = runner(keras_worker.OPENERS[kind](path), source)
    compared = checking.compare(Classifier(loaded), run, source, checking.draw_photos())
    assert compared.largest < 1e-4
    assert compared.verdicts == 0
    assert len({tuple(run(photo).holds) for photo in checking.draw_photos()[:8]}) > 1
    facts = keras_formats.read_metadata(path)
    assert (facts["task"], facts["coverage"]) == ("multi-label", None)
    assert facts["thresholds"][4] == {
        "value": 2.0,
        "chosen_for": "precision",
        "target": 0.95,
        "status": None,
    }


def test_a_committee_that_was_not_fitted_promises_nothing(committee: Committee) -> None:
    configured = committee.configured(MEMBERS[:2])
    source = exporting.source_of(configured, "f32", 0.9)
    model = keras_committee.build(spec_of(source))
    (name,) = [each.name for each in model.inputs]
    outputs = networks.run(model, {name: np.zeros((2, 32, 32, 3), np.uint8)})
    assert name == "image"
    assert formats.answer({key: each[0] for key, each in outputs.items()}).status in (None, "none")
    assert not outputs["set"].any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_holds_the_committee_and_what_is_known_about_it(
    committee: Committee, tmp_path: Path, kind: str
) -> None:
    source = exporting.source_of(committee, "f32", 0.9)
    path = tmp_path / "three"
    path = path.with_suffix(formats.FORMATS[kind].ending)
    request = {
        "path": str(path),
        "names": MEMBERS,
        "is_int8": False,
        "metadata": keras_formats.metadata(source),
    }
    keras_worker.WRITERS[kind](keras_committee.build(spec_of(source)), request)
    compute = keras_worker.OPENERS[kind](path)
    compared = checking.compare(
        Classifier(committee), runner(compute, source), source, checking.draw_photos()
    )
    assert compared.largest < 1e-4
    assert compared.verdicts == 0
    assert [row["input"] for row in keras_formats.read_metadata(path)["members"]] == [
        "image_32x32",
        "image_32x32",
        "image_48x48",
    ]


def test_a_saved_model_has_a_signature_for_each_network(
    committee: Committee, tmp_path: Path
) -> None:
    import tensorflow as tf

    source = exporting.source_of(committee, "f32", 0.9)
    request = {"path": str(tmp_path / "three"), "names": MEMBERS, "metadata": source.metadata}
    keras_worker.WRITERS["savedmodel"](keras_committee.build(spec_of(source)), request)
    loaded = tf.saved_model.load(str(tmp_path / "three"))
    pixels = RNG.integers(0, 256, (2, 48, 48, 3), np.uint8)
    output = loaded.signatures["member_net_2"](pixels=tf.constant(pixels))
    expected = committee.members[2].engine.run(recipe.scale(RECIPES[2], pixels))
    np.testing.assert_allclose(output["probs"], expected.probs, atol=1e-5)
    np.testing.assert_allclose(output["features"], expected.features, rtol=1e-4, atol=1e-4)


def write_quantized(path: Path, *, multilabel: bool) -> None:
    """A network as NNCF quantizes one: ranges of activations, a range for each channel among them,
    and int8 weights with a step for each output.
    """

    rng = np.random.default_rng(0)

    def ranged(x: Any, low: Any, high: Any) -> Any:
        ends = [op.constant(np.array(each, np.float32)) for each in (low, high)]
        return op.fake_quantize(x, *ends, *ends, 256)

    def weights(*shape: int) -> Any:
        data = op.constant(rng.integers(-64, 64, shape).astype(np.int8))
        steps = rng.uniform(0.001, 0.002, (shape[0], *[1] * (len(shape) - 1))).astype(np.float32)
        return op.multiply(op.convert(data, "f32"), op.constant(steps))

    one, none = [1, 1], [0, 0]
    image = op.parameter([-1, 32, 32, 3], np.float32)
    x = op.transpose(ranged(image, -1.0, 1.0), op.constant([0, 3, 1, 2]))
    x = op.clamp(op.convolution(x, weights(8, 3, 3, 3), [2, 2], none, none, one), 0.0, 6.0)
    highs = np.linspace(3.5, 4.0, 8).reshape(1, 8, 1, 1)
    x = ranged(x, np.zeros_like(highs), highs)
    x = op.clamp(op.group_convolution(x, weights(8, 1, 1, 3, 3), one, none, none, one), 0.0, 6.0)
    x = op.reduce_mean(ranged(x, 0.0, 4.5), op.constant([2, 3]), keep_dims=False)
    logits = op.multiply(
        op.matmul(x, weights(8, CLASSES), False, False), op.constant(np.float32(30))
    )
    probs = op.sigmoid(logits) if multilabel else op.softmax(logits, 1)
    openvino.save_model(openvino.Model([probs, x], [image]), path, compress_to_fp16=False)


@pytest.mark.parametrize("multilabel", [False, True])
def test_an_int8_network_computes_in_int8_by_litert(tmp_path: Path, multilabel: bool) -> None:
    from ai_edge_litert.interpreter import Interpreter

    path, file = tmp_path / "network.xml", tmp_path / "one.tflite"
    write_quantized(path, multilabel=multilabel)
    member = Member("one", OpenVINOEngine(path, precision="f32"), RECIPES[0], network=path)
    labels = tuple(Label(f"class {index}", f"class {index}", index) for index in range(CLASSES))
    fitted = params.unfitted([1], [1])
    if multilabel:
        fitted = unfitted_multilabel([1], [1], classes=CLASSES)
    one = Committee("one", (member,), labels, fitted, "weighted")
    source = Source(one, (path,), "int8")
    model = keras_committee.build(spec_of(source, is_int8=True))
    request = {
        "path": str(file),
        "names": ["one"],
        "is_int8": True,
        "metadata": keras_formats.metadata(source),
    }
    keras_worker.WRITERS["litert"](model, request)
    details = {each["index"]: each for each in Interpreter(str(file)).get_tensor_details()}
    operations_used = Interpreter(str(file))._get_ops_details()
    convolutions = [each for each in operations_used if "CONV" in each["op_name"]]
    assert len(convolutions) == 2
    assert {details[each["inputs"][0]]["dtype"] for each in convolutions} == {np.int8}
    compared = checking.compare(
        Classifier(one),
        runner(keras_worker.OPENERS["litert"](file), source),
        source,
        checking.draw_photos(),
    )
    assert 0 < compared.largest < 0.05


def program_answer(folder: Path) -> dict[str, Any]:
    """What the program beside an export prints where Triptych is not installed."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(pixels).save(folder / "photo.png", exif=exif)
    hidden = "import sys; sys.modules['triptych'] = None; import runpy, sys; "
    code = hidden + "sys.argv = ['classify.py', 'photo.png']; runpy.run_path('classify.py')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def check_answer(answer: dict[str, Any], verdict: Verdict) -> None:
    assert answer["label"] == verdict.label.name
    assert answer["prob"] == pytest.approx(verdict.prob, abs=1e-3)
    assert answer["status"] == verdict.status
    named = verdict.prediction_set.guesses if verdict.prediction_set else ()
    assert set(answer["set"]) == {guess.label.name for guess in named}


@pytest.mark.slow
def test_a_litert_file_is_written_checked_and_run_by_the_program_beside_it(
    home: Path, tmp_path: Path
) -> None:
    done = exporting.export("tiny", tmp_path / "tiny.tflite", EngineOptions(home))
    assert done.comparison.largest < 1e-3
    classifier = loading.load_classifier("tiny", EngineOptions(home, precision="f32"))
    answer = program_answer(tmp_path)
    check_answer(answer, classifier.classify(tmp_path / "photo.png"))
    with zipfile.ZipFile(tmp_path / "tiny.tflite") as archive:
        assert archive.read("labels.txt").decode().split() == list(small.RUNNABLE_CLASSES)


@pytest.mark.slow
def test_a_keras_file_opens_without_triptych(committee: Committee, tmp_path: Path) -> None:
    source = exporting.source_of(committee, "f32", 0.9)
    file = tmp_path / "three.keras"
    request = {"path": str(file), "names": MEMBERS, "metadata": keras_formats.metadata(source)}
    keras_worker.WRITERS["keras"](keras_committee.build(spec_of(source)), request)
    same = checking.Comparison(photos=1, largest=0.0, mean=0.0, verdicts=0)
    papers.write(tmp_path, formats.FORMATS["keras"], source, file, same, None)
    answer = program_answer(tmp_path)
    check_answer(answer, Classifier(committee).classify(tmp_path / "photo.png"))


def test_int8_is_refused_where_there_is_no_int8_arithmetic(
    committee: Committee, tmp_path: Path
) -> None:
    source = exporting.source_of(committee, "f32", 0.9)
    int8 = Source(source.committee, source.networks, "int8")
    with pytest.raises(errors.SettingError, match="keras computes at float32 only"):
        formats.FORMATS["keras"].write(int8, tmp_path / "three.keras")


def test_an_operation_that_keras_does_not_have_is_refused_with_what_to_do(
    tmp_path: Path, keras: Any
) -> None:
    path = tmp_path / "network.xml"
    operations.write(path, lambda x: op.depth_to_space(x, "blocks_first", 2))
    with pytest.raises(errors.EngineError, match=r"DepthToSpace.*Export it to onnx or openvino"):
        keras_layers.outputs(path, keras.Input((6, 5, 4)))
