"""Projects in which a photo has any number of classes."""

from __future__ import annotations

import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from support.images import picture
from triptych import data
from triptych import errors
from triptych.studio.projects import NO_CLASS
from triptych.studio.projects import UNSORTED
from triptych.studio.projects import Project
from triptych.studio.projects import Projects
from triptych.studio.projects.records import Labels

PHOTOS = 4
FRUIT = ("apple", "banana", "cherry")


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Projects:
    return Projects(tmp_path_factory.mktemp("home"))


def make(projects: Projects, *, multilabel: bool = True) -> Project:
    key = projects.make("Bowls", multilabel=multilabel).key
    for name in FRUIT:
        projects.add_class(key, name)
    return projects.find(key)


def add(projects: Projects, key: str, count: int = PHOTOS) -> list[str]:
    photos = [projects.add(key, f"{n}.jpg", picture(n, size=(12, 16))) for n in range(count)]
    return [photo.digest for photo in photos]


def labels(projects: Projects, key: str) -> list[Labels]:
    return [photo.class_ids for photo in projects.photos(key, excluded=None)]


SOME = st.sets(st.integers(0, PHOTOS - 1), min_size=1)
CLASS = st.sampled_from(range(len(FRUIT)))
STEP = st.one_of(
    st.tuples(st.just("add"), SOME, CLASS),
    st.tuples(st.just("take"), SOME, CLASS),
    st.tuples(st.just("set"), SOME, st.sets(CLASS)),
    st.tuples(st.just("unsort"), SOME, st.none()),
    st.tuples(st.just("exclude"), SOME, st.booleans()),
    st.tuples(st.just("remove"), st.none(), CLASS),
    st.tuples(st.just("undo"), st.none(), st.none()),
)


class Model:
    """The expected state: the classes of photos (`None`: to be reviewed), and their exclusion."""

    def __init__(self) -> None:
        self.state: dict[int, tuple[frozenset[int] | None, bool]]
        self.state = dict.fromkeys(range(PHOTOS), (None, False))
        self.alive = set(range(len(FRUIT)))
        self.past: list[dict[int, tuple[frozenset[int] | None, bool]]] = []

    def change(self, new: dict[int, tuple[frozenset[int] | None, bool]]) -> None:
        after = {**self.state, **new}
        if after != self.state:
            self.past.append(self.state)
        self.state = after

    def without(self, some: set[int], index: int) -> None:
        new = {}
        for n in some:
            before, excluded = self.state[n]
            rest = (before or frozenset()) - {index}
            new[n] = (rest or (before if before == frozenset() else None), excluded)
        self.change(new)

    def step(self, what: str, some: set[int] | None, value: object) -> None:
        old = self.state
        match what:
            case "add":
                self.change({n: ((old[n][0] or frozenset()) | {value}, old[n][1]) for n in some})
            case "take":
                self.without(some, value)
            case "set":
                self.change(dict.fromkeys(some, (frozenset(value), False)))
            case "unsort":
                self.change(dict.fromkeys(some, (None, False)))
            case "exclude":
                self.change({n: (old[n][0], value) for n in some})
            case "remove":
                self.alive.discard(value)
                self.without({n for n in old if value in (old[n][0] or ())}, value)
            case "undo" if self.past:
                self.state = self.past.pop()
                self.alive |= {index for held, _ in self.state.values() for index in held or ()}


