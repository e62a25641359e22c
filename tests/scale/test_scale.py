"""Serving on a cluster: what can be tested without one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pydantic
import pytest
from click.testing import CliRunner

from triptych import errors
from triptych.cli import main
from triptych.cli.scale import read
from triptych.scale import cluster
from triptych.scale import error_middleware
from triptych.scale.arguments import Arguments

WITHOUT_RAY = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("ray", "a2wsgi", "pydantic", "starlette"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from importlib import util
util.find_spec = lambda name, found=util.find_spec: None if name == "ray" else found(name)
from triptych.cli import main
main(sys.argv[1:])
"""


def test_without_ray_one_message_says_how_to_get_it() -> None:
    command = [sys.executable, "-c", WITHOUT_RAY]
    ran = subprocess.run([*command, "scale", "serve"], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr == (
        "Error: Using a cluster needs ray. Install what is missing with: "
        'pip install "triptych[ray]"\n'
    )
    looked = subprocess.run(
        [*command, "scale", "serve", "--help"], capture_output=True, text=True, check=True
    )
    assert "Serve a committee on a cluster" in looked.stdout


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"settings": {"portt": 1}}, "Unknown settings: portt; expected some of: allowed_hosts, "),
        ({"settings": {"api_key": "secret"}}, "Unknown settings: api_key; expected some of"),
        ({"settings": {"deadline_s": "soon"}}, "TRIPTYCH_DEADLINE_S is 'soon'; expected a value"),
        ({"precision": "f8"}, "TRIPTYCH_PRECISION is 'f8'; expected one of: auto, f32"),
        (
            {"min_replicas": 3, "max_replicas": 2},
            "fewest replicas, 3, are more than the most, 2",
        ),
        ({"core": 2}, "Extra inputs are not permitted"),
        ({"cores": 0}, "greater than 0"),
    ],
)
def test_impossible_arguments_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        Arguments(**values)


def test_replicas_are_replaced_only_when_their_arguments_change() -> None:
    one = Arguments(committee="lite", precision="f32")
    same = Arguments(committee="garden@3", precision="f32", max_replicas=5, max_queued_requests=9)
    assert one.digest("A", "B") == same.digest("A", "B")
    assert one.digest("A", "B") != one.digest("A")
    for other in ({"precision": "bf16"}, {"cores": 2.0}, {"settings": {"deadline_s": 5}}):
        assert Arguments(**{"precision": "f32", **other}).digest("A", "B") != one.digest("A", "B")


@pytest.mark.parametrize(
    ("name", "value"), [("TRIPTYCH_CERTIFICATE", "photos.pem"), ("TRIPTYCH_SELF_SIGNED", "on")]
)
def test_https_is_refused_instead_of_left_out(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(errors.SettingError, match=f"{name} is set, and Ray Serve answers by http"):
        Arguments().settings_in_force()


def test_options_and_environment_become_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRIPTYCH_PRECISION", raising=False)  # of `make test PRECISION=f32`
    monkeypatch.setenv("TRIPTYCH_HOME", str(tmp_path))
    monkeypatch.setenv("TRIPTYCH_DEADLINE_S", "5")
    monkeypatch.setenv("TRIPTYCH_API_KEY", "a secret")
    in_force, arguments = read({"committee": "lite", "cores": 2.0, "port": 81})
    assert in_force.port == 81
    assert arguments == Arguments(
        committee="lite", cores=2.0, home=str(tmp_path), needs_key=True, settings={"deadline_s": 5}
    )
    assert "a secret" not in arguments.model_dump_json()
    with pytest.raises(errors.SettingError, match="fewest replicas, 2, are more than the most, 1"):
        read({"min_replicas": 2, "max_replicas": 1})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--committee=nobody"], "There is no committee 'nobody'; expected one of: auto, "),
        (["--host=0.0.0.0"], "Other machines can reach 0.0.0.0, and no API key is required"),
        (["--detach"], "--detach needs --address"),
        (["--port=0"], "Give --port a number above 0"),
        (["--members=ResNet5"], "ResNet5"),
    ],
)
def test_what_cannot_be_served_is_refused_before_ray_starts(words: list[str], message: str) -> None:
    ran = CliRunner().invoke(main, ["scale", "serve", *words])
    assert ran.exit_code == 2
    assert message in ran.output
    assert "Starting" not in ran.output


# ------------------------------------------------------------------ proxies


def proxied(*messages: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """What a client gets of a proxy that sends these messages."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(error_middleware.ErrorMiddleware(app)({"type": "http"}, app, send))
    start, *bodies = sent
    return start, b"".join(message["body"] for message in bodies)


def start(status: int, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


@pytest.mark.parametrize(
    ("status", "code", "refused"),
    [(None, "overloaded", 503), (503, "overloaded", 503), (408, "deadline", 504)],
)
def test_errors_of_a_proxy_take_the_form_of_the_api(
    status: int | None, code: str, refused: int
) -> None:
    content_type = (b"content-type", b"text/plain")
    words = {"type": "http.response.body", "body": b"Ray's own words"}
    start_message, body = proxied(*((start(status, content_type), words) if status else ()))
    headers = dict(start_message["headers"])
    assert (start_message["status"], headers.get(b"retry-after")) == (
        refused,
        b"1" if refused == 503 else None,
    )
    assert headers[b"content-length"] == str(len(body)).encode()
    assert json.loads(body)["error"]["code"] == code


@pytest.mark.parametrize("status", [200, 404, 503])
def test_responses_of_our_server_pass_a_proxy_unchanged(status: int) -> None:
    ours = start(status, (error_middleware.OUR_HEADER.encode(), b"nosniff"))
    start_message, body = proxied(ours, {"type": "http.response.body", "body": b"as it is"})
    assert (start_message, body) == (ours, b"as it is")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1"])
def test_a_missing_cluster_is_reported_at_once(address: str) -> None:
    begun = time.monotonic()
    with (
        pytest.raises(errors.SettingError, match=f"no Ray cluster at {address} .*ray start --head"),
        cluster.connect(address, say=print),
    ):
        pass
    assert time.monotonic() - begun < 30
