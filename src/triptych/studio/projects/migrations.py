"""The tables of ``studio.sqlite``, as numbered steps from an empty file to the current version.

A released step is never changed; new ones are added at the end. The file's ``user_version`` is the
number of steps applied.
"""

from __future__ import annotations

# `content` describes a file, whatever projects it is in; its bytes are stored beside the database.
# A removed class is only marked: undo restores it under the same number, and earlier decisions
# still refer to it.
_FIRST = """
CREATE TABLE project (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    created_s REAL NOT NULL
);
CREATE TABLE class (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project INTEGER NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    removed INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX class_by_name ON class (project, folded) WHERE NOT removed;
CREATE TABLE content (
    digest BLOB NOT NULL PRIMARY KEY,
    format TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    sketch BLOB NOT NULL
);
CREATE TABLE photo (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project INTEGER NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    digest BLOB NOT NULL REFERENCES content (digest),
    name TEXT NOT NULL,
    class INTEGER REFERENCES class (id) ON DELETE SET NULL,
    excluded INTEGER NOT NULL DEFAULT 0,
    added_s REAL NOT NULL,
    UNIQUE (project, digest)
);
CREATE INDEX photo_by_class ON photo (project, excluded, class, id);
CREATE INDEX photo_by_digest ON photo (digest);
CREATE INDEX photo_of_class ON photo (class);
CREATE TABLE decision (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project INTEGER NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    batch INTEGER NOT NULL,
    photo INTEGER NOT NULL REFERENCES photo (id) ON DELETE CASCADE,
    before INTEGER,
    after INTEGER,
    excluded_before INTEGER NOT NULL,
    excluded_after INTEGER NOT NULL,
    at_s REAL NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX decision_by_batch ON decision (project, batch);
CREATE INDEX decision_by_photo ON decision (photo);
CREATE TABLE kept (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL REFERENCES content (digest),
    name TEXT NOT NULL,
    verdict TEXT NOT NULL,
    at_s REAL NOT NULL,
    done_s REAL,
    photo INTEGER REFERENCES photo (id) ON DELETE SET NULL
);
CREATE UNIQUE INDEX kept_once ON kept (digest) WHERE done_s IS NULL;
CREATE INDEX kept_by_digest ON kept (digest);
CREATE INDEX kept_by_photo ON kept (photo);
CREATE TABLE job (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project INTEGER NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    options TEXT NOT NULL,
    state TEXT NOT NULL,
    stage TEXT NOT NULL DEFAULT '',
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    rate REAL,
    news TEXT NOT NULL DEFAULT '[]',
    error TEXT,
    version INTEGER,
    created_s REAL NOT NULL,
    began_s REAL,
    ended_s REAL
);
CREATE INDEX job_by_project ON job (project, id);
"""

# Figures of `triptych.images.quality`; for photos that were added before, they are measured later.
_QUALITY = """
ALTER TABLE content ADD COLUMN quality BLOB;
"""

# `triptych.data.scan.ScannedPhoto.depth_guess`; for photos that were added before, it is determined
# later.
_DEPTH_GUESS = """
ALTER TABLE content ADD COLUMN depth_guess TEXT;
"""

# The name of the key with which a decision was made; empty where none was required.
_PERSON = """
ALTER TABLE decision ADD COLUMN person TEXT NOT NULL DEFAULT '';
"""

# The classes of photos in multi-label projects, whose `photo.class` is NULL. `reviewed` tells
# photos to which no class applies from those nobody has labelled. Decisions store both sets of
# classes as JSON: NULL in single-label projects, 'null' for photos that were not reviewed.
_MULTILABEL = """
ALTER TABLE project ADD COLUMN multilabel INTEGER NOT NULL DEFAULT 0;
ALTER TABLE photo ADD COLUMN reviewed INTEGER NOT NULL DEFAULT 0;
CREATE TABLE photo_class (
    photo INTEGER NOT NULL REFERENCES photo (id) ON DELETE CASCADE,
    class INTEGER NOT NULL REFERENCES class (id) ON DELETE CASCADE,
    PRIMARY KEY (photo, class)
) WITHOUT ROWID;
CREATE INDEX photo_class_by_class ON photo_class (class, photo);
ALTER TABLE decision ADD COLUMN labels_before TEXT;
ALTER TABLE decision ADD COLUMN labels_after TEXT;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _QUALITY, _DEPTH_GUESS, _PERSON, _MULTILABEL)
