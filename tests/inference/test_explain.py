"""Heat maps by both methods: where they are high, and the mathematics behind them."""

from __future__ import annotations

import base64
import io
import threading
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from support import networks
from triptych import errors
from triptych.engines import Output
from triptych.engines.activation_maps import ActivationMaps
from triptych.engines.openvino import OpenVINOEngine
from triptych.ensemble import params
from triptych.images import heat as drawing
from triptych.inference.classifier import Classifier
from triptych.inference.committee import Committee
from triptych.inference.committee import Member
from triptych.inference.explain import explainer
from triptych.inference.explain import heatmap_grid
from triptych.inference.explain import occlusion
from triptych.preprocessing import recipe
from triptych.preprocessing.recipe import Recipe
from triptych.results import Label
from triptych.typing import Float32Array

COLOURS = ("red", "green", "blue")
LABELS = tuple(Label(f"a {name} thing", name, n) for n, name in enumerate(COLOURS))
GREY = (110, 110, 110)


def drawing_of(
    colour: str, corner: tuple[float, float], *, size: tuple[int, int] = (400, 600)
) -> Image.Image:
    """A grey photo with a coloured square centred at (x, y), as shares of the photo."""
    picture = Image.new("RGB", size[::-1], GREY)
    side = min(size) // 5
    left = round(corner[0] * size[1] - side / 2)
    top = round(corner[1] * size[0] - side / 2)
    picture.paste(colour, (left, top, left + side, top + side))
    return picture


def member(name: str, path: Path, member_recipe: Recipe, *, opened: bool = True) -> Member:
    engine = OpenVINOEngine(path, precision="f32", threads=1)
    return Member(name, engine, member_recipe, network=path if opened else None)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """One member of each kind, with different crops of a photo."""
    folder = tmp_path_factory.mktemp("spotting")
    plain = networks.write_colour_detector(folder / "plain" / "network.xml")
    bent = networks.write_colour_detector(folder / "bent" / "network.xml", size=72, hidden=True)
    members = (
        member("Open", plain, Recipe((64, 64), "tf", crop_share=0.8)),
        member("Bent", bent, Recipe((72, 72), "tf", crop_share=0.9)),
        member("Shut", plain, Recipe((64, 64), "tf", fit="square"), opened=False),
    )
    plain_doubt = params.unfitted([3.0, 1.0, 1.0], [1.0, 2.0, 3.0])
    return Classifier(Committee("spotters", members, LABELS, plain_doubt))


def peak(explanation: explainer.Explanation) -> tuple[float, float]:
    """The maximum of a map: (x, y) as shares of the photo."""
    row, column = np.unravel_index(explanation.heat.argmax(), explanation.heat.shape)
    left, top, right, bottom = explanation.box
    rows, columns = explanation.heat.shape
    return (
        left + (column + 0.5) / columns * (right - left),
        top + (row + 0.5) / rows * (bottom - top),
    )


# ------------------------------------------------------------------ where the thing is


@pytest.mark.parametrize("corner", [(0.3, 0.25), (0.7, 0.25), (0.3, 0.75), (0.7, 0.75)])
@pytest.mark.parametrize(
    ("name", "method"),
    [("Open", explainer.ACTIVATION), ("Bent", explainer.OCCLUSION), ("Shut", "occlusion")],
)
def test_the_map_is_highest_at_the_object(
    classifier: Classifier, name: str, method: str, corner: tuple[float, float]
) -> None:
    explanation = classifier.explain(drawing_of("blue", corner), member=name)
    assert (explanation.member, explanation.method, explanation.methods) == (
        name,
        method,
        {name: method},
    )
    assert explanation.label.id == "blue"
    assert explanation.heat.dtype == np.float32
    assert (explanation.heat.min(), explanation.heat.max()) == (0, 1)
    np.testing.assert_allclose(peak(explanation), corner, atol=0.12)


def test_any_class_can_be_explained_and_maps_differ(classifier: Classifier) -> None:
    photo = drawing_of("red", (0.3, 0.3))
    photo.paste("green", (380, 250, 440, 310))
    for name in ("Open", "Bent"):
        red, green = (classifier.explain(photo, member=name, label=i) for i in ("red", "green"))
        np.testing.assert_allclose(peak(red), (0.3, 0.3), atol=0.12)
        np.testing.assert_allclose(peak(green), (410 / 600, 280 / 400), atol=0.12)
    by_name = classifier.explain(photo, member="open", label="A Green Thing")
    assert by_name.label.id == "green"


