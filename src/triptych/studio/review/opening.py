"""Opens a version of a committee for review."""

from __future__ import annotations

from pathlib import Path

from triptych import bundles
from triptych import errors
from triptych.studio import projects
from triptych.studio.review.multilabel import MultilabelReview
from triptych.studio.review.review import Review
from triptych.utils.text import text


def open(store: projects.Projects, home: Path, key: str, version: int | None = None) -> Review:
    """Open a version of a project's committee, with the current state of the project.

    Args:
        store: The projects.
        home: Home folder.
        key: The project's.
        version: ``None`` means the newest.

    Raises:
        errors.UnknownName: There is no such project or version.
        errors.BundleError: The version is damaged.
    """
    bundle = bundle_of(store, home, key, version)
    kind = MultilabelReview if bundle.multilabel else Review
    return kind(
        bundle=bundle,
        predictions=bundle.predictions(),
        project=store.find(key),
        photos={photo.digest: photo for photo in store.photos(key, excluded=None, limit=-1)},
        confirmed=store.confirmed(key),
    )


def bundle_of(
    store: projects.Projects, home: Path, key: str, version: int | None = None
) -> bundles.Bundle:
    """A version of a project's committee.

    Args and errors as `open`.
    """
    project, stored = store.find(key), bundles.versions(home, key)
    if not stored:
        raise errors.UnknownName(
            text(
                "{project!r} was not taught yet, so there is no result to show. Teach it first.",
                project=project.title,
            )
        )
    return bundles.find(home, f"{key}@{stored[-1] if version is None else version}")
