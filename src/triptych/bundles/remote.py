"""Bundles at a URL: downloaded once, and identified by the SHA-256 of their file.

    <home>/fetched/<sha256>/1/   the bundle, unpacked; written atomically

A URL names the hash of its file, as ``s3://bucket/garden-2.zip#sha256=0f3a...``, or the file beside
it does, ``garden-2.zip.sha256``, as ``sha256sum`` writes it. A repository of the Hugging Face Hub
is identified by its commit instead, see `hub`.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from triptych import errors
from triptych.bundles import archive
from triptych.bundles import hub
from triptych.bundles import proof
from triptych.bundles import registry
from triptych.bundles import writing
from triptych.bundles.reading import Bundle
from triptych.bundles.reading import read
from triptych.utils import files
from triptych.utils import storage

MARK = "#sha256="
HASH = re.compile(r"[0-9a-f]{64}")
# A downloaded bundle never changes, so there is one version.
VERSION = "1"


def with_digest(url: str) -> str:
    """The URL with the SHA-256 of its file; without one, it is read from the file beside it.

    Args:
        url: Of a bundle's file, or of a repository of the Hub, which gets its commit.

    Raises:
        errors.SettingError: There is no hash in the URL or beside the file, or it is malformed.
        errors.SourceError: The file beside it, or the Hub, cannot be read.

    Example:
        >>> with_digest("s3://bucket/garden-2.zip#sha256=" + 64 * "A")[:44]
        's3://bucket/garden-2.zip#sha256=aaaaaaaaaaaa'
    """
    if hub.is_repo(url):
        return hub.with_commit(url)
    address, mark, digest = url.rpartition(MARK)
    if not mark:
        address, digest = url, _beside(url)
    if not HASH.fullmatch(digest.lower()):
        raise errors.SettingError(
            f"{digest!r} is no SHA-256; expected 64 hexadecimal digits, in the URL as "
            f"{storage.redact(address)}{MARK}... or in {_name(address)}.sha256 beside the file."
        )
    return f"{address}{MARK}{digest.lower()}"


def _beside(url: str) -> str:
    try:
        words = storage.read(f"{url}.sha256").decode(errors="replace").split()
    except errors.SourceError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        raise errors.SettingError(
            f"It is not known what has to be in {storage.redact(url)}: {error.message} Name the "
            f"hash of the file, as {storage.redact(url)}{MARK}..., or lay {_name(url)}.sha256 "
            "beside it, as sha256sum writes it; `triptych bundles export NAME URL` writes both."
        ) from error
    return words[0] if words else ""


def _name(url: str) -> str:
    return storage.redact(url).rpartition("/")[2]


def get(home: Path, name: str) -> Bundle:
    """A bundle by its name or by the URL of its file; see `find` and `download`.

    Args:
        home: Home folder.
        name: As for `find` or `download`.

    Raises:
        errors.TriptychError: As `find` or `download`.
    """
    return download(home, name) if storage.is_url(name) else registry.find(home, name)


def download(home: Path, url: str) -> Bundle:
    """Download the bundle at a URL, unless it was downloaded before.

    If several processes need it, one downloads it and the others wait. The file is checked against
    its hash, and its content against the hashes in its own ``bundle.json``.

    Args:
        home: Home folder.
        url: Of the file that `upload`, or ``triptych bundles export``, wrote, or of a repository of
            the Hub. With the hash or the commit in the URL, a bundle that was downloaded before
            needs no network.

    Raises:
        errors.SettingError: Its hash is not known.
        errors.SourceError: It cannot be fetched, or its hash differs.
        errors.BundleError: It is not a bundle, damaged, or cannot classify a photo; nothing was
            kept.
    """
    pinned = with_digest(url)
    address, _, digest = pinned.rpartition(MARK)
    folder = home / "fetched" / (digest if address else hub.folder_name(pinned)) / VERSION
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with files.exclusive(folder.parent / "lock"):
            if not folder.exists():
                with (
                    files.scratch_dir(folder.parent) as scratch,
                    files.atomic_dir(folder) as new,
                ):
                    try:
                        if address:
                            storage.fetch(address, scratch / "file.zip", sha256=digest)
                            bundle = archive.extract(scratch / "file.zip", new)
                        else:
                            bundle = hub.fetch(pinned, new, scratch)
                        registry.check_name(bundle.name)
                        proof.prove(new)
                    except errors.TriptychError as error:
                        if isinstance(error, errors.SourceError):
                            raise
                        raise errors.BundleError(
                            f"{storage.redact(address or pinned)}: {error.message}"
                        ) from error
    return read(folder)


def upload(bundle: Bundle, url: str) -> str:
    """Upload a bundle as one file, with its hash in a file beside it.

    Args:
        bundle: The version.
        url: Where to write the file; its name ends in ``.zip``.

    Returns:
        The URL with the hash in it, for `download`.

    Raises:
        errors.SettingError: It is not the URL of such a file.
        errors.SourceError: It cannot be written there.
        errors.BundleError: A file of the bundle is damaged.
    """
    if not url.endswith(".zip"):
        raise errors.SettingError(
            f"{storage.redact(url)!r} does not name a zip file; expected one, such as "
            f"s3://bucket/{bundle.name}-{bundle.version}.zip. To write to a repository of the "
            f"Hugging Face Hub: triptych bundles push {bundle.name} hf://user/name"
        )
    with tempfile.TemporaryDirectory(prefix="triptych-") as scratch:
        file = Path(scratch) / "file.zip"
        archive.pack(bundle, file)
        digest = files.digest(file)
        storage.send(file, url)
    storage.write(f"{url}.sha256", f"{digest}  {_name(url)}\n".encode())
    return f"{url}{MARK}{digest}"


def import_from_url(home: Path, url: str, *, name: str | None = None) -> Bundle:
    """Import the bundle at a URL as a new version in this home.

    Args:
        home: Home folder.
        url: See `download`.
        name: Name to use instead of the bundle's.

    Raises:
        errors.TriptychError: As `download`.
    """
    bundle = download(home, url)
    return writing.copy(bundle, home, name or bundle.name)
