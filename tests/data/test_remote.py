"""Data sets at URLs: read when needed, some photos ahead, with the same result as from a folder."""

from __future__ import annotations

import functools
import http.server
import io
import json
import pickle
import threading
import uuid
import zipfile
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from typing import ClassVar

import fsspec
import pytest
from click.testing import CliRunner
from fsspec.implementations.memory import MemoryFileSystem

from support.images import picture
from triptych import data
from triptych import errors
from triptych import images
from triptych.cli import main
from triptych.data import archive
from triptych.data import files
from triptych.utils import storage

PHOTOS = {
    f"{label}/{n} #1.jpg": picture(n + seed)
    for seed, label in ((0, "a b"), (50, "ü"))
    for n in range(5)
}


def zip_of(photos: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in photos.items():
            packed.writestr(name, content)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data set on this machine."""
    top = tmp_path / "bugs"
    for name, content in PHOTOS.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    (tmp_path / "bugs.zip").write_bytes(zip_of(PHOTOS))
    return top


class _Server(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a server that lists its folders as pages."""
    handler = functools.partial(_Server, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def memory(tmp_path: Path, folder: Path) -> str:
    """The data set in the memory of this process."""
    url = f"memory://{uuid.uuid4()}"
    for path in tmp_path.rglob("*.*"):
        storage.write(f"{url}/{path.relative_to(tmp_path).as_posix()}", path.read_bytes())
    return url


class Remote(MemoryFileSystem):
    """A file system of another machine, which may fail."""

    protocol = "remote"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    on_list: Callable[[str], None] = staticmethod(lambda path: None)
    on_read: Callable[[str], None] = staticmethod(lambda path: None)

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        Remote.on_list(path)
        return super().ls(path, detail=detail, **options)

    def cat_file(self, path: str, start: Any = None, end: Any = None, **options: Any) -> bytes:
        Remote.on_read(path)
        return bytes(super().cat_file(path, start=start, end=end, **options))


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> str:
    """The data set on a file system that counts and fails as a test wants it."""
    fsspec.register_implementation("remote", Remote, clobber=True)
    monkeypatch.setattr(Remote, "store", {})
    monkeypatch.setattr(Remote, "pseudo_dirs", [""])
    monkeypatch.setattr(storage.time, "sleep", lambda seconds: None)
    for name, content in PHOTOS.items():
        storage.write(f"remote://bucket/bugs/{name}", content)
    return "remote://bucket/bugs"


def described(dataset: data.Dataset) -> dict[str, Any]:
    findings = [each for each in dataset.to_dict()["findings"] if each["kind"] != "recognised"]
    return {**dataset.to_dict(), "findings": findings}


@pytest.mark.parametrize("name", ["bugs", "bugs/", "bugs.zip"])
@pytest.mark.parametrize("where", ["memory", "web", "file"])
def test_a_url_gives_what_the_folder_gives(
    where: str, name: str, folder: Path, memory: str, web: str, tmp_path: Path
) -> None:
    top = {"memory": memory, "web": web, "file": f"file://{tmp_path}"}[where]
    dataset = data.open(f"{top}/{name}")
    assert described(dataset) == described(data.open(folder))
    photo = dataset.train[-1]
    assert photo.label == 1
    assert pickle.loads(pickle.dumps(photo)).read() in PHOTOS.values()


@pytest.mark.parametrize("path", ["bugs/{}", "../bugs/{}", "/bugs/{}", "memory://bugs/{}", "{}?"])
def test_a_table_at_a_url_names_photos_below_its_folder(
    path: str, memory: str, folder: Path
) -> None:
    lines = ["path,label"]
    for name, content in PHOTOS.items():
        plain = name.replace("#", "")
        storage.write(f"{memory}/bugs/{plain}", content)
        lines.append(f"{path.format(plain)},{name.partition('/')[0]}")
    storage.write(f"{memory}/list.csv", "\n".join(lines).encode())
    if path == "bugs/{}":
        dataset = data.open(f"{memory}/list.csv")
        assert dataset.fingerprint == data.open(folder).fingerprint
    else:
        with pytest.raises(errors.SourceError, match="is no path below the folder of memory://"):
            data.open(f"{memory}/list.csv")


def test_coco_at_a_url(memory: str) -> None:
    names = list(PHOTOS)
    content = {
        "images": [{"id": n, "file_name": name} for n, name in enumerate(names)],
        "annotations": [{"image_id": n, "category_id": n // 5} for n in range(10)],
        "categories": [{"id": n, "name": "xy"[n]} for n in range(2)],
    }
    storage.write(f"{memory}/bugs/coco.json", json.dumps(content).encode())
    for url in (f"{memory}/bugs", f"{memory}/bugs/coco.json"):
        dataset = data.open(url, format="coco")
        assert (dataset.name, dataset.classes) == (("bugs", "coco")[".json" in url], ("x", "y"))
        assert len(dataset.train) == 10


def test_photos_are_read_when_they_are_needed_and_some_ahead(
    remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each read waits until another one is in progress.
    together = threading.Barrier(2)
    monkeypatch.setattr(Remote, "on_read", lambda path: together.wait(300))
    dataset = data.open(remote)
    assert len(dataset.train) == len(PHOTOS)
    # Nothing was copied: what is read later is what is there then.
    monkeypatch.setattr(Remote, "on_read", lambda path: None)
    storage.write(f"remote://bucket/bugs/{dataset.train[0].source}", b"another")
    assert dataset.train[0].read() == b"another"


def test_reading_ahead_is_bounded() -> None:
    begun: list[int] = []

    class Counted(storage.RemoteFile):
        def __call__(self) -> bytes:
            begun.append(1)
            return b""

    many = (Counted("remote://x", lambda size: None, 1) for _ in range(10_000))
    reads = storage.read_ahead(many)
    for _ in range(5):
        assert next(reads)() == b""
    reads.close()
    assert 5 <= len(begun) <= 5 + storage.READ_AHEAD + 1


def test_a_storage_that_fails_is_asked_again_and_then_ends_the_work(
    remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: dict[str, int] = {}

    def fail(most: int, path: str) -> None:
        calls[path] = calls.get(path, 0) + 1
        if calls[path] <= most:
            raise ConnectionError("reset by token=abc https://me:secret@host/?key=hidden")

    monkeypatch.setattr(Remote, "on_read", functools.partial(fail, 2))
    assert len(data.open(remote).train) == len(PHOTOS)
    calls.clear()
    monkeypatch.setattr(Remote, "on_read", functools.partial(fail, 99))
    with pytest.raises(errors.SourceError, match=r"cannot be read: reset by") as caught:
        data.open(remote)
    assert "secret" not in caught.value.message
    assert "hidden" not in caught.value.message


def test_a_single_file_that_may_not_be_read_is_left_out(
    remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        if "a b/0" in path:
            raise PermissionError("Access Denied")

    monkeypatch.setattr(Remote, "on_read", refuse)
    dataset = data.open(remote)
    (finding,) = (each for each in dataset.findings if each.kind == "unreadable")
    assert finding.sources == ("a b/0 #1.jpg",)
    assert "Access Denied" in finding.message


def test_what_cannot_be_listed_is_told(remote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError("Forbidden: the key may not list the bucket")

    with pytest.raises(errors.SourceError, match="'remote://nowhere/x' is not there"):
        data.open("remote://nowhere/x")
    monkeypatch.setattr(Remote, "on_list", refuse)
    with pytest.raises(errors.SourceError, match="Forbidden: the key may not list"):
        data.open(remote)


def test_a_missing_driver_and_its_package_are_named() -> None:
    with pytest.raises(errors.SourceError, match=r"Install it with: pip install ocifs$"):
        data.open("oci://bucket@namespace/flowers/")


def test_large_photos_are_not_read_whole(remote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = images.Limits(max_bytes=len(PHOTOS["a b/0 #1.jpg"]) * 4)
    storage.write("remote://bucket/bugs/ü/huge.jpg", bytes(limits.max_bytes * 3))
    ends = []
    monkeypatch.setattr(
        Remote,
        "cat_file",
        lambda self, path, start=None, end=None, **options: (
            ends.append(end),
            bytes(MemoryFileSystem.cat_file(self, path, start=start, end=end)),
        )[1],
    )
    dataset = data.open(remote, limits=limits)
    assert [each.sources for each in dataset.findings if each.kind == "unreadable"] == [
        ("ü/huge.jpg",)
    ]
    assert set(ends) == {limits.max_bytes + 1}


def test_secrets_in_the_address_of_a_data_set_are_not_shown(web: str, folder: Path) -> None:
    address = web.replace("://", "://me:secret@") + "/bugs.zip?signature=hidden"
    dataset = data.open(address)
    shown = repr(dataset) + json.dumps(dataset.to_dict()) + repr(dataset.train)
    assert dataset.name == "bugs"
    assert "secret" not in shown
    assert "hidden" not in shown
    with pytest.raises(errors.SourceError) as caught:
        data.open(address.replace("bugs.zip", "gone.zip"))
    assert "gone.zip' is not there" in caught.value.message
    assert "secret" not in caught.value.message


def test_an_archive_is_fetched_once_for_all_its_photos(memory: str) -> None:
    dataset = data.open(f"{memory}/bugs.zip")
    storage.write(f"{memory}/bugs.zip", b"another")
    assert all(photo.read() in PHOTOS.values() for photo in dataset.train)
    storage.write(f"{memory}/no.zip", b"<html>")
    with pytest.raises(errors.SourceError, match=r"'no\.zip' is not a complete zip archive"):
        data.open(f"{memory}/no.zip")
    assert archive.fetched(f"{memory}/no.zip").read_bytes() == b"<html>"


def test_too_many_files_are_refused(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_REMOTE_FILES", 3)
    with pytest.raises(errors.SourceError, match="has more than 3 files"):
        data.open(f"{memory}/bugs")


def test_the_command_line_takes_urls(memory: str) -> None:
    result = CliRunner().invoke(main, ["check", f"{memory}/bugs"])
    assert result.exit_code == 0, result.output
    assert "bugs: 2 classes, 10 training photos, 0 held out." in result.output
