"""Large photos are decoded at a reduced scale, and answers hardly change."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from support import image_formats
from triptych import errors
from triptych import images
from triptych.engines.fake import FakeEngine
from triptych.ensemble.params import unfitted
from triptych.inference.classifier import Classifier
from triptych.inference.classifier import ClassifyOptions
from triptych.inference.classifier import Scores
from triptych.inference.committee import Committee
from triptych.inference.committee import Member
from triptych.models import zoo
from triptych.preprocessing import recipe
from triptych.results import Label

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 600, 803
LABELS = tuple(Label(f"class {n}", f"c{n}", n) for n in range(3))


def large(mode: str = "RGB", *, size: tuple[int, int] = (803, 600), **options: object) -> bytes:
    picture = Image.fromarray(image_formats.sample_pixels(WIDTH, HEIGHT)).convert(mode)
    return image_formats.encode(picture.resize(size), "JPEG", quality=90, **options)


def halved(picture: npt.NDArray[np.uint8], times: int) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).reduce(times))


@pytest.mark.parametrize(
    ("enough", "times"), [(601, 1), (301, 1), (300, 2), (150, 4), (76, 4), (75, 8), (1, 8)]
)
def test_the_smallest_scale_that_leaves_enough_is_taken(enough: int, times: int) -> None:
    small = images.decode(large(), enough=enough)
    assert small.shape == (HEIGHT // times, -(-WIDTH // times), 3)
    expected = halved(images.decode(large()), times)
    assert np.abs(small.astype(int) - expected).mean() < 1.5
    if times == 1:
        assert np.array_equal(small, expected)


@pytest.mark.parametrize(
    ("mode", "options"),
    [("L", {}), ("CMYK", {}), ("RGB", {"progressive": True}), ("RGB", {"subsampling": 0})],
)
def test_jpegs_of_every_kind_are_reduced(mode: str, options: dict[str, object]) -> None:
    data = large(mode, **options)
    small = images.decode(data, enough=150)
    assert small.shape == (150, 201, 3)
    assert np.abs(small.astype(int) - halved(images.decode(data), 4)).mean() < 1.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_photo_is_turned_like_the_whole(orientation: int) -> None:
    # Whole blocks, so that the mirrored photo is cut into the same ones.
    data = large(size=(400, 320), exif=image_formats.exif(orientation))
    small = images.decode(data, enough=80)
    assert np.abs(small.astype(int) - halved(images.decode(data), 4)).mean() < 1.5


@pytest.mark.parametrize("name", ["png", "webp", "gif", "tiff deflate", "avif", "bmp"])
def test_other_formats_keep_their_size(name: str) -> None:
    data = image_formats.valid()[name]
    assert np.array_equal(images.decode(data, enough=8), images.decode(data))


def test_arrays_and_opened_pillow_images_keep_their_size() -> None:
    opened = Image.open(io.BytesIO(large()))
    assert images.load(opened, enough=75).shape == (HEIGHT, WIDTH, 3)
    assert opened.size == (WIDTH, HEIGHT)
    assert images.load(np.asarray(opened), enough=75).shape == (HEIGHT, WIDTH, 3)


def test_the_limit_counts_what_is_unpacked() -> None:
    eighth = -(-HEIGHT // 8) * -(-WIDTH // 8)
    assert images.decode(large(), limits=images.Limits(max_pixels=eighth), enough=8).size
    with pytest.raises(errors.TooManyPixels, match="101 x 75 = 7,575 pixels; the limit is 7,574"):
        images.decode(large(), limits=images.Limits(max_pixels=eighth - 1), enough=8)
    with pytest.raises(errors.TooManyPixels, match="803 x 600"):
        images.decode(large(), limits=images.Limits(max_pixels=HEIGHT * WIDTH - 1))


@pytest.mark.parametrize("subsampling", [0, 2])
def test_the_coefficients_of_a_progressive_jpeg_count_at_any_scale(subsampling: int) -> None:
    """libjpeg keeps all of them, two bytes each: 6 or 3 bytes a pixel of the full size."""
    data = large(progressive=True, subsampling=subsampling)
    needed = 803 * 600 * (6 if subsampling == 0 else 3) / 10 + 0.4 * 101 * 75
    assert images.decode(data, limits=images.Limits(max_pixels=int(needed) + 9), enough=8).size
    with pytest.raises(errors.TooManyPixels, match="for its kind"):
        images.decode(data, limits=images.Limits(max_pixels=int(needed) - 9), enough=8)


@pytest.mark.parametrize("size", [(8160, 6144), (12000, 9000), (16382, 3628)])
def test_photos_of_many_megapixels_are_read_at_a_reduced_scale(size: tuple[int, int]) -> None:
    data = image_formats.encode(Image.new("RGB", size, "teal"), "JPEG")
    height, width, _ = images.decode(data, enough=720).shape
    assert 720 <= min(height, width) < 1440


@pytest.mark.parametrize("enough", [75, 150, 300])
def test_a_truncated_photo_is_detected_at_any_scale(enough: int) -> None:
    with pytest.raises(errors.TruncatedImage):
        images.decode(large()[:-2000], enough=enough)


def test_every_network_has_enough_pixels_at_the_same_scale() -> None:
    for row in zoo.BACKBONES.values():
        assert recipe.enough([row.recipe]) == recipe.ENOUGH_PX, row.name
        left, top, right, bottom = recipe.window(row.recipe, recipe.ENOUGH_PX, recipe.ENOUGH_PX)
        assert bottom - top >= row.recipe.size[0], row.name
        assert right - left >= row.recipe.size[1], row.name


@pytest.fixture
def classifier() -> Classifier:
    sizes = {"Small": 32, "Large": 700}
    members = tuple(
        Member(name, FakeEngine(3, seed=size), recipe.Recipe((size, size), "tf"))
        for name, size in sizes.items()
    )
    return Classifier(Committee("pair", members, LABELS, unfitted([1, 1], [1, 1])))


def probs(classifier: Classifier, photo: bytes, *members: str) -> dict[str, list[float]]:
    (scores,) = classifier.score_many([("photo", photo)], ClassifyOptions(members=members or None))
    assert isinstance(scores, Scores)
    return dict(zip(scores.members, scores.probs.tolist(), strict=True))


def test_the_answer_for_a_large_photo_does_not_depend_on_other_members(
    classifier: Classifier,
) -> None:
    photo = large(size=(1600, 1500))
    both = probs(classifier, photo)
    for name in ("Small", "Large"):
        assert probs(classifier, photo, name) == {name: both[name]}


def test_a_reduced_scale_hardly_changes_answers(
    classifier: Classifier,
) -> None:
    photo = large(size=(3200, 2400))
    reduced = probs(classifier, photo)
    whole = probs(classifier, images.decode(photo))
    for name in reduced:
        assert reduced[name] == pytest.approx(whole[name], abs=0.01)


@pytest.mark.parametrize("name", image_formats.valid())
def test_picture_and_decode_give_the_same_pixels(name: str) -> None:
    data = image_formats.valid()[name]
    picture = images.picture(data)
    assert picture.mode == "RGB"
    assert np.array_equal(np.asarray(picture.resize(picture.size)), images.decode(data))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_picture_and_decode_give_the_same_orientation(format: str, orientation: int) -> None:
    data = image_formats.corners(image_formats.exif(orientation), format)
    assert np.array_equal(np.asarray(images.picture(data)), images.decode(data))


def test_a_recipe_gives_the_same_for_array_and_pillow_image() -> None:
    network_recipe = recipe.Recipe((224, 224), "torch")
    small = recipe.apply(network_recipe, images.picture(large(), enough=300))
    assert np.array_equal(small, recipe.apply(network_recipe, images.decode(large(), enough=300)))
