"""The committees of a running studio: loaded at first use, replaced and dropped while it runs. A
request keeps the committee that it began with, whatever happens here meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import bundles
from triptych import errors
from triptych.inference import committee
from triptych.inference.classifier import Classifier
from triptych.models import zoo
from triptych.utils.text import text
from triptych.web.home_folder import HomeFolder

logger = logging.getLogger("triptych")


@dataclass(frozen=True)
class Offer:
    """A committee on offer.

    Args:
        versions: Versions that can be named, the highest last.
        active: The version that the bare name means; ``None`` if it means none.
        multilabel: Whether it answers any number of classes for a photo.
    """

    versions: tuple[int, ...]
    active: int | None
    multilabel: bool = False

    @classmethod
    def of(cls, versions: Sequence[int]) -> Offer:
        """An offer whose highest version is the active one."""
        return cls(tuple(versions), max(versions, default=None))


# Offers by name; or versions, if the highest is the active one.
Catalogue = Mapping[str, Offer | Sequence[int]]
NOTHING = Offer((), None)


@dataclass(frozen=True)
class Facts:
    """The facts about a committee that are known without loading it.

    Args:
        name: What it is called.
        members: Names of its members; empty if unknown until it is loaded.
        rule: Its own combination rule.
        ready: Whether it is loaded, so that the next request is answered at once.
        versions: Those on offer, the highest last.
        active: The one that its bare name means; ``None`` if it means none.
        missing: Those of its members whose weights have to be fetched first.
        missing_mb: Size of these weights, in MB.
        warning: Set if its answers are meaningless.
        multilabel: Whether it answers any number of classes for a photo.
    """

    name: str
    members: tuple[str, ...]
    rule: str = "mean"
    ready: bool = False
    versions: tuple[int, ...] = (1,)
    active: int | None = 1
    missing: tuple[str, ...] = ()
    missing_mb: float = 0.0
    warning: str | None = None
    multilabel: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The facts as a JSON object; ``multilabel`` only where it is true."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if key != "multilabel" or value
        }


@dataclass
class _Loaded:
    """A committee in memory.

    Args:
        classifier: The classifier.
        version: Its version.
        tried: The last version that was tried to be loaded; the same unless that failed.
        used_s: When it was used last.
    """

    classifier: Classifier
    version: int
    tried: int
    used_s: float


class Registry:
    """Committees by name; safe to call from several threads.

    A name may carry a version, as ``garden@2``; without one it means the active one.

    Args:
        load: Loads a committee by its name and version; may take a while.
        catalogue: Returns the current offers, in the order they are shown.
        default: The committee for requests that name none; ``"auto"`` selects ``classic`` or
            ``lite`` now. It is never unloaded.
        missing: Lists which weights of a zoo committee are not on this machine.
        may_be_new: Whether the catalogue, which is slow to read, may have a name now that it did
            not have before.
        max_bytes: Largest size of all loaded networks; beyond it the least recently used committees
            are unloaded.

    Raises:
        errors.UnknownName: The default is not on offer.

    Example:
        >>> offers = {"lite": [1], "classic": [1]}
        >>> registry = Registry(lambda name: print("loading", name), lambda: offers, "lite")
        >>> registry.names
        ('lite', 'classic')
    """

    def __init__(
        self,
        load: Callable[[str], Classifier],
        catalogue: Callable[[], Catalogue],
        default: str,
        *,
        missing: Callable[[str], Sequence[zoo.Backbone]] = committee.missing,
        may_be_new: Callable[[str], bool] = lambda name: True,
        max_bytes: float = float("inf"),
    ) -> None:
        self.is_auto = default == "auto"
        self.default = committee.resolve(default) if self.is_auto else default
        self._load = load
        self._read_catalogue = catalogue
        self._catalogue = self._offers()
        self._missing = missing
        self._may_be_new = may_be_new
        self._max_bytes = max_bytes
        self._loaded: dict[str, _Loaded] = {}
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._refreshing = threading.Lock()
        self.resolve(self.default)

    @property
    def names(self) -> tuple[str, ...]:
        """The committees that are served under their bare names, in the order they are shown."""
        offers = list(self._catalogue.items())
        return tuple(name for name, offer in offers if offer.active is not None)

    def _offers(self) -> dict[str, Offer]:
        """The current catalogue, with an `Offer` for each name."""
        return {
            name: offer if isinstance(offer, Offer) else Offer.of(offer)
            for name, offer in self._read_catalogue().items()
        }

    def resolve(self, name: str | None) -> str:
        """The full name of a committee; ``None`` and ``"auto"`` mean the default.

        Raises:
            errors.UnknownName: No such committee, or no such version of it.
        """
        if name is None or name == "auto":
            return self.default
        if not self._is_on_offer(name) and self._may_be_new(name.partition("@")[0]):
            self._catalogue = self._offers()
        if not self._is_on_offer(name):
            versions = self._catalogue.get(name, NOTHING).versions
            raise errors.UnknownName(
                text(
                    "No version of {name} is published; expected one by its number, as "
                    "{name}@{versions}, or one of: {names}.",
                    name=name,
                    versions=versions[-1],
                    names=", ".join(self.names),
                )
                if versions
                else text(
                    "There is no committee {name!r}; expected one of: {names}.",
                    name=name,
                    names=", ".join(self.names),
                )
            )
        bare, _, version = name.partition("@")
        # The active version is loaded under the bare name only.
        return bare if version == str(self._catalogue[bare].active) else name

    def _is_on_offer(self, name: str) -> bool:
        bare, at, version = name.partition("@")
        offer = self._catalogue.get(bare, NOTHING)
        return version in map(str, offer.versions) if at else offer.active is not None

    def loaded(self, name: str | None = None) -> Classifier | None:
        """A committee if it is loaded; ``None`` if `get` would have to load it.

        Raises:
            errors.UnknownName: No such committee.
        """
        self.resolve(name)
        loaded = self._loaded_as(name)
        if loaded is None:
            return None
        loaded.used_s = time.monotonic()
        return loaded.classifier

    def _loaded_as(self, name: str | None) -> _Loaded | None:
        """The loaded committee of a name or version; it may be loaded as the active one."""
        name = self.default if name is None or name == "auto" else name
        bare, at, version = name.partition("@")
        loaded = self._loaded.get(bare)
        if loaded and version in ("", str(loaded.version)):
            return loaded
        return self._loaded.get(name) if at else None

    def get(self, name: str | None = None) -> Classifier:
        """A committee, ready to answer; the first call loads it.

        Raises:
            errors.UnknownName: No such committee.
            errors.WeightsMissing: Its weights have to be fetched first.
        """
        key = self.resolve(name)
        with self._locks[key]:
            return self.loaded(name) or self._bring_in(key)

    def unload(self, name: str) -> None:
        """Unload a committee; the next request loads it again.

        Raises:
            errors.UnknownName: No such committee.
        """
        self._loaded.pop(self.resolve(name), None)

    def refresh(self, only: str | None = None) -> None:
        """Synchronize with the catalogue: load new versions, and drop removed committees.

        If a new version cannot be loaded, the old one stays.

        Args:
            only: The one committee whose versions are loaded or dropped; else those of all.

        Raises:
            errors.TriptychError: A version cannot be loaded; it is not tried again.
        """
        with self._refreshing:
            self._catalogue = self._offers()
            # The bare name first, so that it can take over a version that is loaded by its number.
            names = sorted(self._loaded)
            wanted = [name for name in names if only in (None, name.partition("@")[0])]
            failed = [error for name in wanted if (error := self._renew(name))]
        if failed:
            others = [error.message for error in failed[1:]]
            if not others:
                raise failed[0]
            raise errors.BundleError("\n".join([failed[0].message, *others]))

    def _renew(self, name: str) -> errors.TriptychError | None:
        """Load the version that a name means now, unless it is loaded; returns an error, if any."""
        loaded = self._loaded.get(name)
        if loaded is None:
            return None
        if not self._is_on_offer(name):
            self._loaded.pop(name, None)
        elif name not in (self.resolve(name), self.default):
            # It was loaded by its number, and is now the active version.
            self._loaded.setdefault(name.partition("@")[0], loaded)
            self._loaded.pop(name, None)
        elif loaded.tried != self._version(name):
            loaded.tried = self._version(name)
            with self._locks[name]:
                try:
                    self._bring_in(name)
                except errors.TriptychError as error:
                    return error
                except Exception as error:  # the others are renewed anyway
                    logger.exception("Loading %s failed", name)
                    return errors.BundleError(
                        f"{name}, version {loaded.tried}, cannot be loaded: "
                        f"{type(error).__name__}. The version before goes on to answer."
                    )
        return None

    def _bring_in(self, name: str) -> Classifier:
        version = self._version(name)
        twin = self._loaded.get(f"{name}@{version}")
        try:
            classifier = twin.classifier if twin else self._load(name)
        except errors.UnknownName:
            self._catalogue = self._offers()  # raises if the whole folder is gone
            raise
        self._loaded[name] = _Loaded(classifier, version, version, time.monotonic())
        # Free memory: unload the least recently used, but neither the default nor the newest.
        idle = sorted(
            (loaded.used_s, each)
            for each, loaded in list(self._loaded.items())
            if each not in (name, self.default)
        )
        while idle and self.size_bytes > self._max_bytes:
            self._loaded.pop(idle.pop(0)[1], None)
        return classifier

    def _version(self, name: str) -> int:
        bare, _, version = name.partition("@")
        # None if it was removed meanwhile; loading it raises then.
        return int(version or self._catalogue.get(bare, NOTHING).active or 0)

    @property
    def size_bytes(self) -> int:
        """The size of the networks of all loaded committees."""
        return sum(loaded.classifier.size_bytes for loaded in list(self._loaded.values()))

    def ready(self, name: str) -> bool:
        """Whether a committee is loaded, so that it answers at once."""
        return self._is_on_offer(name) and self._loaded_as(name) is not None

    def facts(self, name: str) -> Facts:
        """The facts about a committee; never loads it."""
        offer = self._catalogue.get(name.partition("@")[0], NOTHING)
        versions: dict[str, Any] = {"versions": offer.versions, "active": offer.active}
        versions["multilabel"] = offer.multilabel
        if loaded := self._loaded_as(name):
            running = loaded.classifier.committee
            members = tuple(member.name for member in running.members)
            versions["multilabel"] = running.multilabel is not None
            return Facts(name, members, running.rule, True, warning=running.warning, **versions)
        if name not in zoo.COMMITTEES:
            return Facts(name, (), **versions)
        missing = self._missing(name)
        return Facts(
            name,
            tuple(row.name for row in committee.backbones(name)),
            missing=tuple(row.name for row in missing),
            missing_mb=sum(row.weights.size_mb for row in missing),
        )


class Discovery:
    """The committees of a home: those of the zoo and all bundles.

    Args:
        home: Home folder.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = HomeFolder(home)
        self._damaged: dict[str, str] = {}

    def __call__(self) -> Catalogue:
        """List what is on offer now; a damaged bundle is logged once and left out.

        Raises:
            errors.DiskError: The folder of bundles was there, and is gone.
        """
        self._folder.check()
        damaged: dict[str, str] = {}

        def leave_out(name: str, error: errors.BundleError) -> None:
            damaged[name] = error.message
            if self._damaged.get(name) != error.message:
                logger.error("The bundle %s is not served: %s", name, error.message)

        offers = {name: Offer((1,), 1) for name in zoo.COMMITTEES}
        for bundle in bundles.listed(self._home, unpublished=True, damaged=leave_out):
            # In this order: a version added meanwhile must not be active and unknown.
            active = bundles.active(self._home, bundle.name)
            versions = tuple(bundles.versions(self._home, bundle.name))
            offers[bundle.name] = Offer(versions, active, bundle.multilabel)
        self._damaged = damaged
        return offers

    def has(self, name: str) -> bool:
        """Whether there is a committee of this name; fast if there is none.

        Raises:
            errors.DiskError: The folder of bundles was there, and is gone.
        """
        self._folder.check()
        return name in zoo.COMMITTEES or bool(bundles.versions(self._home, name))
