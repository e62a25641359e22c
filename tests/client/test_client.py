"""The client against a real studio: photos, decisions, training, versions, and lost connections."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import zipfile
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Request

from support import bundles as small
from support import onnx_models
from support import studios
from support import trained_project
from support.images import picture
from support.images import shape_image
from support.images import squares
from triptych import errors
from triptych.client import Export
from triptych.client import Job
from triptych.client import Project
from triptych.client import Studio
from triptych.client import inbox as inbox_module
from triptych.client import project as project_module
from triptych.client import sorting as sorting_module
from triptych.client.multipart import File
from triptych.client.multipart import Form
from triptych.client.transport import Transport
from triptych.results import Failure
from triptych.results import Guess
from triptych.results import Label
from triptych.results import MultilabelGuess
from triptych.results import Prediction
from triptych.results import PredictionSet
from triptych.results import Similar
from triptych.results import StatusReason
from triptych.results import Timing
from triptych.results import Verdict
from triptych.studio.keys import Keys
from triptych.studio.projects import Projects
from triptych.studio.sorting import Answer
from triptych.studio.sorting import Plan

KEY = "the key of the settings"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a studio, and its home, with a project of three versions."""
    home = tmp_path_factory.mktemp("served")
    projects = Projects(home)
    key = trained_project.create(projects)
    for _ in range(3):
        trained_project.train(projects, key)
    projects.make("Tiny")
    small.write_runnable(home)
    with studios.bundle_studio(home, api_key=KEY, max_request_images=8) as address:
        yield address, home


@pytest.fixture
def studio(served: tuple[str, Path]) -> Iterator[Studio]:
    with Studio(served[0], key=KEY, retries=1) as studio:
        yield studio


@pytest.fixture
def project(studio: Studio, request: pytest.FixtureRequest) -> Project:
    return studio.projects.make(request.node.name[:80], classes=["ants", "bees"])


def folder_of_photos(folder: Path, count: int = 3) -> Path:
    for number, name in enumerate(["ants", "wasps"]):
        (folder / name / "more").mkdir(parents=True)
        for seed in range(count):
            path = folder / name / ("more" if seed % 2 else ".") / f"{seed}.png"
            path.write_bytes(squares(10 * number + seed))
    (folder / "loose.jpg").write_bytes(picture(1))
    (folder / "broken.jpg").write_bytes(b"no photo")
    (folder / "notes.txt").write_bytes(b"text")
    (folder / ".hidden.jpg").write_bytes(picture(2))
    return folder


# ------------------------------------------------------------------ projects and photos


def test_projects_and_classes(studio: Studio, project: Project) -> None:
    assert [each.name for each in project.facts.classes] == ["ants", "bees"]
    project.rename("Weeds")
    ants = project.facts.classes[0]
    assert project.rename_class(ants.id, "wasps").name == "wasps"
    project.remove_class(ants.id)
    facts = studio.projects.find(project.key).facts
    assert (facts.title, [each.name for each in facts.classes]) == ("Weeds", ["bees"])
    assert facts in studio.projects.all()
    studio.projects.remove(project.key)
    with pytest.raises(errors.UnknownName, match="There is no project"):
        studio.projects.find(project.key)


def test_a_folder_is_brought_with_its_classes(project: Project, tmp_path: Path) -> None:
    folder = folder_of_photos(tmp_path, count=10)
    seen: list[tuple[int, int]] = []
    uploaded = project.add_photos(folder, progress=lambda *counts: seen.append(counts))
    assert [each.name for each in uploaded.refused] == ["broken.jpg"]
    assert len(uploaded.photos) == 21
    assert (seen[0], seen[-1]) == ((0, 22), (22, 22))
    counts = {each.name: each.photos for each in project.facts.classes}
    assert counts == {"ants": 10, "bees": 0, "wasps": 10}
    again = project.add_photos(folder)
    assert again.photos == uploaded.photos
    assert project.facts.photos == 21
    assert list(project.history()) == []
    (loose,) = project.photos(class_id=0)
    assert project.read(loose) == (folder / "loose.jpg").read_bytes()
    assert project.preview(loose).startswith(b"\xff\xd8")
    assert project.erase([loose]) == 1
    assert {each.kind for each in project.findings()} >= {"empty_class"}


