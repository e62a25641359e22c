"""Recipes of timm and Hugging Face; Pillow and NumPy say what they mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support import image_formats
from triptych import errors
from triptych.backbones import recipe_files
from triptych.preprocessing import recipe

TIMM = {
    "architecture": "vit_tiny_patch16_224",
    "num_features": 192,
    "global_pool": "token",
    "pretrained_cfg": {
        "input_size": [3, 224, 224],
        "test_input_size": [3, 288, 288],
        "crop_pct": 0.9,
        "test_crop_pct": 1.0,
        "crop_mode": "center",
        "interpolation": "bicubic",
        "mean": [0.48145466, 0.4578275, 0.40821073],
        "std": [0.26862954, 0.26130258, 0.27577711],
        "license": "apache-2.0",
    },
}
CLIP = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 256},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 0.00392156862745098,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
VIT = {
    "feature_extractor_type": "ViTFeatureExtractor",
    "do_normalize": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "size": 224,
}
CONVNEXT = {
    "image_processor_type": "ConvNextImageProcessor",
    "crop_pct": 0.875,
    "size": {"shortest_edge": 224},
    "resample": 3,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def read(
    tmp_path: Path, content: Any, size: tuple[int, int] | None = None
) -> recipe_files.PublishedRecipe:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content))
    return recipe_files.read(path, size=size)


def expected(mean: list[float], std: list[float], image: Image.Image) -> np.ndarray:
    return (np.asarray(image, np.float64) / 255 - mean) / std


def resized(image: Image.Image, shorter: int, side: int) -> Image.Image:
    """The centre, after the shorter side was resized, as torchvision does it."""
    scale = shorter / min(image.size)
    whole = image.resize(
        [int(edge * scale) for edge in image.size],
        Image.Resampling.BICUBIC,
    )
    left, top = (round((edge - side) / 2) for edge in whole.size)
    return whole.crop((left, top, left + side, top + side))


@pytest.mark.parametrize("content", [TIMM, CLIP])
def test_pixels_are_those_of_a_resized_photo_and_its_centre(
    tmp_path: Path, content: dict[str, Any]
) -> None:
    photo = Image.fromarray(image_formats.sample_pixels(600, 400))
    published = read(tmp_path, content).recipe
    fields = content.get("pretrained_cfg", content)
    mean, std = (fields.get(name, fields.get(f"image_{name}")) for name in ("mean", "std"))
    shorter = 248 if content is TIMM else 256  # 224 / 0.9, whole pixels
    wanted = expected(mean, std, resized(photo, shorter, 224))
    got = recipe.apply(published, photo)
    # The two round the window of the photo to other fractions of a pixel.
    assert np.abs(got - wanted).mean() < 0.02
    # But the scaling is the same.
    scaled = recipe.scale(published, np.asarray(resized(photo, shorter, 224)))
    np.testing.assert_allclose(scaled, wanted, rtol=0, atol=1e-5)


def test_timm(tmp_path: Path) -> None:
    published = read(tmp_path, TIMM)
    assert (published.tokens, published.licence) == ("class", "apache-2.0")
    assert published.recipe.size == (224, 224)
    assert published.recipe.crop_share == pytest.approx(224 / 248)
    tested = read(tmp_path, TIMM, (288, 288)).recipe
    assert (tested.size, tested.crop_share) == ((288, 288), 1.0)
    squashed = {**TIMM["pretrained_cfg"], "crop_mode": "squash", "crop_pct": 1.0}
    assert read(tmp_path, squashed).recipe.fit == "square"


def test_hugging_face(tmp_path: Path) -> None:
    assert read(tmp_path, CLIP).recipe == recipe.Recipe(
        (224, 224), "torch", crop_share=224 / 256, interpolation="bicubic"
    )
    assert read(tmp_path, VIT).recipe == recipe.Recipe(
        (224, 224), "tf", fit="square", crop_share=1.0, interpolation="bilinear"
    )
    assert read(tmp_path, CONVNEXT).recipe.crop_share == pytest.approx(224 / 256)
    large = read(tmp_path, {**CONVNEXT, "size": {"shortest_edge": 384}}).recipe
    assert (large.size, large.fit) == ((384, 384), "square")
    plain = {**CLIP, "do_normalize": False, "do_flip_channel_order": True}
    assert read(tmp_path, plain).recipe.scaling == "bgr 0,0,0/255,255,255"


@pytest.mark.parametrize(
    ("content", "changes", "words"),
    [
        (TIMM["pretrained_cfg"], {"crop_mode": "border"}, "crop_mode: 'border'"),
        (TIMM["pretrained_cfg"], {"crop_mode": "squash"}, "crop_mode: 'squash'"),
        (TIMM["pretrained_cfg"], {"interpolation": "random"}, "interpolation: 'random'"),
        (TIMM["pretrained_cfg"], {"input_size": [1, 28, 28]}, "input_size"),
        (TIMM["pretrained_cfg"], {"crop_pct": 0}, "crop_pct: 0"),
        (TIMM["pretrained_cfg"], {"std": [0, 1, 1]}, "std: "),
        (CLIP, {"do_resize": False}, "do_resize: False"),
        (CLIP, {"do_pad": True}, "do_pad: True"),
        (CLIP, {"resample": 4}, "resample: 4"),
        (CLIP, {"resample": None}, "resample: None"),
        (CLIP, {"do_center_crop": False}, "do_center_crop: False"),
        (CLIP, {"crop_size": 288}, "crop_size: 288"),
        (CLIP, {"size": {"height": 256, "width": 256}}, "crop_size: "),
        (CLIP, {"image_mean": "half"}, "image_mean: 'half'"),
        (VIT, {"feature_extractor_type": "OwnProcessor"}, "do_center_crop: None"),
        (VIT, {"size": {"longest_edge": 500}}, "size: "),
    ],
)
def test_what_a_recipe_cannot_do_is_refused_by_name(
    tmp_path: Path, content: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(errors.SettingError, match=r"config.json has ") as raised:
        read(tmp_path, {**content, **changes})
    assert words in raised.value.message


def test_another_size_than_the_network_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.SettingError, match="224 x 224 pixels, and the network takes 256"):
        read(tmp_path, CLIP, (256, 256))


@pytest.mark.parametrize("content", [[], {}, {"model_type": "vit"}])
def test_another_file_is_no_recipe(tmp_path: Path, content: object) -> None:
    with pytest.raises(errors.SourceError, match=r"config\.json"):
        read(tmp_path, content)
