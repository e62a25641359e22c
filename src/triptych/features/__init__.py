"""Features of photos, computed once per photo and backbone, and stored.

store        known features by content, in one SQLite file
extraction   computes those that are not known yet, here or wherever `Compute` does it
"""

from __future__ import annotations

from triptych.features.extraction import BATCH
from triptych.features.extraction import Compute
from triptych.features.extraction import Extractor
from triptych.features.extraction import PhotoFeatures
from triptych.features.extraction import ReadablePhoto
from triptych.features.extraction import Request
from triptych.features.extraction import extract
from triptych.features.extraction import extract_locally
from triptych.features.extraction import extract_photo
from triptych.features.extraction import open_extractors
from triptych.features.store import KEYS_PER_QUERY
from triptych.features.store import FeatureStore
from triptych.features.store import Space

__all__ = [
    "BATCH",
    "KEYS_PER_QUERY",
    "Compute",
    "Extractor",
    "FeatureStore",
    "PhotoFeatures",
    "ReadablePhoto",
    "Request",
    "Space",
    "extract",
    "extract_locally",
    "extract_photo",
    "open_extractors",
]
