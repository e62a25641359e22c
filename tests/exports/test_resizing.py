"""The resize in the graph equals Pillow's, pixel by pixel."""

from __future__ import annotations

import numpy as np
import openvino
import pytest
from openvino import opset13 as op

from triptych.exports import resizing
from triptych.preprocessing import recipe
from triptych.preprocessing.recipe import Recipe

RECIPES = (
    Recipe((224, 224), "lite"),
    Recipe((60, 40), "tf", crop_share=0.89, interpolation="bilinear"),
    Recipe((64, 48), "tf", fit="square", interpolation="lanczos"),
    Recipe((50, 60), "torch", crop_share=1.0),
    Recipe((32, 32), "raw", fit="square", interpolation="nearest"),
)
# Enlarged, reduced by whole blocks, the columns first, and where a factor is a whole number.
SHAPES = ((1, 1), (2, 3), (1, 400), (900, 37), (300, 401), (224, 224), (511, 700), (1024, 1024),
          (500, 1503))  # fmt: skip


@pytest.mark.parametrize("photo_recipe", RECIPES, ids=lambda each: each.interpolation)
def test_the_resize_equals_pillows(photo_recipe: Recipe) -> None:
    image = op.parameter([-1, -1, 3], np.uint8)
    pixels = resizing.resize(photo_recipe, resizing.planes(image))
    scaled = resizing.scale(photo_recipe, pixels).output(0)
    graph = openvino.Model([pixels, scaled], [image])
    request = (
        openvino.Core()
        .compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        .create_infer_request()
    )
    rng = np.random.default_rng(0)
    for height, width in SHAPES:
        photo = rng.integers(0, 256, (height, width, 3), np.uint8)
        resized, scaled = (np.array(each) for each in request.infer({0: photo}).values())
        expected = recipe.resize(photo_recipe, photo)
        off = np.abs(resized.transpose(1, 2, 0) - expected)
        # Pillow sums in fixed point, so that a number between two may be rounded otherwise.
        assert off.max() <= 2, (height, width)
        assert (off > 0).mean() < 0.005, (height, width)
        np.testing.assert_allclose(
            scaled[0],
            recipe.scale(photo_recipe, resized.transpose(1, 2, 0).astype(np.uint8)),
            atol=1e-5,
        )
