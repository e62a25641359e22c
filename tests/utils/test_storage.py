"""Files at a path or URL: the same results everywhere, atomic, with bounded memory."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given
from hypothesis import strategies as st

from triptych import data
from triptych import errors
from triptych.utils import storage

TREE = ("b/2.jpg", "b/1.jpg", "a.jpg", "c/d/e.txt", "c/f.png", "B.gif")
HIDDEN = (".h", "b/.q.jpg", ".ipynb_checkpoints/a.jpg", "__MACOSX/a.jpg")
# Of each folder first the files, then the folders.
IN_ORDER = ["B.gif", "a.jpg", "b/1.jpg", "b/2.jpg", "c/f.png", "c/d/e.txt"]

KINDS: dict[str, Callable[[Path], str]] = {
    "path": str,
    "file": lambda folder: f"file://{folder}",
    "memory": lambda folder: f"memory://{uuid.uuid4()}",
}


@pytest.fixture(params=KINDS)
def folder_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder of each kind."""
    return KINDS[request.param](tmp_path)


@pytest.fixture
def tree(folder_url: str) -> str:
    for name in (*TREE, *HIDDEN):
        storage.write(storage.join(folder_url, *name.split("/")), name.encode())
    return folder_url


# ------------------------------------------------------------------ what is there


def test_files_are_listed_in_order_without_hidden_ones(tree: str) -> None:
    assert list(storage.walk(tree)) == [f"{tree}/{name}" for name in IN_ORDER]
    assert list(storage.walk(f"{tree}/")) == [f"{tree}/{name}" for name in IN_ORDER]


def test_listed_files_can_be_read(tree: str) -> None:
    contents = {each: storage.read(each).decode() for each in storage.walk(tree)}
    assert contents == {f"{tree}/{name}": name for name in IN_ORDER}


def test_a_single_file_is_listed(tree: str) -> None:
    assert list(storage.walk(f"{tree}/b/1.jpg")) == [f"{tree}/b/1.jpg"]


def test_names_are_those_directly_in_a_folder(tree: str) -> None:
    assert list(storage.names(tree)) == ["B.gif", "a.jpg", "b", "c"]
    assert list(storage.names(f"{tree}/c")) == ["d", "f.png"]
    assert list(storage.names(f"{tree}/none")) == []


def test_what_exists(tree: str) -> None:
    existing = {name: storage.exists(f"{tree}/{name}") for name in ("a.jpg", "b", "b/9.jpg", "z")}
    assert existing == {"a.jpg": True, "b": True, "b/9.jpg": False, "z": False}
    storage.write(f"{tree}/z", b"")
    assert storage.exists(f"{tree}/z")


def test_a_missing_folder_is_an_error(folder_url: str) -> None:
    with pytest.raises(errors.SourceError, match="none' is not there; expected a folder"):
        list(storage.walk(f"{folder_url}/none"))


def test_images_come_in_the_order_of_a_dataset(tree: str, tmp_path: Path) -> None:
    if storage.is_url(tree):
        return
    images = [name for name in storage.walk(tree) if not name.endswith(".txt")]
    assert images == [str(path) for path in data.walk(tmp_path)]


def test_links_to_files_are_followed_and_to_folders_not(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").touch()
    (tmp_path / "in" / "round").symlink_to(tmp_path)
    (tmp_path / "in" / "b.jpg").symlink_to(tmp_path / "in" / "a.jpg")
    assert list(storage.walk(str(tmp_path))) == [f"{tmp_path}/in/{name}.jpg" for name in "ab"]


def test_folders_are_listed_lazily(tree: str) -> None:
    files = storage.walk(tree)
    assert next(files) == f"{tree}/B.gif"
    storage.write(f"{tree}/b/3.jpg", b"late")
    assert [*files][:4] == [f"{tree}/{name}" for name in ("a.jpg", *(f"b/{n}.jpg" for n in "123"))]


def test_listing_a_large_folder_has_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {f"{number:03}" for number in range(35)}
    for name in names:
        (tmp_path / name).touch()
    monkeypatch.setattr(storage, "SORTED_AT_ONCE", 10)
    listed: list[str] = []
    scanned: list[int] = []
    real = os.scandir

    def counting(path: str) -> object:
        return _Counted(real(path), scanned)

    monkeypatch.setattr(os, "scandir", counting)
    for name in storage.names(str(tmp_path)):
        listed.append(name)
        assert len(scanned) - len(listed) < 10
    assert set(listed) == names
    assert all(run == sorted(run) for run in (listed[i : i + 10] for i in range(0, 35, 10)))


class _Counted:
    """An `os.scandir` that counts the consumed entries."""

    def __init__(self, entries: Iterator[os.DirEntry[str]], taken: list[int]) -> None:
        self._entries = entries
        self._taken = taken

    def __enter__(self) -> Iterator[os.DirEntry[str]]:
        return iter(self)

    def __exit__(self, *error: object) -> None:
        pass

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        for entry in self._entries:
            self._taken.append(1)
            yield entry


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8)


@given(st.sets(st.tuples(NAMES, NAMES), max_size=6))
def test_any_names_survive_writing_and_walking(pairs: set[tuple[str, str]]) -> None:
    usable = {pair for pair in pairs if not {".", ".."} & {*pair}}
    visible = {pair for pair in usable if not any(map(storage.is_hidden, pair))}
    with tempfile.TemporaryDirectory() as folder:
        for pair in usable:
            storage.write(storage.join(folder, *pair), "/".join(pair).encode())
        contents = {path: storage.read(path) for path in storage.walk(folder)}
    assert contents == {f"{folder}/{a}/{b}": f"{a}/{b}".encode() for a, b in visible}


