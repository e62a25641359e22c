"""The server over TLS: certificates, hostile clients, plain http, and what browsers are told."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import os
import select
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import studios
from support.images import squares
from triptych import errors
from triptych import settings
from triptych.web import certificates
from triptych.web import server
from triptych.web.certificates import Certificate

x509 = pytest.importorskip("cryptography.x509")
hashes = pytest.importorskip("cryptography.hazmat.primitives.hashes")
serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")

OPENSSL = """
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=photos.example
  -addext subjectAltName=DNS:photos.example,IP:127.0.0.1 -keyout {key} -out {certificate}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("https")


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[tuple[str, int]]:
    options = {"home": home, "self_signed": "on", "api_key": "open sesame", "log_format": "off"}
    with studios.fake_studio(**options) as (_, address):
        host, _, port = address.rpartition("/")[2].rpartition(":")
        yield host, int(port)


def client(home: Path) -> ssl.SSLContext:
    """Trusts the studio's certificate, and checks it and its names strictly."""
    return ssl.create_default_context(cafile=home / certificates.FOLDER / certificates.CERTIFICATE)


def ask(address: tuple[str, int], home: Path, path: str, body: bytes | None = None, **headers: str):
    """The response to a request over TLS, and its body."""
    connection = http.client.HTTPSConnection(*address, timeout=300, context=client(home))
    named = {"X-API-Key": "open sesame", "Content-Type": "image/png"}
    named.update({name.replace("_", "-"): value for name, value in headers.items()})
    connection.request("POST" if body is not None else "GET", path, body, named)
    with connection.getresponse() as response:
        data = response.read()
    connection.close()
    return response, data


# ------------------------------------------------------------------ the studio over https


@pytest.mark.slow
def test_pages_verdicts_and_protocols_over_https(address, home):
    assert ask(address, home, "/healthz")[1] == b"ok"
    response, data = ask(address, home, "/api/v1/classify", squares())
    assert response.status == 200
    assert json.loads(data)["results"][0]["verdict"]["label"] in studios.NAMES
    assert ask(address, home, "/v2/models/lite")[0].status == 200
    page, html = ask(address, home, "/")
    assert "https://127.0.0.1" in html.decode()  # the address in the command to copy
    # A browser that insisted on https would refuse this certificate for good.
    assert page.headers["Strict-Transport-Security"] is None
    assert ask(address, home, "/", X_API_Key="")[0].status == 401


