"""Checked training data from a folder, zip, document or URL of photos.

`open` reads and checks photos; `split` and `folds` hold photos out, all copies of a photo together.
"""

from __future__ import annotations

from triptych.data.documents import read_ahead
from triptych.data.files import walk
from triptych.data.known import Labelled
from triptych.data.known import LabelledSets
from triptych.data.known import labelled
from triptych.data.known import labelled_sets
from triptych.data.opening import from_scanned
from triptych.data.opening import open
from triptych.data.records import Dataset
from triptych.data.records import Finding
from triptych.data.records import LabelledPhoto
from triptych.data.splitting import folds
from triptych.data.splitting import split

__all__ = [
    "Dataset",
    "Finding",
    "Labelled",
    "LabelledPhoto",
    "LabelledSets",
    "folds",
    "from_scanned",
    "labelled",
    "labelled_sets",
    "open",
    "read_ahead",
    "split",
    "walk",
]
