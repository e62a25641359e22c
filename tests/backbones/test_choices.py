"""What of a network becomes a backbone, from shapes alone."""

from __future__ import annotations

import pytest

from triptych import errors
from triptych.backbones import choices


@pytest.mark.parametrize(
    ("shape", "given", "expected"),
    [
        ([1, 3, 224, 224], None, "nchw"),
        ([None, 224, 224, 3], None, "nhwc"),
        ([None, None, None, None], None, None),
        ([None, None, None, None], "nhwc", "nhwc"),
        ([1, 3, 224, 3], None, None),
        (None, "nchw", "nchw"),
    ],
)
def test_layouts(shape: list[int | None] | None, given: str | None, expected: str | None) -> None:
    assert choices.layout(shape, given) == expected


@pytest.mark.parametrize(
    ("shape", "given"), [([1, 1, 28, 28], None), ([1, 3, 224, 224], "nhwc"), ([1, 10], None)]
)
def test_what_takes_no_colour_photos_is_refused(shape: list[int], given: str | None) -> None:
    with pytest.raises(errors.SettingError, match=r"The network takes .*; expected one batch"):
        choices.layout(shape, given)


@pytest.mark.parametrize(
    ("shape", "size", "grid", "tokens", "kind", "prefix"),
    [
        ([512], (224, 224), None, None, "vector", 0),
        ([512, 1, 1], (224, 224), None, None, "vector", 0),
        ([1, 512], (224, 224), None, None, "vector", 0),
        ([512, 7, 7], (224, 224), None, None, "map nchw", 0),
        ([7, 7, 512], (224, 224), None, None, "map nhwc", 0),
        ([64, 7, 14], (224, 448), None, None, "map nchw", 0),
        ([14, 7, 7], (448, 224), None, None, "map nhwc", 0),
        ([196, 384], (224, 224), (14, 14), None, "mean", 0),
        ([49, 768], (224, 224), (56, 56), None, "mean", 0),  # Swin joins patches twice and more
        ([196, 384], (224, 224), (14, 14), "patches", "mean", 0),
        ([197, 384], (224, 224), (14, 14), "class", "class", 1),
        ([261, 384], (224, 224), (16, 16), "class+patches", "class+patches", 5),
        ([197, 384], (224, 224), None, "class", "class", 0),
    ],
)
def test_reductions(
    shape: list[int],
    size: tuple[int, int],
    grid: tuple[int, int] | None,
    tokens: str | None,
    kind: str,
    prefix: int,
) -> None:
    reduction = choices.reduction(shape, size=size, grid=grid, tokens=tokens)
    assert (reduction.kind, reduction.prefix) == (kind, prefix)


@pytest.mark.parametrize(
    ("shape", "grid", "tokens", "words"),
    [
        ([197, 384], (14, 14), None, "1 of them before .*--tokens class|mean|patches"),
        ([197, 384], None, None, "--tokens class|mean"),
        ([197, 384], None, "patches", "was said to be 'patches'"),
        ([196, 384], (14, 14), "class", "no class token is among them"),
        ([7, 7, 7], None, None, "which of these are rows and columns cannot be known"),
        ([1], None, None, "has 1 numbers"),
        ([10**6], None, None, "has 1,000,000 numbers"),
        ([2, 3, 4, 5], None, None, "2 x 3 x 4 x 5"),
    ],
)
def test_what_cannot_be_known_is_asked_for(
    shape: list[int], grid: tuple[int, int] | None, tokens: str | None, words: str
) -> None:
    with pytest.raises(errors.SettingError, match=words.replace("|", r"\|")):
        choices.reduction(shape, size=(224, 224), grid=grid, tokens=tokens)
