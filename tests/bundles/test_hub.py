"""Bundles on the Hugging Face Hub: the Hub is one on 127.0.0.1, its client is the real one."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import triptych
from support import hub as hubs
from support.bundles import write_runnable
from support.bundles import write_with_metrics
from support.hub import Hub
from support.hub import Repository
from support.images import picture
from triptych import bundles
from triptych import errors
from triptych.bundles import hub as room
from triptych.cli import main

huggingface_hub = pytest.importorskip("huggingface_hub")
constants = pytest.importorskip("huggingface_hub.constants")

pytestmark = [
    pytest.mark.slow,
    # By the Hub's client, when it uploads a large file.
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """An empty Hub, where this process may write."""
    with hubs.running() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        template = f"{running.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setenv("HF_TOKEN", hubs.WRITER)
        yield running


@pytest.fixture
def tiny(tmp_path: Path) -> bundles.Bundle:
    return write_runnable(tmp_path / "home")


@pytest.fixture
def away(tmp_path: Path) -> Path:
    """The empty home folder of another machine."""
    return tmp_path / "away"


def answer(home: Path, committee: str) -> dict[str, Any]:
    classifier = triptych.load(committee, home=home, precision="f32")
    verdict = classifier.classify(picture(3)).to_dict()
    return {key: value for key, value in verdict.items() if key != "timing"}


def downloads(hub: Hub) -> list[str]:
    return [line for line in hub.requests if "/resolve/" in line or "/cdn/" in line]


# ------------------------------------------------------------------ pushed and loaded


def test_a_pushed_bundle_answers_the_same_everywhere(
    hub: Hub, tiny: bundles.Bundle, away: Path
) -> None:
    url = bundles.push(tiny, "hf://ann/tiny")
    repo = hub.repos["ann/tiny"]
    assert url == f"hf://ann/tiny@{repo.branches['main']}"
    assert set(repo.files) == {".gitattributes", "bundle.json", "README.md", *tiny.about["files"]}
    for name in tiny.about["files"]:
        if name != "README.md":
            assert repo.files[name] == (tiny.folder / name).read_bytes()

    at_home = answer(tiny.folder.parents[2], "tiny")
    assert answer(away, "hf://ann/tiny") == at_home
    requests, files = len(hub.requests), len(downloads(hub))
    assert answer(away, url) == at_home
    assert len(hub.requests) == requests  # with the commit, what is there needs no network
    assert bundles.get(away, "hf://ann/tiny@main").name == "tiny"
    assert len(downloads(hub)) == files
    assert [path.name for path in (away / "fetched").iterdir()] == [
        f"hub--ann--tiny--{repo.branches['main']}"
    ]
    (folder,) = (away / "fetched").glob("*/1")
    assert {path.name for path in folder.iterdir()} == {"README.md", "bundle.json", "members"}


def test_the_card_has_the_metadata_of_the_hub(hub: Hub, tmp_path: Path) -> None:
    garden = write_with_metrics(tmp_path, "garden", "daisy", "rose")
    bundles.save_card_texts(tmp_path, "garden", {"licence": "CC-BY-4.0", "use": "Weeds."})
    bundles.push(bundles.find(tmp_path, "garden"), "hf://ann/garden")
    card = huggingface_hub.ModelCard(hub.repos["ann/garden"].files["README.md"].decode())
    data = card.data
    assert (data.license, data.library_name) == ("cc-by-4.0", "triptych")
    assert data.pipeline_tag == "image-classification"
    assert {"triptych", "keras", "image-classification"} <= set(data.tags)
    assert data.metrics == ["accuracy"]
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value) == ("accuracy", 0.9)
    assert result.dataset_name == "photos"
    assert "--committee hf://ann/garden" in card.text
    assert "Weeds." in card.text
    assert garden.about["files"].keys() <= hub.repos["ann/garden"].files.keys()


def test_a_second_push_replaces_the_bundle_and_nothing_else(
    hub: Hub, tmp_path: Path, away: Path
) -> None:
    first = write_runnable(tmp_path, members={"small": 32, "large": 48})
    url = bundles.push(first, "hf://ann/tiny")
    repo = hub.repos["ann/tiny"]
    repo.commit("main", {**repo.files, "LICENSE": b"mine"})
    second = write_runnable(tmp_path, members={"tall": 40, "large": 48})
    bundles.push(second, "hf://ann/tiny")
    assert repo.files["LICENSE"] == b"mine"
    assert not [name for name in repo.files if name.startswith("members/small")]
    assert [name for name in repo.files if name.startswith("members/tall")]
    assert bundles.push(second, "hf://ann/tiny") == f"hf://ann/tiny@{repo.branches['main']}"

    members = [row["name"] for row in bundles.download(away, url).about["members"]]
    assert members == ["small", "large"]
    branch = "hf://ann/tiny@next"
    with pytest.raises(errors.SourceError, match="it has no revision 'next'"):
        bundles.push(first, branch)
    repo.branches["next"] = repo.branches["main"]
    bundles.push(first, branch)
    assert [name for name in repo.commits[repo.branches["next"]] if "members/small" in name]
    assert not [name for name in repo.files if "members/small" in name]


def test_the_commands_push_and_import(
    hub: Hub, tiny: bundles.Bundle, away: Path, tmp_path: Path
) -> None:
    """As a program of its own, which finds the Hub and the token in the environment."""
    env = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, "-m", "triptych", "bundles", "push", "tiny", "hf://ann/tiny"]
    ran = subprocess.run(
        [*command, "--private", "--home", tiny.folder.parents[2]],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    url = ran.stdout.strip()
    assert hub.repos["ann/tiny"].private
    assert hubs.WRITER not in ran.stdout + ran.stderr + json.dumps(hub.requests)
    imported = CliRunner().invoke(
        main, ["bundles", "import", url, "--name", "mine", "--home", str(away)]
    )
    assert "mine, version 1" in imported.stdout, imported.output
    refused = CliRunner().invoke(
        main, ["bundles", "export", "mine", "hf://ann/mine", "--home", str(away)]
    )
    assert "triptych bundles push mine hf://user/name" in refused.stderr


# ------------------------------------------------------------------ who may read and write


def test_a_private_repository_is_for_those_with_access(
    hub: Hub,
    tiny: bundles.Bundle,
    away: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = bundles.push(tiny, "hf://ann/tiny", private=True)
    assert hub.repos["ann/tiny"].private
    for token in ("", hubs.STRANGER):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(errors.SourceError, match=r"no such repository .* or it is private"):
            bundles.download(away, url)
    assert not list((away / "fetched").glob("*/1"))
    monkeypatch.setenv("HF_TOKEN", hubs.READER)
    with caplog.at_level(logging.DEBUG):
        assert bundles.download(away, url).name == "tiny"
    with pytest.raises(errors.SourceError, match=r"the token may not do that \(Your token has no"):
        bundles.push(tiny, "hf://ann/tiny")
    assert hubs.READER not in caplog.text
    assert not [path for path in hub.with_token[hubs.READER] if "/cdn/" in path]
    assert [line for line in hub.requests if "/cdn/" in line]


def test_what_is_to_be_private_is_never_public(hub: Hub, tiny: bundles.Bundle) -> None:
    hub.repos["ann/tiny"] = Repository()
    with pytest.raises(errors.SourceError, match="can be read by everybody, and --private"):
        bundles.push(tiny, "hf://ann/tiny", private=True)
    assert set(hub.repos["ann/tiny"].files) == {".gitattributes"}


def test_a_gated_repository_names_the_page_where_access_is_granted(
    hub: Hub, tiny: bundles.Bundle, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = bundles.push(tiny, "hf://ann/tiny")
    hub.repos["ann/tiny"].gated = True
    monkeypatch.setenv("HF_TOKEN", hubs.STRANGER)
    with pytest.raises(errors.SourceError, match=f"Request it at {hub.url}/ann/tiny, and log in"):
        bundles.download(away, url)


# ------------------------------------------------------------------ what is refused


def test_nothing_is_overwritten_that_is_no_bundle(hub: Hub, tiny: bundles.Bundle) -> None:
    repo = hub.repos["ann/bert"] = Repository()
    repo.commit("main", {"config.json": b"{}", "model.bin": b"weights"})
    before = dict(repo.branches)
    with pytest.raises(errors.SourceError, match=r"something else in it, such as config\.json"):
        bundles.push(tiny, "hf://ann/bert")
    assert repo.branches == before
    repo.commit("main", {"bundle.json": b"{}"})
    with pytest.raises(errors.SourceError, match=r"something else in it, such as bundle\.json"):
        bundles.push(tiny, "hf://ann/bert")


def test_a_commit_of_somebody_else_is_not_overwritten(hub: Hub, tiny: bundles.Bundle) -> None:
    bundles.push(tiny, "hf://ann/tiny")
    repo = hub.repos["ann/tiny"]
    changed = write_runnable(tiny.folder.parents[2], members={"small": 40, "large": 48})
    hub.before_commit.append(lambda: repo.commit("main", {**repo.files, "bundle.json": b"theirs"}))
    with pytest.raises(errors.SourceError, match="somebody else wrote to it meanwhile"):
        bundles.push(changed, "hf://ann/tiny")
    assert repo.files["bundle.json"] == b"theirs"


def test_a_card_that_the_hub_refuses_is_not_pushed(hub: Hub, tiny: bundles.Bundle) -> None:
    hub.refuse_cards = '"tags" may not be so many'
    with pytest.raises(errors.BundleError, match='refuses the model card: "tags" may not be so'):
        bundles.push(tiny, "hf://ann/tiny")
    assert "ann/tiny" not in hub.repos


@pytest.mark.parametrize("name", ["bundle.json", "members/small/network.bin"])
def test_a_file_with_another_hash_is_refused(
    hub: Hub, tiny: bundles.Bundle, away: Path, name: str
) -> None:
    url = bundles.push(tiny, "hf://ann/tiny")
    data = hub.repos["ann/tiny"].files[name]
    hub.tampered[name] = data[:-2] + b" \n" if name.endswith("json") else bytes(len(data))
    with pytest.raises(errors.TriptychError, match=f"{name} .*is not the file that"):
        bundles.download(away, url)
    assert not list((away / "fetched").glob("*/1"))


def hostile(tiny: bundles.Bundle, **changes: Any) -> dict[str, bytes]:
    """The files of a bundle whose ``bundle.json`` has these entries."""
    files = {name: (tiny.folder / name).read_bytes() for name in tiny.about["files"]}
    return {**files, "bundle.json": json.dumps({**tiny.about, **changes}).encode()}


def test_hostile_repositories_are_refused_before_they_are_downloaded(
    hub: Hub, tiny: bundles.Bundle, away: Path
) -> None:
    listed = tiny.about["files"]
    repo = hub.repos["eve/trap"] = Repository()
    many = {f"{n}.txt": 64 * "0" for n in range(1001)}
    cases = (
        ({"files": {**listed, "../../evil.py": 64 * "0"}}, "expected a path inside the bundle"),
        ({"files": {**listed, "gone.bin": 64 * "0"}}, r"It is incomplete: gone\.bin missing"),
        ({"name": "../evil"}, "A bundle cannot be called"),
        ({"schema": 99}, "is a bundle of schema 99"),
        ({"files": {**listed, **many}}, "and no bundle has more than 1,000"),
    )
    for changes, message in cases:
        files = hostile(tiny, **changes)
        extra = dict.fromkeys(many, b"") if "0.txt" in changes.get("files", {}) else {}
        repo.commit("main", {**files, **extra})
        with pytest.raises(errors.BundleError, match=message):
            bundles.download(away, "hf://eve/trap")
    repo.commit("main", hostile(tiny))
    hub.claimed["members/small/network.bin"] = 1 << 50
    count = len(downloads(hub))
    with pytest.raises(errors.BundleError, match=r"network\.bin' is too large"):
        bundles.download(away, "hf://eve/trap")
    assert all("bundle.json" in line for line in downloads(hub)[count:])
    repo.commit("main", {"model.safetensors": b"weights"})
    with pytest.raises(errors.BundleError, match=r"the repository has no bundle\.json"):
        bundles.download(away, "hf://eve/trap")
    assert not list((away / "fetched").glob("*/1"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("hf://ann/none", "there is no such repository at"),
        ("hf://ann/tiny@v9", "it has no revision 'v9'; expected a branch, a tag or a commit"),
        ("hf://ann/a--b", "cannot be read"),
    ],
)
def test_urls_that_lead_nowhere(hub: Hub, away: Path, url: str, message: str) -> None:
    hub.repos["ann/tiny"] = Repository()
    with pytest.raises(errors.SourceError, match=message):
        bundles.get(away, url)


@pytest.mark.parametrize("url", ["garden", "hf://garden", "hf://datasets/ann/x", "hf://a/b/c.zip"])
def test_what_is_no_repository_cannot_be_pushed_to(tiny: bundles.Bundle, url: str) -> None:
    with pytest.raises(errors.SettingError, match="expected hf://user/name, or hf://user/name@rev"):
        bundles.push(tiny, url)
    with pytest.raises(errors.SettingError, match="names a commit"):
        bundles.push(tiny, "hf://ann/tiny@" + 40 * "a")


def test_a_hub_that_is_down_or_an_installation_without_its_client(
    hub: Hub, tiny: bundles.Bundle, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(errors.SourceError, match=r"127\.0\.0\.1:9 cannot be reached"):
        bundles.push(tiny, "hf://ann/tiny")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.raises(errors.SourceError, match="HF_HUB_OFFLINE is set"))
        bundles.get(away, "hf://ann/tiny")
    monkeypatch.setattr(room.extras.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.SettingError, match=r'pip install "triptych\[hub\]"'):
        bundles.get(away, "hf://ann/tiny")
