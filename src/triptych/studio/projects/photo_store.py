"""Photos of all projects: their files and their rows, kept consistent.

A file is named by its hash, written atomically and durably, and never changed. It is written before
its row. It is removed under the writer's lock once no project and no inbox refers to it, so no
other process can be writing a row for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from pathlib import Path

from triptych import errors
from triptych import images
from triptych.data import near
from triptych.images import preview
from triptych.images import quality
from triptych.images import signatures
from triptych.studio.projects import photo_table
from triptych.studio.projects.database import PATIENCE_S
from triptych.studio.projects.database import Database
from triptych.typing import UInt8Image
from triptych.utils import files
from triptych.utils.text import text

# How long a dismissal from the inbox can be undone.
GRACE_S = 3600.0
THUMBNAIL_PX = 240
# Formats whose files may not say which value is white.
DEEP_FORMATS = ("PNG", "TIFF")
_SCRATCH = ".writing"


class PhotoStore:
    """The photos of all projects.

    Args:
        database: Database with their rows.
        blobs: Storage of their files.
        limits: Bytes and pixels allowed.
    """

    def __init__(self, database: Database, blobs: BlobStore, limits: images.Limits) -> None:
        self.blobs = blobs
        self.limits = limits
        self._database = database

    def store(self, data: bytes) -> photo_table.PhotoFacts:
        """Validate a photo, and save it with its thumbnail.

        Raises:
            errors.ImageError: It is not a readable photo.
            errors.StateError: It cannot be written.
        """
        pixels, depth_guess = self._decode(data)
        facts = photo_table.PhotoFacts(
            digest=hashlib.sha256(data).hexdigest(),
            format=signatures.identify(data).name,
            size=images.size(data, limits=self.limits),
            size_bytes=len(data),
            sketch=near.sketch(pixels),
            quality=quality.measure(pixels),
            depth_guess=depth_guess,
        )
        self.blobs.put(facts.digest, data)
        self.blobs.draw_thumbnail(facts.digest, pixels)
        return facts

    def _decode(self, data: bytes) -> tuple[UInt8Image, str]:
        """A photo, and why its pixels were scaled as they were, if its file does not say how."""
        guesses: list[str] = []
        pixels = images.decode(
            data, limits=self.limits, enough=images.SCANNED_PX, on_guess=guesses.append
        )
        return pixels, "; ".join(guesses)

    def note(self, db: sqlite3.Connection, facts: photo_table.PhotoFacts, data: bytes) -> bytes:
        """Write the row of a stored photo.

        Returns:
            Its digest, as stored in the tables.
        """
        # Again, under the lock: another process may have removed it meanwhile.
        self.blobs.put(facts.digest, data)
        return photo_table.note(db, facts)

    def measure_earlier(self, project: int, *, most: int = -1) -> None:
        """Measure photos of a project that were added by an older version, without measuring.

        Quality is measured on thumbnails, which have the size on which photos are measured. The
        depth of pixels needs the files, but only those of formats with deep pixels.

        Args:
            project: Its number.
            most: How many at most; -1 for all.
        """
        query = (
            "SELECT digest, quality, depth_guess, format FROM content "
            "WHERE (quality IS NULL OR depth_guess IS NULL) "
            "AND digest IN (SELECT digest FROM photo WHERE project = ?) LIMIT ?"
        )
        with self._database.reading() as db:
            rows = db.execute(query, (project, most)).fetchall()
        if not rows:
            return
        measured = []
        for digest, figures, depth_guess, kind in rows:
            with contextlib.suppress(errors.TriptychError):  # its file may be missing
                if figures is None:
                    pixels = images.decode(self.blobs.thumbnail(digest.hex()))
                    figures = quality.measure(pixels).to_bytes()
                if depth_guess is None and kind in DEEP_FORMATS:
                    _, depth_guess = self._decode(self.blobs.read(digest.hex()))
                measured.append((figures, depth_guess or "", digest))
        # A page does not wait for another process that writes; the photo is measured another time.
        with (
            contextlib.suppress(errors.Overloaded),
            self._database.writing(patience_s=0) as db,
        ):
            db.executemany(
                "UPDATE content SET quality = ?, depth_guess = ? WHERE digest = ?", measured
            )

    def collect(self, *, patience_s: float = PATIENCE_S) -> None:
        """Remove photos that no project and no inbox refers to.

        Args:
            patience_s: How long to wait for another process that writes.
        """
        with self._database.writing(patience_s=patience_s) as db:
            db.execute("DELETE FROM kept WHERE done_s < ?", (time.time() - GRACE_S,))
            # Under the lock, no photo with these files can be added. If the process is killed
            # before the commit, the rows stay and are collected another time.
            query = (
                "SELECT digest FROM content WHERE digest NOT IN (SELECT digest FROM photo) "
                "AND digest NOT IN (SELECT digest FROM kept)"
            )
            unused = db.execute(query).fetchall()
            for (digest,) in unused:
                self.blobs.drop(digest.hex())
            db.executemany("DELETE FROM content WHERE digest = ?", unused)


class BlobStore:
    """Photos and thumbnails below a folder.

    Args:
        folder: Holds ``photos/`` and ``thumbs/``.
        limits: Bytes and pixels allowed.

    Example:
        >>> import tempfile
        >>> blobs = BlobStore(Path(tempfile.mkdtemp()), images.DEFAULT_LIMITS)
        >>> blobs.put("ab" * 32, b"bytes")
        >>> blobs.read("ab" * 32)
        b'bytes'
    """

    def __init__(self, folder: Path, limits: images.Limits) -> None:
        self._photos = folder / "photos"
        self._thumbs = folder / "thumbs"
        self._limits = limits
        try:
            (self._photos / _SCRATCH).mkdir(parents=True, exist_ok=True)
            (self._thumbs / _SCRATCH).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(folder, error) from error
        files.sweep(self._photos / _SCRATCH)
        files.sweep(self._thumbs / _SCRATCH)

    def path(self, digest: str) -> Path:
        """The path of a photo, which may not exist."""
        return self._photos / digest[:2] / digest

    def has(self, digest: str) -> bool:
        """Whether a photo is stored."""
        return self.path(digest).is_file()

    def put(self, digest: str, data: bytes) -> None:
        """Save a photo durably.

        Raises:
            errors.StateError: It cannot be written.
        """
        path = self.path(digest)
        with contextlib.suppress(OSError):
            if path.stat().st_size == len(data):
                return
        try:
            _write(path, data, self._photos / _SCRATCH, durable=True)
        except OSError as error:
            raise files.disk_error(error, self._photos) or _unwritable(path, error) from error

    def read(self, digest: str) -> bytes:
        """The bytes of a photo.

        Raises:
            errors.UnknownName: There is none.
        """
        try:
            return self.path(digest).read_bytes()
        except FileNotFoundError as error:
            if gone := files.disk_error(error, self._photos):
                raise gone from error
            raise errors.UnknownName(
                text("There is no photo {digest!r}; it may be gone.", digest=digest[:12])
            ) from None

    def thumbnail(self, digest: str) -> bytes:
        """A photo as a small JPEG file, created if missing.

        Raises:
            errors.UnknownName: There is no such photo.
        """
        with contextlib.suppress(OSError):
            if data := self._thumb(digest).read_bytes():
                return data
        data = self.read(digest)
        pixels = images.load(data, limits=images.CHECKED_BEFORE, enough=THUMBNAIL_PX)
        return self.draw_thumbnail(digest, pixels)

    def draw_thumbnail(self, digest: str, pixels: UInt8Image) -> bytes:
        """Create and save the thumbnail of a photo.

        Args:
            digest: The photo.
            pixels: RGB, shape (H, W, 3).
        """
        data = preview.jpeg(pixels, longest_px=THUMBNAIL_PX)
        with contextlib.suppress(OSError):  # it can be made again
            _write(self._thumb(digest), data, self._thumbs / _SCRATCH, durable=False)
        return data

    def drop(self, digest: str) -> None:
        """Remove a photo and its thumbnail."""
        for path in (self._thumb(digest), self.path(digest)):
            with contextlib.suppress(OSError):
                path.unlink()

    def _thumb(self, digest: str) -> Path:
        return self._thumbs / digest[:2] / f"{digest}.jpg"


def _write(path: Path, data: bytes, scratch: Path, *, durable: bool) -> None:
    path.parent.mkdir(exist_ok=True)
    with files.atomic_file(path, scratch=scratch, durable=durable) as new:
        new.touch(0o600)  # people's photos are readable by the owner only
        new.write_bytes(data)
    if durable:
        files.sync_folder(path.parent.parent)


def _unwritable(path: Path, error: OSError) -> errors.StateError:
    return files.disk_error(error) or errors.StateError(
        f"Nothing can be written to {str(path.parent)!r}: {error.strerror}. See that the disk has "
        f"space and the folder belongs to you."
    )
