"""Every row of the table of formats is decoded, scanned, previewed and accepted by pages."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from support.image_formats import encode
from triptych import data
from triptych import errors
from triptych import images
from triptych import settings
from triptych.images import formats
from triptych.images import preview
from triptych.images.formats import Format
from triptych.web import create_app
from triptych.web.registry import Registry

every_format = pytest.mark.parametrize("row", formats.FORMATS, ids=lambda row: row.name)


def write(row: Format, colour: str = "red") -> bytes:
    """A file of 40 x 30 pixels in one colour."""
    image = Image.new("RGB", (40, 30), colour)
    if row.name != "HEIC":
        return encode(image, row.pillow_name)
    file = io.BytesIO()
    pytest.importorskip("pillow_heif").from_pillow(image).save(file)
    return file.getvalue()


@every_format
def test_each_format_is_decoded(row: Format) -> None:
    pixels = images.decode(write(row))
    assert pixels.shape == (30, 40, 3)
    assert np.allclose(pixels, (255, 0, 0), atol=8)


@every_format
def test_files_are_found_by_every_suffix(row: Format, tmp_path: Path) -> None:
    for number, ending in enumerate((*row.suffixes, *(end.upper() for end in row.suffixes))):
        for colour in ("red", "blue"):
            path = tmp_path / colour / f"{number}.{ending}"
            path.parent.mkdir(exist_ok=True)
            # Bytes after the end of a picture change nothing but its hash.
            path.write_bytes(write(row, colour) + bytes(number))
    assert len(list(data.walk(tmp_path))) == 4 * len(row.suffixes)
    dataset = data.open(tmp_path)
    assert not [finding for finding in dataset.findings if finding.kind == "odd_format"]
    assert {photo.label for photo in (*dataset.train, *dataset.val)} == {0, 1}


@every_format
def test_browsers_get_the_format_or_a_jpeg(row: Format) -> None:
    file = write(row)
    sent, mime_type = preview.displayable(file)
    assert mime_type == (row.mime_type if row.in_browsers else "image/jpeg")
    assert (sent == file) is row.in_browsers
    assert images.decode(preview.jpeg(file, longest_px=20)).shape == (15, 20, 3)


@every_format
def test_the_page_and_messages_name_each_format(row: Format, client: FlaskClient) -> None:
    page = client.get("/").text
    (accept,) = re.findall(r'name="image" id="choose" accept="([^"]*)"', page)
    assert {f".{ending}" for ending in row.suffixes} <= set(html.unescape(accept).split(","))
    with pytest.raises(errors.NotAnImage, match=rf"Send a photo as .*\b{row.name}\b"):
        images.decode(b"%PDF-1.7")


def test_a_project_accepts_what_the_page_accepts(registry: Registry, tmp_path: Path) -> None:
    app: Flask = create_app(settings.load({}, home=tmp_path), registry)
    client = app.test_client()
    address = client.post("/projects", data={"title": "Garden"}).json["address"]
    client.post(f"{address}/classes", data={"name": "bees"})
    (accept,) = re.findall(r'name="photo"[^>]* accept="([^"]*)"', client.get(address).text)
    assert accept == f"{formats.ACCEPT},.zip"