@settings(max_examples=25, deadline=None, derandomize=True)
@given(steps=st.lists(STEP, max_size=12))
def test_any_sequence_of_decisions_and_undoing_equals_a_model(
    projects: Projects, steps: list[tuple[str, set[int] | None, object]]
) -> None:
    project = make(projects)
    key, ids = project.key, [each.id for each in project.classes]
    digests, model = add(projects, key), Model()
    for what, some, value in steps:
        named = {value} if what in ("add", "take", "remove") else value if what == "set" else set()
        if not named <= model.alive:
            continue
        model.step(what, some, value)
        which = [digests[n] for n in some or ()]
        match what:
            case "add" | "take":
                projects.set_label(key, which, ids[value], what == "add")
            case "set":
                projects.decide(key, which, class_id=[ids[index] for index in value])
            case "unsort":
                projects.decide(key, which, class_id=UNSORTED)
            case "exclude":
                projects.decide(key, which, exclude=value)
            case "remove":
                projects.remove_class(key, ids[value])
            case "undo":
                projects.undo(key)
    state = {
        digests.index(photo.digest): (
            None if photo.class_ids is None else frozenset(map(ids.index, photo.class_ids)),
            photo.excluded,
        )
        for photo in projects.photos(key, excluded=None)
    }
    assert state == model.state
    held = [held for held, excluded in state.values() if not excluded]
    after = projects.find(key)
    assert {FRUIT.index(each.name): each.photos for each in after.classes} == {
        index: sum(index in (each or ()) for each in held) for index in model.alive
    }
    assert (after.unsorted, after.without_class) == (held.count(None), held.count(frozenset()))
    for number, expected in ((NO_CLASS, frozenset()), (UNSORTED, None)):
        assert len(projects.photos(key, class_id=number)) == held.count(expected)
    for _ in model.past:
        assert projects.undo(key)
    assert projects.undo(key) == []
    assert labels(projects, key) == [None] * PHOTOS


def test_photos_are_listed_by_each_of_their_classes(projects: Projects) -> None:
    project = make(projects)
    apple, banana, cherry = project.classes
    bowl, rest, empty, new = add(projects, project.key)
    projects.decide(project.key, [bowl], class_id=(banana.id, apple.id), person="ann")
    projects.decide(project.key, [rest], class_id=banana.id)
    projects.decide(project.key, [empty], class_id=())

    def listed(class_id: int) -> list[str]:
        return [photo.digest for photo in projects.photos(project.key, class_id=class_id)]

    assert listed(apple.id) == [bowl]
    assert listed(banana.id) == [bowl, rest]
    assert listed(cherry.id) == []
    assert listed(NO_CLASS) == [empty]
    assert listed(UNSORTED) == [new]
    first = projects.history(project.key)[-1]
    assert (first.labels_before, first.names_before) == (None, ())
    assert (first.names_after, first.person) == (("apple", "banana"), "ann")
    assert (first.before, first.after, first.after_name) == (None, None, None)


def test_two_people_who_label_the_same_photos_lose_nothing(projects: Projects) -> None:
    project = make(projects)
    digests = add(projects, project.key)
    with ThreadPoolExecutor(3) as pool:
        done = [
            pool.submit(projects.set_label, project.key, [digest], each.id, True, person=each.name)
            for digest in digests
            for each in project.classes
        ]
    assert all(each.result() for each in done)
    assert labels(projects, project.key) == [tuple(each.id for each in project.classes)] * PHOTOS
    assert len({decision.batch for decision in projects.history(project.key)}) == len(done)


def test_a_photo_that_comes_again_has_both_classes(projects: Projects) -> None:
    project = make(projects)
    apple, banana, cherry = (each.id for each in project.classes)
    data = picture(1, size=(12, 16))
    projects.add(project.key, "a.jpg", data, banana)
    assert projects.add(project.key, "b.jpg", data, [apple, cherry]).class_ids == (
        apple,
        banana,
        cherry,
    )
    projects.undo(project.key)
    assert projects.add(project.key, "c.jpg", data).class_ids == (banana,)
    projects.keep("d.jpg", data, {"status": "unsure"})
    projects.settle({projects.inbox()[0].id: [apple]}, project.key, person="bob")
    assert labels(projects, project.key) == [(apple, banana)]


def test_a_confirmed_set_counts_until_it_changes(projects: Projects) -> None:
    project = make(projects)
    apple, banana, _ = (each.id for each in project.classes)
    bowl, empty, _, _ = add(projects, project.key)
    projects.decide(project.key, [bowl], class_id=(apple, banana))
    projects.decide(project.key, [empty], class_id=())
    projects.confirm(project.key, [bowl, empty])
    assert projects.confirmed(project.key) == {bowl, empty}
    projects.set_label(project.key, [bowl], apple, False)
    assert projects.confirmed(project.key) == {empty}
    projects.undo(project.key)
    assert projects.confirmed(project.key) == {bowl, empty}


