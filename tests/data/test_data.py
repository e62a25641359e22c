"""Datasets: reading folders, zips and CSVs, findings, duplicates, splits and folds."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import pickle
import struct
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image
from PIL import ImageChops
from PIL import ImageDraw
from PIL import ImageFilter

from support.image_formats import encode
from support.images import picture
from triptych import data as triptych_data
from triptych import errors
from triptych import images
from triptych.data import archive
from triptych.data import near

Files = Mapping[str, bytes]


def write(folder: Path, files: Files) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def pack(path: Path, files: Files, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def per_class(counts: Mapping[str, int], *, start: int = 0, prefix: str = "") -> dict[str, bytes]:
    """A number of different photos for each class."""
    seeds = itertools.count(start)
    return {
        f"{prefix}{name}/{i}.jpg": picture(next(seeds))
        for name, n in counts.items()
        for i in range(n)
    }


def both_sides(val: str = "val") -> dict[str, bytes]:
    return {
        **per_class({"ants": 6, "bees": 5}, prefix="train/"),
        **per_class({"ants": 2, "bees": 3}, prefix=f"{val}/", start=100),
    }


def again(data: bytes, *, quality: int = 60, scale: float = 1.0) -> bytes:
    """The same picture, of another size or more strongly compressed."""
    with Image.open(io.BytesIO(data)) as image:
        size = (round(image.width * scale), round(image.height * scale))
        file = io.BytesIO()
        image.convert("RGB").resize(size).save(file, "JPEG", quality=quality)
    return file.getvalue()


def findings_by_kind(data: triptych_data.Dataset) -> dict[str, list[triptych_data.Finding]]:
    by_kind: dict[str, list[triptych_data.Finding]] = {}
    for finding in data.findings:
        by_kind.setdefault(finding.kind, []).append(finding)
    return by_kind


def one(data: triptych_data.Dataset, kind: str) -> triptych_data.Finding:
    (finding,) = findings_by_kind(data)[kind]
    return finding


def counts(data: triptych_data.Dataset) -> list[tuple[str, int, int]]:
    return [(row["name"], row["train"], row["val"]) for row in data.to_dict()["classes"]]


# Layouts


def test_a_folder_per_class(tmp_path: Path) -> None:
    files = per_class({"b": 6, "a": 5, "10": 5, "9": 5})
    data = triptych_data.open(write(tmp_path / "things", files))
    assert data.name == "things"
    assert data.classes == ("10", "9", "a", "b")
    assert data.val == ()
    assert data.findings == ()
    photo = next(photo for photo in data.train if photo.source == "b/3.jpg")
    assert photo.label == 3
    assert photo.read() == files["b/3.jpg"]
    assert photo.digest == hashlib.sha256(files["b/3.jpg"]).digest()
    assert len({photo.group for photo in data.train}) == 21


@pytest.mark.parametrize("val", ["val", "valid", "Validation", "TEST"])
def test_train_and_val_folders(tmp_path: Path, val: str) -> None:
    data = triptych_data.open(write(tmp_path, both_sides(val)))
    assert counts(data) == [("ants", 6, 2), ("bees", 5, 3)]
    assert {photo.source.split("/")[0] for photo in data.val} == {val}


def test_folders_beside_train_and_val_are_reported_and_left_out(tmp_path: Path) -> None:
    more = per_class({"ants": 1}, prefix="test/", start=300) | {"train/loose.jpg": picture(301)}
    data = triptych_data.open(write(tmp_path, both_sides() | more))
    assert counts(data) == [("ants", 6, 2), ("bees", 5, 3)]
    beside, loose = findings_by_kind(data)["ignored"]
    assert beside.sources == ("test",)
    assert "Beside train/ and val/" in beside.message
    assert loose.sources == ("train/loose.jpg",)


def test_train_may_be_a_class(tmp_path: Path) -> None:
    data = triptych_data.open(write(tmp_path, per_class({"train": 5, "plane": 5, "car": 5})))
    assert data.classes == ("car", "plane", "train")


def test_train_alone(tmp_path: Path) -> None:
    data = triptych_data.open(write(tmp_path, per_class({"a": 5, "b": 5}, prefix="train/")))
    assert counts(data) == [("a", 5, 0), ("b", 5, 0)]


@pytest.mark.parametrize("outer", ["", "photos/", "photos/photos/"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_gives_what_the_folder_gives(tmp_path: Path, outer: str, method: int) -> None:
    files = both_sides()
    folder = triptych_data.open(write(tmp_path / "folder", files))
    packed = {outer + name: data for name, data in files.items()}
    data = triptych_data.open(pack(tmp_path / "bugs.zip", packed, method))
    assert data.name == "bugs"
    assert data.fingerprint == folder.fingerprint
    assert counts(data) == counts(folder)
    photo = data.train[0]
    assert photo.read() == files[photo.source.removeprefix(outer)]
    assert pickle.loads(pickle.dumps(photo)).read() == photo.read()
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "bugs.zip"}


@pytest.mark.parametrize(
    ("delimiter", "encoding"),
    [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-16"), (";", "utf-8"), (",", "utf-8-sig")],
)
def test_a_csv(tmp_path: Path, delimiter: str, encoding: str) -> None:
    write(tmp_path / "all", {f"{i}, a.jpg": picture(i) for i in range(12)})
    lines = [["Path", "label ", "split"]]
    lines += [[f'"all/{i}, a.jpg"', "even" if i % 2 == 0 else "odd", ""] for i in range(10)]
    lines += [['"all/10, a.jpg"', "even", "val"], ['"all/11, a.jpg"', "odd", "Valid"]]
    text = "\r\n".join(delimiter.join(line) for line in lines)
    (tmp_path / "list.csv").write_bytes(text.encode(encoding))
    data = triptych_data.open(tmp_path / "list.csv")
    assert data.name == "list"
    assert counts(data) == [("even", 5, 1), ("odd", 5, 1)]
    assert data.findings == ()


def test_a_csv_without_split_with_gaps_and_missing_files(tmp_path: Path) -> None:
    write(tmp_path, {f"{i}.jpg": picture(i) for i in range(4)})
    lines = ["label;path", "a;0.jpg", "b;1.jpg", "a;2.jpg", "b;3.jpg", ";0.jpg", "a;gone.jpg"]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    data = triptych_data.open(tmp_path / "list.csv")
    assert counts(data) == [("a", 2, 0), ("b", 2, 0)]
    assert one(data, "ignored").sources == ("0.jpg",)
    assert one(data, "unreadable").sources == ("gone.jpg",)
    assert "There is no file" in one(data, "unreadable").message


def test_a_csv_may_call_photos_by_other_names(tmp_path: Path) -> None:
    write(tmp_path, {f"{i:064}": picture(i) for i in range(4)})
    lines = ["path,label,name", *(f"{i:064},{'ab'[i % 2]},holiday.png" for i in range(3))]
    (tmp_path / "list.csv").write_text("\n".join([*lines, f"{3:064},b,"]))
    data = triptych_data.open(tmp_path / "list.csv")
    sources = ["holiday.png", f"holiday.png ({1:064})", f"holiday.png ({2:064})", f"{3:064}"]
    assert [photo.source for photo in data.train] == sources
    assert [photo.read() for photo in data.train] == [picture(i) for i in range(4)]
    assert one(data, "odd_format").sources == (sources[0],)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,class\na.jpg,x\n", "begins with 'file,class'"),
        ("", "begins with ''"),
        ("path,label\na.jpg,x\nb.jpg,x\n", "one label to train on, 'x'"),
        ("path,label\n", "no photos to train on"),
        (
            "path,label,split\na.jpg,x,later\n",
            "line 2: the split is 'later'; expected train or val",
        ),
        ("path,label\n" + "x" * 200_000 + ",y\n", "cannot be read at line 2"),
        ("path,label\n\udcff.jpg,x\n", "not in UTF-8"),
    ],
)
def test_a_wrong_csv_says_what_is_expected(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.csv").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(errors.SourceError, match=message):
        triptych_data.open(tmp_path / "list.csv")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.jpg": b"", "b.jpg": b""}, r"lie directly in 'top' \(2\), in no class's folder"),
        (
            {"train/a.jpg": b"", "val/b.jpg": b""},
            r"lie directly in train/ \(1\), in no class's folder",
        ),
        ({"cats/a.jpg": b"", "b.jpg": b""}, "In 'top' only one class has photos, 'cats'"),
        ({"train/cats/a.jpg": b"", "val/dogs/b.jpg": b""}, "In train/ only one class has photos"),
        ({"val/cats/a.jpg": b"", "val/dogs/b.jpg": b""}, "train/ is missing"),
        ({"cats/a.txt": b"", "dogs/b.doc": b""}, "only others, such as 'cats/a.txt'"),
        ({".cats/a.jpg": b""}, "No photos are in 'top'"),
        (
            {"a.jpg": b"", "list.csv": b"file;class\na.jpg;cats\n"},
            r"'list.csv' begins with 'file;class'. Expected a first line such as path,label",
        ),
    ],
)
def test_too_few_classes_says_what_is_there_and_what_is_expected(
    tmp_path: Path, files: Files, message: str
) -> None:
    folder = write(tmp_path / "top", files)
    with pytest.raises(errors.SourceError, match=message) as caught:
        triptych_data.open(folder)
    assert "Expected a folder of photos per class" in caught.value.message


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("no.zip", None, "cannot be opened: No such file"),
        ("a.jpg", picture(), "is a single file; expected a folder, a zip archive or a CSV"),
        ("a.pdf", b"%PDF-1.7", "is a PDF file; expected a folder"),
        ("a.zip", b"PK\3\4 and no more", "is not a complete zip archive"),
    ],
)
def test_a_source_that_cannot_be_opened_is_named(
    tmp_path: Path, name: str, data: bytes | None, message: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(errors.SourceError, match=message):
        triptych_data.open(tmp_path / name)


# Findings


def test_bad_files_are_reported_and_left_out(tmp_path: Path) -> None:
    files = per_class({"a": 5, "b": 5}) | {
        "a/text.jpg": b"just a text",
        "a/empty.jpg": b"",
        "b/cut.jpg": picture(50)[:-300],
        "b/really.png": picture(51),
        "b/notes.txt": b"x",
        "b/.hidden.jpg": picture(52),
        ".ipynb_checkpoints/c.jpg": picture(53),
        "__MACOSX/a/._1.jpg": b"x",
    }
    before = {
        path: path.read_bytes() for path in write(tmp_path, files).rglob("*.*") if path.is_file()
    }
    data = triptych_data.open(tmp_path)
    assert counts(data) == [("a", 5, 0), ("b", 6, 0)]
    unreadable = {
        finding.sources[0]: finding.message for finding in findings_by_kind(data)["unreadable"]
    }
    assert set(unreadable) == {"a/text.jpg", "a/empty.jpg", "b/cut.jpg"}
    assert "ends too early" in unreadable["b/cut.jpg"]
    assert "empty" in unreadable["a/empty.jpg"]
    assert one(data, "odd_format").sources == ("b/really.png",)
    assert "JPEG" in one(data, "odd_format").message
    assert one(data, "ignored").sources == ("b/notes.txt",)
    assert one(data, "hidden").sources == (".ipynb_checkpoints", "__MACOSX", "b/.hidden.jpg")
    assert {path: path.read_bytes() for path in before} == before


def test_exact_copies_are_one_group(tmp_path: Path) -> None:
    files = per_class({"a": 5, "b": 5})
    data = triptych_data.open(write(tmp_path, files | {"a/copy.jpg": files["a/2.jpg"]}))
    assert one(data, "exact_duplicate").sources == ("a/2.jpg", "a/copy.jpg")
    assert set(findings_by_kind(data)) == {"exact_duplicate"}
    assert len(data.train) == 11
    assert len({photo.group for photo in data.train}) == 10


@pytest.mark.parametrize("change", [{"scale": 0.5}, {"scale": 1.7}, {"quality": 35}])
def test_resized_and_recompressed_copies_are_one_group(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    files = per_class({"a": 5, "b": 5})
    data = triptych_data.open(
        write(tmp_path, files | {"a/copy.jpg": again(files["a/2.jpg"], **change)})
    )
    assert one(data, "near_duplicate").sources == ("a/2.jpg", "a/copy.jpg")
    assert len({photo.group for photo in data.train}) == 10


def test_one_photo_under_two_classes(tmp_path: Path) -> None:
    files = per_class({"a": 5, "b": 5})
    data = triptych_data.open(write(tmp_path, files | {"b/copy.jpg": again(files["a/2.jpg"])}))
    assert set(findings_by_kind(data)) == {"label_conflict"}
    assert one(data, "label_conflict").sources == ("a/2.jpg", "b/copy.jpg")
    assert "a, b" in one(data, "label_conflict").message
    assert len(data.train) == 11


def test_photos_of_val_are_kept_out_of_train(tmp_path: Path) -> None:
    files = both_sides()
    files |= {"train/ants/exact.jpg": files["val/ants/0.jpg"]}
    files |= {"train/bees/near.jpg": again(files["val/bees/0.jpg"])}
    data = triptych_data.open(write(tmp_path, files))
    assert {finding.sources for finding in findings_by_kind(data)["leak"]} == {
        ("train/ants/exact.jpg", "val/ants/0.jpg"),
        ("train/bees/near.jpg", "val/bees/0.jpg"),
    }
    assert "Left out of train" in findings_by_kind(data)["leak"][0].message
    assert counts(data) == [("ants", 6, 2), ("bees", 5, 3)]
    assert not {p.group for p in data.train} & {p.group for p in data.val}


def test_a_class_whose_photos_are_all_nearly_in_val_is_trained(tmp_path: Path) -> None:
    """Such as a film whose frames were dealt to train and val; exact copies still leave train."""
    files = both_sides()
    for number in range(6):
        files[f"val/ants/near{number}.jpg"] = again(files[f"train/ants/{number}.jpg"])
    files["val/ants/exact.jpg"] = files["train/ants/5.jpg"]
    data = triptych_data.open(write(tmp_path, files))
    assert counts(data) == [("ants", 5, 9), ("bees", 5, 3)]
    assert "All training photos of 'ants' are nearly the same" in one(data, "burst").message
    exact = ("train/ants/5.jpg", "val/ants/exact.jpg", "val/ants/near5.jpg")
    assert one(data, "leak").sources == exact
    assert not {p.digest for p in data.train} & {p.digest for p in data.val}


def test_all_of_train_in_val_is_an_error(tmp_path: Path) -> None:
    train = per_class({"a": 2, "b": 2}, prefix="train/")
    val = {name.replace("train", "val"): data for name, data in train.items()}
    with pytest.raises(errors.SourceError, match=r"no class has photos .* is in train and in val"):
        triptych_data.open(write(tmp_path, train | val))


def test_small_empty_and_uneven_classes(tmp_path: Path) -> None:
    files = per_class({"few": 4, "many": 21})
    (tmp_path / "none").mkdir()
    files |= {"broken/a.jpg": b"x"}
    data = triptych_data.open(write(tmp_path, files))
    assert data.classes == ("few", "many")
    empty = [finding.message for finding in findings_by_kind(data)["empty_class"]]
    assert [message.split()[0] for message in empty] == ["'broken'", "'none'"]
    assert "'few' has 4 photos" in one(data, "small_class").message
    assert "'many' has 21 photos for training, 'few' has 4" in one(data, "imbalance").message


def test_a_class_of_val_alone_cannot_be_learned(tmp_path: Path) -> None:
    more = per_class({"wasps": 2}, prefix="val/", start=300)
    data = triptych_data.open(write(tmp_path, both_sides() | more))
    assert data.classes == ("ants", "bees")
    assert len(data.val) == 5
    assert "its 2 photos in val" in one(data, "empty_class").message


def test_only_unreadable_photos_is_an_error_with_the_reason(tmp_path: Path) -> None:
    write(tmp_path, per_class({"a": 3}) | {"b/1.jpg": b"a text", "b/2.jpg": b""})
    with pytest.raises(errors.SourceError, match=r"only 'a' has photos .* first of 2 reasons: b/"):
        triptych_data.open(tmp_path)


def test_a_photo_beyond_the_limits_is_left_out(tmp_path: Path) -> None:
    files = per_class({"a": 5, "b": 5}) | {"a/large.jpg": picture(9, size=(900, 900))}
    limits = images.Limits(max_bytes=max(map(len, files.values())) - 1)
    folder = triptych_data.open(write(tmp_path / "folder", files), limits=limits)
    packed = triptych_data.open(pack(tmp_path / "a.zip", files), limits=limits)
    for data in (folder, packed):
        assert one(data, "unreadable").sources == ("a/large.jpg",)
        assert "the limit is" in one(data, "unreadable").message


def test_pipes_are_skipped_and_links_followed_once(tmp_path: Path) -> None:
    folder = write(tmp_path / "photos", per_class({"a": 5}))
    elsewhere = write(tmp_path / "elsewhere", per_class({"b": 5}, start=50))
    (folder / "b").symlink_to(elsewhere / "b")
    (folder / "a" / "round").symlink_to(folder)
    (folder / "a" / "nowhere.jpg").symlink_to(tmp_path / "gone.jpg")
    os.mkfifo(folder / "a" / "pipe.jpg")
    data = triptych_data.open(folder)
    assert counts(data) == [("a", 5, 0), ("b", 5, 0)]
    assert one(data, "unreadable").sources == ("a/nowhere.jpg",)


def test_a_pipe_named_in_a_csv_does_not_block(tmp_path: Path) -> None:
    folder = write(tmp_path, per_class({"a": 5, "b": 5}))
    os.mkfifo(folder / "pipe.jpg")
    rows = [f"{path.relative_to(folder)},{path.parent.name}" for path in folder.glob("*/*")]
    (folder / "list.csv").write_text("\n".join(["path,label", "pipe.jpg,a", *rows]))
    data = triptych_data.open(folder / "list.csv")
    assert counts(data) == [("a", 5, 0), ("b", 5, 0)]
    assert one(data, "unreadable").sources == ("pipe.jpg",)
    assert "is a pipe or a device" in one(data, "unreadable").message


def test_progress_is_reported_and_may_stop_the_check(tmp_path: Path) -> None:
    folder = write(tmp_path, per_class({"a": 5, "b": 5}))
    calls: list[tuple[int, int]] = []
    triptych_data.open(folder, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 10) for done in range(1, 11)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        triptych_data.open(folder, progress=stop)


# Fingerprint


def test_the_fingerprint_depends_on_content_not_on_names(tmp_path: Path) -> None:
    files = both_sides()
    first = triptych_data.open(write(tmp_path / "one", files))
    renamed = {name.replace(".jpg", "-x.jpeg"): data for name, data in reversed(files.items())}
    assert triptych_data.open(write(tmp_path / "two", renamed)).fingerprint == first.fingerprint
    for changed in (
        {name.replace("bees", "wasps"): data for name, data in files.items()},
        {name.replace("val/ants/1", "train/ants/v"): data for name, data in files.items()},
        files | {"train/ants/0.jpg": picture(999)},
        files | {"train/ants/more.jpg": picture(999)},
    ):
        number = len(list(tmp_path.iterdir()))
        data = triptych_data.open(write(tmp_path / str(number), changed))
        assert data.fingerprint != first.fingerprint


def test_names_are_compared_in_one_unicode_form(tmp_path: Path) -> None:
    # macOS writes a letter and its dots, others write one letter.
    files = per_class({"\u00c4pfel": 5, "Birnen": 5}, prefix="train/")
    files |= per_class({"A\u0308pfel": 2}, prefix="val/", start=50)
    data = triptych_data.open(write(tmp_path, files))
    assert counts(data) == [("Birnen", 5, 0), ("\u00c4pfel", 5, 2)]


# Hostile archives


def test_hostile_names_are_harmless(tmp_path: Path) -> None:
    files = per_class({"a": 5, "b": 5}) | {
        "../../escape.jpg": picture(50),
        "a/\x1b[2Jred.jpg": picture(51),
        "/".join(["d"] * 3000) + "/x.jpg": picture(52),
        "b\\windows.jpg": picture(53),
        "/b/absolute.jpg": picture(54),
    }
    data = triptych_data.open(pack(tmp_path / "a.zip", files))
    assert counts(data) == [("a", 6, 0), ("b", 7, 0)]
    assert "../../escape.jpg" in one(data, "ignored").sources
    sources = [photo.source for photo in data.train]
    assert "a/%1B[2Jred.jpg" in sources
    assert {"b/windows.jpg", "b/absolute.jpg"} <= set(sources)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_undeclared_utf8_names_are_read(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", per_class({"Bären": 5, "b": 5}))
    data = bytearray(path.read_bytes())
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        for start in range(len(data)):
            if data.startswith(signature, start):
                data[start + at + 1] &= ~0x08
    path.write_bytes(data)
    assert triptych_data.open(path).classes == ("Bären", "b")


def test_a_false_size_in_a_zip_is_harmless(tmp_path: Path) -> None:
    files = per_class({"a": 5, "b": 5}) | {"a/bomb.jpg": picture(50) + bytes(10_000_000)}
    path = pack(tmp_path / "a.zip", files)
    data = path.read_bytes().replace(struct.pack("<I", len(files["a/bomb.jpg"])), b"\0\1\0\0")
    path.write_bytes(data)
    opened = triptych_data.open(path)
    assert one(opened, "unreadable").sources == ("a/bomb.jpg",)
    assert "damaged" in one(opened, "unreadable").message


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {f"{i % 2}/{i}.bmp": bytes(30_000) for i in range(200)})
    data = path.read_bytes().replace(struct.pack("<I", 30_000), struct.pack("<I", 30_000_000))
    path.write_bytes(data)
    with pytest.raises(errors.SourceError, match="would unpack to 5,722 MB"):
        triptych_data.open(path)


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 9)
    path = pack(tmp_path / "a.zip", per_class({"a": 5, "b": 5}))
    with pytest.raises(errors.SourceError, match="has 10 files; the limit is 9"):
        triptych_data.open(path)


def test_a_zip_directory_with_a_huge_declared_size(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", per_class({"a": 5, "b": 5}))
    with path.open("ab") as file:
        file.truncate(60_000_000)
        file.seek(0, io.SEEK_END)
        file.write(struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 9, 9, 50_000_000, 9_000_000, 0))
    with pytest.raises(errors.SourceError, match="a directory of 48 MB"):
        triptych_data.open(path)


def test_an_encrypted_zip_is_named(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", per_class({"a": 5, "b": 5}))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(errors.SourceError, match="protected by a password"):
        triptych_data.open(path)


def test_unsupported_compression_is_reported_per_file(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", per_class({"a": 5, "b": 5}))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_LZMA) as packed:
        packed.writestr("a/lzma.jpg", picture(50))
    assert "compressed by method 14" in one(triptych_data.open(path), "unreadable").message


@given(st.integers(0, 2**32), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_damaged_archive_raises_only_documented_errors(
    tmp_path_factory: pytest.TempPathFactory, seed: int, hits: list[tuple[float, int]]
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a.zip"
    data = bytearray(pack(path, per_class({"a": 1, "b": 1})).read_bytes())
    directory = data.index(b"PK\1\2")
    for where, value in hits:
        data[min(len(data) - 1, directory + int(where * (len(data) - directory)))] = value
    path.write_bytes(data)
    try:
        opened = triptych_data.open(path)
    except errors.SourceError:
        return
    assert len(opened.classes) >= 2


# Near copies


def sketch_of(data: bytes) -> near.Sketch:
    return near.sketch(images.decode(data))


@given(st.permutations(range(12)))
@settings(max_examples=30, deadline=None)
def test_groups_do_not_depend_on_order(order: list[int]) -> None:
    sketches = [
        sketch_of(again(picture(i // 3), quality=30 + 30 * (i % 3), scale=1 + i % 3))
        for i in range(12)
    ]
    groups = near.groups([sketches[i] for i in order]).tolist()
    by_group: dict[int, set[int]] = {}
    for i, group in zip(order, groups, strict=True):
        by_group.setdefault(group, set()).add(i)
    assert sorted(map(sorted, by_group.values())) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]


@given(st.integers(0, 2**64 - 1), st.sets(st.integers(0, 63), max_size=near.MAX_BITS))
def test_every_pair_within_the_hash_distance_is_found(number: int, wrong: set[int]) -> None:
    plain = near.sketch(np.full((20, 20, 3), 128, np.uint8))
    other = number ^ sum(1 << bit for bit in wrong)
    pair = [plain._replace(hash=number), plain._replace(hash=other)]
    assert near.groups(pair).tolist() == [0, 0]


def test_unrelated_photos_with_the_same_hash_are_apart() -> None:
    colours = [(200, 30, 30), (30, 30, 200), (30, 200, 30)]
    plain = [near.sketch(np.full((30, 30, 3), colour, np.uint8)) for colour in colours]
    assert len({one.hash for one in plain}) == 1
    assert near.groups(plain).tolist() == [0, 1, 2]


def scene(number: int, *, lights: float = 1.0) -> Image.Image:
    """A drawn place: soft colours, and things with edges."""
    rng = np.random.default_rng(number)
    cells = rng.integers(60, 200, (6, 8, 3)).astype(np.uint8)
    image = Image.fromarray(cells).resize((320, 240), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = rng.uniform(0, 1, 2) * (280, 200)
        width, height = rng.uniform(20, 90, 2)
        draw.rectangle((x, y, x + width, y + height), tuple(rng.integers(20, 235, 3).tolist()))
    return image.point(lambda value: min(255, round(value * lights)))


def with_object(background: Image.Image, number: int, share: float, x: float = 0.5) -> Image.Image:
    """A background with a patterned disc that covers this share of it."""
    radius = (share * background.width * background.height / np.pi) ** 0.5
    colours = np.random.default_rng(1000 + number).integers(0, 256, (3, 3, 3)).astype(np.uint8)
    pattern = Image.fromarray(colours).resize(background.size, Image.Resampling.BICUBIC)
    mask = Image.new("L", background.size)
    middle_x, middle_y = x * background.width, 0.5 * background.height
    box = (middle_x - radius, middle_y - radius, middle_x + radius, middle_y + radius)
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    return Image.composite(pattern, background, mask)


def share_near(pairs: list[tuple[Image.Image, Image.Image]]) -> float:
    together = [
        near.groups([near.sketch(np.asarray(each)) for each in pair]).tolist() == [0, 0]
        for pair in pairs
    ]
    return sum(together) / len(together)


COPIES = {
    "encoded anew": lambda image: Image.open(io.BytesIO(encode(image, "JPEG", quality=40))),
    "half the size": lambda image: image.resize((160, 120)),
    "darker": lambda image: image.point(lambda value: round(0.85 * value)),
    "brighter": lambda image: image.point(lambda value: min(255, value + 15)),
    "cropped": lambda image: image.crop((3, 2, 317, 238)),
    "the next frame of a burst": lambda image: ImageChops.offset(image, 2, 1),
}


@pytest.mark.parametrize("change", COPIES)
def test_copies_of_a_scene_are_near(change: str) -> None:
    scenes = [with_object(scene(n), n, 0.1) for n in range(40)]
    # What a crop cuts off is no longer there to be compared.
    least = 0.7 if change == "cropped" else 0.9
    assert share_near([(each, COPIES[change](each)) for each in scenes]) >= least


@pytest.mark.parametrize("share", [0.08, 0.2, 0.35])
def test_another_object_before_the_same_background_is_no_copy(share: float) -> None:
    backgrounds = [scene(n) for n in range(40)]
    with_objects = [with_object(background, n, share) for n, background in enumerate(backgrounds)]
    assert share_near(list(zip(backgrounds, with_objects, strict=True))) <= 0.05
    others = [with_object(background, 100 + n, share) for n, background in enumerate(backgrounds)]
    assert share_near(list(zip(with_objects, others, strict=True))) <= 0.05
    moved = [with_object(background, n, share, x=0.75) for n, background in enumerate(backgrounds)]
    assert share_near(list(zip(with_objects, moved, strict=True))) <= 0.05


def test_nearness_does_not_depend_on_the_order_of_a_pair() -> None:
    sketches = [near.sketch(np.asarray(scene(n, lights=1 + n % 3 / 10))) for n in range(12)]
    pixels = np.stack([each.pixels for each in sketches])
    one, other = (axis.ravel() for axis in np.indices((12, 12)))
    there = near._are_near(pixels[one], pixels[other])
    assert (there == near._are_near(pixels[other], pixels[one])).all()


def test_the_search_is_not_quadratic(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []

    def are_near(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        compared.append(len(one))
        return np.zeros(len(one), bool)

    monkeypatch.setattr(near, "_are_near", are_near)

    def pairs(count: int) -> int:
        # All agree in their hashes: the worst case there is.
        blank = np.zeros(864, np.uint8)
        means = np.random.default_rng(0).uniform(100, 105, count)
        compared.clear()
        near.groups([near.Sketch(blank, 0, float(mean), 10.0) for mean in means])
        return sum(compared)

    few = pairs(500)
    assert few > 5000, "is anything compared?"
    assert pairs(4000) < 12 * few  # 8 times as many; quadratic would be 64


def test_real_photos_have_no_false_duplicates(photos: Path) -> None:
    files = list(triptych_data.walk(photos))[::5]
    sketches = [near.sketch(images.load(path)) for path in files]
    half = [near.sketch(images.load(path)[::2, ::2]) for path in files]
    groups = near.groups(sketches + half)
    assert (groups[: len(files)] == np.arange(len(files))).all()
    assert np.mean(groups[len(files) :] == np.arange(len(files))) > 0.9


# Dividing


def photo(number: int, label: int, group: int, source: str = "") -> triptych_data.LabelledPhoto:
    return triptych_data.LabelledPhoto(
        source, label, hashlib.sha256(b"%d" % number).digest(), group, bytes
    )


@st.composite
def collections(draw: st.DrawFn) -> list[triptych_data.LabelledPhoto]:
    """Photos of several classes, some of them copies, also across classes."""
    labels = draw(st.lists(st.integers(0, 3), min_size=1, max_size=60))
    groups = draw(st.lists(st.integers(0, 40), min_size=len(labels), max_size=len(labels)))
    return [
        photo(i, label, group) for i, (label, group) in enumerate(zip(labels, groups, strict=True))
    ]


# ------------------------------------------------------------------ photos that show too little


def sharp(seed: int, *, size: tuple[int, int] = (120, 160)) -> Image.Image:
    """Blocks of random colours, different in each photo."""
    colours = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(colours).resize(size[::-1], Image.Resampling.NEAREST)


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def sharp_set(**others: Image.Image) -> dict[str, bytes]:
    """Two classes of eight sharp photos, and others in the first, by name."""
    photos = {f"{label}/{n}.png": sharp(ord(label) + 10 * n) for label in "ab" for n in range(8)}
    photos |= {f"a/{name}.png": image for name, image in others.items()}
    return {name: png(image) for name, image in photos.items()}


def test_blank_dark_and_blurred_photos_are_findings(tmp_path: Path) -> None:
    dim = Image.fromarray(np.asarray(sharp(100)) // 8)
    pale = Image.fromarray(225 + np.asarray(sharp(101)) // 9)
    soft = sharp(102).filter(ImageFilter.GaussianBlur(6))
    flat, small = Image.new("RGB", (160, 120), "teal"), sharp(103, size=(24, 30))
    files = sharp_set(flat=flat, dim=dim, pale=pale, soft=soft, small=small)
    data = triptych_data.open(write(tmp_path, files))
    assert {finding.kind: finding.sources for finding in data.findings} == {
        "blank": ("a/flat.png",),
        "dark": ("a/dim.png",),
        "bright": ("a/pale.png",),
        "blurred": ("a/soft.png",),
        "tiny": ("a/small.png",),
    }
    assert len(data.train) == 21  # findings are not failures


def test_a_class_of_black_photos_is_faulty(tmp_path: Path) -> None:
    files = sharp_set() | {f"c/{n}.png": png(Image.new("RGB", (40 + n, 60))) for n in range(9)}
    files["c/right.png"] = png(sharp(200))
    data = triptych_data.open(write(tmp_path, files))
    message = one(data, "faulty_class").message
    assert message.startswith("9 of 10 photos of 'c' are blank. ")
    assert len(one(data, "blank").sources) == 9


def test_properties_of_most_photos_are_normal(tmp_path: Path) -> None:
    files = {}
    for at, label in enumerate("ab"):
        for n in range(8):
            image = sharp(8 * at + n)
            files[f"soft/{label}/{n}.png"] = png(image.filter(ImageFilter.GaussianBlur(6)))
            files[f"dim/{label}/{n}.png"] = png(Image.fromarray(np.asarray(image) // 8))
            files[f"icons/{label}/{n}.png"] = png(image.resize((30, 24)))
            lines = Image.new("RGB", (105, 105), "white")
            corner = (10 + 7 * n, 10 + 40 * at)
            ImageDraw.Draw(lines).line((*corner, 90 - 9 * n, 95), fill="black", width=2)
            files[f"lines/{label}/{n}.png"] = png(lines)
    folder = write(tmp_path, files)
    for name in ("soft", "icons", "lines"):
        assert not triptych_data.open(folder / name).findings
    (finding,) = triptych_data.open(folder / "dim").findings
    assert finding.kind == "dark"
    assert finding.message.startswith("16 of 16 photos are nearly black. If that is not")
    assert finding.sources == ()


@given(collections(), st.floats(0.01, 0.99), st.integers(0, 9))
def test_a_split_keeps_copies_together_and_leaves_some_of_each_class(
    photos: list[triptych_data.LabelledPhoto], share: float, seed: int
) -> None:
    train, val = triptych_data.split(photos, share=share, seed=seed)
    assert Counter(p.digest for p in (*train, *val)) == Counter(p.digest for p in photos)
    assert not {p.group for p in train} & {p.group for p in val}
    assert {p.label for p in train} == {p.label for p in photos}


@given(st.integers(2, 40), st.floats(0.05, 0.95), st.integers(0, 99))
def test_a_split_is_of_the_wanted_size_in_each_class(size: int, share: float, seed: int) -> None:
    photos = [photo(i, i % 3, i) for i in range(3 * size)]
    _, val = triptych_data.split(photos, share=share, seed=seed)
    wanted = min(max(1, round(share * size)), size - 1)
    assert Counter(p.label for p in val) == dict.fromkeys(range(3), wanted)


@given(collections(), st.integers(0, 9), st.randoms())
def test_a_split_depends_on_content_and_seed_only(
    photos: list[triptych_data.LabelledPhoto], seed: int, random: Random
) -> None:
    renamed = [
        triptych_data.LabelledPhoto(f"x{i}", p.label, p.digest, p.group + 7, bytes)
        for i, p in enumerate(photos)
    ]
    random.shuffle(renamed)
    for side, other in zip(
        triptych_data.split(photos, share=0.3, seed=seed),
        triptych_data.split(renamed, share=0.3, seed=seed),
        strict=True,
    ):
        assert [p.digest for p in side] == [p.digest for p in other]
    first = {
        p.digest: f for p, f in zip(photos, triptych_data.folds(photos, 3, seed=seed), strict=True)
    }
    again = {
        p.digest: f
        for p, f in zip(renamed, triptych_data.folds(renamed, 3, seed=seed), strict=True)
    }
    assert first == again


def test_another_seed_gives_another_division() -> None:
    photos = [photo(i, i % 3, i) for i in range(60)]
    vals = {
        tuple(p.digest for p in triptych_data.split(photos, share=0.3, seed=s)[1]) for s in range(5)
    }
    assert len(vals) == 5
    assert (triptych_data.folds(photos, 5, seed=0) != triptych_data.folds(photos, 5, seed=1)).any()


@given(collections(), st.integers(2, 8), st.integers(0, 9))
def test_folds_keep_copies_together_and_leave_some_of_each_class(
    photos: list[triptych_data.LabelledPhoto], k: int, seed: int
) -> None:
    folds = triptych_data.folds(photos, k, seed=seed)
    labels = np.array([p.label for p in photos])
    assert folds.shape == (len(photos),)
    assert folds.min() >= -1
    assert folds.max() < k
    groups: dict[int, set[int]] = {}
    for p, fold in zip(photos, folds.tolist(), strict=True):
        groups.setdefault(p.group, set()).add(fold)
    assert all(len(folds_of_group) == 1 for folds_of_group in groups.values())
    for fold in range(k):
        assert set(labels[folds != fold]) == set(labels)


@given(st.integers(1, 40), st.integers(2, 8), st.integers(0, 9))
def test_folds_are_even_in_each_class(size: int, k: int, seed: int) -> None:
    photos = [photo(i, i % 3, i) for i in range(3 * size)]
    folds = triptych_data.folds(photos, k, seed=seed)
    for label in range(3):
        per_fold = np.bincount(folds[label::3] + 1, minlength=k + 1)
        if size == 1:
            assert per_fold[0] == 1
        else:
            assert per_fold[0] == 0
            assert per_fold[1:].max() - per_fold[1:].min() <= 1
    total = np.bincount(folds[folds >= 0], minlength=k)
    assert total.max() - total.min() <= 1


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, float("nan")])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(errors.SettingError, match="expected one between 0 and 1"):
        triptych_data.split([], share=share, seed=0)


def test_one_fold_is_refused() -> None:
    with pytest.raises(errors.SettingError, match="expected 2 or more"):
        triptych_data.folds([], 1, seed=0)


def test_an_empty_list_has_an_empty_split() -> None:
    assert triptych_data.split([], share=0.5, seed=0) == ((), ())
    assert triptych_data.folds([], 3, seed=0).shape == (0,)


def test_a_class_that_is_one_burst_is_held_out_by_frames(tmp_path: Path) -> None:
    """As the webcam of the studio takes them; exact copies stay together."""
    rng = np.random.default_rng(0)
    scenes = {name: rng.integers(0, 256, (12, 16, 3), np.uint8) for name in "ab"}
    files = {}
    for name, scene in scenes.items():
        large = np.asarray(Image.fromarray(scene).resize((160, 120), Image.Resampling.BICUBIC))
        for number in range(10):
            noisy = (large + rng.normal(0, 4, large.shape)).clip(0, 255).astype(np.uint8)
            file = io.BytesIO()
            Image.fromarray(noisy).save(file, "PNG")
            files[f"{name}/{number}.png"] = file.getvalue()
    files["a/copy.png"] = files["a/0.png"]
    data = triptych_data.open(write(tmp_path, files))
    messages = [finding.message for finding in data.findings if finding.kind == "burst"]
    assert len(messages) == 2
    assert all("nearly alike" in message for message in messages)
    train, val = triptych_data.split(data.train, share=0.2, seed=0)
    assert {photo.label for photo in val} == {photo.label for photo in train} == {0, 1}
    assert not {photo.digest for photo in val} & {photo.digest for photo in train}
    assert (triptych_data.folds(data.train, 5, seed=0) >= 0).all()
