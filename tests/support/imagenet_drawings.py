"""Drawings that ImageNet networks recognise, for tests and screenshots in place of photos.

.venv/bin/python tests/support/imagenet_drawings.py FOLDER
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from PIL import Image
from PIL import ImageDraw
from PIL import ImageFilter

SIZE = 640


def sky(top: tuple[int, int, int], bottom: tuple[int, int, int]) -> Image.Image:
    """A canvas that fades from one colour to another."""
    canvas = Image.new("RGB", (1, SIZE))
    for y in range(SIZE):
        share = y / SIZE
        canvas.putpixel(
            (0, y), tuple(round(a + (b - a) * share) for a, b in zip(top, bottom, strict=True))
        )
    return canvas.resize((SIZE, SIZE))


def glow(image: Image.Image, centre: tuple[int, int], radius: int, colour: str) -> None:
    """Light around a lamp."""
    halo = Image.new("L", image.size, 0)
    x, y = centre
    r = int(radius * 1.6)
    ImageDraw.Draw(halo).ellipse((x - r, y - r, x + r, y + r), fill=120)
    image.paste(
        Image.new("RGB", image.size, colour), mask=halo.filter(ImageFilter.GaussianBlur(28))
    )


def traffic_light() -> Image.Image:
    """A traffic light at red, in the evening."""
    image = sky((70, 105, 160), (235, 190, 150))
    draw = ImageDraw.Draw(image)
    draw.rectangle((306, 520, 334, SIZE), fill=(45, 45, 48))
    draw.rounded_rectangle(
        (225, 60, 415, 540), 34, fill=(28, 30, 32), outline=(12, 12, 12), width=6
    )
    lamps = ((145, (235, 45, 30)), (300, (70, 58, 20)), (455, (18, 60, 34)))
    glow(image, (320, 145), 62, "#ff5a3c")
    draw = ImageDraw.Draw(image)
    for y, colour in lamps:
        draw.ellipse((258, y - 62, 382, y + 62), fill=colour, outline=(8, 8, 8), width=7)
        draw.pieslice((244, y - 86, 396, y + 60), 200, 340, fill=(16, 17, 18))
        draw.ellipse((266, y - 50, 374, y + 58), fill=colour)
    draw.ellipse((286, 108, 322, 138), fill=(255, 160, 140))
    return image.filter(ImageFilter.GaussianBlur(1))


def wall_clock() -> Image.Image:
    """A round clock at ten past ten."""
    image = sky((214, 208, 196), (186, 178, 164))
    draw = ImageDraw.Draw(image)
    shadow = Image.new("L", image.size, 0)
    ImageDraw.Draw(shadow).ellipse((104, 116, 560, 572), fill=150)
    image.paste((90, 84, 76), mask=shadow.filter(ImageFilter.GaussianBlur(16)))
    draw.ellipse((90, 90, 550, 550), fill=(62, 40, 26))
    draw.ellipse((116, 116, 524, 524), fill=(250, 248, 240), outline=(30, 20, 12), width=4)
    for minute in range(60):
        angle = math.radians(minute * 6)
        inner = 168 if minute % 5 == 0 else 184
        ends = [(320 + r * math.sin(angle), 320 - r * math.cos(angle)) for r in (inner, 194)]
        draw.line(ends, fill=(20, 20, 20), width=8 if minute % 5 == 0 else 2)
    for length, width, hour in ((104, 14, 10.17), (158, 8, 2.0)):
        angle = math.radians(hour * 30)
        tip = (320 + length * math.sin(angle), 320 - length * math.cos(angle))
        draw.line([(320, 320), tip], fill=(15, 15, 18), width=width)
    draw.ellipse((306, 306, 334, 334), fill=(150, 30, 25))
    return image.filter(ImageFilter.GaussianBlur(0.8))


def umbrella() -> Image.Image:
    """A red umbrella under a grey sky."""
    image = sky((150, 165, 182), (205, 210, 214))
    draw = ImageDraw.Draw(image)
    draw.line([(320, 96), (320, 520)], fill=(60, 40, 25), width=10)
    draw.arc((320, 470, 400, 560), 0, 180, fill=(60, 40, 25), width=12)
    colours = ((190, 24, 34), (214, 40, 48), (230, 62, 64), (214, 40, 48), (176, 20, 30))
    edges = [70, 165, 265, 375, 475, 570]
    for left, right, colour in zip(edges, edges[1:], colours, strict=False):
        arc: list[tuple[float, float]] = [(320, 104)]
        for step in range(21):
            x = left + (right - left) * step / 20
            arc.append((x, 330 - 26 * math.sin(math.pi * step / 20)))
        draw.polygon(arc, fill=colour)
    for edge in edges:
        draw.line([(320, 104), (edge, 330)], fill=(120, 10, 18), width=3)
    for step in range(60):
        x, y = (step * 97) % SIZE, (step * 173) % SIZE
        draw.line([(x, y), (x - 6, y + 22)], fill=(225, 232, 238), width=2)
    return image.filter(ImageFilter.GaussianBlur(1))


DRAWINGS = {
    "traffic light.png": traffic_light,
    "analog clock.png": wall_clock,
    "umbrella.png": umbrella,
}


def main() -> None:
    """Write the drawings into a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in DRAWINGS.items():
        draw().save(folder / name)


if __name__ == "__main__":
    main()