def test_the_probability_is_that_of_the_answer(classifier: Classifier) -> None:
    photo = drawing_of("green", (0.5, 0.5))
    verdict = classifier.classify(photo, top=3)
    explanation = classifier.explain(photo)
    assert (explanation.member, explanation.guess) == (None, verdict.top[0])
    assert classifier.explain(photo, label="red").guess in verdict.top
    alone = classifier.explain(photo, member="Bent")
    assert alone.guess == verdict.members[1].top[0]


def test_the_committees_map_is_the_weighted_mean(classifier: Classifier) -> None:
    photo = drawing_of("red", (0.5, 0.4))
    explanation = classifier.explain(photo, rule="weighted")
    assert explanation.methods == {
        "Open": "class activation map",
        "Bent": "occlusion",
        "Shut": "occlusion",
    }
    assert explanation.method == "class activation map and occlusion"
    np.testing.assert_allclose(peak(explanation), (0.5, 0.4), atol=0.1)
    of_members = [classifier.explain(photo, member=name) for name in ("Open", "Bent", "Shut")]
    assert explanation.box == of_members[2].box == (0, 0, 1, 1)  # the third sees the whole photo
    laid = [
        np.nan_to_num(
            heatmap_grid.spread(one.heat, one.box, explanation.box, explanation.heat.shape)
        )
        for one in of_members
    ]
    weighted = 3 * laid[0] + laid[1] + laid[2]
    np.testing.assert_allclose(explanation.heat, weighted / weighted.max(), atol=1e-5)
    equal = classifier.explain(photo, rule="mean")
    np.testing.assert_allclose(equal.heat, sum(laid) / np.max(sum(laid)), atol=1e-5)


def test_a_cascade_is_explained_by_the_members_that_ran(classifier: Classifier) -> None:
    explanation = classifier.explain(drawing_of("red", (0.5, 0.5)), rule="cascade")
    members = classifier.classify(drawing_of("red", (0.5, 0.5)), rule="cascade").members
    assert list(explanation.methods) == [prediction.name for prediction in members]


def test_a_line_is_around_the_crop_and_the_rest_is_grey(classifier: Classifier) -> None:
    explanation = classifier.explain(drawing_of("blue", (0.4, 0.5)), member="Open")
    # The centre of a wide photo: 0.8 of its height, and as much in width.
    np.testing.assert_allclose(explanation.box, (140 / 600, 0.1, 460 / 600, 0.9), atol=1e-6)
    drawn = np.asarray(Image.open(io.BytesIO(explanation.overlay())))
    assert drawn.shape == (400, 600, 3)
    inside = drawn[45:355, 145:455].astype(int)
    outside = drawn[:, :135].astype(int)
    assert (np.ptp(inside, axis=2) > 20).all()
    assert (np.ptp(outside, axis=2) == 0).all()
    grey = np.asarray(drawing_of("blue", (0.4, 0.5)).convert("L"), int)
    np.testing.assert_array_equal(outside[..., 0], grey[:, :135])
    left, width = 140, 2
    assert (drawn[40:360, left - width : left] == 255).all()
    assert Image.open(io.BytesIO(explanation.overlay(longest_px=90))).size == (90, 60)
    assert explanation._repr_png_() == explanation.overlay()  # what notebooks show


def test_a_turned_photo_is_explained_upright(classifier: Classifier) -> None:
    photo = drawing_of("blue", (0.35, 0.3))
    upright = classifier.explain(photo, member="Open")
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise to be upright
    photo.transpose(Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif)
    turned = classifier.explain(file.getvalue(), member="Open")
    assert turned.box == upright.box
    np.testing.assert_allclose(turned.heat, upright.heat, atol=1e-6)


