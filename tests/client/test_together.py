"""Several people label the same photos through one studio, and a studio that is killed meanwhile.

What was confirmed is never lost, and nobody overwrites a decision without having seen it.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support import studios
from support import trained_project
from support.images import picture
from support.images import shape_image
from triptych import errors
from triptych.client import Photo
from triptych.client import Project
from triptych.client import Studio
from triptych.client import jobs as client_jobs
from triptych.studio.jobs import Jobs
from triptych.studio.keys import Keys
from triptych.studio.projects import Decision
from triptych.studio.projects import Projects
from triptych.web import certificates

pytestmark = pytest.mark.slow

PEOPLE = ("Anna", "Bert")
PHOTOS, DECISIONS, AT_ONCE = 12, 25, 3


def replayed(history: list[Decision]) -> dict[str, tuple[tuple[int, ...] | None, bool]]:
    """The last state of each photo, from decisions in order: each goes on from the one before."""
    states: dict[str, tuple[tuple[int, ...] | None, bool]] = {}
    for each in history:
        if each.undone:
            continue
        before = each.labels_before, each.excluded_before
        assert states.get(each.digest, before) == before, f"{each} overwrote {states[each.digest]}"
        states[each.digest] = each.labels_after, each.excluded_after
    return states


# ------------------------------------------------------------------ together


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The home of a studio for several people, and its address: https, as in a network."""
    pytest.importorskip("cryptography", reason="a certificate needs triptych[https]")
    home = tmp_path_factory.mktemp("shared")
    trained_project.train(Projects(home), trained_project.create(Projects(home)))
    with studios.bundle_studio(home, api_key="key of the owner", self_signed="on") as address:
        assert address.startswith("https://")
        yield home, address


class Person:
    """Decides at random, and remembers what was confirmed.

    People meet before each decision, when all of them have looked at photos.
    """

    def __init__(
        self,
        name: str,
        project: Project,
        classes: list[int],
        seed: int,
        meeting: threading.Barrier,
    ) -> None:
        self.name = name
        self.meeting = meeting
        self.rng = random.Random(seed)
        self.project = project
        self.classes = classes
        # By batch: the photos as this person had seen them, if it was checked.
        self.decided: dict[int, list[Photo]] = {}
        self.undone: set[int] = set()
        self.conflicts = 0

    def work(self) -> None:
        for _ in range(DECISIONS):
            photos = self.rng.sample(list(self.project.photos(excluded=None)), AT_ONCE)
            self.meeting.wait(300)
            try:
                self._decide(photos)
            except errors.Conflict:
                self.conflicts += 1

    def _decide(self, photos: list[Photo]) -> None:
        project, what, class_id = self.project, self.rng.random(), self.rng.choice(self.classes)
        check = self.rng.random() < 0.7
        if what < 0.1 and self.decided:
            batch = max(self.decided)
            project.undo(batch)
            self.undone.add(batch)
            return
        if what < 0.4 and project.facts.multilabel:
            act = project.add_label if what < 0.25 else project.remove_label
            decided = act(photos, class_id, check=check)
        elif what < 0.8:
            decided = project.move(photos, self.rng.choice([class_id, None]), check=check)
        else:
            decided = (project.exclude if what < 0.9 else project.include)(photos, check=check)
        if decided.batch:
            self.decided[decided.batch] = photos if check else []


@pytest.mark.parametrize("multilabel", [False, True], ids=["one class", "any number"])
def test_people_label_at_once_and_no_decision_is_lost(
    shared: tuple[Path, str], multilabel: bool
) -> None:
    home, address = shared
    trust = home / certificates.FOLDER / certificates.CERTIFICATE
    names = [f"{name} {multilabel}" for name in PEOPLE]
    with contextlib.ExitStack() as stack:
        people: list[Person] = []
        meeting = threading.Barrier(len(names))
        for seed, name in enumerate(names):
            key = Keys(home).add(name, "teach")[1]
            studio = stack.enter_context(Studio(address, key=key, ca_file=trust))
            if not people:
                project = studio.projects.make(
                    "Together", classes=["ants", "bees"], multilabel=multilabel
                )
                project.add_photos([(f"{n}.jpg", picture(n)) for n in range(PHOTOS)], "ants")
            classes = [each.id for each in project.facts.classes]
            found = studio.projects.find(project.key)
            people.append(Person(name, found, classes, seed, meeting))
        with ThreadPoolExecutor() as pool:
            list(pool.map(Person.work, people))
    projects = Projects(home)
    history = projects.history(project.key, limit=-1)[::-1]
    states = replayed(history)
    for photo in projects.photos(project.key, excluded=None, limit=-1):
        assert states.get(photo.digest, (photo.class_ids, photo.excluded)) == (
            photo.class_ids,
            photo.excluded,
        )
    batches = defaultdict(list)
    for each in history:
        batches[each.batch].append(each)
    # What was confirmed is in the history, under the right name, and nothing else is.
    confirmed = {batch: person for person in people for batch in person.decided}
    assert batches.keys() == confirmed.keys()
    for batch, person in confirmed.items():
        assert {each.person for each in batches[batch]} == {person.name}
        assert {each.undone for each in batches[batch]} == {batch in person.undone}
        seen = {photo.digest: photo for photo in person.decided[batch]}
        for each in batches[batch] if seen else ():
            photo = seen[each.digest]
            assert (each.labels_before, each.excluded_before) == (photo.class_ids, photo.excluded)
    assert any(person.conflicts for person in people), "nobody met the other"
    assert any(person.undone for person in people)


