"""A committee in one version: what these protocols call a model."""

from __future__ import annotations

from dataclasses import dataclass

from triptych.web import context


@dataclass(frozen=True)
class ServedModel:
    """A committee in one version.

    Args:
        key: Its name for the registry.
        name: Its name alone.
        version: Its version, in digits.
    """

    key: str
    name: str
    version: str

    @property
    def versions(self) -> list[str]:
        """Those on offer, the highest last."""
        return [str(version) for version in context.current().registry.facts(self.key).versions]

    @property
    def is_ready(self) -> bool:
        """Whether it is loaded and warm."""
        return context.current().registry.ready(self.key)

    @property
    def classes(self) -> int:
        """How many there are; -1 while it is not loaded."""
        loaded = context.current().registry.loaded(self.key)
        return len(loaded.committee.labels) if loaded else -1


def find(name: str, version: str | None = None) -> ServedModel:
    """The model of a name, in a version or in the active one.

    Raises:
        errors.UnknownName: There is none.
    """
    registry = context.current().registry
    asked = name if version is None else f"{name}@{version}"
    bare, _, chosen = registry.resolve(asked).partition("@")
    # A version that was named is asked by its number: the active one may be another in a moment.
    key = asked if "@" in asked else bare
    return ServedModel(key, bare, chosen or str(registry.facts(bare).active))


def everything() -> list[ServedModel]:
    """All models on offer, in all versions."""
    registry = context.current().registry
    return [
        find(name, str(version))
        for name in registry.names
        for version in registry.facts(name).versions
    ]
