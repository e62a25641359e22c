"""A damaged `metrics.json` is named, and does not affect anything else."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from support.bundles import ten_answers
from support.bundles import write_with_metrics
from triptych import bundles
from triptych import errors
from triptych import settings
from triptych.cli import main
from triptych.web import create_app

GOOD = ten_answers(("ant", "bee"), 0.9)
PAGE = {"Accept": "text/html"}


def changed(*path: str | int, to: object) -> str:
    """Valid metrics except for one entry, as JSON."""
    metrics: Any = json.loads(json.dumps(GOOD))
    part = metrics
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = to
    return json.dumps(metrics)


ODD: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "cannot be read"),
    "list": ("[]", "metrics is []; expected an object"),
    "null": ("null", "metrics is null; expected an object"),
    "empty": ("{}", "metrics.images is missing"),
    "deep": ("[" * 100_000, "nested too deeply"),
    "deep inside": (changed("committee", to="X").replace('"X"', "[" * 99_999), "too deeply"),
    "infinity": (changed("committee", "top1", to=float("inf")), "Infinity is no number"),
    "too large": (changed("committee", "top1", to="X").replace('"X"', "1e999"), "1e999 is too"),
    "not a number": (changed("members", 0, "nll", to=float("nan")), "NaN is no number"),
    "committee a list": (changed("committee", to=[]), "metrics.committee is no object"),
    "committee a text": (changed("committee", to="good"), "metrics.committee is no object"),
    "committee null": (changed("committee", to=None), "metrics.committee is null"),
    "a share above 1": (changed("committee", "top1", to=2), "metrics.committee.top1 is 2"),
    "a share as a text": (changed("committee", "top1", to="1"), "metrics.committee.top1 is '1'"),
    "a share that is true": (changed("committee", "top1", to=True), "top1 is True"),
    "an interval of one": (changed("committee", "interval", to=[0.5]), "interval is [0.5]"),
    "an interval reversed": (changed("committee", "interval", to=[1, 0]), "the lower end first"),
    "no images": (changed("images", to=0), "metrics.images is 0"),
    "other images": (changed("images", to=11), "metrics.images is 11; expected 10"),
    "members null": (changed("members", to=None), "metrics.members is null"),
    "members without one": (changed("members", to=[]), "metrics.members is []"),
    "a ragged confusion": (changed("confusion", to=[[9, 1], [0]]), "expected 2 rows of 2"),
    "a negative count": (changed("confusion", 0, 0, to=-1), "metrics.confusion[0][0] is -1"),
    "a class more": (
        json.dumps(ten_answers(("ant", "bee", "cat"), 0.9)),
        "the figures of 3 classes; expected those of the bundle's 2",
    ),
    "a curve that descends": (
        changed("learning_curve", to=[{"images_per_class": n, "top1": [1]} for n in (5, 2)]),
        "expected ascending numbers",
    ),
    "a curve without runs": (
        changed("learning_curve", to=[{"images_per_class": 2, "top1": []}]),
        "learning_curve[0].top1 is []",
    ),
    "fine-tuning of nothing": (changed("fine_tuned", to=[1]), "fine_tuned[0] is no object"),
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two bundles; tests damage the metrics of the first."""
    for name in ("garden", "meadow"):
        write_with_metrics(tmp_path, name, "ant", "bee")
    return tmp_path


@pytest.mark.parametrize("kind", ODD)
def test_damaged_metrics_are_named_and_other_bundles_are_listed(home, registry, kind):
    text, reason = ODD[kind]
    (home / "bundles/garden/1/metrics.json").write_text(text)
    with pytest.raises(errors.BundleError) as raised:
        _ = bundles.find(home, "garden").metrics
    assert "metrics.json" in raised.value.message
    assert reason in raised.value.message

    # The bundle still answers, so it is listed, with what is wrong with it.
    garden, meadow = bundles.listed(home)
    message = raised.value.message.replace(f"{home}/bundles/garden/1/", "")
    assert (garden.facts["top1"], garden.facts["damage"]) == (None, message)
    assert meadow.facts["top1"] == 0.9
    assert "damage" not in meadow.facts

    client = create_app(settings.load({}, home=home), registry).test_client()
    one, other = client.get("/api/v1/bundles").json["bundles"]
    assert (one["top1"], one["damage"]) == (None, message)
    assert other["interval"] == [0.5958, 0.9821]
    refused = client.get("/api/v1/bundles/garden")
    assert refused.status_code == 409
    page = client.get("/bundles", headers=PAGE)
    versions = client.get("/bundles/garden", headers=PAGE)
    assert reason.partition(" is ")[0] in html.unescape(versions.text)
    for response in (refused, page, versions):  # where things lie is nothing for clients
        assert str(home) not in response.text
    assert page.status_code == 200
    assert "metrics.json" in page.text
    assert "9 of 10 photos" in page.text


def test_bundles_list_names_damaged_metrics(home):
    (home / "bundles/garden/1/metrics.json").write_text("[]")
    listed = CliRunner().invoke(main, ["bundles", "list", "--home", str(home)])
    assert listed.exit_code == 0
    assert "metrics is []; expected an object" in listed.output
    assert "9 of 10 photos" in listed.output
    ran = CliRunner().invoke(main, ["bundles", "show", "garden", "--home", str(home)])
    assert ran.exit_code == 1
    assert "metrics.json" in ran.output


def test_no_model_card_is_written_from_damaged_metrics(home):
    garden = bundles.find(home, "garden")
    (garden.folder / "metrics.json").write_text(changed("members", 0, "name", to=3))
    bundles.save_card_texts(home, "garden", {"use": "Insects."})
    with pytest.raises(errors.BundleError, match=r"metrics\.json"):
        bundles.write(home, "garden", lambda folder: copied(garden, folder))
    assert bundles.versions(home, "garden") == [1]


def copied(bundle: bundles.Bundle, folder: Path) -> dict[str, Any]:
    """The files of a bundle in another folder, and its description."""
    for name in ("metrics.json", *bundle.about["files"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((bundle.folder / name).read_bytes())
    return dict(bundle.about)


@pytest.mark.parametrize(
    "entry",
    [
        {"data": []},
        {"data": {"name": "x", "train": "many"}},
        {"created": 5},
        {"fine_tuned": [{"member": "x"}]},
        {"members": [{"name": "x", "recipe": {"size": [8, 8]}, "cost": 1, "licence": 1}]},
    ],
)
def test_the_description_behind_a_model_card_is_checked(home, entry):
    path = home / "bundles/garden/1/bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entry}))
    with pytest.raises(errors.BundleError, match=rf"bundle\.{next(iter(entry))}"):
        bundles.find(home, "garden")


def test_unknown_fields_of_a_newer_version_are_ignored(home):
    path = home / "bundles/garden/1/metrics.json"
    path.write_text(changed("committee", "auroc", to=[[[]]]))
    assert "auroc" not in bundles.find(home, "garden").metrics["committee"]
