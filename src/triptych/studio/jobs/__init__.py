"""Training jobs in separate processes, which go on when the page that started them is closed.

queue     jobs run one at a time: start, stop, resume, state
config    what a job may be configured with
worker    the process that trains and reports its progress
progress  a running job: stage, speed, time left, accuracies
"""

from __future__ import annotations

from triptych.studio.jobs.queue import Jobs
from triptych.studio.projects.job_table import Job

__all__ = ["Job", "Jobs"]
