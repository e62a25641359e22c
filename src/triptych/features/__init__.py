"""Features of photos: each photo passes through each backbone once, ever.

store        what is known, by content, in one SQLite file
extracting   what is not known yet, by the backbones; here, or wherever one is told to
"""

from __future__ import annotations

from triptych.features.extracting import BATCH
from triptych.features.extracting import Compute
from triptych.features.extracting import Extractor
from triptych.features.extracting import Photo
from triptych.features.extracting import Seen
from triptych.features.extracting import Wanted
from triptych.features.extracting import extract
from triptych.features.extracting import here
from triptych.features.extracting import look
from triptych.features.store import KEYS_AT_ONCE
from triptych.features.store import FeatureStore
from triptych.features.store import Space

__all__ = [
    "BATCH",
    "KEYS_AT_ONCE",
    "Compute",
    "Extractor",
    "FeatureStore",
    "Photo",
    "Seen",
    "Space",
    "Wanted",
    "extract",
    "here",
    "look",
]
