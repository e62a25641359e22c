"""The zoo: every row of its table is checked, one network of every family is built."""

import dataclasses
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from triptych import errors
from triptych.models import zoo
from triptych.models.zoo import recognition
from triptych.preprocessing import recipe

pytestmark = pytest.mark.slow

BACKBONES = list(zoo.BACKBONES.values())
FAMILIES = {row.family: row for row in sorted(BACKBONES, key=lambda r: -r.multiply_adds)}
SMALLEST = list(FAMILIES.values())  # the cheapest of each family came last, and stayed
KERAS_SMALLEST = [row for row in SMALLEST if row.builder.startswith("keras.applications:")]


def by_name(row):
    return row.name


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def run(model, batch):
    """Outputs as arrays, under any backend."""
    import keras

    # OpenVINO compiles a whole network in seconds, and takes minutes one operation at a time;
    # TensorFlow is the other way round.
    if keras.backend.backend() == "openvino":
        return keras.tree.flatten(model.predict(batch, verbose=0))
    return arrays(keras.tree.flatten(model(batch, training=False)))


def arrays(tensors):
    import keras

    return [keras.ops.convert_to_numpy(tensor) for tensor in tensors]


def set_normalization(model):
    """Set the statistics of the published EfficientNets (keras-team/keras#16392)."""
    import keras

    statistics = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.set_weights([np.array(values) for values in statistics])
            layer.finalize_state()


# Those that the other tests do not wait for.
HEAVY = {
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetV2B0",
    "InceptionResNetV2",
    "InceptionV3",
    "NASNetMobile",
    "ResNet50V2",
    "VGG16",
    "Xception",
}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(row, marks=[pytest.mark.thorough] if row.name in HEAVY else [])
        for row in SMALLEST
    ],
    ids=by_name,
)
def built(request):
    import keras

    yield request.param, request.param.build()
    keras.backend.clear_session()


@pytest.fixture
def headless(monkeypatch):
    """Keras's ``weights="imagenet", include_top=False``, with weights that come from no file."""
    import keras
    from keras.src.utils import file_utils

    def build(row, weights):
        def load(model, _):
            model.set_weights(weights[: len(model.weights)])
            set_normalization(model)

        monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: "no file")
        monkeypatch.setattr(keras.Model, "load_weights", load)
        builder = getattr(keras.applications, row.name)
        shape = (*row.recipe.size, 3)
        return builder(weights="imagenet", include_top=False, pooling="avg", input_shape=shape)

    return build


@pytest.fixture(scope="module")
def zoo_facts():
    path = Path(__file__).parents[2] / "tools" / "zoo_facts.py"
    spec = importlib.util.spec_from_file_location("zoo_facts", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_importing_the_zoo_loads_no_framework():
    heavy = "keras", "tensorflow", "openvino", "h5py", "torch"
    code = f"import sys, triptych.models.zoo; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_network_of_keras_is_in_the_table():
    import keras

    builders = {name for name, _ in inspect.getmembers(keras.applications, inspect.isfunction)}
    rows = {row.name for row in BACKBONES if row.builder == f"keras.applications:{row.name}"}
    assert rows == builders


def test_every_row_has_plausible_values():
    for row in BACKBONES:
        height, width = row.recipe.size
        assert height == width >= 224, row.name
        assert 0.5 < row.top1 < 0.9, row.name
        assert 512 <= row.feature_length <= 4032, row.name
        assert row.parameters > 1000 * row.feature_length, row.name
        assert row.multiply_adds > row.parameters, row.name
        assert 0.8 < row.recipe.crop_share <= 1, row.name
        assert row.paper[-6:-4] == ", ", row.name
        assert row.paper[-4:].isdigit(), row.name


def test_every_row_says_where_its_weights_are():
    for row in BACKBONES:
        source = row.weights
        assert (source.url is None) != (source.package is None), row.name
        assert "{" not in f"{source.file}{source.url}{source.package}", row.name
        # About four bytes for each parameter.
        assert source.size_mb == pytest.approx(row.parameters * 4 / 1e6, rel=0.4), row.name
        if source.hash:
            kind, _, digits = source.hash.partition(":")
            assert len(digits) == {"md5": 32, "sha256": 64}[kind], row.name
            assert int(digits, 16), row.name


def test_only_two_rows_have_no_hash():
    assert [row.name for row in BACKBONES if not row.weights.hash] == ["MobileNet", "MobileNetV2"]


def test_no_two_rows_share_a_file():
    assert len({row.weights.file for row in BACKBONES}) == len(BACKBONES)


def test_committees_name_backbones():
    assert {len(members) for members in zoo.COMMITTEES.values()} == {3}
    for members in zoo.COMMITTEES.values():
        assert all(member in zoo.BACKBONES for member in members)


def test_names_of_backbones_ignore_case_and_punctuation():
    for row in BACKBONES:
        for typed in (row.name, row.name.upper(), row.name.lower()):
            assert zoo.find(typed) is row, typed


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("resnet50", "ResNet50"),
        ("ResNet-50-V2", "ResNet50V2"),
        ("efficientnet-lite0", "EfficientNetLite0"),
        ("efficientnet_v2_b0", "EfficientNetV2B0"),
        ("lite2", "EfficientNetLite2"),
    ],
)
def test_other_spellings(typed, name):
    assert zoo.find(typed).name == name


