"""A client for a studio elsewhere: bring photos, label, train, watch, publish, classify.

    >>> from triptych.client import Studio
    >>> studio = Studio("https://studio.example", key="triptych-...")  # doctest: +SKIP
    >>> garden = studio.projects.make("Garden")  # doctest: +SKIP
    >>> garden.add_photos("photos/")  # doctest: +SKIP
    >>> job = garden.teach()  # doctest: +SKIP
    >>> for state in job.events():  # doctest: +SKIP
    ...     print(state.message)
    >>> garden.publish(job.wait().version)  # doctest: +SKIP
    >>> studio.classify("photo.jpg", committee=garden.key)[0].label.name  # doctest: +SKIP
    'bees'

    studio     `Studio` and its projects
    project    `Project`: photos, classes, decisions, versions
    inbox      `Inbox`: photos that wait for a decision
    jobs       `Job`: the events of a training, and its end
    sorting    `Heap`: photos that wait for a class, many accepted at a time
    imports    `ModelImport`: a classifier from elsewhere, its question, and its end
    tasks      `Export`, `Int8`, `Comparison`: work that takes its time, and its end
    records    what a studio answers, as frozen records
    transport  requests, retried where that is safe; errors as in `triptych.errors`
    multipart  forms with files, which are streamed

It needs `urllib3`, which comes with ``triptych[client]``, and none of the other libraries.
"""

from __future__ import annotations

from triptych.client.imports import ModelImport
from triptych.client.inbox import Inbox
from triptych.client.jobs import Job
from triptych.client.project import Project
from triptych.client.records import Accepted
from triptych.client.records import Class
from triptych.client.records import Decided
from triptych.client.records import Decision
from triptych.client.records import ExportFile
from triptych.client.records import Finding
from triptych.client.records import HeapFacts
from triptych.client.records import HeapPhoto
from triptych.client.records import ImportState
from triptych.client.records import InboxPhoto
from triptych.client.records import JobState
from triptych.client.records import LabelIssue
from triptych.client.records import Moved
from triptych.client.records import Offer
from triptych.client.records import Photo
from triptych.client.records import PhotoResult
from triptych.client.records import ProjectFacts
from triptych.client.records import Refused
from triptych.client.records import Result
from triptych.client.records import TaskState
from triptych.client.records import Uploaded
from triptych.client.records import Version
from triptych.client.sorting import Heap
from triptych.client.studio import Projects
from triptych.client.studio import Studio
from triptych.client.tasks import Comparison
from triptych.client.tasks import Export
from triptych.client.tasks import Int8

__all__ = [
    "Accepted",
    "Class",
    "Comparison",
    "Decided",
    "Decision",
    "Export",
    "ExportFile",
    "Finding",
    "Heap",
    "HeapFacts",
    "HeapPhoto",
    "ImportState",
    "Inbox",
    "InboxPhoto",
    "Int8",
    "Job",
    "JobState",
    "LabelIssue",
    "ModelImport",
    "Moved",
    "Offer",
    "Photo",
    "PhotoResult",
    "Project",
    "ProjectFacts",
    "Projects",
    "Refused",
    "Result",
    "Studio",
    "TaskState",
    "Uploaded",
    "Version",
]