def test_labels_are_kept_when_photos_may_have_several_and_when_they_may_not(
    projects: Projects,
) -> None:
    project = make(projects, multilabel=False)
    key, (apple, banana, _) = project.key, (each.id for each in project.classes)
    first, second, third, _ = add(projects, key)
    projects.decide(key, [first, second], class_id=apple)
    projects.confirm(key, [first])
    with pytest.raises(errors.SettingError, match="2 classes were given for a photo; expected ex"):
        projects.decide(key, [first], class_id=(apple, banana))
    with pytest.raises(errors.SettingError, match="0 classes were given for a photo; expected ex"):
        projects.decide(key, [first], class_id=())
    before = projects.photos(key)
    projects.set_multilabel(key, True)
    projects.set_multilabel(key, True)
    assert projects.find(key).multilabel
    assert projects.photos(key) == before
    assert projects.confirmed(key) == {first}
    projects.set_label(key, [second], banana, True)
    projects.decide(key, [third], class_id=())
    with pytest.raises(errors.SettingError, match="1 photo has several classes"):
        projects.set_multilabel(key, False)
    assert projects.find(key).multilabel
    projects.set_label(key, [second], apple, False)
    projects.set_multilabel(key, False)
    assert labels(projects, key) == [(apple,), (banana,), None, None]
    with pytest.raises(errors.SettingError, match="1 photo had several classes before that"):
        projects.undo(key)
    projects.set_label(key, [first], banana, True)  # one class replaces the other
    assert labels(projects, key) == [(banana,), (banana,), None, None]
    projects.set_multilabel(key, True)
    assert labels(projects, key) == [(banana,), (banana,), (), None]
    for expected in ((apple,), (apple, banana)):
        projects.undo(key)
        assert expected in labels(projects, key)


def test_a_removed_class_comes_back_beside_the_others(projects: Projects) -> None:
    project = make(projects)
    apple, banana, _ = (each.id for each in project.classes)
    bowl, lone, *_ = add(projects, project.key)
    projects.decide(project.key, [bowl], class_id=(apple, banana))
    projects.decide(project.key, [lone], class_id=apple)
    projects.remove_class(project.key, apple)
    assert labels(projects, project.key) == [(banana,), None, None, None]
    new = projects.add_class(project.key, "Apple").id
    projects.undo(project.key)
    assert labels(projects, project.key) == [(banana, new), (new,), None, None]
    assert [each.name for each in projects.find(project.key).classes] == [*FRUIT[1:], "Apple"]


def test_a_project_of_several_classes_can_be_removed(tmp_path: Path) -> None:
    projects = Projects(tmp_path)
    project = make(projects)
    projects.decide(project.key, add(projects, project.key), class_id=[project.classes[0].id])
    projects.remove(project.key)
    with projects.database.reading() as db:
        assert db.execute("SELECT count(*) FROM photo_class").fetchone() == (0,)


# Data sets, export and import


def labelled(projects: Projects) -> Project:
    """Of four photos two with two classes, one with none, and one to be reviewed."""
    project = make(projects)
    apple, banana, _ = (each.id for each in project.classes)
    first, second, third, _ = add(projects, project.key)
    projects.decide(project.key, [first, second], class_id=[apple])
    projects.set_label(project.key, [second], banana, True)
    projects.decide(project.key, [third], class_id=())
    return project


def test_a_data_set_has_the_classes_of_each_reviewed_photo(projects: Projects) -> None:
    dataset = projects.dataset(labelled(projects).key)
    assert (dataset.multilabel, dataset.classes) == (True, ("apple", "banana"))
    assert {photo.source: photo.labels for photo in dataset.train} == {
        "photos/0.jpg": (0,),
        "photos/1.jpg": (0, 1),
        "photos/2.jpg": (),
    }


def test_findings_are_those_of_photos_with_several_classes(projects: Projects) -> None:
    project = labelled(projects)
    apple = project.classes[0].id
    assert {each.kind for each in projects.findings(project.key)} >= {"empty_class", "small_class"}
    digests = [photo.digest for photo in projects.photos(project.key)]
    projects.set_label(project.key, digests, apple, True)
    assert "universal_class" in {each.kind for each in projects.findings(project.key)}
    copy = picture(0, size=(12, 16)) + b" "  # the same pixels in another file
    projects.add(project.key, "copy.jpg", copy, project.classes[2].id)
    kinds = {each.kind: each.sources for each in projects.findings(project.key)}
    assert digests[0] in kinds["label_conflict"]


