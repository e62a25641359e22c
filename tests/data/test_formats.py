"""Data sets described by documents: COCO, Label Studio, Hugging Face's imagefolder, CSV."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from pyarrow import parquet

from support.images import picture
from triptych import data
from triptych import errors
from triptych import images
from triptych.cli import common
from triptych.data import archive
from triptych.data import coco
from triptych.data import documents
from triptych.data import formats
from triptych.data import imagefolder
from triptych.data import label_studio
from triptych.data import table
from triptych.data.documents import Document
from triptych.results import Label

LABELS = {f"{n}.jpg": "bee" if n % 3 else "ant" for n in range(6)}


def write_photos(folder: Path, names: Any = LABELS) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(number))


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def coco_of(labels: dict[str, str], **more: Any) -> dict[str, Any]:
    names = sorted(set(labels.values()))
    return {
        "info": {"year": 2026},
        "images": [
            {"id": n, "file_name": name, "width": 64, "height": 48} for n, name in enumerate(labels)
        ],
        "annotations": [
            {
                "id": n,
                "image_id": n,
                "category_id": 7 + names.index(label),
                "iscrowd": n % 2,
                "bbox": [0, 0, 5, 5],
                "segmentation": [[1.5, 2.5, 3.5, 4.5]],
            }
            for n, label in enumerate(labels.values())
        ],
        "categories": [{"id": 7 + n, "name": name} for n, name in enumerate(names)],
        **more,
    }


def task(photo: str, *answers: list[str], **more: Any) -> dict[str, Any]:
    """A task of Label Studio with an annotation for each answer."""
    return {
        "id": 1,
        "data": {"image": photo},
        "annotations": [
            {
                "id": 5,
                "was_cancelled": False,
                "result": [
                    {
                        "from_name": "species",
                        "to_name": "photo",
                        "type": "choices",
                        "value": {"choices": answer},
                    }
                ],
            }
            for answer in answers
        ],
        **more,
    }


def labels_of(dataset: data.Dataset) -> dict[str, str]:
    """The classes of all photos by the last part of their paths."""
    photos = [*dataset.train, *dataset.val]
    return {photo.source.rpartition("/")[2]: dataset.classes[photo.label] for photo in photos}


def findings_of(dataset: data.Dataset, kind: str) -> list[data.Finding]:
    return [finding for finding in dataset.findings if finding.kind == kind]


# ------------------------------------------------------------------ each as its tool writes it


def write_coco(folder: Path) -> None:
    write_photos(folder / "images")
    write_json(folder / "annotations" / "instances.json", coco_of(LABELS))


def write_label_studio(folder: Path) -> None:
    write_photos(folder / "photos")
    places = itertools.cycle(
        [
            "/data/upload/3/0a1b2c3d-{}",
            "/data/local-files/?d=sets%2Fphotos%2F{}",
            "s3://b/photos/{}",
        ]
    )
    tasks = [
        task(place.format(name), [label])
        for place, (name, label) in zip(places, LABELS.items(), strict=False)
    ]
    tasks[0]["predictions"] = [{"result": task("x", ["wasp"])["annotations"][0]["result"]}]
    write_json(folder / "project-1-at-2026.json", tasks)


def write_json_min(folder: Path) -> None:
    write_photos(folder)
    rows = [
        {"image": f"/data/upload/1/01234567-{name}", "id": n, "choice": label, "annotator": 1}
        | {"annotation_id": n, "created_at": "2026-01-01", "lead_time": 1.5}
        for n, (name, label) in enumerate(LABELS.items())
    ]
    write_json(folder / "min.json", rows)


def write_metadata_csv(folder: Path) -> None:
    write_photos(folder)
    with open(folder / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file_name", "label"), *LABELS.items()])


def write_metadata_jsonl(folder: Path) -> None:
    write_photos(folder / "in")
    lines = [json.dumps({"file_name": f"in/{n}", "label": label}) for n, label in LABELS.items()]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")


def write_metadata_parquet(folder: Path) -> None:
    write_photos(folder)
    names = sorted(set(LABELS.values()))
    numbers = [names.index(label) for label in LABELS.values()]
    made = pyarrow.table({"file_name": list(LABELS), "label": numbers, "more": [{}] * len(LABELS)})
    features = {"label": {"names": names, "_type": "ClassLabel"}}
    made = made.drop(["more"]).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    parquet.write_table(made, folder / "metadata.parquet")


def write_csv(folder: Path) -> None:
    write_photos(folder / "photos")
    rows = [f"photos/{name},{label}" for name, label in LABELS.items()]
    (folder / "labels.csv").write_text("\n".join(["path,label", *rows]))


WRITERS: dict[str, Callable[[Path], None]] = {
    "coco": write_coco,
    "label-studio": write_label_studio,
    "label-studio min": write_json_min,
    "imagefolder csv": write_metadata_csv,
    "imagefolder jsonl": write_metadata_jsonl,
    "imagefolder parquet": write_metadata_parquet,
    "csv": write_csv,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_each_format_is_recognised_in_a_folder_and_in_a_zip(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "bugs"
    folder.mkdir()
    WRITERS[kind](folder)
    plain = tmp_path / "plain"
    write_photos(plain, [f"{label}/{name}" for name, label in LABELS.items()])
    with zipfile.ZipFile(tmp_path / "bugs.zip", "w") as packed:
        for path in sorted(folder.rglob("*.*")):
            packed.write(path, f"bugs/{path.relative_to(folder)}")
    for dataset in (data.open(folder), data.open(tmp_path / "bugs.zip")):
        assert labels_of(dataset) == LABELS
        assert dataset.fingerprint == data.open(plain).fingerprint
        assert [finding.kind for finding in dataset.findings if finding.kind != "small_class"] == [
            "recognised"
        ]
        title = next(row.title for row in formats.FORMATS if row.name == kind.split()[0])
        assert findings_of(dataset, "recognised")[0].message.startswith(f"Read as {title}: ")


@pytest.mark.parametrize("kind", [kind for kind in WRITERS if kind != "csv"])
def test_a_document_alone_is_read_with_the_photos_around_it(kind: str, tmp_path: Path) -> None:
    WRITERS[kind](tmp_path)
    suffixes = (".json", ".csv", ".jsonl", ".parquet")
    (document,) = (path for path in tmp_path.rglob("*.*") if path.suffix in suffixes)
    assert labels_of(data.open(document)) == LABELS


def test_the_command_line_names_all_formats() -> None:
    option: Any = common.format_option(lambda: None)
    assert tuple(option.__click_params__[0].type.choices) == formats.NAMES


# ------------------------------------------------------------------ train and val


@pytest.mark.parametrize(
    ("documents_of", "photos_of"),
    [
        ("annotations/instances_{}2017.json", "{}2017/{}"),
        ("{}/_annotations.coco.json", "{}/{}"),
        ("labels_{}.json", "photos/{}-{}"),
    ],
)
def test_coco_has_a_document_for_each_side(
    documents_of: str, photos_of: str, tmp_path: Path
) -> None:
    for start, side in enumerate(("train", "val")):
        for number, name in enumerate(LABELS):
            path = tmp_path / photos_of.format(side, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(100 * start + number))
        labels = {Path(photos_of.format(side, name)).name: label for name, label in LABELS.items()}
        write_json(tmp_path / documents_of.format(side), coco_of(labels))
    dataset = data.open(tmp_path)
    assert [(row["train"], row["val"]) for row in dataset.to_dict()["classes"]] == [(2, 2), (4, 4)]
    assert all("train" in photo.source for photo in dataset.train)
    assert all("val" in photo.source for photo in dataset.val)


def test_imagefolder_has_metadata_in_each_split(tmp_path: Path) -> None:
    for start, split in enumerate(("train", "validation", "test")):
        for number, name in enumerate(LABELS):
            path = tmp_path / split / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(picture(100 * start + number))
        lines = [json.dumps({"file_name": name, "label": label}) for name, label in LABELS.items()]
        (tmp_path / split / "metadata.jsonl").write_text("\n".join(lines))
    dataset = data.open(tmp_path)
    assert len(dataset.train) == len(dataset.val) == len(LABELS)
    assert {photo.source.split("/")[0] for photo in dataset.val} == {"validation"}
    (left_out,) = findings_of(dataset, "ignored")
    assert left_out.message == "Of test, beside the photos held out, and left out."


def test_imagefolder_without_metadata_is_folders_in_splits(tmp_path: Path) -> None:
    write_photos(
        tmp_path,
        [f"{split}/{label}/{n}.png" for split in ("train", "test") for label in "ab" for n in "12"],
    )
    dataset = data.open(tmp_path)
    assert (len(dataset.train), len(dataset.val)) == (4, 4)


# ------------------------------------------------------------------ what a document leaves open


def test_what_coco_leaves_open_is_reported(tmp_path: Path) -> None:
    content = coco_of({**LABELS, "gone.jpg": "bee", "../outside.jpg": "ant", "alone.jpg": "bee"})
    content["annotations"] = content["annotations"][:-1]
    content["annotations"].append({"image_id": 99, "category_id": 7})
    content["images"][0]["width"] = -(10**30)
    write_photos(tmp_path / "set")
    (tmp_path / "outside.jpg").write_bytes(picture(50))
    (tmp_path / "set" / "alone.jpg").write_bytes(picture(51))
    (tmp_path / "set" / "more.jpg").write_bytes(picture(52))
    write_json(tmp_path / "set" / "coco.json", content)
    dataset = data.open(tmp_path / "set")
    assert labels_of(dataset) == LABELS
    reasons = {each.sources: each.message for each in findings_of(dataset, "unreadable")}
    assert reasons == {
        ("gone.jpg",): "Not among the files.",
        ("../outside.jpg",): "Its path leads out of the data set.",
    }
    assert {each.sources for each in findings_of(dataset, "ignored")} == {
        ("alone.jpg",),
        ("more.jpg",),
        ("coco.json",),
    }


def test_links_and_absolute_paths_lead_nowhere_else(tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(picture(77))
    folder = tmp_path / "set"
    write_photos(folder)
    content = coco_of({**LABELS, str(secret): "bee", "C:\\secret.jpg": "ant", "//": "ant"})
    write_json(folder / "coco.json", content)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as packed:
        for path in folder.iterdir():
            packed.write(path, path.name)
        link = zipfile.ZipInfo("secret.jpg")
        link.external_attr = 0o120777 << 16  # a symbolic link
        packed.writestr(link, str(secret))
    for source in (folder, tmp_path / "set.zip"):
        dataset = data.open(source)
        assert labels_of(dataset) == LABELS
        assert findings_of(dataset, "unreadable")


def test_a_name_in_several_folders_is_not_guessed(tmp_path: Path) -> None:
    write_photos(tmp_path, [*LABELS, "a/same.jpg", "b/same.jpg"])
    write_json(tmp_path / "x.json", coco_of({**LABELS, "same.jpg": "bee", "b/same.jpg": "ant"}))
    dataset = data.open(tmp_path)
    assert labels_of(dataset) == {**LABELS, "same.jpg": "ant"}
    (several,) = findings_of(dataset, "unreadable")
    assert several.message == "Several files have this name, in different folders."


def test_photos_are_found_below_folders_that_a_document_leaves_out(tmp_path: Path) -> None:
    labels = {f"{number}/photo.jpg": "ab"[number % 2] for number in range(12)}
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as packed:
        for number, name in enumerate(labels):
            packed.writestr(f"export/photos/{name}", picture(number))
        packed.writestr("export/photos/0/photo.jpg.jpg", picture(90))
        packed.writestr("export/photos/a1/photo.jpg", picture(91))
        rows = [f"{name},{label}" for name, label in labels.items()]
        packed.writestr("labels.csv", "\n".join(["path,label", *rows, f"{'x/' * 999}a.jpg,a"]))
    dataset = data.open(tmp_path / "set.zip")
    found = {photo.source: dataset.classes[photo.label] for photo in (*dataset.train, *dataset.val)}
    assert found == {f"export/photos/{name}": label for name, label in labels.items()}
    (missing,) = findings_of(dataset, "unreadable")
    assert missing.message == "Not among the files."


def test_annotators_who_disagree_and_tasks_without_answers_are_left_out(tmp_path: Path) -> None:
    write_photos(tmp_path, [*LABELS, "p.jpg", "q.jpg", "r.jpg", "s.jpg"])
    tasks = [task(name, [label]) for name, label in LABELS.items()]
    tasks += [
        task("p.jpg", ["ant"], ["bee"]),
        task("q.jpg"),
        task("r.jpg", ["ant"]),
        task("s.jpg", ["ant"], ["bee"]),
    ]
    tasks[-2]["annotations"][0]["was_cancelled"] = True
    tasks[-1]["annotations"][1]["ground_truth"] = True
    dataset = data.open(write_json(tmp_path / "x.json", tasks))
    assert labels_of(dataset) == {**LABELS, "s.jpg": "bee"}
    assert findings_of(dataset, "label_conflict")[0].sources == ("p.jpg",)
    assert ("q.jpg", "r.jpg") in [each.sources for each in findings_of(dataset, "ignored")]


def test_addresses_are_not_opened_and_their_secrets_not_shown(tmp_path: Path) -> None:
    write_photos(tmp_path)
    tasks = [task(name, [label]) for name, label in LABELS.items()]
    tasks.append(task("http://me:secret@127.0.0.1:9/a.jpg?signature=hidden", ["bee"]))
    dataset = data.open(write_json(tmp_path / "x.json", tasks))
    (address,) = findings_of(dataset, "unreadable")
    assert address.sources == ("http://127.0.0.1:9/a.jpg",)
    assert "addresses in a document are not opened" in address.message


def test_two_uploads_of_one_name_are_not_taken_for_one_file(tmp_path: Path) -> None:
    write_photos(tmp_path)
    tasks = [task(f"/data/upload/1/0000000{n}-0.jpg", [label]) for n, label in enumerate("ab")]
    tasks += [task(name, [label]) for name, label in LABELS.items()]
    dataset = data.open(write_json(tmp_path / "x.json", tasks))
    assert labels_of(dataset) == LABELS
    assert findings_of(dataset, "unreadable")[0].sources == ("00000000-0.jpg", "00000001-0.jpg")


# ------------------------------------------------------------------ what is refused


CAPTIONS = {"images": [{"id": 1, "file_name": "0.jpg"}], "annotations": [{"caption": "A bee"}]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CAPTIONS, "has captions, which name no classes"),
        (coco_of(LABELS, categories=[{"id": 7, "name": "ant"}]), r"annotations\[1\] names the cat"),
        (coco_of(LABELS, categories=[{"id": True, "name": "a"}]), r"categories\[0\] lacks"),
        (coco_of(LABELS, categories=2 * [{"id": 7, "name": "a"}]), r"categories\[1\] has the id 7"),
        (
            coco_of(LABELS, categories=[{"id": 7, "name": "a"}, {"id": 8, "name": "a"}]),
            "several categories that are called 'a'",
        ),
        (coco_of(LABELS, images=[{"id": 1, "file_name": n} for n in "ab"]), r"another photo, 'a'"),
        (coco_of(LABELS, images=[None]), r"images\[0\] lacks an id"),
        ([task("0.jpg")], "has no choices"),
        ([task("0.jpg", ["a"]), 3], "task 2 is 3; expected an object"),
        (
            [task("0.jpg", ["a"]) | {"data": {"one": "/data/upload/1.jpg", "two": "b.jpg"}}],
            r"task 1 names several photos \(one, two\)",
        ),
        ([task("0.jpg", ["a"]) | {"data": {"text": "a bee"}}], r"names no photo \(text\)"),
        (
            [{"image": "0.jpg", "note": "dark", "kind": "bee", "annotation_id": 1, "annotator": 1}],
            "has several texts, kind, note",
        ),
        ({"some": "thing"}, "nothing that can be read as CSV, COCO JSON, Label Studio"),
        ('{"images": [], "images": [], "annotations": []}', "has the key 'images' twice"),
        ('{"images": [], "annotations": [{"area": NaN}]}', "NaN is no number"),
        ("[" * 100_000, "nested too deeply"),
        (b"\xff\xfe{", "not in UTF-8"),
        ('{"images": [', "cannot be read as JSON, line 1"),
    ],
)
def test_a_wrong_document_says_what_is_expected(content: Any, message: str, tmp_path: Path) -> None:
    write_photos(tmp_path)
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    path = tmp_path / "x.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(errors.SourceError, match=message):
        data.open(path)
    # A person who gives the folder learns of it, too, as there are no class folders.
    with pytest.raises(errors.SourceError):
        data.open(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metadata.csv", "file_name,caption\n0.jpg,x\n", "'caption'; expected file_name and label"),
        ("metadata.csv", "file_name,label,label\n0.jpg,x,y\n", "names a column twice"),
        ("metadata.jsonl", '{"file_name": "0.jpg", "label": 1.5}', "row 1: the label is 1.5"),
        ("metadata.jsonl", '{"file_name": "0.jpg", "label": true}', "the label is True"),
        ("metadata.jsonl", "[1]", r"line 1', is \[1\]|line 1, is \[1\]"),
        ("metadata.parquet", "PAR1 and no more", "cannot be read as Parquet"),
    ],
)
def test_wrong_metadata_says_what_is_expected(
    name: str, text: str, message: str, tmp_path: Path
) -> None:
    write_photos(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(errors.SourceError, match=message):
        data.open(tmp_path)


def test_huge_documents_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_DOCUMENT_LIMITS", images.Limits(max_bytes=1000))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        for name in LABELS:
            file.writestr(name, picture(1))
        file.writestr("coco.json", json.dumps(coco_of(LABELS)) + " " * 10**6)
    with pytest.raises(errors.SourceError, match=r"'coco\.json' has .* MB. If it describes the ph"):
        data.open(tmp_path / "x.zip")


# ------------------------------------------------------------------ more than one format fits


def test_small_documents_that_would_take_much_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MOST_PARTS", 1000)
    write_photos(tmp_path)
    write_json(tmp_path / "x.json", {**coco_of(LABELS), "more": [[]] * 1000})
    with pytest.raises(errors.SourceError, match="more than 1,000 lists and objects"):
        data.open(tmp_path)


def test_two_formats_are_refused_and_chosen_with_an_option(tmp_path: Path) -> None:
    write_photos(tmp_path)
    write_json(tmp_path / "a.json", coco_of(LABELS))
    write_json(tmp_path / "b.json", [task(name, ["x"]) for name in LABELS] + [task("0.jpg", ["y"])])
    with pytest.raises(errors.SourceError, match=r"coco \(a.json\), label-studio \(b.json\).*--f"):
        data.open(tmp_path)
    assert labels_of(data.open(tmp_path, format="coco")) == LABELS
    with pytest.raises(errors.SettingError, match="no format 'voc'; expected one of: auto, fold"):
        data.open(tmp_path, format="voc")
    with pytest.raises(errors.SourceError, match="nothing that can be read as CSV"):
        data.open(tmp_path, format="csv")


def test_folders_and_a_document_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    by_folder = {f"{label}/{name}": label for name, label in LABELS.items()}
    write_photos(tmp_path, by_folder)
    write_json(tmp_path / "coco.json", coco_of(by_folder))
    assert labels_of(data.open(tmp_path)) == LABELS
    write_json(tmp_path / "coco.json", coco_of({**by_folder, "ant/0.jpg": "bee"}))
    with pytest.raises(errors.SourceError, match=r"is 'bee', and it lies in the folder 'ant'"):
        data.open(tmp_path)
    assert labels_of(data.open(tmp_path, format="folders")) == LABELS
    write_json(tmp_path / "coco.json", coco_of({"ant/0.jpg": "ant", "bee/1.jpg": "bee"}))
    with pytest.raises(errors.SourceError, match="Only 2 of 6 photos in folders"):
        data.open(tmp_path)


def test_documents_of_other_programs_beside_class_folders_are_left_out(tmp_path: Path) -> None:
    write_photos(tmp_path, [f"{label}/{name}" for name, label in LABELS.items()])
    write_json(tmp_path / "settings.json", {"some": "thing"})
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "numbers.csv").write_text("a,b\n1,2\n")
    dataset = data.open(tmp_path)
    assert labels_of(dataset) == LABELS
    assert findings_of(dataset, "ignored")[0].sources == (
        "broken.json",
        "numbers.csv",
        "settings.json",
    )


# ------------------------------------------------------------------ anything at all

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "images",
                    "annotations",
                    "categories",
                    "id",
                    "name",
                    "file_name",
                    "image_id",
                    "category_id",
                    "data",
                    "image",
                    "result",
                    "type",
                    "value",
                    "choices",
                    "from_name",
                    "annotator",
                    "annotation_id",
                    "label",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON, st.binary(max_size=60))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_parsers_raise_only_documented_errors(content: Any, raw: bytes) -> None:
    modules = (coco, label_studio, imagefolder, table)
    full = (
        {"images": [], "annotations": [], "categories": [], **content}
        if isinstance(content, dict)
        else [task("0.jpg", ["a"]), content]
    )
    for text in (json.dumps(content).encode(), json.dumps(full).encode(), raw):
        for name in ("x.json", "metadata.csv", "metadata.jsonl", "metadata.parquet", "x.csv"):
            for module in modules:
                document = Document(name, lambda text=text: text)
                try:
                    if module.matches(document):
                        described = module.describe(document)
                except errors.SourceError:
                    continue
                else:
                    if module.matches(document):
                        names = {label for row in described.rows for label in row.labels}
                        assert names <= set(described.classes)
                        assert all(isinstance(row.path, str) and row.path for row in described.rows)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=9))
@settings(max_examples=100, deadline=None)
def test_damaged_parquet_raises_only_documented_errors(changes: list[tuple[int, int]]) -> None:
    file = io.BytesIO()
    labels = [["a", "b"], [], ["c"]]
    parquet.write_table(pyarrow.table({"file_name": ["1", "2", "3"], "label": labels}), file)
    content = bytearray(file.getvalue())
    for at, value in changes:
        content[at % len(content)] = value
    with contextlib.suppress(errors.SourceError):
        imagefolder.describe(Document("metadata.parquet", lambda: bytes(content)))


@pytest.mark.parametrize(
    "odd",
    [
        {"annotations": 5},
        {"annotations": [5, {"result": 5}]},
        {"annotations": [{"result": [5, {"type": "choices", "value": 5}]}]},
        {"data": {"image": "/data/local-files/?" + "a=b&" * 50}},
        {"data": {"image": ""}},
    ],
)
def test_odd_tasks_are_left_out(odd: dict[str, Any], tmp_path: Path) -> None:
    write_photos(tmp_path)
    tasks = [task(name, [label]) for name, label in LABELS.items()]
    dataset = data.open(write_json(tmp_path / "x.json", [*tasks, task("9.jpg", ["ant"]) | odd]))
    assert labels_of(dataset) == LABELS


def test_a_home_grown_order_of_keys_changes_nothing(tmp_path: Path) -> None:
    write_photos(tmp_path)
    content = coco_of(LABELS)
    reordered = dict(reversed(content.items()))
    reordered["images"] = content["images"][::-1]
    reordered["annotations"] = content["annotations"][::-1]
    one = data.open(write_json(tmp_path / "x.json", content)).fingerprint
    assert data.open(write_json(tmp_path / "x.json", reordered)).fingerprint == one
    assert os.listdir(tmp_path)


# ------------------------------------------------------------------ more than one class a photo

MANY = {
    "0.jpg": ("ant", "bee"),
    "1.jpg": ("bee",),
    "2.jpg": (),
    "3.jpg": ("ant",),
    "4.jpg": ("fly",),
}


def coco_of_many() -> dict[str, Any]:
    names = ["ant", "bee", "fly", "wasp"]
    pairs = [(n, names.index(label)) for n, each in enumerate(MANY.values()) for label in each]
    return {
        "images": [{"id": n, "file_name": name} for n, name in enumerate(MANY)],
        "annotations": [{"image_id": n, "category_id": k} for n, k in [*pairs, *pairs]],
        "categories": [{"id": n, "name": name} for n, name in enumerate(names)],
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("coco.json", json.dumps(coco_of_many())),
        ("tasks.json", json.dumps([task(name, [*labels]) for name, labels in MANY.items()])),
        (
            "metadata.jsonl",
            "\n".join(json.dumps({"file_name": n, "label": each}) for n, each in MANY.items()),
        ),
        ("metadata.csv", "file_name,label\n" + "".join(f"{n},{'|'.join(MANY[n])}\n" for n in MANY)),
        ("any.csv", "path,label\n" + "".join(f"{n},{'|'.join(MANY[n])}\n" for n in MANY)),
    ],
)
def test_photos_with_several_classes_make_a_multilabel_data_set(
    name: str, text: str, tmp_path: Path
) -> None:
    write_photos(tmp_path, MANY)
    (tmp_path / name).write_text(text)
    dataset = data.open(tmp_path)
    assert dataset.multilabel
    assert dataset.classes == ("ant", "bee", "fly")
    labels = {
        photo.source: tuple(dataset.classes[n] for n in photo.all_labels) for photo in dataset.train
    }
    assert labels == MANY
    assert ("wasp" in repr(findings_of(dataset, "empty_class"))) == (name == "coco.json")


def test_single_labels_become_sets_when_that_is_wanted(tmp_path: Path) -> None:
    write_coco(tmp_path)
    assert not data.open(tmp_path).multilabel
    dataset = data.open(tmp_path, multilabel=True)
    assert dataset.multilabel
    assert all(len(photo.all_labels) == 1 for photo in dataset.train)


# ------------------------------------------------------------------ photos to evaluate on


def test_photos_to_evaluate_on_come_in_any_format_and_from_val(tmp_path: Path) -> None:
    write_coco(tmp_path)
    labels = [Label("Bee", "n1", 4), Label("wasp", "n2", 5)]
    photos = data.labelled(tmp_path, labels, format="auto")
    assert [(photo.name, index) for photo, index in photos.photos] == [
        (name, 4) for name, label in LABELS.items() if label == "bee"
    ]
    assert [failure.message for failure in photos.skipped] == [
        "The committee knows no class 'ant'."
    ]
    named = list(data.read_ahead(photo for photo, _ in photos.photos))
    assert [name for name, _ in named] == [photo.source for photo, _ in photos.photos]
    assert named[0][1].read() == photos.photos[0][0].read()
    write_photos(
        tmp_path / "sides",
        [f"{side}/{c}/{n}.jpg" for side in ("train", "val") for c in ("Bee", "wasp") for n in "12"],
    )
    photos = data.labelled(tmp_path / "sides", labels, format="auto")
    assert {photo.source.split("/")[0] for photo, _ in photos.photos} == {"val"}
    with pytest.raises(errors.SourceError, match=r"No photos of known classes .*ant, bee"):
        data.labelled(tmp_path / "annotations" / "instances.json", labels[1:], format="auto")
