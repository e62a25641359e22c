"""The disk of the home folder can only be read, or is gone, and comes back."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask.testing import FlaskClient

from support import disks
from support import studios
from support.bundles import write_with_metrics
from support.images import picture
from triptych import settings
from triptych.utils import files
from triptych.web import create_app
from triptych.web.registry import Discovery
from triptych.web.registry import Registry

PAGE = {"Accept": "text/html"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    return path


@contextlib.contextmanager
def studio(home: Path) -> Iterator[tuple[FlaskClient, str, str]]:
    """A studio with a bundle and a project; the project's key and a photo's digest."""
    write_with_metrics(home, "garden", "ant", "bee")
    write_with_metrics(home, "meadow", "ant", "bee")
    registry = Registry(
        lambda name: studios.bundle_classifier(home, name), Discovery(home), "garden"
    )
    registry.get()
    app = create_app(settings.load({}, home=home), registry)
    projects = app.extensions["triptych"].projects
    project = projects.make("Ants")
    ants = projects.add_class(project.key, "ants")
    photo = projects.add(project.key, "ant.jpg", picture(1), ants.id)
    try:
        yield app.test_client(), project.key, photo.digest
    finally:
        if app.extensions["triptych"].has_jobs:
            app.extensions["triptych"].jobs.close()


def requests(key: str, digest: str) -> list[tuple[str, str, dict[str, object]]]:
    """Requests that read or write the home folder."""
    new = {"photo": [(io.BytesIO(picture(2)), "new.jpg")]}
    return [
        ("GET", "/projects", {}),
        ("GET", f"/projects/{key}", {}),
        ("GET", f"/projects/{key}/teach", {}),
        ("GET", f"/projects/{key}/job.json", {}),
        ("GET", f"/projects/{key}/publish", {}),
        ("GET", "/projects/inbox", {}),
        ("GET", "/bundles/garden/1.zip", {}),
        ("POST", "/projects", {"title": "New"}),
        ("POST", f"/projects/{key}/photos", new),
        ("POST", f"/projects/{key}/classes", {"name": "b"}),
        ("POST", f"/projects/{key}/rename", {"title": "Other"}),
        ("POST", f"/projects/{key}/teach", {"backbones": "lite0"}),
        ("POST", "/projects/sample", {}),
        ("POST", "/bundles/garden/active", {"version": "1"}),
        ("POST", "/bundles/garden/card", {"text": "x"}),
    ]


def check_all(
    client: FlaskClient, key: str, digest: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Every request that needs the disk says what is wrong with it; loaded networks answer."""
    for method, path, data in requests(key, digest):
        answer = client.open(path, method=method, data=data, headers=PAGE)
        assert (answer.status_code, path) == (507, path), answer.text
        assert fault in answer.text, (path, answer.text)
    response = client.post("/api/v1/classify", data=picture(3), content_type="image/jpeg")
    assert response.status_code == 200
    assert not [record for record in caplog.records if record.exc_info]


def check_recovered(client: FlaskClient, key: str, digest: str) -> None:
    """Nothing is lost, and the studio goes on."""
    assert client.get("/projects").status_code == 200
    assert client.get(f"/projects/photos/{digest}.jpg").status_code == 200
    new = {"photo": [(io.BytesIO(picture(4)), "later.jpg")]}
    assert client.post(f"/projects/{key}/photos", data=new, headers=PAGE).status_code == 303
    listed = client.get("/api/v1/bundles").json["bundles"]
    assert [bundle["name"] for bundle in listed] == ["garden", "meadow"]
    answer = client.post(
        "/api/v1/classify?committee=meadow", data=picture(3), content_type="image/jpeg"
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("is_empty_folder_left", [False, True], ids=["removed", "empty"])
def test_a_home_that_vanishes_is_missed_and_comes_back(
    home: Path, caplog: pytest.LogCaptureFixture, is_empty_folder_left: bool
) -> None:
    """As when a network drive is gone, with or without the empty folder it was mounted on."""
    elsewhere = home.with_name("elsewhere")
    with studio(home) as (client, key, digest):
        home.rename(elsewhere)
        if is_empty_folder_left:
            home.mkdir()
        check_all(client, key, digest, "gone", caplog)
        for path in ("/bundles", "/api/v1/bundles", f"/projects/photos/{digest}.jpg"):
            assert "is gone" in client.get(path).text
        # One that is not loaded needs its files.
        answer = client.post(
            "/api/v1/classify?committee=meadow", data=picture(3), content_type="image/jpeg"
        )
        assert answer.status_code == 507
        assert not home.exists() or not list(home.iterdir())  # nothing was made anew
        if is_empty_folder_left:
            home.rmdir()
        elsewhere.rename(home)
        check_recovered(client, key, digest)


def test_a_disk_that_can_only_be_read_is_named(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On a real disk; where none can be mounted, the next test has to do."""
    with disks.mounted(home, 32), studio(home) as (client, key, digest):
        subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
        check_all(client, key, digest, "The disk can only be read", caplog)
        assert client.get("/bundles").status_code == 200
        command = [sys.executable, "-m", "triptych", "features", "list", "--home", str(home)]
        ran = subprocess.run(command, capture_output=True, text=True)
        assert ran.returncode == 1
        assert ran.stderr.startswith("Error: The disk can only be read")
        assert "Traceback" not in ran.stderr
        subprocess.run(["mount", "-o", "remount,rw", str(home)], check=True)
        check_recovered(client, key, digest)


@pytest.mark.skipif(not hasattr(os, "statvfs"), reason="needs os.statvfs")
def test_a_database_on_a_disk_that_can_only_be_read_is_explained(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a mount: SQLite cannot open the file, and the system says why."""
    with studio(home) as (client, key, digest):
        database = home / "studio" / "studio.sqlite"
        aside = database.with_name("aside")
        database.rename(aside)
        database.mkdir()
        read_only = SimpleNamespace(f_flag=os.ST_RDONLY)
        with monkeypatch.context() as patch:
            patch.setattr(files.os, "statvfs", lambda path: read_only)
            answer = client.get("/projects", headers=PAGE)
        assert answer.status_code == 507
        assert "The disk can only be read" in answer.text
        assert "mount it for writing" in answer.text
        database.rmdir()
        aside.rename(database)
        check_recovered(client, key, digest)
