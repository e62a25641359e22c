"""Bundles on shared storage: the same answers, downloaded once, verified by their hash."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
import uuid
import zipfile
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from click.testing import Result

import triptych
from support import networks
from support.bundles import write_with_metrics
from support.images import picture
from triptych import bundles
from triptych import errors
from triptych.cli import main
from triptych.utils import storage

pytestmark = pytest.mark.slow

BORROW = """
import sys
from pathlib import Path
from triptych import bundles
print("ready", flush=True)
print(bundles.download(Path(sys.argv[1]), sys.argv[2]).name, flush=True)
"""


@pytest.fixture
def away(tmp_path: Path) -> Path:
    """The empty home folder of another machine."""
    return tmp_path / "away"


@pytest.fixture
def garden(tmp_path: Path) -> bundles.Bundle:
    return write_with_metrics(tmp_path / "own", "garden", "daisy", "rose")


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4()}/garden-1.zip"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> bundles.Bundle:
    """A bundle with a small network that can classify."""

    def fill(folder: Path) -> dict[str, Any]:
        networks.write_tiny(folder / "members" / "one" / "network.xml", classes=2)
        return {
            "labels": [{"name": name, "id": name} for name in ("daisy", "rose")],
            "members": [{"name": "one", "recipe": {"size": [32, 32], "scaling": "tf"}, "cost": 1}],
            "rule": "mean",
            "doubt": None,
        }

    return bundles.write(tmp_path_factory.mktemp("real"), "garden", fill)


def answer(home: Path, committee: str) -> dict[str, Any]:
    verdict = triptych.load(committee, home=home, precision="f32").classify(picture(3)).to_dict()
    return {key: value for key, value in verdict.items() if key != "timing"}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


# ------------------------------------------------------------------ the same bundle, elsewhere


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_bundle_at_a_url_gives_the_same_answers(
    real: bundles.Bundle, away: Path, url: str, tmp_path: Path, kind: str
) -> None:
    location = url if kind == "memory" else f"file://{tmp_path}/shared/garden-1.zip"
    pinned = bundles.upload(real, location)
    at_home = answer(real.folder.parents[2], "garden")
    assert answer(away, pinned) == at_home
    assert answer(away, location) == at_home
    assert at_home["verdict"]["label"] in ("daisy", "rose")


def test_the_hash_file_is_that_of_sha256sum(garden: bundles.Bundle, tmp_path: Path) -> None:
    pinned = bundles.upload(garden, f"file://{tmp_path}/shared/garden-1.zip")
    checked = subprocess.run(
        ["sha256sum", "-c", "garden-1.zip.sha256"],
        cwd=tmp_path / "shared",
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.stdout == "garden-1.zip: OK\n"
    digest = hashlib.sha256((tmp_path / "shared" / "garden-1.zip").read_bytes()).hexdigest()
    assert pinned == f"file://{tmp_path}/shared/garden-1.zip#sha256={digest}"
    assert bundles.with_digest(f"file://{tmp_path}/shared/garden-1.zip") == pinned


def test_the_commands_export_import_and_classify_by_url(
    real: bundles.Bundle, away: Path, tmp_path: Path
) -> None:
    location = f"file://{tmp_path}/shared/garden-1.zip"
    lent = run("bundles", "export", "garden", location, "--home", real.folder.parents[2])
    assert lent.exit_code == 0, lent.output
    pinned = lent.stdout.strip()
    assert pinned.startswith(f"{location}#sha256=")
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(picture(3))
    ran = run("classify", photo, "--committee", pinned, "--json", "--home", away)
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["verdict"]["label"] in ("daisy", "rose")
    taken = run("bundles", "import", pinned, "--name", "mine", "--home", away)
    assert "mine, version 1" in taken.stdout, taken.output
    assert bundles.names(away) == ["mine"]
    refused = run("bundles", "export", "mine", "memory://bucket/garden", "--home", away)
    assert refused.exit_code == 2
    assert "'memory://bucket/garden' does not name a zip file" in refused.stderr
    refused = run("bundles", "show", pinned, "--home", away)
    assert "is a URL; expected a committee in this home" in refused.stderr
    assert "triptych bundles import URL" in refused.stderr


@contextlib.contextmanager
def serving(*options: str | Path) -> Iterator[str]:
    """A studio in a separate process; gives its address."""
    command = [sys.executable, "-m", "triptych", "serve", "--port", "0", "--precision", "f32"]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            line = next(line for line in process.stderr if "is open at http://" in line)
            yield line.partition("is open at ")[2].partition("/ ")[0]
        finally:
            process.kill()


def test_a_studio_serves_a_bundle_at_a_url(real: bundles.Bundle, tmp_path: Path) -> None:
    pinned = bundles.upload(real, f"file://{tmp_path}/shared/garden-1.zip")
    with serving("--committee", pinned, "--home", tmp_path / "away") as address:
        with urllib.request.urlopen(f"{address}/api/v1/committees", timeout=300) as response:
            offer = json.load(response)
        request = urllib.request.Request(
            f"{address}/api/v1/classify", picture(3), {"Content-Type": "image/jpeg"}
        )
        with urllib.request.urlopen(request, timeout=300) as response:
            (result,) = json.load(response)["results"]
    assert offer["default"] == "garden"
    assert "garden" in [facts["name"] for facts in offer["committees"]]
    home = answer(real.folder.parents[2], "garden")
    assert result["verdict"]["label"] == home["verdict"]["label"]
    assert result["verdict"]["prob"] == home["verdict"]["prob"]


def test_a_studio_refuses_a_url_with_the_name_of_its_own_bundle(
    garden: bundles.Bundle, url: str
) -> None:
    pinned = bundles.upload(garden, url)
    ran = run("serve", "--committee", pinned, "--port", 0, "--home", garden.folder.parents[2])
    assert ran.exit_code == 2
    assert "has another garden" in ran.stderr
    assert "give another --home" in ran.stderr


# ------------------------------------------------------------------ only what its hash says


def nothing_kept(home: Path) -> bool:
    return not any((home / "fetched").glob("*/1"))


def test_a_url_without_any_hash_is_refused(garden: bundles.Bundle, away: Path, url: str) -> None:
    bundles.upload(garden, url)
    bare = url.replace("garden-1", "copy")
    storage.write(bare, storage.read(url))
    with pytest.raises(
        errors.SettingError, match=r"not known what has to be in .*copy\.zip: .*"
    ) as e:
        bundles.download(away, bare)
    assert f"{bare}#sha256=..." in e.value.message
    assert "copy.zip.sha256 beside it" in e.value.message
    assert "triptych bundles export NAME URL" in e.value.message


@pytest.mark.parametrize("hash_", ["", "12", "g" * 64, "a" * 65])
def test_an_invalid_hash_is_refused(away: Path, hash_: str) -> None:
    with pytest.raises(errors.SettingError, match="is no SHA-256; expected 64 hexadecimal digits"):
        bundles.download(away, f"memory://bucket/garden.zip#sha256={hash_}")


def test_a_hash_may_be_upper_case(garden: bundles.Bundle, away: Path, url: str) -> None:
    location, mark, digest = bundles.upload(garden, url).rpartition("#sha256=")
    assert bundles.download(away, f"{location}{mark}{digest.upper()}").name == "garden"
    assert [path.name for path in (away / "fetched").iterdir()] == [digest]


def test_a_file_with_another_hash_is_refused(garden: bundles.Bundle, away: Path, url: str) -> None:
    pinned = bundles.upload(garden, url)
    data = storage.read(url)
    storage.write(url, data[:-1] + bytes([data[-1] ^ 1]))
    for named in (pinned, url):
        with pytest.raises(errors.SourceError, match="is not the file that was expected"):
            bundles.download(away, named)
    assert nothing_kept(away)


def zipped(folder: Path, target: Path, **changed: bytes) -> str:
    """The files of a bundle as one zip, some of them changed: its URL with the right hash."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                data = changed.pop(path.name.replace(".", "_"), None)
                archive.writestr(path.relative_to(folder).as_posix(), data or path.read_bytes())
        for name, data in changed.items():
            archive.writestr(f"../{name}", data)
    return f"file://{target}#sha256={hashlib.sha256(target.read_bytes()).hexdigest()}"


