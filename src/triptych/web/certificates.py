"""What makes the server speak https: a certificate of one's own, or one that it signs itself."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import ipaddress
import os
import re
import socket
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any
from typing import NoReturn

import gevent.ssl

from triptych import errors
from triptych.settings import Settings
from triptych.utils import extras
from triptych.utils import files

FOLDER = "https"
CERTIFICATE, KEY = "certificate.pem", "key.pem"
# Phones refuse certificates that are valid for longer than 398 days.
VALID = datetime.timedelta(days=397)
RENEWED_BEFORE_S = 30 * 24 * 3600
# Of private and documentation networks. Nothing is sent there: the system says which of the
# machine's addresses it would use.
ROUTES = (
    *("192.0.2.1", "10.255.255.254", "172.31.255.254", "192.168.255.254"),
    *("2001:db8::1", "fd00::1"),
)
ONE = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.S)
# By X509_V_ERR of OpenSSL.
REASONS = {
    9: "is not valid yet. Wait, or set this machine's clock",
    10: "has expired. Renew it",
    20: "is not signed by the ones that follow it. Put those between it and its root behind it, "
    "each signed by the next",
}
TOO_SHORT = ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL")


class Certificate:
    """The certificate of a server, which follows its files: a renewed one is used at once.

    Args:
        path: A PEM file with the certificate, and with those between it and its root.
        key: A PEM file with its private key; by default the same file.

    Raises:
        errors.SettingError: It cannot be used; the message says why.
    """

    def __init__(self, path: Path, key: Path | None = None) -> None:
        self.path = path
        self.key = key or path
        self.context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._read_as: tuple[int, ...] = ()
        self.refresh()

    def refresh(self) -> bool:
        """Read the files again if they have changed; returns whether they have.

        Raises:
            errors.SettingError: They cannot be used; the certificate before goes on.
        """
        read_as = tuple(_modified_ns(path) for path in (self.path, self.key))
        if read_as == self._read_as:
            return False
        self._read_as = read_as  # what cannot be used is reported once
        self.facts = _try(_load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self), self.path)
        _load(self.context, self)
        self._der = ssl.PEM_cert_to_DER_cert(_certificates(self.path)[0])
        return True

    @property
    def names(self) -> set[str]:
        """Names and addresses that it is for."""
        rows = self.facts.get("subjectAltName", ())
        return {_address(name) if kind == "IP Address" else name for kind, name in rows}

    @property
    def left_s(self) -> float:
        """Seconds until it expires."""
        return ssl.cert_time_to_seconds(self.facts["notAfter"]) - time.time()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 digest, as browsers show it."""
        return ":".join(re.findall("..", hashlib.sha256(self._der).hexdigest().upper()))


def of(settings: Settings) -> Certificate | None:
    """The certificate that settings ask for; ``None`` for plain http.

    Args:
        settings: The certificate's files, or that the server signs one itself.

    Raises:
        errors.SettingError: The settings contradict each other, or it cannot be used.
    """
    is_self_signed = settings.self_signed == "on"
    if settings.certificate_key and not settings.certificate:
        raise errors.SettingError("A key was given without its certificate. Add --certificate.")
    if settings.certificate and is_self_signed:
        raise errors.SettingError(
            "Both a certificate and --self-signed were given; expected one of them."
        )
    if settings.certificate:
        key = Path(settings.certificate_key).expanduser() if settings.certificate_key else None
        return Certificate(Path(settings.certificate).expanduser(), key)
    return self_signed(settings) if is_self_signed else None


def self_signed(settings: Settings) -> Certificate:
    """A certificate in the home folder, made unless there is one for this machine as it is now.

    It is for `localhost`, and for the names and addresses that the machine has in its networks.

    Args:
        settings: The home folder, the host, and further names in ``allowed_hosts``.

    Raises:
        errors.SettingError: The package `cryptography` is missing.
    """
    folder = settings.home / FOLDER
    more = re.split(r"[,\s]+", f"{settings.allowed_hosts},{settings.host}")
    names = {*own_names(), *own_addresses(), *filter(_is_specific, more)}
    with contextlib.suppress(errors.SettingError):  # none, damaged, or expired
        present = Certificate(folder / CERTIFICATE, folder / KEY)
        if names <= present.names and present.left_s > RENEWED_BEFORE_S:
            return present
    extras.require("A self-signed certificate", "cryptography", extra="https")
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = _sign(names)
    with files.atomic_file(folder / KEY) as new:
        new.touch(mode=0o600)  # before the key is in it
        new.write_bytes(key)
    with files.atomic_file(folder / CERTIFICATE) as new:
        new.write_bytes(certificate)
    return Certificate(folder / CERTIFICATE, folder / KEY)


def own_names() -> list[str]:
    """The names of this machine: its own, also as networks without a name server know it."""
    name = socket.gethostname().lower()
    local = [name, f"{name.partition('.')[0]}.local"] if re.fullmatch(r"[\w.-]+", name) else []
    return list(dict.fromkeys(["localhost", *local]))