def test_a_certificate_of_somebody_else_is_refused(
    shared: tuple[Path, str], tmp_path: Path
) -> None:
    _, address = shared
    with (
        Studio(address, retries=0) as strict,
        pytest.raises(errors.RemoteError, match="certificate"),
    ):
        strict.projects.all()


# ------------------------------------------------------------------ killed


@pytest.mark.parametrize(
    "kills", [2, pytest.param(20, marks=pytest.mark.thorough)], ids=["few", "many"]
)
def test_nothing_confirmed_is_lost_when_the_studio_is_killed(
    tmp_path: Path, kills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_jobs, "PATIENCE_S", 0.0)  # it does not come back
    rng = random.Random(kills)
    ledger = Ledger()
    for number in range(kills):
        with (
            studios.fake_studio(home=tmp_path) as (process, address),
            Studio(address, retries=0) as studio,
        ):
            if not ledger.classes:
                ledger.begin(studio)
            threads = [
                threading.Thread(target=ledger.until_killed, args=(work, studio, number))
                for work in (ledger.bring, ledger.label, ledger.teach)
            ]
            for thread in threads:
                thread.start()
            time.sleep(rng.uniform(0.1, 1.5))
            process.kill()
            for thread in threads:
                thread.join()
    ledger.check(tmp_path)


class Ledger:
    """What a studio confirmed, and what it may or may not have done when it was killed."""

    def __init__(self) -> None:
        self.key = ""
        self.classes: list[int] = []
        self.photos: dict[str, Photo] = {}
        self.class_ids: dict[str, set[int | None]] = {}
        self.batches: set[int] = set()
        self.jobs: set[int] = set()

    def begin(self, studio: Studio) -> None:
        project = studio.projects.make("Killed", classes=["discs", "rays"])
        self.key, self.classes = project.key, [each.id for each in project.facts.classes]
        for kind in ("discs", "rays"):
            photos = [(f"{n}.png", shape_image(kind, n)) for n in range(3)]
            self._brought(*project.add_photos(photos, kind).photos)

    def _brought(self, *photos: Photo) -> None:
        for photo in photos:
            self.photos[photo.digest] = photo
            self.class_ids[photo.digest] = {photo.class_id}

    def until_killed(
        self, work: Callable[[Project, int], None], studio: Studio, number: int
    ) -> None:
        with contextlib.suppress(errors.RemoteError):
            project = studio.projects.find(self.key)
            while True:
                work(project, number)

    def bring(self, project: Project, number: int) -> None:
        data = picture(1000 * (number + 1) + len(self.photos))
        (photo,) = project.add_photos(("a.jpg", data), "discs").photos
        assert photo.digest == hashlib.sha256(data).hexdigest()
        self._brought(photo)

    def label(self, project: Project, number: int) -> None:
        digest = random.choice(list(self.photos))
        class_id = random.choice(self.classes)
        self.class_ids[digest].add(class_id)  # it may be done, and the answer lost
        decided = project.move([self.photos[digest]], class_id, check=False)
        self.class_ids[digest] = {class_id}
        if decided.batch:
            self.batches.add(decided.batch)

    def teach(self, project: Project, number: int) -> None:
        job = project.teach(backbones=["lite0"])
        self.jobs.add(job.id)
        next(iter(job.events()))
        job.stop()
        with contextlib.suppress(errors.Stopped):
            job.wait()

    def check(self, home: Path) -> None:
        """The studio opens, and has all that was confirmed."""
        projects = Projects(home)
        stored = {
            photo.digest: photo for photo in projects.photos(self.key, excluded=None, limit=-1)
        }
        assert len(self.photos) > 8
        assert self.batches
        for digest, class_ids in self.class_ids.items():
            assert hashlib.sha256(projects.read(digest)).hexdigest() == digest
            assert projects.thumbnail(digest)
            assert stored[digest].class_id in class_ids
        history = projects.history(self.key, limit=-1)[::-1]
        assert self.batches <= {each.batch for each in history}
        for digest, (labels, excluded) in replayed(history).items():
            assert (stored[digest].class_ids, stored[digest].excluded) == (labels, excluded)
        with contextlib.closing(Jobs(projects, home)) as jobs:
            states = {job.id: job.state for job in jobs.of(self.key)}
        assert self.jobs <= states.keys()
        assert set(states.values()) <= {"interrupted", "stopped", "done"}