def test_the_files_of_a_bundle_are_checked_against_their_hashes(
    garden: bundles.Bundle, away: Path, tmp_path: Path
) -> None:
    crafted = zipped(garden.folder, tmp_path / "crafted.zip", network_bin=b"other weights")
    with pytest.raises(errors.BundleError, match=r"crafted\.zip: .*network\.bin is not the file"):
        bundles.download(away, crafted)
    assert nothing_kept(away)


def test_archives_cannot_write_outside_their_folder(
    garden: bundles.Bundle, away: Path, tmp_path: Path
) -> None:
    crafted = zipped(garden.folder, tmp_path / "crafted.zip", evil=b"x")
    with pytest.raises(errors.BundleError, match=r"it writes to '\.\./evil'"):
        bundles.download(away, crafted)
    assert nothing_kept(away)
    assert not list(away.rglob("evil"))


@pytest.mark.parametrize("name", ["lite", "../up", "a b", ""])
def test_a_bundle_cannot_take_a_reserved_name(
    garden: bundles.Bundle, away: Path, tmp_path: Path, name: str
) -> None:
    about = json.dumps({**garden.about, "name": name}).encode()
    crafted = zipped(garden.folder, tmp_path / "crafted.zip", bundle_json=about)
    with pytest.raises(errors.BundleError, match="A bundle cannot be called"):
        bundles.download(away, crafted)
    assert nothing_kept(away)


