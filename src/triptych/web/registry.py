"""The committees of a running studio: loaded when first asked, kept from then on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

from triptych import committee
from triptych import errors
from triptych import zoo
from triptych.classifier import Classifier


@dataclass(frozen=True)
class Facts:
    """What can be said of a committee without loading it.

    Args:
        name: What it is called.
        members: Names of its members; empty where only loading would tell.
        rule: Its own combination rule.
        ready: Whether it is loaded, so that the next answer comes at once.
        missing: Those of its members whose weights have to be fetched first.
        missing_mb: How much that is, in MB.
        warning: Set when its answers must not be believed.
    """

    name: str
    members: tuple[str, ...]
    rule: str = "mean"
    ready: bool = False
    missing: tuple[str, ...] = ()
    missing_mb: float = 0.0
    warning: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The facts as a JSON object."""
        return {**asdict(self), "members": list(self.members), "missing": list(self.missing)}


class Registry:
    """Committees by name; safe to call from several threads.

    Args:
        load: Gets a committee ready by its name; may take a while.
        names: The committees on offer, in the order they are shown.
        default: The one that answers when none is named; ``"auto"`` chooses now between
            ``classic`` and ``lite``, and keeps to it.
        missing: Tells which weights of a zoo committee are not on this machine.

    Raises:
        errors.UnknownName: The default is not on offer.

    Example:
        >>> registry = Registry(lambda name: print("loading", name), ["lite", "classic"], "lite")
        >>> registry.get("classic")
        loading classic
    """

    def __init__(
        self,
        load: Callable[[str], Classifier],
        names: Sequence[str],
        default: str,
        *,
        missing: Callable[[str], Sequence[zoo.Backbone]] = committee.missing,
    ) -> None:
        self.names = tuple(names)
        self.chosen_automatically = default == "auto"
        self.default = committee.resolve(default) if self.chosen_automatically else default
        self._load = load
        self._missing = missing
        self._loaded: dict[str, Classifier] = {}
        self._locks = {name: threading.Lock() for name in self.names}
        self._check(self.default)

    def resolve(self, name: str | None) -> str:
        """The name of the committee that is meant; ``None`` and ``"auto"`` mean the default.

        Raises:
            errors.UnknownName: No such committee.
        """
        if name is None or name == "auto":
            return self.default
        self._check(name)
        return name

    def _check(self, name: str) -> None:
        if name not in self.names:
            raise errors.UnknownName(
                f"There is no committee {name!r}; expected one of: {', '.join(self.names)}."
            )

    def get(self, name: str | None = None) -> Classifier:
        """A committee, ready to answer; the first call loads it.

        Raises:
            errors.UnknownName: No such committee.
            errors.WeightsMissing: Its weights have to be fetched first.
        """
        name = self.resolve(name)
        with self._locks[name]:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
            return self._loaded[name]

    def ready(self, name: str) -> bool:
        """Whether a committee is loaded, so that it answers at once."""
        return name in self._loaded

    def facts(self, name: str) -> Facts:
        """What can be said of a committee; never loads it."""
        if name in self._loaded:
            loaded = self._loaded[name].committee
            seats = tuple(member.name for member in loaded.members)
            return Facts(name, seats, loaded.rule, ready=True, warning=loaded.warning)
        if name not in zoo.COMMITTEES:
            return Facts(name, ())
        missing = self._missing(name)
        return Facts(
            name,
            tuple(row.name for row in committee.backbones(name)),
            missing=tuple(row.name for row in missing),
            missing_mb=sum(row.weights.size_mb for row in missing),
        )
