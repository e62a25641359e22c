"""Sample photos to try training with: apples, lemons and pears, drawn at random.

Colours overlap (a green apple, a green pear, an unripe lemon), and position, size, rotation,
background, light and sharpness vary, so shape has to be learned, and a few are hard.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFilter

from triptych.data.documents import File
from triptych.data.layout import Item
from triptych.data.layout import Layout
from triptych.studio.projects import Project
from triptych.studio.projects import Projects
from triptych.typing import Float64Array

Colour = tuple[int, ...]

# The sample project, and how many photos each of its classes has.
TITLE = "Sample: fruit"
PHOTOS = 16

SIZES = ((240, 320), (320, 240), (300, 300))
QUALITY = 88
_SCALE = 2  # drawn larger and made smaller, which smooths the edges
_REACH = 1.7  # how far a fruit and its shadow go from their middle, in its radius

_RED, _GREEN, _YELLOW, _ORANGE, _BROWN = (
    (176, 34, 40),
    (126, 164, 58),
    (232, 206, 60),
    (222, 140, 52),
    (150, 108, 56),
)
_TABLES = ((212, 196, 170), (120, 84, 56), (86, 104, 122), (226, 226, 222), (58, 62, 66))


def _apple() -> Float64Array:
    angles = np.linspace(0, 2 * np.pi, 180)
    from_top = np.abs((angles - 1.5 * np.pi + np.pi) % (2 * np.pi) - np.pi)
    from_bottom = np.abs(angles - 0.5 * np.pi)
    radius = (
        1 - 0.2 * np.exp(-((from_top / 0.35) ** 2)) - 0.09 * np.exp(-((from_bottom / 0.3) ** 2))
    )
    return np.stack([1.04 * radius * np.cos(angles), 0.96 * radius * np.sin(angles)], axis=1)


def _pear() -> Float64Array:
    widths = (0.0, 0.2, 0.33, 0.4, 0.46, 0.58, 0.72, 0.82, 0.84, 0.76, 0.54, 0.0)
    return _turned_on_a_lathe(widths, length=2.3)


def _lemon() -> Float64Array:
    widths = (0.0, 0.13, 0.2, 0.48, 0.66, 0.75, 0.78, 0.75, 0.66, 0.48, 0.18, 0.11, 0.0)
    return _turned_on_a_lathe(widths, length=2.4)


def _turned_on_a_lathe(widths: tuple[float, ...], *, length: float) -> Float64Array:
    """The outline of a solid of revolution, from its radii between top and bottom."""
    along = np.linspace(0, 1, 120)
    width = np.interp(along, np.linspace(0, 1, len(widths)), widths)
    width[1:-1] = np.convolve(width, np.ones(9) / 9, mode="same")[1:-1]
    y = (along - 0.5) * length
    return np.concatenate([np.stack([width, y], 1), np.stack([-width, y], 1)[::-1]])


@dataclass(frozen=True)
class _Kind:
    """The common properties of a kind of fruit.

    Args:
        outline: Around the middle, about 1 from it, shape (P, 2) as (x, y).
        colours: One is chosen, and another shows through.
        stem: Its length, if there is one.
        dots: How many spots its skin has.
    """

    outline: Callable[[], Float64Array]
    colours: tuple[Colour, ...]
    stem: float
    dots: int


KINDS: Mapping[str, _Kind] = {
    "apples": _Kind(_apple, (_RED, _RED, _GREEN, _YELLOW), 0.4, 30),
    "lemons": _Kind(_lemon, (_YELLOW, _YELLOW, _GREEN, _ORANGE), 0.0, 160),
    "pears": _Kind(_pear, (_GREEN, _YELLOW, _BROWN, _RED), 0.45, 110),
}


def make_project(projects: Projects) -> Project:
    """Create a project with a few dozen drawn photos of fruit, unless it is there.

    They are part of Triptych, under its licence; nothing is downloaded.

    Args:
        projects: Where to create it.

    Example:
        >>> [fruit.name for fruit in make_project(Projects(home)).classes]  # doctest: +SKIP
        ['apples', 'lemons', 'pears']
    """
    for project in projects.all():
        if project.title == TITLE:
            return project
    items = []
    for kind in KINDS:
        for number in range(1, PHOTOS + 1):
            file = File(
                f"{kind}/{kind} {number:02}.jpg", functools.partial(jpeg, kind, seed=number)
            )
            items.append(Item(file, kind, "train"))
    return projects.import_layout(TITLE, Layout(tuple(KINDS), tuple(items), ()))


def jpeg(kind: str, *, seed: int) -> bytes:
    """A JPEG file with one fruit, or a few.

    Args:
        kind: A name from `KINDS`.
        seed: The same seed gives the same picture.

    Example:
        >>> jpeg("pears", seed=1) == jpeg("pears", seed=1), jpeg("pears", seed=1)[:2]
        (True, b'\\xff\\xd8')
    """
    rng = np.random.default_rng([seed, sorted(KINDS).index(kind)])
    size = SIZES[rng.integers(len(SIZES))]
    return _drawn(rng, size, lambda: [kind] * rng.choice((1, 1, 1, 2, 3)))


def scene(kinds: Collection[str], *, seed: int) -> bytes:
    """A JPEG file of a table with fruit of several kinds, or with none.

    Args:
        kinds: Names from `KINDS`; there is one fruit of each, in random order.
        seed: The same seed gives the same picture.

    Example:
        >>> scene(["apples", "pears"], seed=1) == scene(["pears", "apples"], seed=1)
        True
    """
    ordered = sorted(kinds)
    rng = np.random.default_rng([seed, *(sorted(KINDS).index(kind) for kind in ordered)])
    size = SIZES[rng.integers(len(SIZES))]
    return _drawn(rng, size, lambda: rng.permutation(ordered) if ordered else [])


def _drawn(
    rng: np.random.Generator, size: tuple[int, int], kinds: Callable[[], Iterable[str]]
) -> bytes:
    """A photo of a table of (height, width) with fruit of some kinds, chosen after the table."""
    height, width = size
    picture = _table(rng, (width * _SCALE, height * _SCALE))
    for kind in kinds():
        _lay(picture, KINDS[kind], rng)
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    picture = picture.filter(ImageFilter.GaussianBlur(float(rng.choice((0, 0, 0.6, 1.0)))))
    file = io.BytesIO()
    _lit(picture, rng).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _table(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Wood, a chequered cloth, or something plain with crumbs."""
    colour = _TABLES[rng.integers(len(_TABLES))]
    picture = Image.new("RGB", size, colour)
    draw = ImageDraw.Draw(picture)
    pattern, step = rng.choice(("wood", "cloth", "crumbs")), int(rng.integers(30, 90))
    if pattern == "wood":
        for y in range(0, size[1], step):
            draw.rectangle((0, y, size[0], y + step - 3), fill=_near(colour, rng, 14))
    elif pattern == "cloth":
        other = _near(colour, rng, 60)
        for x in range(0, size[0], step):
            for y in range(x // step % 2 * step, size[1], 2 * step):
                draw.rectangle((x, y, x + step, y + step), fill=other)
    for x, y in rng.integers(0, max(size), (int(rng.integers(0, 120)), 2)):
        draw.ellipse((x, y, x + 5, y + 4), fill=_near(colour, rng, 50))
    return picture


def _lay(picture: Image.Image, kind: _Kind, rng: np.random.Generator) -> None:
    """Draw a fruit at a random position, with its shadow."""
    radius = min(picture.size) * rng.uniform(0.14, 0.36)
    middle = np.array([rng.uniform(0.9 * radius, side - 0.9 * radius) for side in picture.size])
    turn = rng.normal(0, 0.9)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    body = kind.outline()
    # Mask and skin are no larger than the fruit.
    half = int(_REACH * radius)
    outline = (body * rng.uniform(0.88, 1.1, 2)) @ rotation * radius + half
    mask, corner = _filled(2 * half, outline), (middle - half).astype(int)
    shadow = _soft(_filled(2 * half, outline + radius * rng.uniform(0.06, 0.2, 2)), radius / 9)
    where = (int(corner[0]), int(corner[1]))
    picture.paste((18, 16, 16), where, shadow.point(lambda value: value * 0.55))
    if kind.stem:
        top = body[:, 1].min() + 0.15
        ends = np.array([[0, top], [rng.normal(0, 0.1), top - kind.stem]]) @ rotation * radius
        line = [(float(x), float(y)) for x, y in ends + middle]
        ImageDraw.Draw(picture).line(line, fill=(74, 52, 30), width=max(3, int(radius / 12)))
    picture.paste(_skin(2 * half, kind, radius, rng), where, mask)


def _skin(side: int, kind: _Kind, radius: float, rng: np.random.Generator) -> Image.Image:
    """The surface of a fruit, to be cut out along its outline."""
    base, blush = (kind.colours[rng.integers(len(kind.colours))] for _ in range(2))
    base = _near(base, rng, 22)
    skin = Image.new("RGB", (side, side), base)
    middle = np.full(2, side / 2)
    cheek = middle + radius * rng.uniform(-0.7, 0.7, 2)
    skin.paste(_near(blush, rng, 22), mask=_spot(side, cheek, 0.8 * radius, 150, 0.45 * radius))
    draw = ImageDraw.Draw(skin)
    for x, y in middle + radius * rng.uniform(-1.2, 1.2, (kind.dots, 2)):
        dot = radius * rng.uniform(0.008, 0.022)
        draw.ellipse((x - dot, y - dot, x + dot, y + dot), fill=_near(base, rng, 40))
    shade, light = middle + radius * 0.75, middle - radius * 0.35
    skin.paste((20, 20, 24), mask=_spot(side, shade, 0.8 * radius, 130, 0.5 * radius))
    skin.paste((255, 252, 240), mask=_spot(side, light, 0.2 * radius, 170, 0.14 * radius))
    return skin


def _spot(
    side: int, middle: Float64Array, radius: float, strength: int, softness: float
) -> Image.Image:
    mask = Image.new("L", (side, side), 0)
    x, y = middle
    ImageDraw.Draw(mask).ellipse((x - radius, y - radius, x + radius, y + radius), fill=strength)
    return _soft(mask, softness)


def _filled(side: int, outline: Float64Array) -> Image.Image:
    mask = Image.new("L", (side, side), 0)
    ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in outline], fill=255)
    return mask


def _soft(mask: Image.Image, radius: float) -> Image.Image:
    # Widely blurred parts can be drawn at a smaller size.
    factor = max(1, int(radius / 3))
    small = mask.reduce(factor).filter(ImageFilter.GaussianBlur(radius / factor))
    return small.resize(mask.size, Image.Resampling.BILINEAR)


def _near(colour: Colour, rng: np.random.Generator, spread: int) -> Colour:
    *shifts, light = (float(shift) for shift in rng.normal(0, spread / 2, 4))
    pairs = zip(colour, shifts, strict=True)
    return tuple(min(255, max(0, int(value + shift + light))) for value, shift in pairs)


def _lit(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The picture with random exposure and camera noise."""
    pixels = np.asarray(picture, np.float64)
    warmth = np.array([1.0, 1.0, 1.0]) + rng.normal(0, 0.07, 3)
    noise = rng.normal(0, rng.uniform(1, 7), pixels.shape)
    lit = pixels * warmth * rng.uniform(0.6, 1.15) + noise
    return Image.fromarray(lit.clip(0, 255).astype(np.uint8))
