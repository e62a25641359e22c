"""The three Lite networks with their real weights."""

import hashlib
from importlib import resources

import numpy as np
import pytest
from PIL import Image
from PIL import ImageDraw

from support import networks
from triptych import errors
from triptych.models import imagenet
from triptych.models import torch_checkpoint
from triptych.models import zoo
from triptych.models.zoo import efficientnet_lite
from triptych.preprocessing import recipe

pytestmark = pytest.mark.slow

ROWS = [zoo.find(name) for name in zoo.COMMITTEES["lite"]]


def by_name(row):
    return row.name


def path_of(row):
    package = row.weights.package.replace("-", "_")
    return resources.files(package) / "models" / row.weights.file


def clock():
    """A drawing of a clock at ten past ten."""
    image = Image.new("RGB", (480, 480), (150, 120, 90))
    draw = ImageDraw.Draw(image)
    draw.ellipse((40, 40, 440, 440), fill="white", outline="black", width=14)
    for hour in range(12):
        draw.line([_at(hour * 30, 155), _at(hour * 30, 185)], fill="black", width=10)
    draw.line([_at(0, 0), _at(305, 105)], fill="black", width=14)
    draw.line([_at(0, 0), _at(60, 150)], fill="black", width=9)
    return np.asarray(image)


def _at(degrees, radius):
    angle = np.deg2rad(degrees)
    return (240 + radius * np.sin(angle), 240 - radius * np.cos(angle))


def traffic_light():
    image = Image.new("RGB", (480, 480), (130, 170, 220))
    draw = ImageDraw.Draw(image)
    draw.rectangle((225, 360, 255, 480), fill=(60, 60, 60))
    draw.rounded_rectangle((165, 60, 315, 380), 20, fill=(25, 25, 25))
    for middle, colour in ((110, (255, 40, 30)), (220, (70, 60, 10)), (330, (10, 70, 20))):
        draw.ellipse((195, middle - 45, 285, middle + 45), fill=colour)
    return np.asarray(image)


@pytest.fixture(scope="module")
def lite0():
    return zoo.find("lite0").build()


@pytest.fixture
def published():
    """The tensors of Lite0, in a new dictionary that a test may change."""
    return torch_checkpoint.read(path_of(zoo.find("lite0")))


@pytest.mark.parametrize("row", ROWS, ids=by_name)
def test_the_packages_carry_the_files_of_the_table(row):
    data = path_of(row).read_bytes()
    assert row.weights.hash == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert row.weights.size_mb == round(len(data) / 1e6)


@pytest.mark.parametrize("row", ROWS, ids=by_name)
def test_drawings_of_a_clock_and_a_traffic_light_are_recognised(row):
    model = row.build()
    efficientnet_lite.set_weights(model, torch_checkpoint.read(path_of(row)))
    batch = np.stack([recipe.apply(row.recipe, image) for image in (clock(), traffic_light())])
    best = networks.run(model, batch).argmax(axis=1)
    names = [imagenet.imagenet()[index].name for index in best]
    assert names == ["analog clock", "traffic light"]


def test_layers_are_called_as_in_keras_own_efficientnet(lite0):
    layer_names, in_keras = (
        {layer.name for layer in model.layers if layer.weights}
        for model in (lite0, zoo.find("EfficientNetB0").build())
    )
    assert (
        {"stem_conv", "block1a_dwconv", "block2a_expand_conv", "top_bn"} <= layer_names <= in_keras
    )


def test_a_network_can_be_built_with_weights(published):
    import keras

    shape = (64, 64, 3)
    model = efficientnet_lite.EfficientNetLite0(weights=published, input_shape=shape)
    bias = model.get_layer("predictions").weights[1]
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(bias), published["_fc.bias"])


def test_a_missing_tensor_is_named(lite0, published):
    del published["_blocks.7._bn1.running_var"]
    with pytest.raises(errors.WeightsDamaged, match=r"'_blocks\.7\._bn1\.running_var'.*block4c_bn"):
        efficientnet_lite.set_weights(lite0, published)


def test_an_extra_tensor_is_named(lite0, published):
    published["_blocks.16._se_reduce.weight"] = np.zeros(3, np.float32)
    with pytest.raises(errors.WeightsDamaged, match=r"no place for 1 .*'_blocks\.16\._se_reduce"):
        efficientnet_lite.set_weights(lite0, published)


@pytest.mark.parametrize("key", ["_conv_stem.weight", "_fc.weight", "_bn0.bias"])
def test_a_tensor_of_another_shape_is_named(lite0, published, key):
    published[key] = published[key][..., None]
    with pytest.raises(errors.WeightsDamaged, match=rf"'{key}' for layer .* has the shape"):
        efficientnet_lite.set_weights(lite0, published)


def test_the_weights_of_one_network_do_not_fit_another(published):
    lite2 = zoo.find("lite2").build()
    with pytest.raises(errors.WeightsDamaged):
        efficientnet_lite.set_weights(lite2, published)
