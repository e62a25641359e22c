"""Folders of millions: a plan of which photos there are, and their answers as Parquet files.

    OUT/_plan/about.json           who was asked, and how; it comes last: then the plan is whole
    OUT/_plan/page-000000.parquet  the photos, a chunk of them a row
    OUT/part-000000000.parquet     the answers to chunk 0, a photo a row

    asked    who is asked and how, as a record that a later run has to equal
    cutting  photos read on one machine, to be looked at on another
    plan     the first pass over the photos, kept, so that every run takes the same chunks
    parts    answers as rows: the JSON form as columns
    run      the chunks that have no answers yet, one after the other
    tables   rows to Parquet and back

A chunk is answered whole or not at all, and its part has its number: whoever answers it again,
after a kill or on another machine, writes the same rows to the same place, so no row is there
twice and none is lost.
"""

from __future__ import annotations

from triptych.batch.manifest import Asked
from triptych.batch.plan import Chunk
from triptych.batch.plan import Plan
from triptych.batch.plan import prepare
from triptych.batch.preprocess import Cutter
from triptych.batch.run import Part
from triptych.batch.run import classify

__all__ = ["Asked", "Chunk", "Cutter", "Part", "Plan", "classify", "prepare"]
