"""Batch inference over millions of photos: a plan of the input, shards of verdicts as Parquet.

    OUT/_plan/about.json           the manifest, written last: then the plan is complete
    OUT/_plan/page-000000.parquet  the photos, a chunk of them a row
    OUT/part-000000000.parquet     the shard of chunk 0: verdicts, a photo a row

    manifest    committee and options, as a record that a later run has to equal
    plan        the first pass over the photos, kept, so that every run takes the same chunks
    preprocess  photos decoded and cropped on one machine, for networks on another
    shards      verdicts as rows: the JSON form as columns
    run         the chunks without verdicts, one after the other
    tables      rows to Parquet and back

A shard is written atomically under the number of its chunk: whoever answers a chunk again, after a
kill or on another machine, writes the same rows to the same place. No row is there twice and none
is lost.
"""

from __future__ import annotations

from triptych.batch.manifest import Manifest
from triptych.batch.plan import BatchPlan
from triptych.batch.plan import Chunk
from triptych.batch.plan import find
from triptych.batch.plan import prepare
from triptych.batch.preprocess import Preprocessor
from triptych.batch.run import classify
from triptych.batch.shards import Shard

__all__ = ["BatchPlan", "Chunk", "Manifest", "Preprocessor", "Shard", "classify", "find", "prepare"]
