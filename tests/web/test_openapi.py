"""The API against its own document, with requests that schemathesis makes up from it."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies

from support import studios
from support.bundles import write_garden
from support.images import squares
from triptych import settings
from triptych.web import create_app
from triptych.web.registry import Registry

pytestmark = pytest.mark.slow

schemathesis = pytest.importorskip(
    "schemathesis", reason="needs schemathesis, which wants Python 3.11"
)

# A document cannot say what an image is; without real ones, only refusals would be met.
PHOTOS = [squares(seed) for seed in range(3)]
photo = strategies.sampled_from(PHOTOS)
schemathesis.openapi.format("binary", photo)
schemathesis.openapi.format("byte", photo.map(lambda data: base64.b64encode(data).decode()))
for media in ("image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(media, photo)


home = tempfile.TemporaryDirectory()
write_garden(Path(home.name))
offers = studios.catalogue("lite", "classic", studios.GARDEN)
app = create_app(
    settings.load({}, home=Path(home.name), inbox="on"),
    Registry(studios.fake_classifier, offers, "lite"),
)
document = schemathesis.openapi.from_wsgi("/openapi.json", app)


@document.parametrize()
@hypothesis.settings(max_examples=25, derandomize=True, deadline=None)
def test_nothing_unexpected(case):
    """Statuses, types, headers and forms of answers are documented; so is what is refused."""
    case.call_and_validate()
