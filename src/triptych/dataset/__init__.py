"""From a folder, zip or CSV of photos to checked training data.

`open` reads and checks, `split` and `folds` hold photos back without letting copies of one photo
stand on both sides.
"""

from __future__ import annotations

from triptych.dataset.files import IMAGE_SUFFIXES
from triptych.dataset.files import walk
from triptych.dataset.known import Labelled
from triptych.dataset.known import labelled
from triptych.dataset.opening import looked_at
from triptych.dataset.opening import open
from triptych.dataset.records import Dataset
from triptych.dataset.records import Finding
from triptych.dataset.records import Photo
from triptych.dataset.splitting import folds
from triptych.dataset.splitting import split

__all__ = [
    "IMAGE_SUFFIXES",
    "Dataset",
    "Finding",
    "Labelled",
    "Photo",
    "folds",
    "labelled",
    "looked_at",
    "open",
    "split",
    "walk",
]
