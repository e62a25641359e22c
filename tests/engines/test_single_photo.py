"""Networks compiled for one photo compute what they compute for any batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest
from openvino import opset13 as op

from triptych import errors
from triptych.engines.conversion import store
from triptych.engines.openvino import OpenVINOEngine
from triptych.engines.single_photo import SinglePhotoEngine
from triptych.models import zoo
from triptych.preprocessing import recipe
from triptych.preprocessing.recipe import SCALINGS
from triptych.preprocessing.recipe import Recipe

SIDE, CLASSES = 12, 5


def photos(size: tuple[int, int], count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, *size, 3), np.uint8)


@pytest.mark.slow
@pytest.mark.usefixtures("one_converter")
def test_a_float_network_gives_the_same_bits(home: Path) -> None:
    row = zoo.find("lite0")
    (path,) = store.prepare([row], home=home, random=True, report=print)
    pixels = photos(row.recipe.size)
    single = SinglePhotoEngine(path, row.recipe, precision="f32")
    plain = OpenVINOEngine(path, precision="f32", threads=1)
    together = single.run_pixels(pixels)
    for number in range(len(pixels)):
        expected = plain.run(recipe.scale(row.recipe, pixels[number : number + 1]))
        for output, wanted in zip(together, expected, strict=True):
            assert output[number].tobytes() == wanted[0].tobytes()
    assert single.size_bytes == plain.size_bytes


def quantizing(folder: Path, low: object, high: object) -> Path:
    """A network that quantizes its input to 256 levels, and classifies the mean colours."""
    rng = np.random.default_rng(0)
    image = op.parameter([-1, SIDE, SIDE, 3], np.float32)
    ends = [op.constant(np.asarray(end, np.float32)) for end in (low, high)]
    rounded = op.fake_quantize(image, *ends, *ends, 256)
    features = op.reduce_mean(rounded, op.constant([1, 2]), keep_dims=False)
    logits = op.matmul(features, op.constant(rng.normal(size=(3, CLASSES)).astype("f4")), 0, 0)
    path = folder / "network.xml"
    openvino.save_model(
        openvino.Model([op.softmax(logits, 1), features], [image]), path, compress_to_fp16=False
    )
    return path


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_network_that_quantizes_its_input_scales_by_that(
    tmp_path: Path, scaling: str, by_channel: bool
) -> None:
    of = Recipe((SIDE, SIDE), scaling)
    ends = recipe.scale(of, np.array([[[0] * 3], [[255] * 3]], np.uint8))[:, 0]
    low, high = (ends[0], ends[1]) if by_channel else (ends.min(), ends.max())
    path = quantizing(tmp_path, low, high)
    pixels = photos(of.size)
    output = SinglePhotoEngine(path, of, precision="f32", is_int8=True).run_pixels(pixels)
    expected = OpenVINOEngine(path, precision="f32", threads=1, is_int8=True).run(
        recipe.scale(of, pixels)
    )
    level = float(np.max(np.asarray(high) - np.asarray(low))) / 255
    # A value halfway between two levels may be rounded to either.
    np.testing.assert_allclose(output.features, expected.features, atol=0.05 * level)
    np.testing.assert_allclose(output.probs, expected.probs, atol=0.05 * level)


def test_scaled_inputs_and_photos_of_another_size_are_refused(tmp_path: Path) -> None:
    of = Recipe((SIDE, SIDE), "tf")
    engine = SinglePhotoEngine(quantizing(tmp_path, -1.0, 1.0), of, precision="f32")
    with pytest.raises(errors.EngineError, match="expected pixels"):
        engine.run(np.zeros((1, SIDE, SIDE, 3), np.float32))
    with pytest.raises(errors.EngineError, match="got a batch of shape"):
        engine.run_pixels(photos((SIDE, SIDE + 1)))
