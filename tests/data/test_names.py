"""Class names in zips of any code page, and names that look alike."""

from __future__ import annotations

import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from support.images import picture
from triptych import data
from triptych import errors
from triptych.data import zip_names

# As Windows's Explorer writes names in countries with that code page.
WRITTEN = {
    "cp437": ["ants", "Käfer", "Schröter"],
    "cp850": ["maçã", "pão", "limão"],
    "cp852": ["mrówka", "pszczoła", "żuk"],
    "cp857": ["ağaç", "ar\u0131", "kar\u0131nca"],
    "cp862": ["דבורה", "נמלה"],
    "cp866": ["муравьи", "пчёлы"],
    "cp874": ["ผึ้ง", "มด"],
    "cp932": ["ソーダ", "ソース", "水"],
    "cp949": ["고양이", "바나나", "사과"],
    "cp950": ["功能", "蘋果", "香蕉"],
    "gbk": ["蚂蚁", "蜜蜂", "黄蜂"],
    "windows-1251": ["кошки", "собаки"],
    "windows-1252": ["année", "fleur séchée"],
    # macOS writes UTF-8, in letters apart from their marks, and does not say so.
    "utf-8": ["Käfer", "ソース"],
}


def zip_of(path: Path, names: Sequence[bytes], extra: Sequence[bytes] = ()) -> Path:
    """A zip whose names are bytes without a declared encoding, after PKWARE's APPNOTE 6.3.10."""
    members = b""
    directory = b""
    extra = extra or [b""] * len(names)
    for number, (name, more) in enumerate(zip(names, extra, strict=True)):
        photo = picture(number)
        facts = struct.pack(
            "<IIIHH", zlib.crc32(photo), len(photo), len(photo), len(name), len(more)
        )
        versions = struct.pack("<HHHHH", 20, 0, 0, 0, 33)
        offset = len(members)
        members += b"PK\x03\x04" + versions + facts + name + more + photo
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + versions + facts
        directory += struct.pack("<HHHII", 0, 0, 0, 0, offset) + name + more
    end = struct.pack("<HHHHIIH", 0, 0, len(names), len(names), len(directory), len(members), 0)
    path.write_bytes(members + directory + b"PK\x05\x06" + end)
    return path


def photos(classes: Sequence[str], encoding: str) -> list[bytes]:
    return [f"{name}/{number}.jpg".encode(encoding) for name in classes for number in range(2)]


def messages(dataset: data.Dataset, kind: str) -> list[str]:
    return [finding.message for finding in dataset.findings if finding.kind == kind]


@pytest.mark.parametrize("code_page", WRITTEN)
def test_a_zip_in_any_code_page_has_its_writers_class_names(code_page: str, tmp_path: Path) -> None:
    classes = WRITTEN[code_page]
    path = zip_of(tmp_path / "a.zip", photos(classes, code_page))
    assert zipfile.ZipFile(path).testzip() is None
    dataset = data.open(path)
    assert list(dataset.classes) == sorted(classes)
    assert len(dataset.train) == 2 * len(classes)
    # UTF-8 is no guess: names in code pages are hardly ever UTF-8 by chance.
    guessed = messages(dataset, "guessed_names")
    assert len(guessed) == (code_page != "utf-8")


def test_the_unicode_field_counts_if_it_matches_the_header(tmp_path: Path) -> None:
    names, extra = [], []
    for number, name in enumerate(["ソース", "ソーダ", "ants"]):
        raw = f"{number}/1.jpg".encode()
        # Info-ZIP's "up" field, APPNOTE 4.6.9; the last one's checksum is of another name.
        checksum = zlib.crc32(raw if number < 2 else b"before/1.jpg")
        value = b"\x01" + struct.pack("<I", checksum) + f"{name}/1.jpg".encode()
        names.append(raw)
        extra.append(struct.pack("<HH", 0x7075, len(value)) + value)
    dataset = data.open(zip_of(tmp_path / "a.zip", names, extra))
    assert dataset.classes == ("2", "ソース", "ソーダ")
    assert not messages(dataset, "guessed_names")


def test_names_in_no_known_code_page_are_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", [b"\xff\x81\x00\xfe/1.jpg", b"\x80\xff\xff\x8d/1.jpg"])
    with pytest.raises(errors.SourceError, match="no code page makes sense of them"):
        data.open(path)


@given(
    st.sampled_from(sorted({page for page, _ in zip_names._CODE_PAGES.values()})),
    st.lists(st.binary(min_size=1, max_size=8), min_size=1, max_size=5, unique=True),
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_distinct_zip_names_stay_distinct(tmp_path: Path, code_page: str, raw: list[bytes]) -> None:
    # Bytes as they come, and letters of one code page.
    letters = b"".join(raw).decode(code_page, "ignore").replace("/", "").replace("\\", "")
    for names in (raw, [f"{n} {letters}".encode(code_page) for n in range(3)]):
        names = [name.replace(b"\0", b"0") for name in names if b"/" not in name]
        members = zipfile.ZipFile(zip_of(tmp_path / "a.zip", sorted(set(names)))).infolist()
        try:
            decoded = zip_names.of(tmp_path / "a.zip", members).names
        except errors.SourceError:
            continue
        assert len(set(decoded)) == len(set(names))


def test_names_that_look_alike_are_a_finding(tmp_path: Path) -> None:
    for number, name in enumerate(["Ant", "ant", "ant ", "bee", "\uff42ee", "fly\u200b", "wasp"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(picture(number))
    dataset = data.open(tmp_path)
    alike = messages(dataset, "alike_names")
    assert len(alike) == 2
    assert "'Ant', 'ant', 'ant '" in alike[0]
    assert "'bee', '\uff42ee'" in alike[1]
    assert "fly%E2%80%8B" in dataset.classes


def test_one_name_in_two_unicode_forms_is_one_class_and_a_finding(tmp_path: Path) -> None:
    rows = [("1.jpg", "Käfer"), ("2.jpg", unicodedata.normalize("NFD", "Käfer")), ("3.jpg", "ant")]
    for number, (name, _) in enumerate(rows):
        (tmp_path / name).write_bytes(picture(number))
    table = "path,label\n" + "".join(f"{name},{label}\n" for name, label in rows)
    (tmp_path / "a.csv").write_text(table)
    dataset = data.open(tmp_path / "a.csv")
    assert dataset.classes == ("Käfer", "ant")
    (message,) = messages(dataset, "alike_names")
    assert "taken for one class: 'Käfer'" in message


def test_a_csv_from_windows_may_have_backslashes_in_its_paths(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, name in enumerate(["in/1.jpg", "in/2.jpg", "a\\b.jpg"]):
        (tmp_path / name).write_bytes(picture(number))
    lines = ["path,label", "in\\1.jpg,ant", "in/2.jpg,bee", "a\\b.jpg,bee"]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    dataset = data.open(tmp_path / "a.csv")
    assert len(dataset.train) == 3
    assert not dataset.findings or {f.kind for f in dataset.findings} == {"small_class"}