def test_a_wrong_name_suggests_the_nearest():
    with pytest.raises(errors.UnknownName, match=r"'resnet51'.*ResNet50"):
        zoo.find("resnet51")


def test_the_numbers_of_a_built_network_are_those_of_its_row(built):
    row, model = built
    assert model.count_params() == row.parameters
    assert zoo.multiply_adds(model) == row.multiply_adds
    assert zoo.features_output(model).shape == (None, row.feature_length)
    assert model.input_shape == (None, *row.recipe.size, 3)
    assert model.output_shape == (None, 1000)


def test_a_network_is_recognised_by_its_layers(built):
    row, model = built
    names = [layer.name for layer in model.layers]
    family = recognition.recognize(names)
    if row.family in recognition.SIGNATURES:
        assert family == row.family
    # An EfficientNet has its preprocessing inside, which counts first.
    elif family is not None:
        assert names[1].startswith("rescaling")


def test_features_are_those_of_keras_without_its_head(built, headless):
    row, model = built
    if row not in KERAS_SMALLEST:
        pytest.skip("Keras has no such network")
    set_normalization(model)
    batch = recipe.scale(row.recipe, noise(1, *row.recipe.size, 3))
    probs, features = run(zoo.with_features(model), batch)
    (expected,) = run(headless(row, arrays(model.weights)), batch)
    # Random weights may shrink features to any scale, so nearness is measured by their own.
    np.testing.assert_allclose(features, expected, rtol=0, atol=1e-3 * expected.std())
    assert probs.sum() == pytest.approx(1, abs=1e-4)


def test_a_network_without_features_is_refused():
    import keras

    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Dense(2)(image), name="odd")
    with pytest.raises(errors.SettingError, match="'odd' neither pools nor flattens"):
        zoo.with_features(model)


def test_another_input_size_changes_the_cost_and_nothing_else():
    row = zoo.find("MobileNetV3Small")
    model = row.build(size=(96, 128))
    assert model.input_shape == (None, 96, 128, 3)
    assert model.count_params() == row.parameters
    assert zoo.multiply_adds(model) < row.multiply_adds / 2


def test_the_tool_that_recomputes_the_table_agrees_and_can_disagree(zoo_facts):
    row = zoo.find("MobileNetV3Small")
    assert zoo_facts.differences(row) == []
    source = dataclasses.replace(row.weights, hash="md5:0")
    damaged = dataclasses.replace(row, parameters=1, weights=source)
    parameters, hash = zoo_facts.differences(damaged)
    assert parameters == "MobileNetV3Small: parameters is 2554968; the table says 1"
    assert "the table says 'md5:0'" in hash


@pytest.mark.parametrize("row", KERAS_SMALLEST, ids=by_name)
def test_scaling_is_that_of_the_family_in_keras(row):
    import keras

    module = sys.modules[getattr(keras.applications, row.name).__module__]
    pixels = noise(2, 8, 8, 3)
    expected = module.preprocess_input(pixels.astype(np.float32))
    np.testing.assert_allclose(recipe.scale(row.recipe, pixels), expected, atol=1e-4)