def own_addresses() -> list[str]:
    """The addresses of this machine, those of itself first, then those in its networks."""
    found = ["127.0.0.1", "::1"]
    for target in ROUTES:
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        with (
            contextlib.suppress(OSError),  # there is no such network
            socket.socket(family, socket.SOCK_DGRAM) as probe,
        ):
            probe.connect((target, 9))
            found.append(probe.getsockname()[0])
    return list(dict.fromkeys(address for address in found if "%" not in address))


def _address(text: str) -> str:
    """An address as everybody else writes it: OpenSSL says ``FD:0:0:0:0:0:0:5`` for ``fd::5``."""
    return str(ipaddress.ip_address(text.strip()))


def _is_specific(host: str) -> bool:
    return bool(host) and host not in ("0.0.0.0", "::")


def _sign(names: set[str]) -> tuple[bytes, bytes]:
    """A new certificate and its key, as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "Triptych")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # the phone's clock may be behind
        .not_valid_after(now + VALID)
        .add_extension(
            x509.SubjectAlternativeName([_general_name(n) for n in sorted(names)]), False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _general_name(name: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


# ------------------------------------------------------------------ reading


def _modified_ns(path: Path) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError as error:
        raise errors.SettingError(
            f"{path} cannot be read: {error.strerror}. Expected a PEM file for https."
        ) from None


def _load(context: ssl.SSLContext, files_of: Certificate) -> ssl.SSLContext:
    """Load a certificate and its key into a context."""
    path, key = files_of.path, files_of.key

    def refuse_password() -> NoReturn:
        raise errors.SettingError(
            f"The key in {key} is encrypted, and a server starts without a person who knows the "
            f"password. Write it without one: openssl pkey -in {key.name} -out plain.pem"
        )

    try:
        context.load_cert_chain(path, key, password=refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = _mismatch(path, key)
        elif not _certificates(path):
            problem = f"{path} contains no certificate; expected a PEM file.{_how_to_pem(path)}"
        elif "PRIVATE KEY-----" not in key.read_text("latin-1"):
            problem = (
                f"{key} contains no private key; expected a PEM file. Name it with --key."
                f"{_how_to_pem(key)}"
            )
        elif error.reason in TOO_SHORT:
            problem = (
                f"A key in {path} is too short to be safe. Make another, of 2048 bits or more."
            )
        else:
            problem = f"{path} and {key} cannot be used: {error.reason or error}."
        raise errors.SettingError(problem) from None
    except OSError as error:
        raise errors.SettingError(
            f"{path} and {key} cannot be read: {error.strerror}. Expected PEM files for https."
        ) from None
    return context


def _certificates(path: Path) -> list[str]:
    """The certificates of a PEM file, in order."""
    return ONE.findall(path.read_text("latin-1"))


def _mismatch(path: Path, key: Path) -> str:
    """Why a key does not fit: it may be that of another certificate of the same file."""
    for position, certificate in enumerate(_certificates(path)[1:], 2):
        with tempfile.TemporaryDirectory() as folder:
            alone = Path(folder) / CERTIFICATE
            alone.write_text(certificate, "latin-1")
            with contextlib.suppress(ssl.SSLError):
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(alone, key)
                return (
                    f"The key in {key} is that of certificate {position} in {path}. Put the "
                    "server's own certificate first, then those between it and its root."
                )
    return f"The key in {key} does not belong to the certificate in {path}."


def _how_to_pem(path: Path) -> str:
    """How a file becomes a PEM file, if it seems to be one of the binary forms."""
    if not path.read_bytes().startswith(b"\x30"):
        return ""
    return (
        f" It is binary. Write it as PEM: `openssl x509 -inform DER -in {path.name}` if it is a "
        f"certificate, `openssl pkey -inform DER -in {path.name}` if it is a key, or `openssl "
        f"pkcs12 -nodes -in {path.name}` if it is both."
    )


def _try(server: ssl.SSLContext, path: Path) -> dict[str, Any]:
    """What a client sees that trusts the certificate, or those that follow it in its file.

    It is found out by a handshake in memory.

    Raises:
        errors.SettingError: No client would accept it, such as one that has expired.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    own, *others = _certificates(path)
    client.load_verify_locations(cadata="\n".join(others or [own]))
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    try:
        for _ in range(3):
            for side in sides:
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        reason = REASONS.get(
            error.verify_code, f"is refused by clients: {error.verify_message}. Renew it"
        )
        raise errors.SettingError(
            f"The certificate in {path}, or one that follows it there, {reason}; or start with "
            "--self-signed instead."
            if others
            else f"The certificate in {path} {reason}, or start with --self-signed instead."
        ) from None
    facts: dict[str, Any] = sides[0].getpeercert() or {}
    return facts
