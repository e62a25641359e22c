"""In one process, without HTTP: the networks alone, and a stream of photos from bytes to verdicts.

    python in_process.py JOB.json OUT.json

The first is the most that a machine can do with these networks, the second what a program gets that
imports Triptych. Servers are compared with both.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import triptych
from triptych.benchmark import local
from triptych.benchmark import networks
from triptych.inference.classifier import Classifier
from triptych.inference.committee import Committee
from triptych.utils import concurrency

# Ways to run the stream, of which the best counts: batches as the server has them, and none.
WAYS: tuple[dict[str, Any], ...] = ({}, {"max_batch": 1})


def main() -> None:
    """Do a job."""
    job = json.loads(Path(sys.argv[1]).read_text())
    photos = [Path(photo).read_bytes() for photo in job["photos"]]
    rates = []
    for way in WAYS:
        classifier = load(job, **way)
        classifier.warm_up()
        rates.append(local.measure_stream(classifier, photos, job["seconds"] / len(WAYS)))
    verdicts = [classifier.classify(photo) for photo in photos]
    members_run = [[member.name for member in verdict.members] for verdict in verdicts]
    report = networks.measure(
        lambda streams: opened(job, streams),
        photos,
        members_run,
        cores=concurrency.cpu_count(),
        seconds=job["seconds"],
    )
    output = {
        "networks": report.to_dict(),
        "stream_per_s": max(rates),
        "members_run": sum(map(len, members_run)) / len(members_run),
    }
    Path(sys.argv[2]).write_text(json.dumps(output))


def load(job: dict[str, Any], **options: Any) -> Classifier:
    """The committee as the server builds it."""
    fixed: dict[str, Any] = {
        name: job[name] for name in ("committee", "weights", "precision", "rule", "home")
    }
    return triptych.load(**fixed, **options)


def opened(job: dict[str, Any], streams: int) -> Committee:
    """The committee with a number of streams, and without a queue for batches."""
    return load(job, streams=streams, max_batch=1).committee


if __name__ == "__main__":
    main()