def test_files_are_brought_into_a_class(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'a "quoted" näme.jpg'
    path.write_bytes(picture(1))
    uploaded = project.add_photos([path, ("b.jpg", picture(2))], "Hornets")
    assert [each.name for each in uploaded.photos] == ["a _quoted_ näme.jpg", "b.jpg"]
    (hornets,) = [each for each in project.facts.classes if each.name == "Hornets"]
    assert project.add_photos(path, "hornets").photos == uploaded.photos[:1]
    monkeypatch.setattr(project_module, "PAGE", 1)
    assert list(project.photos(class_id=hornets.id)) == list(uploaded.photos)
    with pytest.raises(errors.SourceError, match="There is no file or folder"):
        project.add_photos(tmp_path / "nothing.jpg")


def test_more_photos_than_a_request_may_have_are_sent_in_parts(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_module, "PHOTOS_AT_ONCE", 100)  # the studio takes 8 and some parts
    uploaded = project.add_photos([(f"{seed}.jpg", picture(seed)) for seed in range(30)])
    assert [each.name for each in uploaded.photos] == [f"{seed}.jpg" for seed in range(30)]


def test_a_file_that_is_too_large_is_refused_alone(project: Project, tmp_path: Path) -> None:
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(300 << 20)
    uploaded = project.add_photos([huge, ("b.jpg", picture(2))])
    assert [each.name for each in uploaded.photos] == ["b.jpg"]
    assert uploaded.refused[0].name == "huge.jpg"
    assert "too large" in uploaded.refused[0].message


def test_a_zip_makes_a_project(studio: Studio, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "fair.zip", "w") as archive:
        archive.writestr("ants/1.jpg", picture(1))
    assert studio.projects.import_zip(tmp_path / "fair.zip").facts.title == "fair"


# ------------------------------------------------------------------ decisions


def test_decisions_never_overwrite_unseen(studio: Studio, project: Project) -> None:
    bees = project.facts.classes[1].id
    photos = project.add_photos([(f"{n}.jpg", picture(n)) for n in range(3)], "ants").photos
    moved = project.move(photos[:1], bees)
    assert [photo.class_id for photo in moved.photos] == [bees]
    with pytest.raises(errors.Conflict, match="1 photo was changed") as caught:
        project.exclude(photos)  # as they were before
    assert caught.value.photos == moved.photos
    decided = project.exclude([*moved.photos, *photos[1:]])
    assert all(photo.excluded for photo in project.photos(excluded=True))
    assert len(list(project.photos(excluded=None))) == 3
    assert [photo.excluded for photo in project.undo(decided.batch).photos] == [False] * 3
    with pytest.raises(errors.Conflict):
        project.undo(decided.batch)
    project.confirm(photos[1:])
    assert [photo.class_id for photo in project.move(photos, None, check=False).photos] == [
        None
    ] * 3
    latest = next(project.history())
    assert (latest.names_after, latest.labels_after) == ((), None)
    assert [photo.excluded for photo in project.include(project.photos()).photos] == [False] * 3


def test_keys_and_errors(served: tuple[str, Path], studio: Studio, project: Project) -> None:
    address, home = served
    with Studio(address, key="wrong") as stranger, pytest.raises(errors.RemoteError) as caught:
        stranger.projects.all()
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")
    with (
        Studio(address, key=Keys(home).add("guest", "ask")[1]) as guest,
        pytest.raises(errors.RemoteError, match="This needs a key with the role teach"),
    ):
        guest.projects.all()
    with pytest.raises(errors.SettingError, match="There is a class 'ants' already"):
        project.add_class("ants")
    with pytest.raises(errors.SourceError, match="too few photos to train on"):
        project.teach()
    with pytest.raises(errors.UnknownName):
        project.job(99)
    assert project.jobs() == []
    with Studio(f"{address}/elsewhere", key=KEY) as lost, pytest.raises(errors.RemoteError):
        lost.projects.all()


# ------------------------------------------------------------------ versions and answers


def test_versions_are_published_removed_and_downloaded(studio: Studio, tmp_path: Path) -> None:
    garden = studio.projects.find("garden")
    assert [each.version for each in garden.versions()] == [3, 2, 1]
    assert garden.versions()[0].top1 == 5 / 6
    assert [each.active for each in garden.publish(2)] == [False, True, False]
    with pytest.raises(errors.SettingError, match="is active"):
        garden.remove_version(2)
    garden.remove_version(1)
    with pytest.raises(errors.UnknownName):
        garden.publish(1)
    garden.download(2, tmp_path / "garden.zip")
    assert zipfile.ZipFile(tmp_path / "garden.zip").testzip() is None
    with pytest.raises(errors.UnknownName):
        garden.download(7, tmp_path / "none.zip")
    assert not (tmp_path / "none.zip").exists()


def test_a_version_is_judged_photo_by_photo(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    garden = studio.projects.find("garden")
    result = garden.result(3)
    assert (result.metrics["images"], result.label_issues, result.advice) == (6, 3, None)
    monkeypatch.setattr(project_module, "PAGE", 2)
    wrong = list(garden.results(3, wrong_only=True, held_out_only=False))
    assert [each.name for each in wrong] == ["ants-3.png", "ants-1.png", "bees-3.png"]
    assert len(list(garden.results(3))) == 6
    (photo,) = garden.results(3, label="ants", answer="bees")
    assert (photo.labels, photo.answers[0].label, photo.held_out) == (("ants",), "bees", True)
    assert photo.photo in garden.photos()
    issues = list(garden.label_issues(3))
    assert issues[0].result.name == "ants-3.png"
    assert len(issues) == 3
    with pytest.raises(errors.UnknownName, match="has no class 'flies'"):
        next(garden.results(3, label="flies"))


def test_the_inbox_is_emptied(
    served: tuple[str, Path], studio: Studio, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "PAGE", 2)
    store = Projects(served[1])
    for seed in range(5):
        store.keep(f"{seed}.jpg", picture(seed), {"committee": "garden", "label": "bees"})
    bees = project.facts.classes[1].id
    moved = []
    for photo in studio.inbox.photos():  # each page follows the one before, though photos leave
        assert photo.verdict["label"] == "bees"
        moved.append(studio.inbox.move([photo], project, bees))
    assert studio.inbox.waiting == 0
    assert [each.photos[0].name for each in moved] == [f"{seed}.jpg" for seed in (4, 3, 2, 1, 0)]
    again = studio.inbox.move([photo], project)
    assert (again.ids, again.skipped) == ((), (photo.id,))
    studio.inbox.put_back(moved[0])
    (back,) = studio.inbox.photos()
    assert studio.inbox.read(back) == picture(4)
    assert studio.inbox.preview(back).startswith(b"\xff\xd8")
    studio.inbox.dismiss([back])
    with pytest.raises(errors.UnknownName):
        studio.inbox.dismiss([back])
    studio.inbox.put_back([back])
    assert studio.inbox.waiting == 1
    studio.inbox.dismiss([back])


def test_a_heap_is_sorted(
    served: tuple[str, Path], studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorting_module, "PAGE", 1)
    garden, home = studio.projects.find("garden"), served[1]
    added = garden.add_photos([(f"heap-{seed}.jpg", picture(90 + seed)) for seed in range(4)])
    digests = [photo.digest for photo in added.photos]
    heap = garden.heap()
    assert (heap.facts.offers, heap.facts.needs_comparison) == ((), True)
    answers = [Answer("sure", 1, 0.9, 0.2, is_selected=True), Answer("unsure", 0, 0.5)]
    plan = dict(zip(digests, answers * 2, strict=True))
    version = heap.facts.newest
    Plan(version, plan, [digests[3], digests[1]], [], frozenset(digests)).write(
        home, "garden", "project"
    )
    (offer,) = heap.facts.offers
    assert (offer.class_name, set(offer.digests)) == ("bees", {digests[0], digests[2]})
    assert {photo.digest for photo in heap.photos(offer)} == set(offer.digests)
    assert [photo.name for photo in heap.photos()] == ["heap-3.jpg", "heap-1.jpg"]
    accepted = heap.accept(offer)
    assert (set(accepted.digests), heap.facts.waiting) == (set(offer.digests), 2)
    heap.undo(accepted)
    assert (heap.facts.waiting, heap.facts.offers) == (4, (offer,))
    with pytest.raises(errors.Conflict):
        heap.undo(accepted)
    again = heap.accept(offer)
    assert heap.accept(offer).skipped == 2
    heap.undo(heap.accept(offer))  # nothing was accepted, so there is nothing to undo
    heap.undo(again)
    comparison = heap.compare()
    assert comparison.state().under_way
    comparison.stop()
    with pytest.raises(errors.Stopped):
        comparison.wait()
    garden.erase(added.photos)


@pytest.mark.slow
def test_a_version_is_exported_and_made_smaller(studio: Studio, tmp_path: Path) -> None:
    tiny, target = studio.projects.find("tiny"), tmp_path / "tiny.zip"
    stopped = tiny.export(1, "openvino")
    with pytest.raises(errors.Busy, match="one runs at a time"):
        tiny.export(1, "onnx")
    stopped.stop()
    with pytest.raises(errors.Stopped):
        stopped.save(target)
    assert (list(tmp_path.iterdir()), tiny.exports()) == ([], ())
    said: list[str] = []
    counts: list[tuple[int, int]] = []
    export = _once_free(lambda: tiny.export(1, "openvino"))
    export.save(target, say=said.append, progress=lambda *each: counts.append(each))
    (file,) = tiny.exports()
    assert counts[-1] == (file.size_bytes, file.size_bytes) == (target.stat().st_size,) * 2
    assert zipfile.ZipFile(target).testzip() is None
    with pytest.raises(errors.RemoteError, match="does not know of this work any more"):
        stopped.state()
    tiny.remove_export(file.name)
    with pytest.raises(errors.UnknownName):
        tiny.download_export(file.name, target)
    assert zipfile.ZipFile(target).testzip() is None  # what was there stays
    for kind in ("gif", "openvino"):
        with pytest.raises(errors.UnknownName):
            tiny.export(1 if kind == "gif" else 9, kind)
    with pytest.raises(errors.RemoteError, match="photo") as caught:
        tiny.make_int8(1).wait(said.append)  # the project has no photos
    assert caught.value.code == "failed"
    assert tiny.int8_versions() == ()
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("notes.txt", "text")
    with pytest.raises(errors.RemoteError, match="no photos in the zip"):
        tiny.make_int8(1, tmp_path / "none.zip").wait()


@pytest.mark.slow
def test_a_model_is_imported_when_its_question_is_answered(studio: Studio, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    model = onnx_models.write(tmp_path / "My net.onnx", producer="pytorch")
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat\n")
    work = studio.import_model(model, labels=tmp_path / "labels.txt")
    with pytest.raises(errors.SettingError, match="recipe"):
        work.wait()
    assert "torch" in work.state().likely
    work.answer(recipe="0..1")
    lines: list[str] = []
    made = work.wait(lines.append)
    assert (made.name, made.version, tuple(lines)) == ("my-net", 1, made.lines)
    (verdict,) = studio.classify(("a.png", squares()), committee="my-net")
    assert isinstance(verdict, Verdict)
    assert {guess.label.name for guess in verdict.top} == {"ant", "bee", "cat"}
    with pytest.raises(errors.RemoteError, match="nothing to try"):
        work.answer(recipe="-1..1")
    with pytest.raises(errors.SourceError, match="cannot be read"):
        studio.import_model(tmp_path / "none.onnx")


def _once_free(start: Callable[[], Export]) -> Export:
    """What is started when the process that was stopped before has ended."""
    while True:
        with contextlib.suppress(errors.Busy):
            return start()


def test_a_download_that_breaks_off_leaves_what_was_there(
    stub: tuple[type[_Stub], str], tmp_path: Path
) -> None:
    kind, address = stub
    kind.missing_bytes = 7
    with Studio(address, retries=0) as studio:
        garden = Project(studio._transport, "garden")
        for target in (tmp_path / "new.zip", tmp_path / "old.zip"):
            (tmp_path / "old.zip").write_bytes(b"whole")
            with pytest.raises(errors.RemoteError, match="cannot be reached"):
                garden.download(1, target)
    assert [path.name for path in tmp_path.iterdir()] == ["old.zip"]
    assert (tmp_path / "old.zip").read_bytes() == b"whole"


def test_photos_are_classified(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(squares())
    (verdict,) = studio.classify(path, committee="garden", top=2)
    assert isinstance(verdict, Verdict)
    assert (verdict.source, len(verdict.top)) == ("a.png", 2)
    many = [path, ("text.txt", b"text"), *[(f"{n}.png", squares(n)) for n in range(20)]]
    answers = studio.classify(many, committee="garden", rule="max")
    assert [answer.source for answer in answers[:3]] == ["a.png", "text.txt", "0.png"]
    assert len(answers) == 22
    assert isinstance(answers[1], Failure)
    (failure,) = studio.classify(("text.txt", b"text"), committee="garden")
    assert failure == answers[1]
    with pytest.raises(errors.UnknownName):
        studio.classify(path, committee="nobody")
    with pytest.raises(errors.SettingError, match="The option rule is 'dice'"):
        studio.classify(path, rule="dice")


probs = st.floats(0, 1)
labels = st.builds(Label, st.text(), st.text(), st.integers(0, 99))
guesses = st.lists(st.builds(Guess, labels, probs), min_size=1, max_size=3).map(tuple)
names = st.text().map(lambda name: Label(name, name, -1))
similar = st.builds(Similar, st.text(), names, probs) | st.builds(
    Similar, st.text(), st.none(), probs, st.lists(names).map(tuple)
)
holding = st.builds(MultilabelGuess, labels, probs, probs)
verdicts = st.builds(
    Verdict,
    st.text(),
    st.text(),
    guesses,
    st.lists(st.builds(Prediction, st.text(), guesses), min_size=1, max_size=2).map(tuple),
    st.builds(Timing, st.just(1.5), st.just(2.0), st.just({"A": 0.25}), st.just(9.0)),
    warning=st.none() | st.text(min_size=1),
    status=st.sampled_from(["sure", "unsure", "none", None]),
    prediction_set=st.none() | st.builds(PredictionSet, probs, guesses),
    novelty=st.none() | probs,
    skipped=st.lists(st.text()).map(tuple),
    reason=st.none() | st.text(),
    similar=st.lists(similar, max_size=2).map(tuple),
    status_reason=st.none() | st.builds(StatusReason, st.text(), st.text(), probs),
    labels=st.none() | st.lists(holding, max_size=3).map(tuple),
)


@given(verdicts)
@hypothesis_settings(max_examples=30)
def test_a_verdict_survives_its_json(verdict: Verdict) -> None:
    assert Verdict.from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict


@hypothesis_settings(max_examples=30)
@given(
    st.lists(st.tuples(st.text("abc_"), st.text())),
    st.lists(st.tuples(st.text(min_size=1), st.binary())),
)
def test_a_form_is_read_as_it_was_written(
    fields: list[tuple[str, str]], files: list[tuple[str, bytes]]
) -> None:
    """By Werkzeug, an independent program."""
    form = Form(fields, [("photo", File(name, data)) for name, data in files])
    body = b"".join(form.chunks())
    assert len(body) == form.size_bytes
    with Request.from_values(method="POST", data=body, content_type=form.content_type) as request:
        assert request.form == MultiDict(fields)
        received = request.files.getlist("photo")
        assert [file.read() for file in received] == [data for _, data in files]


# ------------------------------------------------------------------ busy, lost and false studios


class _Stub(http.server.BaseHTTPRequestHandler):
    """Answers by a list of statuses; 0 closes the connection without an answer."""

    protocol_version = "HTTP/1.1"
    plan: list[int]
    bodies: list[bytes]
    missing_bytes = 0

    def do_GET(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        status = self.plan.pop(0) if self.plan else 200
        if not status:
            self.close_connection = True
            return
        body = {"error": {"code": "overloaded", "message": "Full."}} if status >= 300 else {}
        data = json.dumps({"projects": [], "photos": [], "refused": [], **body}).encode()
        self.send_response(status)
        if status in (429, 503):
            self.send_header("Retry-After", "7")
        if status == 302:
            self.send_header("Location", "http://198.51.100.7/")
        self.send_header("Content-Length", str(len(data) + self.missing_bytes))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = bool(self.missing_bytes)

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[tuple[type[_Stub], str]]:
    kind = type("Stub", (_Stub,), {"plan": [], "bodies": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield kind, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_busy_studio_is_asked_again_when_it_says(stub: tuple[type[_Stub], str]) -> None:
    kind, address = stub
    pauses: list[float] = []
    transport = Transport(address, retries=3, pause=pauses.append)
    form = Form([], [("photo", File("a.jpg", b"bytes"))])
    kind.plan[:] = [503, 429]
    transport.upload("/photos", form)
    assert pauses == [7.0, 7.0]
    assert [body == kind.bodies[0] and b"bytes" in body for body in kind.bodies] == [True] * 3
    kind.plan[:] = [503] * 9
    with pytest.raises(errors.Overloaded, match="Full") as caught:
        transport.change("POST", "/undo")
    assert caught.value.retry_after_s == 7
    assert len(kind.plan) == 5
    transport.close()


def test_only_what_may_be_repeated_is_sent_again(stub: tuple[type[_Stub], str]) -> None:
    kind, address = stub
    transport = Transport(address, retries=3, pause=lambda _: None)
    kind.plan[:] = [0, 0]
    assert transport.get("/")["projects"] == []
    kind.plan[:] = [0, 0]
    with pytest.raises(errors.RemoteError, match="It may have done what it was asked for"):
        transport.change("POST", "/decisions", {"action": "exclude"})
    assert kind.plan == [0]
    transport.close()


def test_a_studio_that_is_none_is_an_error(stub: tuple[type[_Stub], str], tmp_path: Path) -> None:
    kind, address = stub
    transport = Transport(address, key="secret", retries=0)
    kind.plan[:] = [302, 500]
    for _ in range(2):  # the key is not sent on to where it is led
        with pytest.raises(errors.Overloaded):
            transport.get("/")
    transport.close()
    for url in ("studio.example", "ftp://studio.example", "http://", "https://a?b=c"):
        with pytest.raises(errors.SettingError, match="The studio's address is"):
            Studio(url)
    with pytest.raises(errors.SettingError, match="characters that no key has"):
        Studio("http://studio.example", key="a\nb")
    with pytest.raises(errors.SourceError, match="no file of certificates"):
        Studio("https://studio.example", ca_file=tmp_path / "none.pem")
    with (
        Studio("http://127.0.0.1:9", retries=0) as nobody,
        pytest.raises(errors.RemoteError, match="cannot be reached"),
    ):
        nobody.projects.all()


# ------------------------------------------------------------------ training


@pytest.mark.slow
def test_the_script_of_the_docs_brings_teaches_follows_publishes_and_classifies(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
    script = page.partition("```python\n")[2].partition("```")[0]
    for kind in ("discs", "rays"):
        for number in range(9):
            folder = tmp_path / "hymenoptera" / ("val" if number == 8 else "train") / kind
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{kind}-{number}.png").write_bytes(shape_image(kind, number))
    (tmp_path / "hymenoptera" / "train" / "text.jpg").write_text("text")
    with studios.training_studio(home, precision="f32") as address:
        script = script.replace("http://127.0.0.1:5000", address)
        script = script.replace('"hymenoptera"', repr(str(tmp_path / "hymenoptera")))
        exec(compile(script, "docs/client.md", "exec"), {})
        with Studio(address) as studio:
            project = studio.projects.find("hymenoptera")
            (job,) = project.jobs()
            assert isinstance(job, Job)
            with ThreadPoolExecutor() as pool:  # several listen to the same
                ends = list(pool.map(lambda _: list(job.events()), range(3)))
            assert [(end.state, end.version) for (end,) in ends] == [("done", 1)] * 3
            (version,) = project.versions()
            assert (version.active, version.classes) == (True, ("discs", "rays"))
            photo = ("a.png", shape_image("rays", 99))
            project.publish(None)
            with pytest.raises(errors.UnknownName):
                studio.classify(photo, committee=project.key)
            (verdict,) = studio.classify(photo, committee=f"{project.key}@1")
            assert isinstance(verdict, Verdict)
            assert verdict.label.name == "rays"
    said = capsys.readouterr().out
    for part in ("0 of 17 photos", "17 of 17 photos", "text.jpg: ", "made"):
        assert part in said
    assert "discs-8.png Verdict(source='discs-8.png'" in said