def test_a_photo_in_two_folders_has_both_classes(projects: Projects, tmp_path: Path) -> None:
    for name, seeds in {"apple": (0, 1), "banana": (1, 2)}.items():
        (tmp_path / name).mkdir()
        for seed in seeds:
            (tmp_path / name / f"{seed}.jpg").write_bytes(picture(seed, size=(12, 16)))
    project = projects.import_from(tmp_path, "Folders", multilabel=True)
    apple, banana = (each.id for each in project.classes)
    assert labels(projects, project.key) == [(apple,), (apple, banana), (banana,)]
    assert projects.history(project.key) == []
    # The same into a project that has some already: classes are added, none is taken away.
    other = projects.make("Other", multilabel=True).key
    cherry = projects.add_class(other, "cherry").id
    projects.add(other, "1.jpg", picture(1, size=(12, 16)), cherry)
    projects.add_from(other, tmp_path, person="ann")
    names = {each.id: each.name for each in projects.find(other).classes}
    assert [[names[number] for number in photo.class_ids] for photo in projects.photos(other)] == [
        ["cherry", "apple", "banana"],
        ["apple"],
        ["banana"],
    ]


def test_an_export_reads_back_as_folder_and_as_zip(projects: Projects, tmp_path: Path) -> None:
    project = labelled(projects)
    out = tmp_path / "bowls"
    assert projects.export(project.key, out) == 3
    with zipfile.ZipFile(tmp_path / "bowls.zip", "w") as packed:
        for path in out.rglob("*.*"):
            packed.write(path, path.relative_to(tmp_path))
    for source in (out, tmp_path / "bowls.zip"):
        back = projects.import_from(source)
        assert back.multilabel
        names = {each.id: each.name for each in back.classes}
        assert {
            photo.name: tuple(names[number] for number in photo.class_ids)
            for photo in projects.photos(back.key)
        } == {"0.jpg": ("apple",), "1.jpg": ("apple", "banana"), "2.jpg": ()}
        read, exported = data.open(source), projects.dataset(project.key)
        assert (read.classes, read.fingerprint) == (exported.classes, exported.fingerprint)


def test_a_project_survives_export_and_import(projects: Projects, tmp_path: Path) -> None:
    project = labelled(projects)
    folder = tmp_path / "bowls"
    assert projects.export(project.key, folder) == 3
    assert (folder / "labels.csv").read_text().splitlines() == [
        "path,label",
        "photos/0.jpg,apple",
        "photos/1.jpg,apple|banana",
        "photos/2.jpg,",
    ]
    shutil.make_archive(str(tmp_path / "bowls"), "zip", folder)
    expected = {
        photo.digest: {each.name for each in project.classes if each.id in photo.class_ids}
        for photo in projects.photos(project.key)
        if photo.class_ids is not None
    }
    for source in (folder / "labels.csv", tmp_path / "bowls.zip", folder):
        again = projects.import_from(source)
        names = {each.id: each.name for each in again.classes}
        assert again.multilabel, source
        assert {
            photo.digest: {names[number] for number in photo.class_ids}
            for photo in projects.photos(again.key)
        } == expected


def test_several_classes_are_refused_where_a_photo_has_one(
    projects: Projects, tmp_path: Path
) -> None:
    projects.export(labelled(projects).key, tmp_path / "bowls")
    single = make(projects, multilabel=False)
    with pytest.raises(errors.SettingError, match="classes were given for a photo; expected exac"):
        projects.add_from(single.key, tmp_path / "bowls" / "labels.csv")
    assert projects.find(single.key).photos == 0


def test_a_project_stays_one_of_several_classes_where_no_photo_has_two(
    projects: Projects, tmp_path: Path
) -> None:
    project = make(projects)
    apple, banana, _ = (each.id for each in project.classes)
    for digest, class_ids in zip(
        add(projects, project.key, 3), ([apple], [banana], []), strict=True
    ):
        projects.decide(project.key, [digest], class_id=class_ids)
    projects.export(project.key, tmp_path / "bowls")
    again = projects.import_from(tmp_path / "bowls" / "labels.csv")
    assert again.multilabel
    assert [label.photos for label in again.classes] == [1, 1]
    assert again.without_class == 1
