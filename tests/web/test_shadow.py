"""A version in the shadow of the published one, and what `/metrics` says of answers."""

from __future__ import annotations

import html
import io
import re
import time
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from support import studios
from support.bundles import write_with_metrics
from support.images import squares
from triptych import errors
from triptych import settings
from triptych.web import create_app
from triptych.web import metrics
from triptych.web.registry import Discovery
from triptych.web.registry import Registry

API = "/api/v1/classify?committee=garden"
PATIENCE_S = 300


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_with_metrics(tmp_path, "base", "x", "y")
    write_with_metrics(tmp_path, "garden", "ant", "bee")
    write_with_metrics(tmp_path, "garden", "wasp", "hornet", publish=False)
    write_with_metrics(tmp_path, "garden", "ant", "bee", publish=False)
    return tmp_path


def studio(home: Path, **options: object) -> Flask:
    registry = Registry(lambda name: studios.bundle_classifier(home, name), Discovery(home), "base")
    registry.get()
    return create_app(settings.load({}, home=home, **options), registry)


def ask(client: FlaskClient, path: str = API) -> None:
    response = client.post(path, data=squares(), content_type="image/png")
    assert response.status_code == 200


def samples(client: FlaskClient, name: str) -> dict[tuple[str, ...], float]:
    """The values of one metric, by the values of its labels in the order of their names."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name == f"triptych_{name}"
    }


def wait_for(client: FlaskClient, shadow: str, photos: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while samples(client, "shadow_photos")[(shadow,)] < photos:
        assert time.monotonic() < end, "the shadow did not classify"
        time.sleep(0.02)


# ------------------------------------------------------------------ the shadow


@pytest.mark.parametrize(("version", "disagreements"), [(2, 3), (3, 0)])
def test_disagreements_with_the_published_version_are_counted(home, version, disagreements):
    shadow = f"garden@{version}"
    client = studio(home, shadow=shadow, shadow_share=1.0).test_client()
    page = client.get("/bundles/garden", headers={"Accept": "text/html"}).text
    assert "It has classified no photo beside the published version yet" in page
    ask(client)
    files = [(io.BytesIO(squares(seed)), f"{seed}.png") for seed in (1, 2)]
    response = client.post(API, data={"image": files})  # whose files are closed with the request
    labels = [each["verdict"]["top"][0]["label"] for each in response.json["results"]]
    assert set(labels) <= {"ant", "bee"}  # nobody gets the shadow's answers
    wait_for(client, shadow, 3)
    assert samples(client, "shadow_disagreements") == {(shadow,): disagreements}
    assert samples(client, "shadow_failed") == {(shadow,): 0}
    page = client.get("/bundles/garden", headers={"Accept": "text/html"}).text
    text = re.sub(r"\s+", " ", html.unescape(re.sub("<[^>]+>", "", page)))
    assert "It has classified 3 photos beside the published version" in text
    expected = "3 photos otherwise: 100" if disagreements else "0 photos otherwise: 0"
    assert f"It answers {expected}" in text
    other = client.get("/bundles/base", headers={"Accept": "text/html"}).text
    assert "In the shadow" not in other


def test_other_questions_are_not_the_shadows(home):
    client = studio(home, shadow="garden@2", shadow_share=1.0).test_client()
    ask(client, "/api/v1/classify?committee=base")
    ask(client, "/api/v1/classify?committee=garden@3")
    ask(client, f"{API}&rule=vote")
    ask(client)
    wait_for(client, "garden@2", 1)
    assert samples(client, "shadow_photos") == {("garden@2",): 1}


def test_a_share_of_the_requests_is_the_shadows(home):
    none = studio(home, shadow="garden@2", shadow_share=0).test_client()
    some = studio(home, shadow="garden@3", shadow_share=0.5).test_client()
    for _ in range(60):
        ask(none)
        ask(some)
    wait_for(some, "garden@3", 1)
    assert samples(none, "shadow_photos") == {("garden@2",): 0}
    # Beyond this lies less than one in 10 to the 17.
    assert 0 < samples(some, "shadow_photos")[("garden@3",)] < 60


def test_a_shadow_that_is_published_is_not_compared_with_itself(home):
    client = studio(home, shadow="garden@2", shadow_share=1.0).test_client()
    assert client.post("/bundles/garden/active", data={"version": "2"}).status_code == 303
    ask(client)
    assert client.post("/bundles/garden/active", data={"version": "3"}).status_code == 303
    ask(client)
    wait_for(client, "garden@2", 1)
    assert samples(client, "shadow_photos") == {("garden@2",): 1}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"shadow": "garden"}, errors.SettingError, "such as garden@3"),
        ({"shadow": "garden@9"}, errors.UnknownName, "garden@9"),
        ({"shadow": "garden@2", "shadow_share": 1.5}, errors.SettingError, "from 0 to 1"),
    ],
)
def test_an_impossible_shadow_is_refused_at_the_start(home, options, error, message):
    with pytest.raises(error, match=message):
        studio(home, **options)


# ------------------------------------------------------------------ what is answered


def photo(*colour: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), colour, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_answers_are_counted_by_status_and_class(tmp_path):
    registry = Registry(studios.fake_classifier, studios.catalogue("garden", "lite"), "garden")
    registry.get()
    client = create_app(settings.load({}, home=tmp_path), registry).test_client()
    for colour in (studios.SURE, studios.SURE, studios.MANY_CLASSES, studios.NONE_OF_THESE):
        client.post("/api/v1/classify", data=photo(*colour), content_type="image/png")
    client.post("/api/v1/classify?committee=lite", data=photo(9, 9, 9), content_type="image/png")
    statuses = samples(client, "verdicts_total")
    assert statuses[("lite", "not fitted")] == 1
    assert statuses[("garden", "sure")] == 2
    assert statuses[("garden", "unsure")] == statuses[("garden", "none")] == 1
    assert samples(client, "answers_total")[("daisy", "garden")] == 4
    buckets = samples(client, "novelty_p_value_bucket")
    assert buckets[("0.05", "garden")] == 1
    assert buckets[("1.0", "garden")] == samples(client, "novelty_p_value_count")[("garden",)] == 4


def test_the_number_of_counted_classes_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "MOST_CLASSES", 2)
    registry = Registry(studios.fake_classifier, studios.catalogue("lite"), "lite")
    registry.get()
    client = create_app(settings.load({}, home=tmp_path), registry).test_client()
    for seed in range(30):
        client.post("/api/v1/classify", data=squares(seed), content_type="image/png")
    counted = samples(client, "answers_total")
    assert len(counted) == 3
    assert counted[(metrics.OTHER_CLASSES, "lite")] > 0
    assert sum(counted.values()) == 30


def test_the_held_out_photos_are_what_p_values_are_compared_with(home):
    (version,) = (home / "bundles" / "garden").glob("1")
    path = version / "metrics.json"
    path.write_text(
        path.read_text().rstrip().removesuffix("}")
        + ', "doubt": {"sure": 0.5, "right_of_sure": 0.9, "false_alarms": 0.08}}'
    )
    client = studio(home).test_client()
    assert samples(client, "held_out_novel_share") == {("garden",): 0.08}