def test_an_explanation_as_json(classifier: Classifier) -> None:
    explanation = classifier.explain(drawing_of("blue", (0.4, 0.5)), source="b.png", member="Open")
    answer = explanation.to_dict()
    assert answer["source"] == "b.png"
    assert (answer["label"], answer["id"], answer["index"]) == ("a blue thing", "blue", 2)
    np.testing.assert_allclose(answer["heat"], explanation.heat, atol=1e-4)
    assert base64.b64decode(answer["overlay"]) == explanation.overlay()
    assert "warning" not in answer


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"member": "Nobody"}, errors.UnknownName, "no members Nobody.*Open, Bent, Shut"),
        ({"label": "a rod thing"}, errors.UnknownName, "no class 'a rod thing'.*a red thing"),
        ({"fit": "stretch"}, errors.SettingError, "'stretch' is not a known fit"),
        ({"rule": "best"}, errors.UnknownName, "no rule 'best'"),
    ],
)
def test_impossible_explanations_are_refused(
    classifier: Classifier, options: dict, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        classifier.explain(drawing_of("red", (0.5, 0.5)), **options)


def test_a_photo_that_cannot_be_read_is_an_error(classifier: Classifier) -> None:
    with pytest.raises(errors.NotAnImage):
        classifier.explain(b"hello")


class Counting:
    """Gives every class some probability, and counts its images."""

    size_bytes = 0

    def __init__(self) -> None:
        self.shown = 0
        self._counting = threading.Lock()

    def run(self, batch: Float32Array) -> Output:
        with self._counting:
            self.shown += len(batch)
        return Output(np.full((len(batch), 3), 1 / 3, np.float32), np.zeros((len(batch), 1)))


def test_occlusion_runs_65_times_unless_it_is_cancelled() -> None:
    engine = Counting()
    alone = Member("Slow", engine, Recipe((32, 32), "tf"))
    slow = Classifier(Committee("one", (alone,), LABELS, params.unfitted([1], [1])))
    with pytest.raises(errors.Stopped, match="ended before the heat map was ready"):
        slow.explain(drawing_of("red", (0.5, 0.5)), stop=lambda: engine.shown > 10)
    assert engine.shown < 40
    engine.shown = 0
    explanation = slow.explain(drawing_of("red", (0.5, 0.5)))
    assert engine.shown == 1 + 1 + occlusion.PATCHES == 66
    assert (explanation.heat == 0).all()  # no patch changes the answer


def test_opened_networks_count_as_memory(classifier: Classifier) -> None:
    bare = Classifier(classifier.committee)
    before = bare.size_bytes
    bare.explain(drawing_of("red", (0.5, 0.5)), member="Open")
    assert (
        bare.size_bytes > before == sum(m.engine.size_bytes for m in classifier.committee.members)
    )


# ------------------------------------------------------------------ class activation maps


def test_the_mean_of_a_map_is_the_logit(tmp_path: Path) -> None:
    path = networks.write_tiny(tmp_path / "tiny" / "network.xml", classes=5, size=48)
    batch = np.random.default_rng(0).uniform(-1, 1, (1, 48, 48, 3)).astype(np.float32)
    evidence = ActivationMaps(path).evidence(batch)
    assert evidence is not None
    assert evidence.shape == (5, 22, 22)
    logits = evidence.mean(axis=(1, 2))
    probs = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    expected = OpenVINOEngine(path, precision="f32").run(batch).probs[0]
    np.testing.assert_allclose(probs, expected, atol=1e-5)


def test_a_nonlinearity_after_the_mean_prevents_exact_maps(tmp_path: Path) -> None:
    path = networks.write_colour_detector(tmp_path / "bent" / "network.xml", hidden=True)
    with pytest.raises(errors.EngineError, match=r"what follows the mean .* is no dense layer"):
        ActivationMaps(path)


def test_a_network_without_a_mean_is_refused_with_the_reason(tmp_path: Path) -> None:
    import openvino
    from openvino import opset13 as op

    image = op.parameter([-1, 8, 8, 3], np.float32)
    flat = op.reshape(image, op.constant([-1, 192]), False)
    logits = op.matmul(flat, op.constant(np.ones((192, 2), np.float32)), False, False)
    path = tmp_path / "flat.xml"
    openvino.save_model(openvino.Model([op.softmax(logits, 1), flat], [image]), path)
    with pytest.raises(errors.EngineError, match=r"flat.xml has no map to show: Parameter comes"):
        ActivationMaps(path)
    path.write_text("<net>")
    with pytest.raises(errors.EngineError, match="no map to show"):
        ActivationMaps(path)


# ------------------------------------------------------------------ laying maps on photos


sides = st.floats(0, 1, allow_subnormal=False)
boxes = st.tuples(sides, sides, sides, sides).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]) + 0.05, max(b[1], b[3]) + 0.05)
)
shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(shape=shapes, box=boxes, seed=st.integers(0, 99))
def test_resizing_a_map_to_its_size_changes_nothing(
    shape: tuple[int, int], box: heatmap_grid.Box, seed: int
) -> None:
    heat = np.random.default_rng(seed).random(shape, np.float32)
    np.testing.assert_allclose(heatmap_grid.spread(heat, box, box, shape), heat, atol=1e-5)


