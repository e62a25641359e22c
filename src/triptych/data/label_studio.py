"""Label Studio's exports JSON and JSON-MIN, of photos with choices.

A photo gets the choices of its annotations. Tasks that were skipped have none; predictions are what
a model said, and are not read.
"""

from __future__ import annotations

import re
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from triptych import errors
from triptych.data.documents import Description
from triptych.data.documents import Document
from triptych.data.documents import Row
from triptych.data.records import Finding
from triptych.utils import storage
from triptych.utils import validation
from triptych.utils.formatting import plain_text
from triptych.utils.text import text

# What JSON-MIN adds to the data and the choices of a task.
_OF_JSON_MIN = frozenset(
    {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"}
)
_UPLOADS = "/data/upload/"
_LOCAL_FILES = "/data/local-files/"
# Label Studio writes eight hexadecimal digits before the names of uploads.
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)", re.DOTALL)
_LIKE_A_PHOTO = re.compile(r"/data/.+|[a-z0-9]+://.+|.+\.\w{2,5}", re.DOTALL | re.IGNORECASE)

# The choices of an annotation by the name of the question.
_Choices = Mapping[str, tuple[str, ...]]


def matches(document: Document) -> bool:
    """Whether a document is a list of tasks, with annotations or of JSON-MIN."""
    content = document.json
    first = content[0] if isinstance(content, list) and content else None
    if not isinstance(first, dict):
        return False
    is_full = isinstance(first.get("data"), dict) and isinstance(first.get("annotations"), list)
    return is_full or ("annotation_id" in first and "annotator" in first)


def describe(document: Document) -> Description:
    """Read the choices of each photo.

    Args:
        document: JSON or JSON-MIN.

    Raises:
        errors.SourceError: It has no choices, choices of several questions, or a task of which it
            is not clear which part is the photo.
    """
    by_photo: dict[str, list[_Choices]] = {}
    for number, task in enumerate(document.json):
        if not isinstance(task, dict):
            raise errors.SourceError(
                text(
                    "{document!r}: task {number} is {task}; expected an object.",
                    document=document.source,
                    number=number + 1,
                    task=validation.short_repr(task),
                )
            )
        if isinstance(task.get("data"), dict):
            photo, annotations = _photo(document, number, task["data"]), list(_annotations(task))
        else:
            photo, annotations = _of_json_min(document, number, task)
        by_photo.setdefault(photo, []).extend(annotations)
    questions = {name for each in by_photo.values() for choices in each for name in choices}
    if not questions:
        raise errors.SourceError(
            text(
                "{document!r} has no choices. Boxes and outlines are read from Label Studio's "
                "export as COCO.",
                document=document.source,
            )
        )
    if len(questions) > 1:
        raise errors.SourceError(
            text(
                "{document!r} has the answers to several questions: {questions}. Expected the "
                "choices of one; export the project with one only.",
                document=document.source,
                questions=", ".join(sorted(map(plain_text, questions))),
            )
        )
    (question,) = questions
    return _description(
        {
            photo: [choices.get(question, ()) for choices in annotations]
            for photo, annotations in by_photo.items()
        }
    )


def _description(by_photo: Mapping[str, list[tuple[str, ...]]]) -> Description:
    answer_count = {photo: len(set(map(frozenset, each))) for photo, each in by_photo.items()}
    disagreed = {photo for photo, count in answer_count.items() if count > 1}
    without = {photo for photo, count in answer_count.items() if not count}
    findings = []
    if disagreed:
        message = text("Annotators disagree. Left out; settle it in Label Studio.")
        findings.append(Finding("label_conflict", message, tuple(sorted(map(_shown, disagreed)))))
    if without:
        message = text("Not annotated, or skipped, and left out.")
        findings.append(Finding("ignored", message, tuple(sorted(map(_shown, without)))))
    paths = {photo: _path(photo) for photo in by_photo}
    originals = Counter(map(_original, paths.values()))
    rows = [
        Row(
            path,
            by_photo[photo][0],
            # The name before the upload, unless several photos had it.
            other_path=_original(path) if originals[_original(path)] == 1 else "",
        )
        for photo, path in paths.items()
        if photo not in disagreed | without
    ]
    classes = {name for answers in by_photo.values() for answer in answers for name in answer}
    is_multilabel = any(len(row.labels) > 1 for row in rows)
    return Description(rows, tuple(sorted(classes)), tuple(findings), is_multilabel)


def _annotations(task: Mapping[str, Any]) -> Iterator[_Choices]:
    """The choices of each annotation that was not skipped; only those that are called the truth."""
    listed = [each for each in _list(task.get("annotations")) if isinstance(each, dict)]
    counted = [each for each in listed if not each.get("was_cancelled")]
    for annotation in [each for each in counted if each.get("ground_truth")] or counted:
        yield {
            str(result.get("from_name")): _names(result["value"].get("choices"))
            for result in _list(annotation.get("result"))
            if isinstance(result, dict)
            and result.get("type") == "choices"
            and isinstance(result.get("value"), dict)
        }


def _of_json_min(
    document: Document, number: int, task: Mapping[str, Any]
) -> tuple[str, list[_Choices]]:
    """The photo of a task in JSON-MIN, and its choices, which stand beside the data of the task."""
    photo = _photo(document, number, {key: task[key] for key in task.keys() - _OF_JSON_MIN})
    several = {
        key: _names(value["choices"])
        for key, value in task.items()
        if isinstance(value, dict) and "choices" in value
    }
    single = {
        key: (value,)
        for key, value in task.items()
        if key not in _OF_JSON_MIN and isinstance(value, str) and value != photo
    }
    if several or len(single) < 2:
        return photo, [several or single]
    raise errors.SourceError(
        text(
            "{document!r}: task {number} has several texts, {texts}, and does not say which is the "
            "choice. Export as JSON instead of JSON-MIN.",
            document=document.source,
            number=number + 1,
            texts=", ".join(sorted(map(plain_text, single))),
        )
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _names(value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name.strip()))


def _photo(document: Document, number: int, data: Mapping[str, Any]) -> str:
    """The part of a task's data that names the photo."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    if "image" in texts:
        return texts["image"]
    photos = [key for key, value in texts.items() if _LIKE_A_PHOTO.fullmatch(value)]
    if len(photos) != 1:
        listed = ", ".join(sorted(map(plain_text, photos or data)))
        raise errors.SourceError(
            text(
                "{document!r}: task {number} names several photos ({listed}); expected one, as "
                "`image`.",
                document=document.source,
                number=number + 1,
                listed=listed,
            )
            if photos
            else text(
                "{document!r}: task {number} names no photo ({listed}); expected one, as `image`.",
                document=document.source,
                number=number + 1,
                listed=listed,
            )
        )
    return texts[photos[0]]


def _path(photo: str) -> str:
    """The path or URL of a photo, of which Label Studio writes the address in its own pages."""
    if photo.startswith(_UPLOADS):
        return urllib.parse.unquote(photo.rpartition("/")[2])
    if photo.startswith(_LOCAL_FILES):
        fields = photo.partition("?")[2].split("&")
        path = next((each[2:] for each in fields if each.startswith("d=")), "")
        return urllib.parse.unquote_plus(path)
    return photo


def _original(path: str) -> str:
    uploaded = _UPLOADED.fullmatch(path)
    return uploaded[1] if uploaded else ""


def _shown(photo: str) -> str:
    return plain_text(storage.redact(photo))
