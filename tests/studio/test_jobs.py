"""Training jobs with their real process: reported, stopped, killed and resumed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.images import shape_image
from triptych import bundles
from triptych import errors
from triptych.studio import review
from triptych.studio.jobs import Job
from triptych.studio.jobs import Jobs
from triptych.studio.jobs.progress import JobProgress
from triptych.studio.projects import Projects

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc"),
]

LESSON = {"backbones": ["lite0"]}
OPTIONS = {"precision": "f32"}
PER_CLASS = 8


@pytest.fixture(scope="module")
def projects(home: Path) -> Projects:
    """A project of discs and rays, and one with too few photos."""
    store = Projects(home)
    shapes = store.make("Jobs: shapes")
    assert shapes.key == "jobs-shapes"
    for kind in ("discs", "rays"):
        label = store.add_class(shapes.key, kind)
        for seed in range(PER_CLASS):
            store.add(shapes.key, f"{seed}.png", shape_image(kind, 500 + seed), label.id)
    begun = store.make("Jobs: begun")
    only = store.add_class(begun.key, "discs")
    store.add(begun.key, "1.png", shape_image("discs", 1), only.id)
    return store


@pytest.fixture
def jobs(projects: Projects, home: Path) -> Iterator[Jobs]:
    queue = Jobs(projects, home, OPTIONS)
    yield queue
    queue.close()


SERVER = """
import sys, time
from pathlib import Path
from triptych.studio.jobs import Jobs
from triptych.studio.projects import Projects

