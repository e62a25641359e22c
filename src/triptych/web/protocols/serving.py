"""The common part of both protocols: models, and verdicts on images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flask

from triptych.inference.classifier import ClassifyOptions
from triptych.results import Failure
from triptych.results import Verdict
from triptych.web import classify
from triptych.web import context
from triptych.web import errors
from triptych.web import uploads


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
        """Versions on offer, the highest last."""
        facts = context.current().registry.facts(self.key)
        if context.of_request().key.committee:  # others may be unpublished, and are not for guests
            return [str(facts.active)]
        return [str(version) for version in facts.versions]

    @property
    def is_ready(self) -> bool:
        """Whether it is loaded and warm."""
        return context.current().registry.ready(self.key)

    @property
    def classes(self) -> int:
        """How many there are; -1 while it is not loaded."""
        loaded = context.current().registry.loaded(self.key)
        return len(loaded.committee.labels) if loaded else -1


def find_model(name: str, version: str | None = None) -> ServedModel:
    """The model of a name, in a version or in the active one.

    Raises:
        errors.UnknownName: There is none.
        Forbidden: The key of the request is for another committee.
    """
    context.permitted(name if version is None else f"{name}@{version}")
    registry = context.current().registry
    full_name = name if version is None else f"{name}@{version}"
    bare, _, number = registry.resolve(full_name).partition("@")
    # A named version is requested by its number: the active one may change at any time.
    key = full_name if "@" in full_name else bare
    return ServedModel(key, bare, number or str(registry.facts(bare).active))


def all_models() -> list[ServedModel]:
    """All models on offer, in all versions."""
    return [
        find_model(name, str(version))
        for name in context.committees()
        for version in find_model(name).versions
    ]


def verdicts(committee: str, images: Sequence[Any], question: ClassifyOptions) -> list[Verdict]:
    """Classify all images, or none: these protocols have no partial responses.

    Args:
        committee: Its name, perhaps with a version.
        images: Files or pixels, as `Classifier.classify` takes.
        question: The committee and the options.

    Raises:
        HTTPException: An image cannot be read; the message says which, and why.
    """
    named = [(uploads.base_name(None, number), image) for number, image in enumerate(images, 1)]
    answers = classify.answer_images(context.current(), committee, named, question)
    for index, answer in enumerate(answers):
        if isinstance(answer, Failure):
            flask.abort(
                errors.status_of(answer.code),
                f"The image at index {index} of {len(images)}: {answer.message}",
            )
    return [answer for answer in answers if isinstance(answer, Verdict)]
