"""The versions of a bundle, as pages show them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from triptych import bundles
from triptych import errors
from triptych.bundles.metrics import HeldOutAccuracy


@dataclass(frozen=True)
class Version:
    """One version of a bundle.

    Args:
        number: From 1.
        created: The day it was trained, as 2026-01-31; empty if unknown.
        classes: Names of its classes.
        members: Names of its members.
        photos: How many photos it was trained on; ``None`` if unknown.
        accuracy: ``None`` if it was not evaluated.
        damage: What is wrong with it; empty if nothing is.
        multilabel: Whether it answers any number of classes for a photo.
        macro_f1: Of a multi-label version, the mean F1 of its classes on photos it was not trained
            on; ``None`` if it was not evaluated.
        evaluated: On how many photos that is.
    """

    number: int
    created: str = ""
    classes: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    photos: int | None = None
    accuracy: HeldOutAccuracy | None = None
    damage: str = ""
    multilabel: bool = False
    macro_f1: float | None = None
    evaluated: int = 0


@dataclass(frozen=True)
class BundleVersions:
    """All versions of a bundle.

    Args:
        name: Of the bundle.
        versions: The newest first.
        active: The number of the one that is served; ``None`` if none is.
        words: People's texts for its card.
    """

    name: str
    versions: tuple[Version, ...]
    active: int | None
    words: dict[str, str]

    @property
    def served(self) -> Version | None:
        """The version that is served."""
        return self.find(str(self.active))

    def find(self, number: str) -> Version | None:
        """The version with this number."""
        return next((one for one in self.versions if str(one.number) == number), None)

    @property
    def newest(self) -> Version:
        """The version with the highest number."""
        return self.versions[0]


def find(home: Path, name: str) -> BundleVersions | None:
    """All versions of a bundle; ``None`` if there is no such bundle.

    Args:
        home: Home folder.
        name: Of the bundle.

    Raises:
        errors.BundleError: The texts for its card are damaged.
    """
    active, numbers = bundles.active(home, name), bundles.versions(home, name)
    if not numbers:
        return None
    versions = tuple(_version(home, name, number) for number in reversed(numbers))
    return BundleVersions(name, versions, active, bundles.card_texts(home, name))


def find_all(home: Path) -> list[BundleVersions]:
    """All readable bundles by name."""
    listed = []
    for name in bundles.names(home):
        with contextlib.suppress(errors.BundleError):
            if bundle := find(home, name):
                listed.append(bundle)
    return listed


def _version(home: Path, name: str, number: int) -> Version:
    try:
        bundle = bundles.find(home, f"{name}@{number}")
        accuracy = bundle.accuracy
        metrics = bundle.metrics if bundle.multilabel else {}
    except (errors.BundleError, errors.UnknownName) as error:
        # Paths are not for clients.
        return Version(number, damage=error.message.replace(str(home), "HOME"))
    about = bundle.about
    return Version(
        number,
        created=about.get("created", "")[:10],
        classes=tuple(row["name"] for row in about["labels"]),
        members=tuple(row["name"] for row in about["members"]),
        photos=about["data"]["train"] if "data" in about else None,  # imported models have none
        accuracy=accuracy,
        multilabel=bundle.multilabel,
        macro_f1=metrics["committee"]["macro"]["f1"] if metrics else None,
        evaluated=metrics["images"] if metrics else 0,
    )
