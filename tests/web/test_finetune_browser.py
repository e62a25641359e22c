"""Training the networks' own layers from a page: followed live, stopped, and what it gave."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support import browser
from support import networks
from support import studios
from support import tiny_backbone
from support.browser import assert_no_overflow
from support.browser import expect
from support.browser import follow
from support.browser import screenshot
from support.tiny_backbone import TINY
from triptych import bundles
from triptych.models import zoo
from triptych.studio.projects import Projects

pytestmark = [*browser.MARKS, pytest.mark.slow]

PER_CLASS = 36
TEACHING_MS = 400_000


@pytest.fixture(scope="module")
def address(home: Path, keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A studio whose networks hold a tiny one: in any other, a round takes a minute or two."""
    keras_home = tmp_path_factory.mktemp("keras")
    weights = keras_home / "models" / TINY.weights.file
    networks.save_applications_weights(tiny_backbone.drawn(), weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(keras_home))
        with studios.tiny_studio(home) as address:
            yield address


def stripes(standing: bool, seed: int) -> bytes:
    """Noisy stripes that lie or stand."""
    rng = np.random.default_rng((seed, standing))
    wave = np.sin(np.arange(96) / 2 + rng.uniform(0, 6))
    lying = np.repeat(wave[:, None], 96, axis=1)
    photo = 128 + 60 * (lying.T if standing else lying)[..., None] + rng.normal(0, 40, (96, 96, 3))
    file = io.BytesIO()
    Image.fromarray(photo.clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def project(home: Path) -> str:
    projects = Projects(home)
    key = projects.make("Stripes").key
    for standing, name in enumerate(("lying", "standing")):
        label = projects.add_class(key, name)
        for seed in range(PER_CLASS):
            projects.add(key, f"{seed}.png", stripes(bool(standing), seed), label.id)
    return key


def test_fine_tuning_is_shown_and_stopping_keeps_the_best_epoch(
    home: Path, project: str, visit: Any
) -> None:
    page = visit(f"/projects/{project}/teach")
    page.get_by_text("More", exact=True).click()
    for name in zoo.COMMITTEES["lite"]:
        page.uncheck(f'[value="{name}"]')
    page.check(f'[value="{TINY.name}"]')
    page.get_by_label("Also train the networks' own layers").check()
    screenshot(page, "finetune-ready")
    follow(page.get_by_role("button", name="Start"))
    curve = page.locator('[data-slot="tuned"] li')
    # The page is not loaded anew: what it shows comes by its script.
    expect(curve).to_contain_text("after 1 round", timeout=TEACHING_MS)
    expect(page.locator("#job")).to_contain_text("Stopping keeps the best so far")
    assert len(curve.locator("polyline").get_attribute("points").split()) > 1
    screenshot(page, "finetune-running")
    phone = visit(f"/projects/{project}/teach", **browser.PHONE)
    expect(phone.locator('[data-slot="tuned"] li')).to_have_count(1)
    assert_no_overflow(phone)
    screenshot(phone, "finetune-running-phone")
    phone.close()
    follow(page.get_by_role("button", name="Stop"))
    # The page on which it can be tried out comes when the version is made.
    page.wait_for_url(f"**/projects/{project}/try", timeout=TEACHING_MS)
    expect(page.locator("main")).to_contain_text("This made version 1")
    (record,) = bundles.find(home, f"{project}@1").about["fine_tuned"]
    assert record["member"] == TINY.name
    assert record["epochs"] >= 1
    follow(page.get_by_role("link", name="See the result"))
    table = page.get_by_role("region", name="Training the networks' own layers")
    expect(table).to_contain_text(TINY.name)
    expect(table).to_contain_text("replaced" if record["kept"] else "not replaced")
    screenshot(page, "finetune-result")
    phone = visit(f"/projects/{project}/result", **browser.PHONE)
    assert_no_overflow(phone)
    screenshot(phone, "finetune-result-phone")