@pytest.mark.slow
def test_cookies_are_for_https_only_and_other_sites_are_refused(address, home):
    form = {"Content_Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
    signed_in, _ = ask(address, home, "/sign-in", b"key=open+sesame", **form)
    assert signed_in.status == 303
    assert "Secure;" in signed_in.headers["Set-Cookie"]
    own = f"https://{address[0]}:{address[1]}"
    for origin, status in ((own, 200), ("https://photos.example", 403)):
        response, _ = ask(address, home, "/api/v1/classify", squares(), Origin=origin)
        assert response.status == status, origin


@pytest.mark.slow
def test_clients_that_never_speak_do_not_block_others(address, home):
    hello = ssl.MemoryBIO()
    greeting = client(home).wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        greeting.do_handshake()
    first_bytes = hello.read()
    silent = [socket.create_connection(address) for _ in range(600)]
    try:
        for number, sock in enumerate(silent):
            try:
                sock.sendall((b"", first_bytes[:40], first_bytes)[number % 3])
            except OSError:
                continue  # it had to give way
        for _ in range(3):
            assert ask(address, home, "/readyz")[0].status == 200
            assert ask(address, home, "/api/v1/classify", squares())[0].status == 200
        closed = len(select.select(silent, [], [], 0)[0])
        assert closed >= 600 - 256 - 200  # those of the limit; some hold the server's greeting
    finally:
        for sock in silent:
            sock.close()


# A studio that waits for nobody for long.
IMPATIENT = """
from support import studios
from triptych.web import connections
connections.HEAD_S, connections.SWEEP_S = 0.5, 0.05
studios.main("fake")
"""


@pytest.mark.slow
def test_handshakes_have_a_deadline_which_single_bytes_do_not_extend(home):
    environ = {"TRIPTYCH_HOME": str(home), "TRIPTYCH_SELF_SIGNED": "on"}
    with subprocess.Popen(
        [sys.executable, "-c", IMPATIENT],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    ) as process:
        try:
            line = next(line for line in process.stdout if " open at " in line)
            port = int(line.split(":")[2].partition("/")[0])
            for start, drop in ((b"", b""), (b"\x16\x03\x01\x02\x00\x01", b"\x00")):
                with socket.create_connection(("127.0.0.1", port), timeout=300) as sock:
                    sock.sendall(start)
                    with contextlib.suppress(OSError):  # it is closed
                        while not select.select([sock], [], [], 0.1)[0]:
                            sock.sendall(drop)
                        while sock.recv(1 << 12):
                            pass
            assert ask(("127.0.0.1", port), home, "/livez")[0].status == 200
        finally:
            process.kill()


@pytest.mark.slow
def test_plain_http_is_told_to_use_https(address):
    connection = http.client.HTTPConnection(*address, timeout=300)
    connection.request("GET", "/")
    response = connection.getresponse()
    assert response.status == 400
    assert b"Begin its address with https://" in response.read()
    connection.close()


# ------------------------------------------------------------------ self-signed


def of(home: Path, **options: object) -> Certificate | None:
    return certificates.of(settings.load({}, home=home, **options))


def test_a_self_signed_certificate_is_kept_for_this_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(
        certificates, "own_addresses", lambda: ["127.0.0.1", "192.168.1.5", "fd::5"]
    )
    first = of(tmp_path, self_signed="on", host="0.0.0.0", allowed_hosts="photos.example")
    assert {"localhost", "127.0.0.1", "192.168.1.5", "photos.example"} <= first.names
    assert "0.0.0.0" not in first.names
    assert stat.S_IMODE(os.stat(first.key).st_mode) == 0o600
    again = of(tmp_path, self_signed="on", allowed_hosts="photos.example")
    assert again.fingerprint == first.fingerprint

    monkeypatch.setattr(certificates, "own_addresses", lambda: ["127.0.0.1", "10.0.0.9"])
    moved = of(tmp_path, self_signed="on")
    assert "10.0.0.9" in moved.names
    assert moved.fingerprint != first.fingerprint
    monkeypatch.setattr(certificates, "RENEWED_BEFORE_S", certificates.VALID.total_seconds() + 1)
    assert of(tmp_path, self_signed="on").fingerprint != moved.fingerprint
    monkeypatch.undo()
    (tmp_path / certificates.FOLDER / certificates.KEY).write_text("damaged")
    assert of(tmp_path, self_signed="on").left_s > certificates.RENEWED_BEFORE_S


def test_the_fingerprint_is_that_of_openssl(tmp_path):
    made = of(tmp_path, self_signed="on")
    shown = subprocess.run(
        ["openssl", "x509", "-in", made.path, "-noout", "-fingerprint", "-sha256"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip().endswith(f"={made.fingerprint}")


def test_what_people_are_told_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(
        certificates, "own_addresses", lambda: ["127.0.0.1", "192.168.1.5", "fd::5"]
    )
    monkeypatch.setattr(certificates, "own_names", lambda: ["localhost", "desk.local"])

    def told(host: str, **options: object) -> list[str]:
        in_force = settings.load({}, home=tmp_path, host=host, **options)
        return server._welcome(host, 5000, certificates.of(in_force), in_force)

    assert told("127.0.0.1") == [
        "The studio is open at http://127.0.0.1:5000/ (stop it with Ctrl-C)"
    ]
    _, phone, fingerprint = told("0.0.0.0", self_signed="on")
    assert phone == (
        "From a phone in the same network: https://192.168.1.5:5000/, https://[fd::5]:5000/, "
        "https://desk.local:5000/"
    )
    assert fingerprint.endswith(of(tmp_path, self_signed="on").fingerprint)
    assert "needs https, as by --self-signed" in told("0.0.0.0")[1]


# ------------------------------------------------------------------ a certificate of one's own


def make(folder: Path, name: str) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    command = OPENSSL.format(key=key, certificate=certificate).split()
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def test_a_certificate_of_ones_own_and_its_renewal(tmp_path):
    certificate, key = make(tmp_path, "photos")
    mine = of(tmp_path, certificate=str(certificate), certificate_key=str(key))
    assert mine.names == {"photos.example", "127.0.0.1"}
    joined = tmp_path / "both.pem"
    joined.write_text(key.read_text() + certificate.read_text())
    assert of(tmp_path, certificate=str(joined)).fingerprint == mine.fingerprint

    before = mine.fingerprint
    assert not mine.refresh()
    make(tmp_path, "photos")
    assert mine.refresh()
    assert mine.fingerprint != before
    key.write_text("damaged")
    with pytest.raises(errors.SettingError):
        mine.refresh()
    assert not mine.refresh()  # reported once


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"certificate": "absent.pem"}, "absent.pem cannot be read: No such file"),
        ({"certificate": "photos.crt"}, "contains no private key.*--key"),
        ({"certificate": "photos.key"}, "contains no certificate"),
        ({"certificate": "photos.crt", "certificate_key": "other.key"}, "does not belong to"),
        ({"certificate": "photos.crt", "certificate_key": "locked.key"}, "is encrypted.*openssl"),
        ({"certificate": "old.crt", "certificate_key": "old.key"}, "has expired. Renew it"),
        (
            {"certificate": "photos.der", "certificate_key": "photos.key"},
            "openssl x509 -inform DER",
        ),
        ({"certificate": "photos.crt", "certificate_key": "photos.der"}, "no private key.*binary"),
        ({"certificate": "swapped.pem", "certificate_key": "leaf.key"}, "that of certificate 2"),
        ({"certificate": "torn.pem", "certificate_key": "leaf.key"}, "is not signed by the ones"),
        ({"certificate": "stale.pem", "certificate_key": "leaf.key"}, "follows it there, has exp"),
        ({"certificate": "short.crt", "certificate_key": "short.key"}, "too short to be safe"),
        ({"certificate_key": "photos.key"}, "Add --certificate"),
        ({"certificate": "photos.crt", "self_signed": "on"}, "expected one of them"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_way_out(broken, monkeypatch, options, message):
    monkeypatch.chdir(broken)
    with pytest.raises(errors.SettingError, match=message):
        of(broken, **options)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with certificates and keys, some of which cannot be used."""
    folder = tmp_path_factory.mktemp("broken")
    _, key = make(folder, "photos")
    make(folder, "other")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificates, "VALID", datetime.timedelta(hours=-1))
        for kind, data in zip(("crt", "key"), certificates._sign({"localhost"}), strict=True):
            (folder / f"old.{kind}").write_bytes(data)
    lock = f"openssl pkey -in {key} -aes128 -passout pass:sesame -out {folder / 'locked.key'}"
    subprocess.run(lock.split(), check=True, capture_output=True)
    photos = (folder / "photos.crt").read_text()
    (folder / "photos.der").write_bytes(ssl.PEM_cert_to_DER_cert(photos))
    leaf, fresh, stale = chained(folder)
    (folder / "swapped.pem").write_text(fresh + leaf)
    (folder / "torn.pem").write_text(leaf + photos)
    (folder / "stale.pem").write_text(leaf + stale)
    (folder / "chain.pem").write_text(leaf + fresh)
    short = "openssl req -x509 -newkey rsa:512 -nodes -subj /CN=short"
    files = ["-keyout", folder / "short.key", "-out", folder / "short.crt"]
    subprocess.run([*short.split(), *files], check=True, capture_output=True)
    return folder


def chained(folder: Path) -> tuple[str, str, str]:
    """A certificate, that of who signed it, and the same expired; its key is a file."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in "ab"]
    now = datetime.datetime.now(datetime.timezone.utc)

    def signed(subject: int, days: int) -> str:
        certificate = (
            x509.CertificateBuilder(names[1], names[subject], keys[subject].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=9))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=bool(subject), path_length=None), True)
            .sign(keys[1], hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    (folder / "leaf.key").write_bytes(
        keys[0].private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return signed(0, 9), signed(1, 9), signed(1, -1)


def test_a_chain_in_order_is_used(broken):
    options = {
        "certificate": str(broken / "chain.pem"),
        "certificate_key": str(broken / "leaf.key"),
    }
    assert of(broken, **options).left_s > 0
