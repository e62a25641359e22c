"""COCO JSON: images, annotations and categories, of Microsoft COCO (2014) and many tools since.

Read as classes of whole photos: a photo has every category of which it has an annotation, also one
of a crowd. Where the objects are is left out.
"""

from __future__ import annotations

from collections import Counter
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from triptych import errors
from triptych.data.documents import Description
from triptych.data.documents import Document
from triptych.data.documents import Row
from triptych.data.records import Finding
from triptych.utils import validation
from triptych.utils.formatting import plain_text
from triptych.utils.text import text


def matches(document: Document) -> bool:
    """Whether a document is an object with the lists ``images`` and ``annotations``."""
    content = document.json
    return isinstance(content, dict) and all(
        isinstance(content.get(key), list) for key in ("images", "annotations")
    )


def describe(document: Document) -> Description:
    """Read which categories each photo has.

    Args:
        document: JSON, of instances or keypoints.

    Raises:
        errors.SourceError: It has no categories, as captions have none, or contradicts itself.
    """
    content = document.json
    classes = _categories(document, content)
    paths = _paths(document, content["images"])
    labels: defaultdict[int, dict[str, None]] = defaultdict(dict)  # a set in order
    elsewhere = 0
    for number, annotation in enumerate(content["annotations"]):
        image, category = (_id(annotation, key) for key in ("image_id", "category_id"))
        if category not in classes:
            raise errors.SourceError(
                text(
                    "{document!r}: annotations[{number}] names the category {category}, which "
                    "`categories` lacks. Export it once more, or mend it.",
                    document=document.source,
                    number=number,
                    category=validation.short_repr(category),
                )
            )
        if image in paths:
            labels[image][classes[category]] = None
        else:
            elsewhere += 1
    findings = []
    if elsewhere:
        message = text(
            "{count:,} annotations of photos that its `images` lacks, and left out.",
            count=elsewhere,
        )
        findings.append(Finding("ignored", message, (document.source,)))
    rows = [Row(path, tuple(labels.get(image, ()))) for image, path in paths.items()]
    is_multilabel = any(len(row.labels) > 1 for row in rows)
    return Description(rows, tuple(classes.values()), tuple(findings), is_multilabel)


def _categories(document: Document, content: Mapping[str, Any]) -> dict[int, str]:
    """The names of the categories by their ids."""
    listed = content.get("categories")
    if not isinstance(listed, list) or not listed:
        first = next(iter(content["annotations"]), None)
        is_caption = isinstance(first, dict) and "caption" in first
        if is_caption:
            raise errors.SourceError(
                text(
                    "{document!r} has captions, which name no classes; expected instances or "
                    "keypoints, with `categories`.",
                    document=document.source,
                )
            )
        raise errors.SourceError(
            text(
                "{document!r} has no `categories`; expected those of instances or keypoints, each "
                "with an id and a name.",
                document=document.source,
            )
        )
    names: dict[int, str] = {}
    for number, category in enumerate(listed):
        name = category.get("name") if isinstance(category, dict) else None
        key = _id(category, "id")
        if key is None or not isinstance(name, str) or not name.strip():
            raise errors.SourceError(
                text(
                    "{document!r}: categories[{number}] lacks an id (a whole number) or a name. "
                    "Export it once more, or mend it.",
                    document=document.source,
                    number=number,
                )
            )
        if names.setdefault(key, name) != name or len(names) <= number:
            raise errors.SourceError(
                text(
                    "{document!r}: categories[{number}] has the id {id} of another one. Export it "
                    "once more, or mend it.",
                    document=document.source,
                    number=number,
                    id=key,
                )
            )
    if len(set(names.values())) < len(names):
        twice = next(name for name, count in Counter(names.values()).items() if count > 1)
        raise errors.SourceError(
            text(
                "{document!r} has several categories that are called {name!r}. Rename them, or "
                "give their annotations to one.",
                document=document.source,
                name=plain_text(twice),
            )
        )
    return names


def _paths(document: Document, listed: list[Any]) -> dict[int, str]:
    """The paths of the photos by their ids."""
    paths: dict[int, str] = {}
    for number, image in enumerate(listed):
        path, key = image.get("file_name") if isinstance(image, dict) else None, _id(image, "id")
        if key is None or not isinstance(path, str) or not path.strip():
            raise errors.SourceError(
                text(
                    "{document!r}: images[{number}] lacks an id (a whole number) or a file_name. "
                    "Export it once more, or mend it.",
                    document=document.source,
                    number=number,
                )
            )
        if paths.setdefault(key, path) != path:
            raise errors.SourceError(
                text(
                    "{document!r}: images[{number}] has the id {id} of another photo, {other!r}. "
                    "Export it once more, or mend it.",
                    document=document.source,
                    number=number,
                    id=key,
                    other=plain_text(paths[key]),
                )
            )
    return paths


def _id(record: Any, key: str) -> int | None:
    value = record.get(key) if isinstance(record, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