home = Path(sys.argv[1])
jobs = Jobs(Projects(home), home, {"precision": "f32"})
print(jobs.start("jobs-shapes", {"backbones": ["lite0"]}).id, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def interrupted(projects: Projects, home: Path) -> Job:
    """A job whose server was killed, as the next server reports it."""
    command = [sys.executable, "-c", SERVER, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        job = Job(int(server.stdout.readline()), "jobs-shapes", 0, {})
        wait_for_process(job, home)
        server.kill()
    with contextlib.closing(Jobs(projects, home, OPTIONS)) as jobs:
        state = jobs.state(job.id)
    wait_for_process(job, home, gone=True)
    return state


@pytest.fixture(scope="module")
def completed(interrupted: Job, projects: Projects, home: Path) -> tuple[Job, list[Job]]:
    """The same job after it was resumed, and the states that were reported meanwhile."""
    with contextlib.closing(Jobs(projects, home, OPTIONS)) as jobs:
        reports = [jobs.resume(interrupted.id)]
        ended = wait(jobs, interrupted.id, watch=reports.append)
    return ended, reports


def wait(
    jobs: Jobs,
    number: int,
    *,
    until: Callable[[Job], bool] = lambda job: not job.is_under_way,
    watch: Callable[[Job], None] = lambda job: None,
) -> Job:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        job = jobs.state(number)
        watch(job)
        if until(job):
            return job
        time.sleep(0.01)
    pytest.fail(f"still {job}")


def process_of(job: Job, home: Path) -> int | None:
    """The process of a job."""
    folder = str(home / "studio" / "jobs" / str(job.id)).encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if folder in path.read_bytes().split(b"\0"):
                return int(path.parent.name)
        except OSError:
            continue
    return None


def wait_for_process(job: Job, home: Path, *, gone: bool = False) -> int:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        process_id = process_of(job, home)
        if gone == (process_id is None):
            return process_id or 0
        time.sleep(0.02)
    pytest.fail(f"the process of {job} is {'still there' if gone else 'not there'}")


def test_a_job_whose_server_is_killed_is_interrupted(interrupted: Job) -> None:
    assert (interrupted.state, interrupted.version) == ("interrupted", None)
    assert interrupted.error is not None
    assert "it can go on" in interrupted.error


def test_a_resumed_job_is_reported_until_its_end(
    completed: tuple[Job, list[Job]], home: Path
) -> None:
    job, reports = completed
    assert reports[0].state == "waiting"
    assert (job.state, job.error, job.left_s, job.rate) == ("done", None, None, None)
    stages = list(dict.fromkeys(one.stage for one in reports if one.stage))
    assert [stage for stage in stages if stage in ("Computing features", "Training heads")] == [
        "Computing features",
        "Training heads",
    ]
    assert {news["member"] for news in job.news} == {"EfficientNetLite0", "committee"}
    assert all(0 <= news["accuracy"] <= 1 for news in job.news)
    assert job.began_s is not None
    assert job.ended_s is not None
    assert job.created_s <= job.began_s < job.ended_s
    assert job.options["backbones"] == ["lite0"]
    assert set(job.options["classes"]) == {"discs", "rays"}
    assert json.loads(json.dumps(job.to_dict()))["version"] == job.version


def test_the_bundles_predictions_have_the_photos_names(
    completed: tuple[Job, list[Job]], home: Path, projects: Projects
) -> None:
    assert bundles.active(home, "jobs-shapes") is None, "nobody published it"
    bundle = bundles.find(home, f"jobs-shapes@{completed[0].version}")
    assert [label.name for label in bundle.labels] == ["discs", "rays"]
    answers = bundle.predictions()
    assert answers is not None
    digests = {photo.digest for photo in projects.photos("jobs-shapes")}
    assert set(answers.keys) == digests
    assert set(answers.sources) == {f"{k}/{n}.png" for k in ("discs", "rays") for n in range(8)}
    assert answers.held_out.sum() == bundle.about["data"]["val"]
    correct = (answers.probs.argmax(axis=1) == answers.targets)[answers.held_out]
    assert correct.mean() == bundle.metrics["committee"]["top1"]


def test_each_number_of_the_report_has_its_photos(
    completed: tuple[Job, list[Job]], projects: Projects, home: Path
) -> None:
    reviewed = review.open(projects, home, "jobs-shapes")
    for row, label in enumerate(reviewed.labels):
        for column, answer in enumerate(reviewed.labels):
            photos = reviewed.cell(label, answer)
            assert len(photos) == reviewed.metrics["confusion"][row][column]
            assert all(one.photo is not None for one in photos)
    assert len(reviewed.cell(None, None)) == reviewed.metrics["images"]
    assert len(reviewed.cell(None, None, held_out_only=False)) == 2 * PER_CLASS
    assert reviewed.changes == 0


def test_training_again_uses_the_previous_settings(
    completed: tuple[Job, list[Job]], jobs: Jobs
) -> None:
    job = jobs.again("jobs-shapes")
    assert job.id != completed[0].id
    assert {name: job.options[name] for name in LESSON} == LESSON
    jobs.stop(job.id)
    assert wait(jobs, job.id).state == "stopped"


def test_a_job_survives_a_restart(
    completed: tuple[Job, list[Job]], jobs: Jobs, projects: Projects
) -> None:
    assert jobs.state(completed[0].id) == completed[0]
    assert completed[0] in jobs.of("jobs-shapes")
    assert jobs.of("jobs-begun") == []
    assert jobs.latest("jobs-begun") is None
    with pytest.raises(errors.Busy, match="This job is done"):
        jobs.resume(completed[0].id)


def test_a_killed_training_process_is_reported(
    completed: tuple[Job, list[Job]], jobs: Jobs, home: Path
) -> None:
    job = jobs.start("jobs-shapes", LESSON)
    os.kill(wait_for_process(job, home), signal.SIGKILL)
    ended = wait(jobs, job.id)
    assert ended.state == "failed"
    assert ended.error is not None
    assert "was killed (SIGKILL); the machine may have run out of memory" in ended.error
    assert ended.version is None


def test_a_crash_reports_its_reason(
    completed: tuple[Job, list[Job]], jobs: Jobs, home: Path
) -> None:
    features, aside = home / "features.sqlite", home / "aside.sqlite"
    features.rename(aside)
    features.mkdir()  # a damaged file would be set aside and computed anew
    try:
        ended = wait(jobs, jobs.start("jobs-shapes", LESSON).id)
    finally:
        features.rmdir()
        aside.replace(features)
    assert ended.state == "failed"
    assert ended.error == (
        "Teaching failed through a mistake of Triptych or of a library: "
        "sqlite3.OperationalError: unable to open database file"
    )
    log = home / "studio" / "jobs" / str(ended.id) / "log.txt"
    assert "Traceback" in log.read_text()


def test_a_users_mistake_is_reported_as_it_is(jobs: Jobs, projects: Projects) -> None:
    # All photos of a class are taken away between start and turn.
    key = projects.make("Jobs: vanishing").key
    for kind in ("discs", "rays"):
        label = projects.add_class(key, kind)
        for seed in range(2):
            projects.add(key, f"{seed}.png", shape_image(kind, 700 + seed), label.id)
    first = jobs.start("jobs-shapes", LESSON)
    job = jobs.start(key, LESSON)
    assert jobs.state(job.id).state == "waiting"
    projects.decide(key, [photo.digest for photo in projects.photos(key)], exclude=True)
    jobs.stop(first.id)
    ended = wait(jobs, job.id)
    assert ended.state == "failed"
    assert ended.error is not None
    assert "expected at least two" in ended.error
    assert jobs.state(first.id).state == "stopped"


def test_stopping_a_job_starts_the_next(
    completed: tuple[Job, list[Job]], jobs: Jobs, projects: Projects, home: Path
) -> None:
    running = jobs.start("jobs-shapes", LESSON)
    with pytest.raises(errors.Busy, match="being taught already"):
        jobs.start("jobs-shapes", LESSON)
    other = Jobs(projects, home, OPTIONS)
    assert other.state(running.id).is_under_way, "it was taken for one that a dead server left"
    with pytest.raises(errors.Busy, match="Another Triptych is teaching"):
        other.start("jobs-shapes", LESSON)
    wait_for_process(running, home)
    jobs.stop(running.id)
    ended = wait(jobs, running.id)
    assert (ended.state, ended.version) == ("stopped", None)
    assert ended.error == "Stopped; the features computed so far are kept."
    wait_for_process(running, home, gone=True)
    jobs.stop(running.id)
    assert jobs.state(running.id) == ended


def test_closing_the_studio_interrupts_its_job(
    completed: tuple[Job, list[Job]], projects: Projects, home: Path
) -> None:
    jobs = Jobs(projects, home, OPTIONS)
    job = jobs.start("jobs-shapes", LESSON)
    wait_for_process(job, home)
    jobs.close()
    assert process_of(job, home) is None
    ended = Jobs(projects, home, OPTIONS).state(job.id)
    assert ended.state == "interrupted"
    assert ended.error is not None
    assert ended.error.startswith("The studio was closed")


@pytest.mark.parametrize(
    ("key", "options", "kind", "message"),
    [
        ("jobs-begun", LESSON, errors.SourceError, r"too few photos to train on \(discs: 1\)"),
        ("jobs-nowhere", LESSON, errors.UnknownName, "jobs-nowhere"),
        ("jobs-shapes", {"backbones": ["lite9"]}, errors.UnknownName, "no backbone 'lite9'"),
        ("jobs-shapes", {"backbones": []}, errors.SettingError, "No backbone was named"),
        (
            "jobs-shapes",
            {"backbones": "lite0"},
            errors.SettingError,
            "training.backbones is 'lite0'; expected a list",
        ),
        ("jobs-shapes", {"backbones": ["vgg16"]}, errors.WeightsMissing, "triptych pull VGG16"),
        ("jobs-shapes", {"head": "forest"}, errors.UnknownName, "no head 'forest'"),
        ("jobs-shapes", {"head": 3}, errors.SettingError, "head is 3; expected a text"),
        ("jobs-shapes", {"augment": ["noise"]}, errors.UnknownName, "no augmentation 'noise'"),
        ("jobs-shapes", {"seed": -1}, errors.SettingError, "seed is -1; expected a whole number"),
        ("jobs-shapes", {"seed": True}, errors.SettingError, "seed is True"),
        ("jobs-shapes", {"fine_tune": "yes"}, errors.SettingError, "expected true or false"),
        (
            "jobs-shapes",
            {"weights": {"lite0": "/etc/passwd"}},
            errors.SettingError,
            "training.weights is unknown; expected only: backbones",
        ),
    ],
)
def test_impossible_jobs_are_refused_at_once(
    key: str,
    options: dict[str, object],
    kind: type[errors.TriptychError],
    message: str,
    jobs: Jobs,
) -> None:
    before = jobs.of("jobs-shapes")
    with pytest.raises(kind, match=message):
        jobs.start(key, options)
    assert jobs.of("jobs-shapes") == before


def test_unknown_jobs_are_refused(jobs: Jobs) -> None:
    for ask in (jobs.state, jobs.stop, jobs.resume):
        with pytest.raises(errors.UnknownName, match="no job 4711"):
            ask(4711)


def test_files_of_jobs_of_removed_projects_are_removed(projects: Projects, home: Path) -> None:
    left = home / "studio" / "jobs" / "4712"
    left.mkdir(parents=True)
    (left / "log.txt").write_text("a name of a photo")
    Jobs(projects, home)
    assert not left.exists()


def test_only_known_job_states_are_stored(projects: Projects, home: Path) -> None:
    with sqlite3.connect(home / "studio" / "studio.sqlite") as database:
        states = {state for (state,) in database.execute("SELECT DISTINCT state FROM job")}
    database.close()
    assert states <= {"waiting", "running", "done", "stopped", "failed", "interrupted"}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_speed_and_time_left_follow_the_last_seconds() -> None:
    clock = Clock()
    live = JobProgress(Job(1, "garden", 0, {}, state="running"), clock)
    speeds = []
    for second in range(70):
        clock.now = float(second)
        done = 10 * second if second < 20 else 200 + 2 * (second - 20)
        live.update({"stage": "Computing features", "done": done, "total": 400})
        speeds.append(live.job.rate)
    assert speeds[0] is None
    assert speeds[10] == pytest.approx(10)
    assert speeds[39] == pytest.approx(2)
    assert live.job.left_s == pytest.approx((400 - 298) / 2, rel=0.1)
    live.update({"stage": "Training heads", "done": 0, "total": 3})
    assert (live.job.rate, live.job.left_s) == (None, None)
    clock.now += 2
    live.update({"stage": "Training heads", "done": 1, "total": 3})
    assert live.job.rate is None, "heads are no photos"
    assert live.job.left_s == pytest.approx(4)


def test_a_members_news_replaces_its_previous_news() -> None:
    live = JobProgress(Job(1, "garden", 0, {}, state="running"))
    for member, accuracy in (("A", 0.5), ("committee", 0.6), ("A", 0.7)):
        live.update({"member": member, "accuracy": accuracy})
    assert [tuple(news.values()) for news in live.job.news] == [("committee", 0.6), ("A", 0.7)]


def test_the_first_end_state_of_a_job_is_final() -> None:
    live = JobProgress(Job(1, "garden", 0, {}, state="running"))
    live.update({"version": 3})
    live.end("failed", "killed")
    assert (live.job.state, live.job.version, live.job.error) == ("done", 3, None)
