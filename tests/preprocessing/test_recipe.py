"""Recipes: the input of a network, to the pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from support import image_formats
from triptych import errors
from triptych.preprocessing import recipe
from triptych.preprocessing.recipe import Recipe

sides = st.integers(1, 400)


@given(
    height=sides,
    width=sides,
    rows=sides,
    columns=sides,
    share=st.floats(0.1, 1),
)
def test_a_crop_keeps_proportions_stays_inside_and_is_centred(
    height: int, width: int, rows: int, columns: int, share: float
) -> None:
    network_recipe = Recipe((rows, columns), "tf", crop_share=share)
    left, top, right, bottom = recipe.window(network_recipe, height, width)
    assert -1e-6 <= left <= right <= width + 1e-6
    assert -1e-6 <= top <= bottom <= height + 1e-6
    assert (right - left) * rows == pytest.approx((bottom - top) * columns)
    assert left + right == pytest.approx(width)
    assert top + bottom == pytest.approx(height)


@given(
    image=hnp.arrays(np.uint8, st.tuples(sides, sides, st.just(3))),
    scaling=st.sampled_from(sorted(recipe.SCALINGS)),
)
def test_apply_gives_a_new_float32_array_of_the_size_and_leaves_the_photo(
    image: np.ndarray, scaling: str
) -> None:
    before = image.copy()
    pixels = recipe.apply(Recipe((17, 23), scaling), image)
    assert pixels.shape == (17, 23, 3)
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(image, before)


@given(images=hnp.arrays(np.uint8, (2, 3, 4, 3)), scaling=st.sampled_from(sorted(recipe.SCALINGS)))
def test_a_batch_is_scaled_as_its_rows(images: np.ndarray, scaling: str) -> None:
    network_recipe = Recipe((3, 4), scaling)
    whole = recipe.scale(network_recipe, images)
    np.testing.assert_array_equal(whole, [recipe.scale(network_recipe, image) for image in images])


@given(
    image=hnp.arrays(np.uint8, (5, 7, 3)),
    name=st.sampled_from(sorted(recipe.SCALINGS)),
)
def test_scaling_is_the_published_formula(image: np.ndarray, name: str) -> None:
    rule = recipe.SCALINGS[name]
    ordered = image if rule.order == "rgb" else image[..., ::-1]
    expected = (ordered - np.array(rule.mean)) / np.array(rule.std)  # in float64
    scaled = recipe.scale(Recipe((5, 7), name), image)
    span = 255 / min(rule.std)
    np.testing.assert_allclose(scaled, expected, rtol=0, atol=1e-6 * span)


@given(images=hnp.arrays(np.uint8, (2, 3, 4, 3)), name=st.sampled_from(sorted(recipe.SCALINGS)))
def test_scaling_rounds_as_a_difference_and_a_quotient_of_float32(
    images: np.ndarray, name: str
) -> None:
    rule = recipe.SCALINGS[name]
    ordered = images if rule.order == "rgb" else images[..., ::-1]
    mean, std = np.array(rule.mean, np.float32), np.array(rule.std, np.float32)
    expected = (ordered.astype(np.float32) - mean) / std
    scaled = recipe.scale(Recipe((3, 4), name), images)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled.view(np.uint32), expected.view(np.uint32))


@given(
    image=hnp.arrays(np.uint8, (5, 7, 3)),
    order=st.sampled_from(["rgb", "bgr"]),
    mean=st.tuples(*[st.floats(-300, 300)] * 3),
    std=st.tuples(*[st.floats(0.01, 300)] * 3),
)
def test_any_scaling_is_written_as_text_and_read_again(
    image: np.ndarray, order: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    text = recipe.write_scaling(recipe.Scaling(order, mean, std))
    written = Recipe.from_dict({"size": [5, 7], "scaling": text})
    assert Recipe.from_dict(written.to_dict()) == written
    ordered = image if order == "rgb" else image[..., ::-1]
    expected = (ordered - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(recipe.scale(written, image), expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "torch ",
        "1,2,3",
        "1,2/3,4",
        "1,2,3/0,1,1",
        "1,2,3/1,1,-1",
        "1..2,2,3/1,1,1",
        "1,2,3/1,1,1e999",
        "rgb 1,2,3/1,1,1",
        "9" * 300 + ",1,1/1,1,1",
    ],
)
def test_another_text_is_no_scaling(text: str) -> None:
    with pytest.raises(errors.SettingError, match=r"expected one of: caffe, .*MEAN"):
        Recipe((5, 7), text)
    with pytest.raises(errors.SettingError, match=r"recipe.scaling is .*; expected one of: caffe"):
        Recipe.from_dict({"size": [5, 7], "scaling": text})


def test_averaging_a_large_photo_first_hardly_changes_the_result() -> None:
    image = Image.fromarray(image_formats.sample_pixels(300, 200)).resize((2400, 1600))
    network_recipe = Recipe((112, 112), "raw")
    plain = image.resize(
        (112, 112), Image.Resampling.BICUBIC, recipe.window(network_recipe, 1600, 2400)
    )
    difference = np.abs(
        recipe.resize(network_recipe, np.asarray(image)).astype(int) - np.asarray(plain)
    )
    assert 0 < difference.mean() < 1


def test_square_equals_a_plain_resize_by_pillow() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    network_recipe = Recipe((40, 40), "raw", fit="square", interpolation="bilinear")
    plain = Image.fromarray(image).resize((40, 40), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(recipe.resize(network_recipe, image), np.asarray(plain))


def test_crop_is_close_to_resizing_first_and_cropping_then() -> None:
    # The usual two steps (shorter side to S/share, then the centre) against ours in one.
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    image = coarse.resize((640, 512), Image.Resampling.BICUBIC)
    two_steps = image.resize((320, 256), Image.Resampling.BICUBIC).crop((48, 16, 272, 240))
    one_step = recipe.resize(Recipe((224, 224), "tf", crop_share=0.875), np.asarray(image))
    difference = np.abs(one_step.astype(int) - np.asarray(two_steps, int))
    assert difference.mean() < 1


def test_a_recipe_survives_json() -> None:
    network_recipe = Recipe(
        (299, 300), "caffe", fit="square", crop_share=0.5, interpolation="lanczos"
    )
    assert Recipe.from_dict(network_recipe.to_dict()) == network_recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scaling": "zeromean"}, "'zeromean' is not a known scaling; expected one of: caffe, tf"),
        ({"fit": "pad"}, "'pad' is not a known fit"),
        ({"interpolation": "area"}, "'area' is not a known interpolation"),
        ({"size": (0, 5)}, "size of at least 1 x 1"),
        ({"crop_share": 0.0}, r"crop share in \(0, 1\]"),
    ],
)
def test_impossible_recipes_are_refused(change: dict, message: str) -> None:
    with pytest.raises(errors.SettingError, match=message):
        Recipe(**{"size": (8, 8), "scaling": "tf", **change})
