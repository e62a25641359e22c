"""Sorting a heap: photos without a class get one, most of them many at a time.

sorting   the job that makes a plan, and what is left of the plan today
plan      a plan: the answers of the committee, the order of the photos, groups of alike ones
worker    the process that makes a plan

A heap is what a project has without a class, or the studio's inbox. Features and answers are kept
in the store of features, batch by batch, so that a job that was stopped or killed goes on where it
was; a plan takes its place complete.
"""

from __future__ import annotations

from triptych.studio.sorting.plan import INBOX
from triptych.studio.sorting.plan import PROJECT
from triptych.studio.sorting.plan import Answer
from triptych.studio.sorting.plan import Plan
from triptych.studio.sorting.sorting import Heap
from triptych.studio.sorting.sorting import Sorting

__all__ = ["INBOX", "PROJECT", "Answer", "Heap", "Plan", "Sorting"]
