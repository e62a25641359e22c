"""The HTTP API of the Hugging Face Hub, as far as its client uses it for repositories of models.

Commits, branches, private and gated repositories, tokens that may read or write, large files (LFS)
behind a redirect to a signed address, and the validation of model cards. Requests are
kept, so that a test can see what was sent.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from urllib.parse import parse_qs
from urllib.parse import unquote
from urllib.parse import urlsplit

import yaml

WRITER, READER, STRANGER = "hf_writer_secret", "hf_reader_secret", "hf_stranger_secret"
LARGE_SUFFIXES = (".bin", ".keras", ".npz")
LICENCES = ("apache-2.0", "mit", "cc-by-4.0", "cc0-1.0", "gpl-3.0", "other")


@dataclass
class Repository:
    """A repository; each commit is a whole tree of files."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.commit("main", {".gitattributes": b"*.bin filter=lfs\n"})

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        """Add a commit to a branch."""
        parent = self.branches.get(branch, "")
        digest = hashlib.sha1(parent.encode(), usedforsecurity=False)
        for name, data in sorted(files.items()):
            digest.update(name.encode() + hashlib.sha256(data).digest())
        sha = digest.hexdigest()
        self.commits[sha] = dict(files)
        self.branches[branch] = sha
        return sha

    @property
    def files(self) -> dict[str, bytes]:
        """The files of the main branch."""
        return self.commits[self.branches["main"]]


@dataclass
class Hub:
    """The state of a Hub, and what it was asked."""

    url: str = ""
    repos: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    # Those that had a token, by its value.
    with_token: dict[str, list[str]] = field(default_factory=dict)
    refuse_cards: str = ""
    # What is sent instead of a file, by its name.
    tampered: dict[str, bytes] = field(default_factory=dict)
    # Called with each commit before it is made, as another person's commit would be.
    before_commit: list[Callable[[], object]] = field(default_factory=list)
    # Sizes that are claimed for files, by their names.
    claimed: dict[str, int] = field(default_factory=dict)


