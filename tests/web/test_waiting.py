"""While another process holds the lock of the database, only writers wait."""

from __future__ import annotations

import concurrent.futures
import http.client
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode
from urllib.parse import urlsplit

import pytest

from support import studios
from support.images import squares
from triptych import errors
from triptych.studio.projects import Projects

pytestmark = pytest.mark.slow

FORM = "application/x-www-form-urlencoded"
WRITES = {
    "/projects": {"title": "Second"},
    "/projects/garden/rename": {"title": "Yard"},
    "/projects/garden/classes": {"name": "wasps"},
    "/projects/garden/classes/2/rename": {"name": "flies"},
    "/projects/garden/classes/2/remove": {},
    "/projects/garden/decisions": {"do": "exclude"},
    "/projects/garden/decisions/undo": {},
    "/projects/garden/photos": {},
    "/projects/garden/teach": {"backbones": "lite0"},
    "/projects/garden/sort": {"do": "exclude"},
    "/projects/sample": {},
}
PAGES = (
    "/livez",
    "/readyz",
    "/",
    "/projects",
    "/projects/garden",
    "/projects/garden/teach",
    "/projects/garden/sort",
    "/projects/garden/decisions",
    "/bundles",
    "/api/v1/bundles",
)
BOUNDARY = "frontier"


def ask(address: str, path: str, body: bytes | None = None, kind: str = "image/png") -> int:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=120)
    connection.request("GET" if body is None else "POST", path, body, {"Content-Type": kind})
    with connection.getresponse() as response:
        response.read()
    connection.close()
    return response.status


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home with a project, and a photo of it."""
    home = tmp_path_factory.mktemp("studio")
    projects = Projects(home)
    key = projects.make("Garden").key
    for number, name in enumerate(("bees", "ants")):
        class_id = projects.add_class(key, name).id
        photo = projects.add(key, "a.png", squares(number), class_id)
    return home, photo.digest


@pytest.fixture(scope="module")
def address(garden: tuple[Path, str]) -> Iterator[str]:
    with studios.training_studio(garden[0], inbox="on") as address:
        yield address


def form_of(path: str, fields: dict[str, str], digest: str) -> tuple[bytes, str]:
    if not path.endswith("/photos"):
        name = {"decisions": "digest", "sort": "photo"}.get(path.rpartition("/")[2])
        more = {name: digest} if name else {}
        return urlencode({**fields, **more}).encode(), FORM
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n'
    body = head.encode() + squares(9) + f"\r\n--{BOUNDARY}--\r\n".encode()
    return body, f"multipart/form-data; boundary={BOUNDARY}"


def test_pages_and_verdicts_are_served_while_another_process_writes(address, garden):
    home, digest = garden
    other = sqlite3.connect(home / "studio" / "studio.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with concurrent.futures.ThreadPoolExecutor(len(WRITES)) as pool:
        writing = {
            path: pool.submit(ask, address, path, *form_of(path, fields, digest))
            for path, fields in WRITES.items()
        }
        for path in PAGES:
            assert ask(address, path) == 200, path
        assert ask(address, "/api/v1/classify", squares()) == 200
        done = [path for path, future in writing.items() if future.done()]
        other.execute("ROLLBACK")
        answers = {path: future.result() for path, future in writing.items()}
    other.close()
    assert not done, "these did not wait: was nothing held?"
    assert set(answers.values()) <= {200, 303, 400, 404, 409}, answers
    assert ask(address, "/projects/garden") == 200


def test_a_studio_starts_while_another_process_writes(garden):
    other = sqlite3.connect(garden[0] / "studio" / "studio.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        assert Projects(garden[0]).find("garden").key == "garden"
    finally:
        other.close()


def test_waiting_too_long_is_an_error(garden, monkeypatch):
    projects = Projects(garden[0])
    other = sqlite3.connect(garden[0] / "studio" / "studio.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with (
            pytest.raises(errors.Overloaded, match="Another program has been writing"),
            projects.database.writing(patience_s=0.05),
        ):
            pass
    finally:
        other.close()