# ------------------------------------------------------------------ whole or not at all


def test_writing_replaces_a_file(folder_url: str) -> None:
    storage.write(f"{folder_url}/deep/in/it.txt", b"first")
    storage.write(f"{folder_url}/deep/in/it.txt", b"second")
    assert storage.read(f"{folder_url}/deep/in/it.txt") == b"second"
    assert list(storage.names(f"{folder_url}/deep/in")) == ["it.txt"]


class Cut(LocalFileSystem):
    """A disk that is full, or a connection that is cut, after the first bytes."""

    protocol = "cut"

    def pipe_file(
        self, path: str, value: bytes, mode: str = "overwrite", **options: object
    ) -> None:
        if value == b"fine":
            super().pipe_file(path, value, mode, **options)
            return
        super().pipe_file(path, value[:2], mode, **options)
        raise OSError(28, "No space left on device")


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    fsspec.register_implementation("cut", Cut, clobber=True)
    path = f"cut://{tmp_path}/it.txt"
    storage.write(path, b"fine")
    with pytest.raises(errors.SourceError, match="cannot be written: No space left on device"):
        storage.write(path, b"longer than that")
    assert (tmp_path / "it.txt").read_bytes() == b"fine"
    assert os.listdir(tmp_path) == ["it.txt"]


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(errors.SourceError, match="cannot be written: Is a directory"):
        storage.write(str(tmp_path), b"x")
    with pytest.raises(errors.SourceError, match="cannot be read: Is a directory"):
        storage.read(str(tmp_path))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("folder_url", ["memory", "http"])
def test_a_download_that_would_fill_the_disk_is_refused(
    folder_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "MAX_DOWNLOAD_BYTES", 20 << 20)
    monkeypatch.setattr(storage, "KEPT_FREE_BYTES", 0)
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "large").write_bytes(bytes(30 << 20))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/large"
        if folder_url == "memory":
            url = f"memory://{tmp_path.name}/large"
            storage.write(url, bytes(30 << 20))
        with pytest.raises(errors.SourceError, match=r"too large .*: 20 MB, "):
            storage.fetch(url, tmp_path / "kept" / "it")
        server.shutdown()
    assert not list((tmp_path / "kept").iterdir())


def test_a_large_file_is_uploaded_and_downloaded_with_its_hash(
    folder_url: str, tmp_path: Path
) -> None:
    data = os.urandom(3_000_000)
    digest = hashlib.sha256(data).hexdigest()
    (tmp_path / "source").write_bytes(data)
    storage.send(tmp_path / "source", f"{folder_url}/sent/file.bin")
    target = tmp_path / "new" / "folder" / "target"
    assert storage.fetch(f"{folder_url}/sent/file.bin", target) == digest
    assert storage.fetch(f"{folder_url}/sent/file.bin", target, sha256=digest) == digest
    assert target.read_bytes() == data
    assert os.listdir(target.parent) == ["target"]


def test_a_file_with_another_hash_is_not_kept(folder_url: str, tmp_path: Path) -> None:
    storage.write(f"{folder_url}/it.txt", b"other")
    target = tmp_path / "new" / "it.txt"
    with pytest.raises(
        errors.SourceError, match=r"not the file that was expected: .*, expected 00"
    ):
        storage.fetch(f"{folder_url}/it.txt", target, sha256="00")
    assert os.listdir(target.parent) == []


# ------------------------------------------------------------------ over a network


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `whole`, and of `cut` less than its declared length."""

    def do_GET(self) -> None:
        if not self.path.startswith(("/whole", "/cut")):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", "9")
        self.end_headers()
        self.wfile.write(b"all of it" if self.path.startswith("/whole") else b"all")
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_files_are_read_over_http(address: str, tmp_path: Path) -> None:
    assert storage.read(f"{address}/whole") == b"all of it"
    storage.fetch(f"{address}/whole", tmp_path / "it")
    assert (tmp_path / "it").read_bytes() == b"all of it"
    with pytest.raises(errors.SourceError, match="nothing' is not there"):
        storage.read(f"{address}/nothing")


def test_an_incomplete_download_is_not_kept(address: str, tmp_path: Path) -> None:
    with pytest.raises(errors.SourceError, match="cannot be fetched"):
        storage.fetch(f"{address}/cut", tmp_path / "it")
    assert os.listdir(tmp_path) == []


def test_an_unreachable_server_is_reported(tmp_path: Path) -> None:
    with pytest.raises(errors.SourceError, match=r"cannot be read: .*Connect call failed"):
        storage.read("http://127.0.0.1:9/x")


# ------------------------------------------------------------------ what is said


def test_secrets_in_a_url_are_not_shown() -> None:
    with pytest.raises(errors.SourceError) as caught:
        storage.read("http://me:secret@127.0.0.1:9/x.zip?signature=hidden")
    assert "http://127.0.0.1:9/x.zip" in caught.value.message
    assert "secret" not in caught.value.message
    assert "hidden" not in caught.value.message


def test_a_missing_driver_is_named_for_pip() -> None:
    with pytest.raises(errors.SourceError, match=r"Install it with: pip install ocifs$"):
        storage.read("oci://bucket@namespace/x")
    with pytest.raises(errors.SourceError, match="Protocol not known: quux"):
        storage.read("quux://bucket/x")


def test_without_fsspec_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(errors.SourceError, match=r'pip install "triptych\[storage\]"'):
        storage.read("photos/1.jpg")
