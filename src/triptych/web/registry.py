"""The committees of a running studio: loaded when first asked, swapped and dropped while it runs.

Whoever got a committee keeps it: an answer that is under way is finished by the committee that
began it, whatever happens here meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

from triptych import committee
from triptych import errors
from triptych import zoo
from triptych.classifier import Classifier

# By name, the versions that are on offer, the highest last.
Catalogue = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Facts:
    """What can be said of a committee without loading it.

    Args:
        name: What it is called.
        members: Names of its members; empty where only loading would tell.
        rule: Its own combination rule.
        ready: Whether it is loaded, so that the next answer comes at once.
        versions: Those that can be asked, the highest last.
        missing: Those of its members whose weights have to be fetched first.
        missing_mb: How much that is, in MB.
        warning: Set when its answers must not be believed.
    """

    name: str
    members: tuple[str, ...]
    rule: str = "mean"
    ready: bool = False
    versions: tuple[int, ...] = (1,)
    missing: tuple[str, ...] = ()
    missing_mb: float = 0.0
    warning: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The facts as a JSON object."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }


@dataclass
class _Loaded:
    """A committee in memory."""

    classifier: Classifier
    version: int
    used_s: float


class Registry:
    """Committees by name; safe to call from several threads.

    A name may carry a version, as ``garden@2``; without one it means the highest there is.

    Args:
        load: Gets a committee ready by its name and version; may take a while.
        catalogue: Tells what is on offer now, in the order it is shown.
        default: The one that answers when none is named; ``"auto"`` chooses now between
            ``classic`` and ``lite``, and keeps to it. It is never unloaded.
        missing: Tells which weights of a zoo committee are not on this machine.
        max_bytes: Largest size of all loaded networks; beyond it the committees that were not
            asked for the longest time are unloaded.

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
        max_bytes: float = float("inf"),
    ) -> None:
        self.chosen_automatically = default == "auto"
        self.default = committee.resolve(default) if self.chosen_automatically else default
        self._load = load
        self._look = catalogue
        self._catalogue = dict(catalogue())
        self._missing = missing
        self._max_bytes = max_bytes
        self._loaded: dict[str, _Loaded] = {}
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self.resolve(self.default)

    @property
    def names(self) -> tuple[str, ...]:
        """The committees on offer, in the order they are shown."""
        return tuple(self._catalogue)

    def resolve(self, name: str | None) -> str:
        """The name of the committee that is meant; ``None`` and ``"auto"`` mean the default.

        Raises:
            errors.UnknownName: No such committee, or no such version of it.
        """
        if name is None or name == "auto":
            return self.default
        versions = self._versions(name)
        if not versions:
            self._catalogue = dict(self._look())  # it may be new
            versions = self._versions(name)
        if not versions:
            raise errors.UnknownName(
                f"There is no committee {name!r}; expected one of: {', '.join(self.names)}."
            )
        bare, _, version = name.partition("@")
        # The highest version is held under the bare name only.
        return bare if version == str(versions[-1]) else name

    def _versions(self, name: str) -> Sequence[int]:
        """Those of a committee; none if it is not on offer, or not in the version that is named."""
        bare, at, version = name.partition("@")
        versions = self._catalogue.get(bare, ())
        return versions if not at or version in map(str, versions) else ()

    def loaded(self, name: str | None = None) -> Classifier | None:
        """A committee if it is loaded; ``None`` if `get` would have to load it.

        Raises:
            errors.UnknownName: No such committee.
        """
        found = self._loaded.get(self.resolve(name))
        if found is None:
            return None
        found.used_s = time.monotonic()
        return found.classifier

    def get(self, name: str | None = None) -> Classifier:
        """A committee, ready to answer; the first call loads it.

        Raises:
            errors.UnknownName: No such committee.
            errors.WeightsMissing: Its weights have to be fetched first.
        """
        name = self.resolve(name)
        with self._locks[name]:
            return self.loaded(name) or self._bring_in(name)

    def unload(self, name: str) -> None:
        """Forget a loaded committee; the next who asks loads it again.

        Raises:
            errors.UnknownName: No such committee.
        """
        self._loaded.pop(self.resolve(name), None)

    def refresh(self) -> None:
        """Look what is on offer now: load new versions of what is loaded, drop what is gone.

        A new version that cannot be loaded leaves the old one in its place.
        """
        self._catalogue = dict(self._look())
        for name, held in list(self._loaded.items()):
            if not self._versions(name):
                self._loaded.pop(name, None)
            elif held.version != self._version(name):
                held.version = self._version(name)  # tried once, even if it cannot be loaded
                with self._locks[name]:
                    self._bring_in(name)

    def _bring_in(self, name: str) -> Classifier:
        version = self._version(name)
        classifier = self._load(name)
        self._loaded[name] = _Loaded(classifier, version, time.monotonic())
        self._make_room(name)
        return classifier

    def _version(self, name: str) -> int:
        bare, _, version = name.partition("@")
        # Of one that is gone meanwhile there is none, and to load it will say so.
        return int(version or max(self._catalogue.get(bare, ()), default=0))

    def _make_room(self, newest: str) -> None:
        """Unload what was used least, but neither the default nor what was just asked for."""
        idle = sorted(
            (held.used_s, name)
            for name, held in list(self._loaded.items())
            if name not in (newest, self.default)
        )
        while idle and self.size_bytes > self._max_bytes:
            self._loaded.pop(idle.pop(0)[1], None)

    @property
    def size_bytes(self) -> int:
        """How large the networks of all loaded committees are."""
        held = [loaded.classifier.committee for loaded in list(self._loaded.values())]
        return sum(member.engine.size_bytes for one in held for member in one.members)

    def ready(self, name: str) -> bool:
        """Whether a committee is loaded, so that it answers at once."""
        return name in self._loaded

    def facts(self, name: str) -> Facts:
        """What can be said of a committee; never loads it."""
        versions = tuple(self._catalogue.get(name.partition("@")[0], ()))
        if name in self._loaded:
            loaded = self._loaded[name].classifier.committee
            seats = tuple(member.name for member in loaded.members)
            return Facts(name, seats, loaded.rule, True, versions, warning=loaded.warning)
        if name not in zoo.COMMITTEES:
            return Facts(name, (), versions=versions)
        missing = self._missing(name)
        return Facts(
            name,
            tuple(row.name for row in committee.backbones(name)),
            missing=tuple(row.name for row in missing),
            missing_mb=sum(row.weights.size_mb for row in missing),
        )
