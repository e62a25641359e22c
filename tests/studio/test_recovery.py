"""Photos whose database is lost: not taken for a new studio, and rebuilt from the files."""

from __future__ import annotations

import hashlib
import http.client
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from support import studios
from support.images import picture
from triptych import errors
from triptych.cli import main
from triptych.studio.projects import UNSORTED
from triptych.studio.projects import Projects


@pytest.fixture
def lost(tmp_path: Path) -> Path:
    """A home with five photos, each in another class."""
    projects = Projects(tmp_path)
    key = projects.make("Garden").key
    for number in range(5):
        class_id = projects.add_class(key, f"class {number}").id
        projects.add(key, f"{number}.jpg", picture(number, size=(12, 16)), class_id)
    return tmp_path


def database(home: Path) -> Path:
    return home / "studio" / "studio.sqlite"


def without_tables(path: Path) -> None:
    path.unlink()
    sqlite3.connect(path).execute("PRAGMA journal_mode = WAL").connection.close()


LOSSES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "without tables": without_tables,
}


@pytest.mark.parametrize("how", LOSSES)
def test_a_lost_database_is_not_recreated(lost, how):
    LOSSES[how](database(lost))
    before = sorted((lost / "studio").rglob("*"))
    with pytest.raises(errors.StateError, match=r"Nothing was made in its place.*projects rebuild"):
        Projects(lost)
    assert sorted((lost / "studio").rglob("*")) == before


def test_a_home_without_photos_gets_a_new_database(tmp_path):
    database(tmp_path).parent.mkdir()
    database(tmp_path).touch()
    assert Projects(tmp_path).all() == []


def test_a_database_lost_while_in_use_is_not_recreated(lost):
    projects = Projects(lost)
    database(lost).unlink()
    with pytest.raises(errors.StateError):
        projects.make("Another")
    assert not database(lost).exists()


@pytest.mark.parametrize("how", [*LOSSES, "garbage", "truncated"])
def test_rebuild_makes_a_project_of_all_photos(lost, how):
    path = database(lost)
    photos = sorted((lost / "studio" / "photos").glob("??/*"))
    if how in LOSSES:
        LOSSES[how](path)
    else:
        data = path.read_bytes()
        path.write_bytes(b"garbage " * 1000 if how == "garbage" else data[: len(data) // 2])
    photos[0].write_bytes(photos[0].read_bytes() + b"more")
    ran = CliRunner().invoke(main, ["projects", "rebuild", "--home", str(lost)])
    assert ran.exit_code == 0, ran.output
    assert "recovered-photos: 4 photos, none with a class" in ran.output
    assert f"Left out, as it is no photo any more: {photos[0]}" in ran.output
    projects = Projects(lost)
    recovered = projects.photos("recovered-photos", class_id=UNSORTED)
    assert {photo.digest for photo in recovered} == {path.name for path in photos[1:]}
    for photo in recovered:
        assert hashlib.sha256(projects.read(photo.digest)).hexdigest() == photo.digest
    assert path.with_name("studio.sqlite.lost").exists() == (how != "missing")


def test_a_sound_database_is_not_replaced(lost):
    ran = CliRunner().invoke(main, ["projects", "rebuild", "--home", str(lost)])
    assert ran.exit_code == 1
    assert "can be read, so there is nothing to rebuild" in ran.output
    assert Projects(lost).find("garden").photos == 5


def test_the_server_reports_a_lost_database_and_still_classifies(lost):
    database(lost).unlink()
    with studios.training_studio(lost) as address:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=300)
        connection.request("GET", "/livez")
        assert connection.getresponse().read() == b"ok"
        connection.request("GET", "/projects", headers={"Accept": "application/json"})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
    assert response.status == 500
    assert "their database studio.sqlite is missing" in text
    assert str(lost) not in text
    assert not database(lost).exists()
