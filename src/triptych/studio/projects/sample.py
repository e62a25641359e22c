"""A project to see teaching at work with, where there are no photos yet: drawn fruit."""

from __future__ import annotations

import functools

from triptych.data.files import File
from triptych.data.layout import Item
from triptych.data.layout import Layout
from triptych.studio import sample_images
from triptych.studio.projects.records import Project
from triptych.studio.projects.store import Projects

TITLE = "Sample: fruit"
PHOTOS = 16  # of each kind


def make(projects: Projects) -> Project:
    """Draw a few dozen photos of fruit into a project of their own.

    They belong to Triptych and are under its licence; nothing is fetched.

    Args:
        projects: Gets it.

    Example:
        >>> [own.name for own in make(Projects(home)).classes]  # doctest: +SKIP
        ['apples', 'lemons', 'pears']
    """
    items = [_item(kind, number) for kind in sample_images.KINDS for number in range(1, PHOTOS + 1)]
    return projects.import_layout(TITLE, Layout(tuple(sample_images.KINDS), tuple(items), ()))


def _item(kind: str, number: int) -> Item:
    draw = functools.partial(sample_images.jpeg, kind, seed=number)
    return Item(File(f"{kind}/{kind} {number:02}.jpg", draw), kind, "train")
