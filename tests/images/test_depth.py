"""Deep pixels: white is defined by the file, else derived from the values and reported."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from support import image_formats
from support.tiff_writer import Page
from support.tiff_writer import write
from triptych import data as triptych_data
from triptych import images

LOWEST, HIGHEST, DISPLAY_LOW, DISPLAY_HIGH = 280, 281, 340, 341
RAMP = np.linspace(0, 1, 256).reshape(16, 16)


def decoded(data: bytes) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """The pixels, grey or red, and what had to be guessed."""
    guesses: list[str] = []
    return images.decode(data, on_guess=guesses.append)[..., 0], guesses


def tiff(values: npt.NDArray[np.generic], sample_format: int = 1, samples: int = 1, **options):
    stacked = np.repeat(values[..., None], samples, axis=2)
    bits = 8 * values.dtype.itemsize
    return write([Page(stacked, bits, 1 if samples == 1 else 2, sample_format, **options)])


def png(values: npt.NDArray[np.uint16], colour: int = 0, significant: int | None = None) -> bytes:
    samples = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    stacked = np.repeat(values[..., None], samples, axis=2)
    if colour in (4, 6):
        stacked[..., -1] = values.max()
    before = [] if significant is None else [(b"sBIT", bytes([significant]) * samples)]
    rows = [row.tobytes() for row in stacked.astype(">u2")]
    return image_formats.png(rows, width=16, depth=16, colour=colour, before=before)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("kind", ["TIFF", "RGB TIFF", "PNG", "RGB PNG", "RGBA PNG", "grey alpha"])
def test_a_detector_of_fewer_bits_than_its_file_is_as_bright_as_8_bits(
    kind: str, bits: int
) -> None:
    values = np.round(RAMP * (2**bits - 1)).astype(np.uint16)
    data = {
        "TIFF": lambda: tiff(values),
        "RGB TIFF": lambda: tiff(values, samples=3),
        "PNG": lambda: png(values),
        "RGB PNG": lambda: png(values, 2),
        "RGBA PNG": lambda: png(values, 6),
        "grey alpha": lambda: png(values, 4),
    }[kind]()
    pixels, guesses = decoded(data)
    assert np.abs(pixels - RAMP * 255).max() <= 1
    assert guesses == [f"no value needs more than {bits} of 16 bits"]


@pytest.mark.parametrize("make", [tiff, png])
def test_images_that_use_all_bits_need_no_guess(make) -> None:
    for values in (RAMP * 65535, RAMP * 30000, np.round(RAMP * 60) * 257):
        pixels, guesses = decoded(make(np.round(values).astype(np.uint16)))
        assert np.abs(pixels - values / 257).max() <= 1
        assert guesses == []


def test_tags_count_more_than_values() -> None:
    values = np.round(RAMP * 3000).astype(np.uint16)
    for tags, white in (
        ([(HIGHEST, 3, [4095])], 4095),
        ([(LOWEST, 3, [0]), (HIGHEST, 3, [65535])], 65535),
        ([(DISPLAY_LOW, 3, [0]), (DISPLAY_HIGH, 3, [3500])], 3500),
        ([(HIGHEST, 3, [65535]), (DISPLAY_HIGH, 3, [3500])], 3500),
    ):
        pixels, guesses = decoded(tiff(values, more=tuple(tags)))
        assert np.abs(pixels - values * (255 / white)).max() <= 1
        assert guesses == []
    # A tag that the values contradict is not believed.
    pixels, guesses = decoded(tiff(values, more=((HIGHEST, 3, [100]),)))
    assert pixels.max() == round(3000 / 4095 * 255)
    assert guesses


def test_bit_depths_below_16_define_white() -> None:
    values = np.round(RAMP * 1000).astype(np.uint16)[..., None]
    pixels, guesses = decoded(write([Page(values, 12, 1)]))
    assert np.abs(pixels - RAMP * 1000 * 255 / 4095).max() <= 1
    assert guesses == []


def test_significant_bits_of_a_png() -> None:
    values = np.round(RAMP * 3000).astype(np.uint16)
    assert decoded(png(values, significant=16))[1] == []
    assert decoded(png(values, significant=16))[0].max() == round(3000 / 257)
    assert decoded(png(values, 2, significant=14))[0].max() == round(3000 / 16383 * 255)
    # Scaled to 16 bits, as the standard wants it.
    pixels, guesses = decoded(png(values << 4, significant=12))
    assert np.abs(pixels - RAMP * 48000 / 257).max() <= 1
    assert guesses == []


@pytest.mark.parametrize("white", [1, 255, 4095, 65535])
def test_floats_are_reported_as_a_guess(white: int) -> None:
    pixels, guesses = decoded(tiff((RAMP * white).astype(np.float32), 3))
    assert np.abs(pixels - RAMP * 255).max() <= 1
    assert guesses == [f"all values are floats between 0 and {white}"]
    tags = ((DISPLAY_LOW, 11, [-10.0]), (DISPLAY_HIGH, 11, [100_000.0]))
    pixels, guesses = decoded(tiff((RAMP * white).astype(np.float32), 3, more=tags))
    assert np.abs(pixels - (RAMP * white + 10) / 100_010 * 255).max() <= 1
    assert guesses == []


def test_signed_samples() -> None:
    full = np.round(RAMP * 65535 - 32768).astype(np.int16)
    pixels, guesses = decoded(tiff(full, 2))
    assert np.abs(pixels - RAMP * 255).max() <= 1
    assert guesses == []
    hounsfield = np.round(RAMP * 4095 - 1024).astype(np.int16)
    pixels, guesses = decoded(tiff(hounsfield, 2))
    assert np.abs(pixels - RAMP * 255).max() <= 1
    assert guesses == ["the lowest and highest of its signed values"]
    unsigned = np.round(RAMP * 4095).astype(np.int16)
    pixels, guesses = decoded(tiff(unsigned, 2))
    assert np.abs(pixels - RAMP * 255).max() <= 1
    assert guesses == ["no value is negative or needs more than 12 bits"]


def test_a_pillow_image_is_scaled_like_its_file() -> None:
    values = np.round(RAMP * 4095).astype(np.uint16)
    data = tiff(values)
    assert np.array_equal(images.load(Image.open(io.BytesIO(data))), images.decode(data))


def test_check_lists_guessed_depths(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(3):
            values = np.random.default_rng(number).integers(0, 4096, (16, 16), np.uint16)
            values[0, 0] = 4095
            (tmp_path / name / f"{number}.tif").write_bytes(tiff(values))
    (tmp_path / "b" / "9.png").write_bytes(image_formats.valid()["png 16 bit"])
    dataset = triptych_data.open(tmp_path)
    (finding,) = [each for each in dataset.findings if each.kind == "guessed_depth"]
    assert "does not say which value is white" in finding.message
    assert "12 of 16 bits" in finding.message
    assert set(finding.sources) == {f"{name}/{number}.tif" for name in "ab" for number in range(3)}
