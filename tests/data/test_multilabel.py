"""Data sets of photos with any number of classes: lists, findings, and splits."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image

from support.images import plain_image
from triptych import data
from triptych import errors
from triptych.data import stratify
from triptych.data.records import MULTILABEL


def noise(seed: int) -> bytes:
    """A photo that is like no other."""
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((96, 96), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def listed(folder: Path, labels: list[str], *, header: str = "path,label") -> Path:
    for number in range(len(labels)):
        (folder / f"{number}.png").write_bytes(noise(number))
    rows = [f"{number}.png,{label}" for number, label in enumerate(labels)]
    path = folder / "photos.csv"
    path.write_text("\n".join([header, *rows, ""]))
    return path


LABELS = ["ant|bee", "bee", " ant | wasp ", "", "wasp|ant|wasp", "bee"]


def test_a_list_with_bars_is_multilabel(tmp_path: Path) -> None:
    dataset = data.open(listed(tmp_path, LABELS))
    assert dataset.multilabel
    assert dataset.classes == ("ant", "bee", "wasp")
    assert [photo.labels for photo in dataset.train] == [(0, 1), (1,), (0, 2), (), (0, 2), (1,)]
    assert {photo.label for photo in dataset.train} == {MULTILABEL}
    assert dataset.targets(dataset.train).astype(int).tolist() == [
        *([1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0], [1, 0, 1], [0, 1, 0])
    ]
    assert dataset.to_dict()["classes"][0] == {"name": "ant", "train": 3, "val": 0}


def test_a_list_without_bars_is_multilabel_where_that_is_wanted(tmp_path: Path) -> None:
    path = listed(tmp_path, ["ant", "bee", "", "bee"])
    assert not data.open(path).multilabel
    assert len(data.open(path).train) == 3
    wanted = data.open(path, multilabel=True)
    assert wanted.multilabel
    assert [photo.labels for photo in wanted.train] == [(0,), (1,), (), (1,)]


def test_a_bar_in_the_name_of_a_folder_stays(tmp_path: Path) -> None:
    for number, name in enumerate(["ant|bee", "wasp"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(noise(number))
    dataset = data.open(tmp_path)
    assert not dataset.multilabel
    assert dataset.classes == ("ant|bee", "wasp")
    wanted = data.open(tmp_path, multilabel=True)
    assert wanted.classes == ("ant|bee", "wasp")
    assert [photo.labels for photo in wanted.train] == [(0,), (1,)]


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_an_archive_is_read_by_its_list(tmp_path: Path) -> None:
    files = {f"garden/photos/{number}.png": noise(number) for number in range(5)}
    rows = "path;label\nphotos/0.png;ant|bee\nphotos\\1.png;bee\nphotos/2.png;\nphotos/9.png;ant\n"
    archive = zipped(tmp_path / "garden.zip", {**files, "garden/list.csv": rows.encode()})
    dataset = data.open(archive)
    assert dataset.multilabel
    assert [photo.labels for photo in dataset.train] == [(0, 1), (1,), ()]
    assert ("garden/photos/3.png", "garden/photos/4.png") in [f.sources for f in dataset.findings]
    (unreadable,) = [f for f in dataset.findings if f.kind == "unreadable"]
    assert unreadable.sources == ("photos/9.png",)


def test_a_class_that_all_photos_have_is_left_out(tmp_path: Path) -> None:
    dataset = data.open(listed(tmp_path, ["ant|bee|wasp", "ant|bee", "ant|wasp", "ant"]))
    assert dataset.classes == ("bee", "wasp")
    assert [photo.labels for photo in dataset.train] == [(0, 1), (0,), (1,), ()]
    (finding,) = [finding for finding in dataset.findings if finding.kind == "universal_class"]
    assert finding.message.startswith("Every photo for training has 'ant'")


def test_a_set_with_one_class_left_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.SourceError, match="only 'bee' has photos with it and photos"):
        data.open(listed(tmp_path, ["ant|bee", "ant"]))


def test_findings_know_of_several_classes(tmp_path: Path) -> None:
    labels = ["ant|bee", "bee", "bee|wasp", "", *["bee|wasp"] * 5]
    path = listed(tmp_path, labels)
    (tmp_path / "4.png").write_bytes((tmp_path / "0.png").read_bytes())  # another set of classes
    (tmp_path / "2.png").write_bytes((tmp_path / "5.png").read_bytes())  # the same set
    (tmp_path / "1.png").write_bytes(plain_image((0, 0, 0)))
    dataset = data.open(path)
    messages = {finding.kind: finding.message for finding in dataset.findings}
    assert "different classes: ant|bee, bee|wasp" in messages["label_conflict"]
    assert "The same file several times" in messages["exact_duplicate"]
    assert messages["unlabelled"].startswith("Without a class")
    small = [f.message for f in dataset.findings if f.kind == "small_class"]
    assert any("'ant' has 1 photo for training" in message for message in small)
    assert any("Photos without 'bee' for training: 1." in message for message in small)
    assert "imbalance" not in messages


def photo(number: int, labels: tuple[int, ...], group: int) -> data.LabelledPhoto:
    digest = hashlib.sha256(b"%d" % number).digest()
    return data.LabelledPhoto(f"{number}", MULTILABEL, digest, group, bytes, labels)


@st.composite
def photo_sets(draw: st.DrawFn) -> list[data.LabelledPhoto]:
    classes = draw(st.integers(1, 6))
    sets = draw(st.lists(st.sets(st.integers(0, classes - 1)), min_size=2, max_size=60))
    copies = draw(st.integers(1, 3))
    return [photo(n, tuple(sorted(labels)), n // copies) for n, labels in enumerate(sets)]


@given(photo_sets(), st.integers(0, 3))
@settings(max_examples=60)
def test_splits_keep_copies_together_and_leave_some_of_each_class(
    photos: list[data.LabelledPhoto], seed: int
) -> None:
    train, val = data.split(photos, share=0.2, seed=seed)
    assert sorted(p.source for p in [*train, *val]) == sorted(p.source for p in photos)
    assert not {p.group for p in train} & {p.group for p in val}
    there = {label for p in photos for label in p.all_labels}
    assert {label for p in train for label in p.all_labels} == there


@given(photo_sets(), st.integers(2, 5))
@settings(max_examples=60)
def test_folds_keep_copies_together_and_leave_some_of_each_class(
    photos: list[data.LabelledPhoto], k: int
) -> None:
    folds = data.folds(photos, k, seed=0)
    groups = np.array([p.group for p in photos])
    for group in set(groups.tolist()):
        assert len(set(folds[groups == group].tolist())) == 1
    for label in {label for p in photos for label in p.all_labels}:
        of_class = folds[[label in p.all_labels for p in photos]]
        for fold in range(k):
            assert (of_class != fold).any()
    assert (data.folds(photos[::-1], k, seed=0)[::-1] == folds).all()


def test_each_class_is_spread_over_all_folds() -> None:
    rng = np.random.default_rng(0)
    holds = rng.random((400, 12)) < np.linspace(0.03, 0.6, 12)
    photos = [photo(n, tuple(np.flatnonzero(row).tolist()), n) for n, row in enumerate(holds)]
    folds = data.folds(photos, 5, seed=1)
    counts = np.stack([holds[folds == fold].sum(axis=0) for fold in range(5)])
    assert np.abs(counts - holds.sum(axis=0) / 5).max() < 5
    _, val = data.split(photos, share=0.25, seed=1)
    shares = np.array([p.labels for p in val], object)
    assert len(val) == pytest.approx(100, abs=4)
    for label in range(12):
        found = sum(label in labels for labels in shares)
        assert found == pytest.approx(holds[:, label].sum() / 4, rel=0.25, abs=2)


def test_a_part_that_wants_nothing_gets_nothing() -> None:
    groups = np.array([[1], [1], [1]])
    parts = stratify.assign(groups, np.ones(3), np.array([[0], [3]]), [0, 3])
    assert parts.tolist() == [1, 1, 1]
