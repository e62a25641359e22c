"""Downloads from a real local server: complete, resumed, refused, never half-written."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from triptych import errors
from triptych.models import weights
from triptych.models import zoo

CONTENT = b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 20_000  # 5 MB


class Mirror(http.server.SimpleHTTPRequestHandler):
    """Serves one folder, with ranges, and aborts the first transfer on request."""

    folder: Path
    requests: list[str]
    cut_after: int | None

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.requests.append(f"{self.path} {wanted or ''}".strip())
        path = self.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        data, first = path.read_bytes(), 0
        if wanted:
            first = int(wanted.removeprefix("bytes=").rstrip("-"))
            if first >= len(data):
                self.send_error(416)
                return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        end, Mirror.cut_after = Mirror.cut_after, None
        self.wfile.write(data[first:end])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    Mirror.folder, Mirror.requests, Mirror.cut_after = tmp_path / "mirror", [], None
    Mirror.folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def row(tmp_path: Path) -> zoo.Backbone:
    """ResNet50 with CONTENT as its official file."""
    real = zoo.find("ResNet50")
    digest = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    return dataclasses.replace(real, weights=dataclasses.replace(real.weights, hash=digest))


def offer(row: zoo.Backbone, content: bytes = CONTENT) -> None:
    (Mirror.folder / row.weights.file).write_bytes(content)


def test_pull_downloads_into_the_cache_of_keras(row: zoo.Backbone, mirror: str) -> None:
    offer(row)
    steps: list[tuple[int, int | None]] = []
    path = weights.pull(
        row, source=mirror, progress=lambda done, total: steps.append((done, total))
    )
    assert path == weights.cache_folder() / "resnet50_weights_tf_dim_ordering_tf_kernels.h5"
    assert path.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert list(path.parent.iterdir()) == [path]


def test_a_second_pull_sends_no_request(row: zoo.Backbone, mirror: str) -> None:
    offer(row)
    weights.pull(row, source=mirror)
    weights.pull(row, source=mirror)
    assert len(Mirror.requests) == 1


def test_an_interrupted_download_is_resumed(row: zoo.Backbone, mirror: str) -> None:
    offer(row)
    Mirror.cut_after = 3_000_000
    with pytest.raises(errors.FetchError, match="fetch it again to go on"):
        weights.pull(row, source=mirror)
    assert weights.locate(row) is None
    assert weights.pull(row, source=mirror).read_bytes() == CONTENT
    assert Mirror.requests[1].endswith("bytes=3000000-")


def test_a_complete_partial_file_is_verified_and_used(row: zoo.Backbone, mirror: str) -> None:
    offer(row)
    part = weights.cache_folder() / f"{row.weights.file}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT)
    assert weights.pull(row, source=mirror).read_bytes() == CONTENT
    assert not part.exists()


def test_a_wrong_file_is_refused_and_removed(row: zoo.Backbone, mirror: str) -> None:
    offer(row, CONTENT[:-1] + b"x")
    with pytest.raises(errors.WeightsDamaged, match=r"not the official file of ResNet50: its md5"):
        weights.pull(row, source=mirror)
    assert not list(weights.cache_folder().iterdir())


def test_without_a_published_hash_the_file_must_be_hdf5(mirror: str) -> None:
    row = next(row for row in zoo.BACKBONES.values() if row.weights.url and not row.weights.hash)
    offer(row, b"<!doctype html><p>Log in to this network first")
    with pytest.raises(errors.WeightsDamaged, match="expected HDF5, found b'<!doctyp'"):
        weights.pull(row, source=mirror)


def test_a_missing_network_is_one_clear_message(row: zoo.Backbone) -> None:
    with pytest.raises(errors.FetchError, match=r"Could not fetch http://127.0.0.1:1/.*refused"):
        weights.pull(row, source="http://127.0.0.1:1")
    assert not list(weights.cache_folder().iterdir())


def test_a_mirror_without_the_file_says_so(row: zoo.Backbone, mirror: str) -> None:
    with pytest.raises(errors.FetchError, match="404"):
        weights.pull(row, source=mirror)


def test_pull_from_a_folder(row: zoo.Backbone, tmp_path: Path) -> None:
    (tmp_path / row.weights.file).write_bytes(CONTENT)
    assert weights.pull(row, source=str(tmp_path)).read_bytes() == CONTENT


def test_a_folder_without_the_file_says_which_was_expected(
    row: zoo.Backbone, tmp_path: Path
) -> None:
    with pytest.raises(errors.FetchError, match=f"{row.weights.file} does not exist"):
        weights.pull(row, source=str(tmp_path))


def test_missing_weights_say_how_to_get_them() -> None:
    with pytest.raises(errors.WeightsMissing, match=r"triptych pull VGG16 \(about 528 MB"):
        weights.require(zoo.find("VGG16"))


def test_the_lite_weights_come_with_the_package() -> None:
    for name in zoo.COMMITTEES["lite"]:
        row = zoo.find(name)
        weights.verify(row, weights.require(row))