def test_a_file_that_is_not_a_bundle_is_named(away: Path, tmp_path: Path) -> None:
    (tmp_path / "page.zip").write_bytes(b"<!doctype html>")
    digest = hashlib.sha256(b"<!doctype html>").hexdigest()
    with pytest.raises(errors.BundleError, match=r"page\.zip: .*cannot be read as a bundle"):
        bundles.download(away, f"file://{tmp_path}/page.zip#sha256={digest}")
    assert nothing_kept(away)


# ------------------------------------------------------------------ fetched once


@dataclass
class Shared:
    """A web server over a folder, which counts what it is asked for.

    Args:
        address: Where it listens.
        requested: The paths it was asked for.
        wait: Called before each answer.
    """

    address: str = ""
    requested: list[str] = field(default_factory=list)
    wait: Callable[[], object] = lambda: None


class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments: Any, shared: Shared, **options: Any) -> None:
        self._shared = shared
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        self._shared.requested.append(self.path)
        self._shared.wait()
        super().do_GET()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    folder, server_state = tmp_path / "shared", Shared()
    folder.mkdir()
    handler = functools.partial(Handler, shared=server_state, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server_state.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server_state
        server.shutdown()


@pytest.fixture
def pinned(shared: Shared, garden: bundles.Bundle, tmp_path: Path) -> str:
    """The bundle's URL on the web server."""
    lent = bundles.upload(garden, f"file://{tmp_path}/shared/garden-1.zip")
    return f"{shared.address}/garden-1.zip#sha256={lent.rpartition('=')[2]}"


def test_a_downloaded_bundle_needs_no_network(shared: Shared, pinned: str, away: Path) -> None:
    first = bundles.download(away, pinned)
    assert shared.requested == ["/garden-1.zip"]
    again = bundles.download(away, pinned)
    assert (again.folder, again.labels) == (first.folder, first.labels)
    assert shared.requested == ["/garden-1.zip"]
    bundles.download(away, pinned.partition("#")[0])
    assert shared.requested == ["/garden-1.zip", "/garden-1.zip.sha256"]


def test_a_changed_bundle_is_downloaded_again(
    shared: Shared, pinned: str, away: Path, garden: bundles.Bundle, tmp_path: Path
) -> None:
    url = pinned.partition("#")[0]
    assert bundles.download(away, url).labels == garden.labels
    newer = write_with_metrics(tmp_path / "own", "garden", "tulip", "iris")
    bundles.upload(newer, f"file://{tmp_path}/shared/garden-1.zip")
    assert bundles.download(away, url).labels == newer.labels
    assert bundles.download(away, pinned).labels == garden.labels


def start(away: Path, url: str) -> subprocess.Popen[str]:
    """A process that is about to download a bundle."""
    command = [sys.executable, "-c", BORROW, str(away), url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n", process.communicate()[0]
    return process


def test_simultaneous_processes_download_once(shared: Shared, pinned: str, away: Path) -> None:
    all_ready = threading.Event()
    shared.wait = all_ready.wait
    processes = [start(away, pinned) for _ in range(3)]
    all_ready.set()
    assert [process.communicate()[0] for process in processes] == ["garden\n"] * 3
    assert shared.requested == ["/garden-1.zip"]
    (folder,) = (away / "fetched").iterdir()
    assert not list(folder.glob(".writing-*"))


def test_a_process_killed_while_downloading_blocks_nobody(
    shared: Shared, pinned: str, away: Path
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        go_on.wait(300)

    shared.wait = hang
    with start(away, pinned) as process:
        assert begun.wait(300)
        os.kill(process.pid, signal.SIGKILL)
    assert nothing_kept(away)
    shared.wait = lambda: None
    assert bundles.download(away, pinned).name == "garden"
    go_on.set()
    assert len(shared.requested) == 2