@given(shape=shapes, box=boxes, onto=shapes, seed=st.integers(0, 99))
def test_resizing_a_map_equals_scipy(
    shape: tuple[int, int], box: heatmap_grid.Box, onto: tuple[int, int], seed: int
) -> None:
    heat = np.random.default_rng(seed).random(shape, np.float32)
    resized = heatmap_grid.spread(heat, box, heatmap_grid.WHOLE, onto)
    y, x = ((np.arange(count) + 0.5) / count for count in onto)
    rows = (y - box[1]) / (box[3] - box[1]) * shape[0] - 0.5
    columns = (x - box[0]) / (box[2] - box[0]) * shape[1] - 0.5
    grid = np.meshgrid(rows, columns, indexing="ij")
    expected = ndimage.map_coordinates(heat, grid, order=1, mode="nearest", output=np.float64)
    inside = np.outer((y > box[1]) & (y < box[3]), (x > box[0]) & (x < box[2]))
    np.testing.assert_allclose(resized[inside], expected[inside], atol=1e-4)
    edge = np.outer((y >= box[1] - 1e-9) & (y <= box[3] + 1e-9), np.ones(onto[1], bool))
    assert np.isnan(resized[~edge]).all()


@given(
    size=st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
    share=st.floats(0.1, 1),
    fit=st.sampled_from(recipe.FITS),
)
def test_the_crop_is_centred_in_the_photo(size: tuple[int, int], share: float, fit: str) -> None:
    network_recipe = Recipe((224, 160), "tf", fit=fit, crop_share=share)
    left, top, right, bottom = heatmap_grid.box_of(network_recipe, *size)
    assert left + right == pytest.approx(1, abs=1e-6)
    assert top + bottom == pytest.approx(1, abs=1e-6)
    assert -1e-9 <= left < right
    assert -1e-9 <= top < bottom
    if fit == "square":
        assert (left, top, right, bottom) == heatmap_grid.WHOLE
    else:
        height, width = (bottom - top) * size[0], (right - left) * size[1]
        assert height / width == pytest.approx(224 / 160, rel=1e-6)


# ------------------------------------------------------------------ occlusion


def test_each_patch_is_covered_once_and_every_pixel_by_some() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)
    before = picture.copy()
    others = list(occlusion.covered(picture))
    assert len(others) == occlusion.PATCHES == 64
    changed = np.array([(other != picture).any(axis=2) for other in others])
    assert changed.any(axis=0).mean() > 0.99  # some pixels have the mean colour
    assert changed.mean(axis=(1, 2)).min() > 0.02
    assert changed.mean(axis=(1, 2)).max() < 0.09
    np.testing.assert_array_equal(picture, before)


def test_a_cell_has_the_mean_drop_of_the_patches_over_it() -> None:
    parts = np.full(64, 0.9)
    parts[8 * 3 + 5] = 0.1  # the patch of the rows 3 and 4, and the columns 5 and 6
    worth = occlusion.worth(0.9, parts)
    assert worth.shape == (9, 9)
    np.testing.assert_allclose(worth[3:5, 5:7], 0.2, atol=1e-6)
    worth[3:5, 5:7] = 0
    np.testing.assert_allclose(worth, 0, atol=1e-6)
    corner = np.full(64, 0.9)
    corner[0] = 0.1  # the only one over the corner
    assert occlusion.worth(0.9, corner)[0, 0] == pytest.approx(0.8)
    assert (occlusion.worth(0.5, parts) <= 0.4).all()


# ------------------------------------------------------------------ drawing


def test_colours_are_those_of_matplotlib_and_rise_in_lightness() -> None:
    values = np.linspace(0, 1, 301)
    colours = drawing.colours(values)
    expected = 255 * matplotlib.colormaps["viridis"](values)[:, :3]
    assert np.abs(colours - expected).max() < 6  # of 255
    linear = (colours / 255) ** 2.2
    assert (np.diff(linear @ (0.2126, 0.7152, 0.0722)) > -2e-3).all()
    grey = np.asarray(Image.fromarray(colours[None]).convert("L"), int)[0]
    assert grey[-1] - grey[0] > 150  # told apart in print, too


def test_a_photo_that_is_an_array_is_drawn_like_any() -> None:
    photo = np.full((30, 60, 3), 200, np.uint8)
    small = drawing.small(photo, 20)
    assert small.shape == (10, 20, 3)
    assert (photo == 200).all()
