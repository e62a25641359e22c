"""Teaching as a job: a process of its own that outlives the page it was started from.

line      the door: jobs wait in line, one runs at a time; stop, go on, look
orders    what may be asked for
child     the process: teaches, says how far it is, ends with whoever started it
running      a running job as it is now: stage, speed, time left, accuracies
"""

from __future__ import annotations

from triptych.studio.jobs.queue import Jobs
from triptych.studio.projects.job_table import Job

__all__ = ["Job", "Jobs"]