class Refused(Exception):
    """An answer with an error, as the Hub words them."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


def wrong_in_card(content: str) -> list[str]:
    """What is wrong with the metadata of a model card, by the Hub's documented rules."""
    matched = re.match(r"---\n(.*?)\n---", content, re.DOTALL)
    try:
        data = yaml.safe_load(matched[1]) if matched else {}
    except yaml.YAMLError as error:
        return [f"YAML: {error}"]
    wrong = []
    if data.get("license", "mit") not in LICENCES:
        wrong.append(f'"license" must be one of {list(LICENCES)}')
    if not re.fullmatch(r"[a-z0-9.-]+", str(data.get("license_name", "x"))):
        wrong.append('"license_name" must match /^[a-z0-9-.]+$/')
    for key in ("tags", "metrics"):
        values = data.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            wrong.append(f'"{key}" must be an array of strings')
    for key in ("library_name", "pipeline_tag"):
        if not isinstance(data.get(key, ""), str):
            wrong.append(f'"{key}" must be a string')
    for entry in data.get("model-index", []):
        for result in entry["results"]:
            parts = [
                result.get("task", {}).get("type"),
                *map(result["dataset"].get, ("type", "name")),
            ]
            figures = [row for row in result["metrics"] if {"type", "value"} <= row.keys()]
            if not entry.get("name") or not all(parts) or not figures:
                wrong.append('"model-index" lacks a name, a task, a dataset or metrics')
    return wrong


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the Hub does."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        """Nothing is printed."""

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        address = urlsplit(self.path)
        self.hub.requests.append(f"{self.command} {self.path}")
        if self._token:
            self.hub.with_token.setdefault(self._token, []).append(self.path)
        try:
            for method, pattern, action in ROUTES:
                matched = re.fullmatch(pattern, address.path)
                if matched and self.command in method:
                    action(self, body, *map(unquote, matched.groups()))
                    return
            raise Refused(404, f"Cannot {self.command} {address.path}")
        except Refused as error:
            headers = {"X-Error-Message": error.message, "X-Error-Code": error.code}
            self._send(error.status, json.dumps({"error": error.message}).encode(), headers)

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Length": str(len(data)), **(headers or {})}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _json(self, value: object, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    # ------------------------------------------------------------------ who may do what

    @property
    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _repo(self, name: str, *, write: bool = False) -> Repository:
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and self._token not in (WRITER, READER)):
            status = 404 if self._token else 401
            raise Refused(status, "Repository not found", "RepoNotFound")
        if repo.gated and self._token not in (WRITER, READER):
            raise Refused(403, "Access to model is restricted", "GatedRepo")
        if write and self._token != WRITER:
            raise Refused(403, "Your token has no permission to write to this repository")
        return repo

    def _commit(self, repo: Repository, revision: str) -> str:
        sha = repo.branches.get(revision, revision)
        if sha not in repo.commits:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha

    # ------------------------------------------------------------------ repositories

    def create(self, body: bytes) -> None:
        """POST /api/repos/create."""
        wish = json.loads(body)
        if self._token != WRITER:
            status = 403 if self._token else 401
            raise Refused(status, "You don't have the rights to create a model")
        name = f"{wish['organization']}/{wish['name']}"
        url = f"{self.hub.url}/{name}"
        if name in self.hub.repos:
            self._json({"error": "You already created this model repo", "url": url}, 409)
            return
        is_private = wish.get("visibility") == "private" or bool(wish.get("private"))
        self.hub.repos[name] = Repository(private=is_private)
        self._json({"url": url, "name": name, "id": name})

    def info(self, body: bytes, name: str, revision: str = "main") -> None:
        """GET /api/models/user/name/revision/main."""
        repo = self._repo(name)
        sha = self._commit(repo, revision)
        files = [{"rfilename": path} for path in repo.commits[sha]]
        self._json(
            {"id": name, "modelId": name, "sha": sha, "private": repo.private, "siblings": files}
        )

    def _row(self, path: str, data: bytes) -> dict[str, Any]:
        git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        row: dict[str, Any] = {"type": "file", "path": path, "oid": git}
        row["size"] = self.hub.claimed.get(path, len(data))
        if path.endswith(LARGE_SUFFIXES):
            digest = hashlib.sha256(data).hexdigest()
            row["lfs"] = {"oid": digest, "size": row["size"], "pointerSize": 130}
        return row

    def tree(self, body: bytes, name: str, revision: str) -> None:
        """GET /api/models/user/name/tree/main."""
        repo = self._repo(name)
        files = repo.commits[self._commit(repo, revision)]
        self._json([self._row(path, data) for path, data in files.items()])

    def paths_info(self, body: bytes, name: str, revision: str) -> None:
        """POST /api/models/user/name/paths-info/main."""
        repo = self._repo(name)
        files = repo.commits[self._commit(repo, revision)]
        wanted = parse_qs(body.decode())["paths"]
        self._json([self._row(path, files[path]) for path in wanted if path in files])

    # ------------------------------------------------------------------ writing

    def validate(self, body: bytes) -> None:
        """POST /api/validate-yaml."""
        content = json.loads(body)["content"]
        wrong = [{"message": message} for message in wrong_in_card(content)]
        if self.hub.refuse_cards:
            wrong.append({"message": self.hub.refuse_cards})
        self._json({"errors": wrong, "warnings": []}, 400 if wrong else 200)

    def preupload(self, body: bytes, name: str, revision: str) -> None:
        """POST /api/models/user/name/preupload/main: which files are large."""
        repo = self._repo(name, write=True)
        there = repo.commits[self._commit(repo, revision)]
        rows = []
        for path in (row["path"] for row in json.loads(body)["files"]):
            row = {"path": path, "shouldIgnore": False, "uploadMode": "regular"}
            if path.endswith(LARGE_SUFFIXES):
                row["uploadMode"] = "lfs"
            if path in there:
                known = self._row(path, there[path])
                row["oid"] = known.get("lfs", known)["oid"]
            rows.append(row)
        self._json({"files": rows})

    def batch(self, body: bytes, name: str) -> None:
        """POST /user/name.git/info/lfs/objects/batch: where large files go."""
        self._repo(name, write=True)
        objects = [
            {**row, "actions": {"upload": {"href": f"{self.hub.url}/upload/{row['oid']}"}}}
            if row["oid"] not in self.hub.large
            else row
            for row in json.loads(body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def upload(self, body: bytes, digest: str) -> None:
        """PUT /upload/0f3a...: a large file."""
        if hashlib.sha256(body).hexdigest() != digest:
            raise Refused(400, "The content has another hash")
        self.hub.large[digest] = body
        self._send(200, b"")

    def commit(self, body: bytes, name: str, branch: str) -> None:
        """POST /api/models/user/name/commit/main: one JSON object a line."""
        repo = self._repo(name, write=True)
        for action in self.hub.before_commit:
            action()
        lines = [json.loads(line) for line in body.splitlines()]
        if lines[0]["value"].get("parentCommit", repo.branches[branch]) != repo.branches[branch]:
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        files = dict(repo.commits[repo.branches[branch]])
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        sha = repo.commit(branch, files)
        self._json({"commitUrl": f"{self.hub.url}/{name}/commit/{sha}", "commitOid": sha})

    # ------------------------------------------------------------------ reading

    def resolve(self, body: bytes, name: str, revision: str, path: str) -> None:
        """GET /user/name/resolve/main/README.md; large files are redirected."""
        repo = self._repo(name)
        sha = self._commit(repo, revision)
        if path not in repo.commits[sha]:
            raise Refused(404, "Entry not found", "EntryNotFound")
        data = repo.commits[sha][path]
        row = self._row(path, data)
        data = self.hub.tampered.get(path, data)
        headers = {"X-Repo-Commit": sha, "ETag": f'"{row["oid"]}"'}
        if "lfs" in row:
            digest = row["lfs"]["oid"]
            self.hub.large[digest] = data
            headers |= {
                "X-Linked-ETag": f'"{digest}"',
                "X-Linked-Size": str(len(data)),
                # Another host than the Hub's, which gets no token.
                "Location": f"{self.hub.url}/cdn/{digest}?Signature=signed".replace(
                    "127.0.0.1", "localhost"
                ),
            }
            self._send(302, b"", headers)
        else:
            self._send(200, data, headers)

    def cdn(self, body: bytes, digest: str) -> None:
        """GET /cdn/0f3a...: a large file, for whoever has its signed address."""
        if not self.path.endswith("?Signature=signed"):
            raise Refused(403, "Not signed")
        self._send(200, self.hub.large[digest])


REPO = r"([^/]+/[^/]+)"
ROUTES = (
    (("POST",), r"/api/repos/create", Handler.create),
    (("POST",), r"/api/validate-yaml", Handler.validate),
    (("GET",), rf"/api/models/{REPO}", Handler.info),
    (("GET",), rf"/api/models/{REPO}/revision/([^/]+)", Handler.info),
    (("GET",), rf"/api/models/{REPO}/tree/([^/]+)", Handler.tree),
    (("POST",), rf"/api/models/{REPO}/paths-info/([^/]+)", Handler.paths_info),
    (("POST",), rf"/api/models/{REPO}/preupload/([^/]+)", Handler.preupload),
    (("POST",), rf"/api/models/{REPO}/commit/([^/]+)", Handler.commit),
    (("POST",), rf"/{REPO}\.git/info/lfs/objects/batch", Handler.batch),
    (("PUT",), r"/upload/(\w+)", Handler.upload),
    (("GET", "HEAD"), rf"/{REPO}/resolve/([^/]+)/(.+)", Handler.resolve),
    (("GET", "HEAD"), r"/cdn/(\w+)", Handler.cdn),
)


@contextlib.contextmanager
def running() -> Iterator[Hub]:
    """A Hub on this machine, empty."""
    hub = Hub()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), type("HubHandler", (Handler,), {"hub": hub})
    )
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
