"""API keys: each has a name and a role, and only its hash is stored.

They are in ``keys.json`` of the home folder, which all servers on the same home read. The setting
``api_key`` is one more key, which owns the studio and is in no file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.utils import files
from triptych.utils import validation
from triptych.utils.text import text

FILE = "keys.json"
# Each role may do what those before it may.
ROLES = ("ask", "teach", "own")
ASK, TEACH, OWN = ROLES
# A key in a text that was published by mistake is recognized, by people and by scanners.
PREFIX = "triptych-"
LONGEST_NAME = 60
# How often the time of a key's last use is written.
USED_EVERY_S = 60.0


@dataclass(frozen=True)
class Key:
    """What is known of a key.

    Args:
        id: Identifies it, in hexadecimal; empty for those that are in no file.
        name: Whose it is, or what it is for.
        role: One of `ROLES`.
        committee: The only committee that it may ask; ``None`` for all of them.
        requests_per_minute: Most requests; 0 leaves it to the server's own limit.
        created_s: When it was made, in seconds since 1970.
        used_s: When it was used last, to about a minute; ``None`` if never.
        digest: SHA-256 of the key. It is long and random, so no slow hash is needed.
    """

    id: str
    name: str
    role: str
    committee: str | None = None
    requests_per_minute: int = 0
    created_s: float = 0.0
    used_s: float | None = None
    digest: str = dataclasses.field(default="", repr=False)

    def may(self, role: str) -> bool:
        """Whether it may do what a role may.

        Example:
            >>> key = Key("1f", "Anna", TEACH)
            >>> key.may(ASK), key.may(OWN)
            (True, False)
        """
        return ROLES.index(role) <= ROLES.index(self.role)


# The key of the setting `api_key`; and of everybody, where no key is required.
OWNER = Key("", "", OWN)


class _KeyRecord(validation.Record):
    id = validation.Text(required=True)
    name = validation.Text(required=True, longest=LONGEST_NAME)
    role = validation.Text(required=True, choices=ROLES)
    committee = validation.Text(required=True, allow_none=True)
    requests_per_minute = validation.Integer(required=True, least=0)
    created_s = validation.Number(required=True)
    used_s = validation.Number(required=True, allow_none=True)
    digest = validation.Text(required=True)

    @validation.post_load
    def _make(self, parts: dict[str, Any], **_: Any) -> Key:
        return Key(**parts)


class _FileRecord(validation.Record):
    secret = validation.Text(required=True)
    keys = validation.Items(validation.Object(_KeyRecord), required=True)


class Keys:
    """The keys of a home folder; thread-safe, and shared with other processes.

    Args:
        home: The home folder; need not exist.

    Example:
        >>> import tempfile
        >>> keys = Keys(Path(tempfile.mkdtemp()))
        >>> key, text = keys.add("Anna", TEACH)
        >>> keys.find(text).name, keys.find("another")
        ('Anna', None)
    """

    def __init__(self, home: Path) -> None:
        self._path = home / FILE
        self._lock = threading.RLock()
        self._read_as: tuple[int, int, int] | None = None
        self._secret = ""
        self._keys: dict[str, Key] = {}  # by digest

    def all(self) -> list[Key]:
        """All keys, the oldest first.

        Raises:
            errors.StateError: The file is damaged or cannot be read; no key is accepted then.
        """
        with self._lock:
            self._read()
            return sorted(self._keys.values(), key=lambda key: key.created_s)

    @property
    def exist(self) -> bool:
        """Whether there is one.

        Raises:
            errors.StateError: As `all`.
        """
        with self._lock:
            self._read()
            return bool(self._keys)

    @property
    def secret(self) -> str:
        """A random text that is known to the servers of this home only; empty without keys.

        Raises:
            errors.StateError: As `all`.
        """
        with self._lock:
            self._read()
            return self._secret

    def find(self, text: str) -> Key | None:
        """The record of a key.

        Args:
            text: The key.

        Raises:
            errors.StateError: As `all`.
        """
        with self._lock:
            self._read()
            return self._keys.get(_digest(text))

    def by_id(self, key_id: str) -> Key | None:
        """The key with an id, if there is one; raises as `all`."""
        return next((key for key in self.all() if key.id == key_id), None)

    def add(
        self,
        name: str,
        role: str,
        *,
        committee: str | None = None,
        requests_per_minute: int = 0,
    ) -> tuple[Key, str]:
        """Make a key.

        Args:
            name: Whose it is, or what it is for; 1 to `LONGEST_NAME` characters, and no other
                key has it.
            role: One of `ROLES`.
            committee: The only committee that it may ask, for the role ``"ask"``.
            requests_per_minute: Most requests; 0 leaves it to the server's own limit.

        Returns:
            Its record and the key itself, which cannot be read again later.

        Raises:
            errors.SettingError: A value is impossible, or the name is taken.
            errors.StateError: As `all`.
        """
        name = " ".join(name.split())
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            raise errors.SettingError(
                text(
                    "The name of a key is {name!r}; expected 1 to {longest_name} characters that "
                    "can be printed, such as the name of the person who gets it.",
                    name=name[:LONGEST_NAME],
                    longest_name=LONGEST_NAME,
                )
            )
        if role not in ROLES:
            raise errors.SettingError(
                text(
                    "The role of a key is {role!r}; expected one of: {roles}.",
                    role=role[:40],
                    roles=", ".join(ROLES),
                )
            )
        if committee and role != ASK:
            raise errors.SettingError(
                text(
                    "A key for one committee can only have the role {ask!r}, and this one has "
                    "{role!r}. Leave the committee out, or change the role.",
                    ask=ASK,
                    role=role,
                )
            )
        if requests_per_minute < 0:
            raise errors.SettingError(
                text(
                    "Got {requests_per_minute} requests per minute; expected 0 for the server's "
                    "own limit, or more.",
                    requests_per_minute=requests_per_minute,
                )
            )
        key_text = PREFIX + secrets.token_urlsafe(32)
        key = Key(
            secrets.token_hex(4),
            name,
            role,
            committee or None,
            requests_per_minute,
            created_s=time.time(),
            digest=_digest(key_text),
        )
        with self._lock, files.file_lock(self._path.with_suffix(".lock")):
            self._read()
            if any(each.name.casefold() == name.casefold() for each in self._keys.values()):
                raise errors.SettingError(
                    text(
                        "There is a key named {name!r} already. Choose another name, or remove "
                        "that key first.",
                        name=name,
                    )
                )
            self._keys[key.digest] = key
            self._write()
        return key, key_text

    def remove(self, name: str) -> Key:
        """Take a key back: whoever uses it, or is signed in with it, is refused from now on.

        Args:
            name: Its name or id.

        Raises:
            errors.UnknownName: There is no such key.
            errors.StateError: As `all`.
        """
        with self._lock, files.file_lock(self._path.with_suffix(".lock")):
            self._read()
            key = next((key for key in self._keys.values() if name in (key.name, key.id)), None)
            if key is None:
                names = ", ".join(sorted(key.name for key in self._keys.values())) or "none"
                raise errors.UnknownName(
                    text(
                        "There is no key {name!r}; there are: {names}.", name=name[:80], names=names
                    )
                )
            del self._keys[key.digest]
            self._write()
        return key

    def is_use_due(self, key: Key) -> bool:
        """Whether `mark_used` would write the time of a key's last use."""
        return bool(key.id) and time.time() - (key.used_s or 0.0) > USED_EVERY_S

    def mark_used(self, key: Key) -> None:
        """Write that a key is used now."""
        with self._lock, files.file_lock(self._path.with_suffix(".lock")):
            self._read()
            current = self._keys.get(key.digest)
            if current and self.is_use_due(current):
                self._keys[key.digest] = dataclasses.replace(current, used_s=time.time())
                self._write()

    def _read(self) -> None:
        """Read what another process wrote meanwhile."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._read_as, self._secret, self._keys = None, "", {}
            return
        except OSError as error:
            raise errors.StateError(
                text("The keys cannot be read: {error}.", error=error)
            ) from error
        read_as = (status.st_mtime_ns, status.st_size, status.st_ino)
        if read_as == self._read_as:
            return
        hint = text("Put a copy of it back, or remove it and make the keys anew.")
        try:
            content = validation.parse_json(self._path.read_bytes())
        except (OSError, ValueError) as error:
            raise errors.StateError(
                text(
                    "The keys in {path!r} cannot be read: {error}. {hint}",
                    path=str(self._path),
                    error=error,
                    hint=hint,
                )
            ) from error
        checked = validation.load(
            _FileRecord, content, str(self._path), error=errors.StateError, hint=hint
        )
        self._secret = checked["secret"]
        self._keys = {key.digest: key for key in checked["keys"]}
        self._read_as = read_as

    def _write(self) -> None:
        self._secret = self._secret or secrets.token_urlsafe(32)
        content = {
            "secret": self._secret,
            "keys": [dataclasses.asdict(key) for key in self._keys.values()],
        }
        with files.atomic_file(self._path) as new:
            new.touch(mode=0o600)  # before the secret is in it
            new.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        self._read_as = None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
