"""What a pool and its processes send each other, pickled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from triptych import errors
from triptych.inference.classifier import ClassifyOptions
from triptych.results import Failure
from triptych.results import Verdict


@dataclass(frozen=True)
class Ping:
    """The request to respond, with ``None``: the process has started."""


@dataclass(frozen=True)
class Load:
    """The request to load a committee; the response is ``None`` once it is warm.

    Args:
        key: Identifies the committee in later requests.
        committee: As `loading.load_committee` takes it.
        options: Fields of `EngineOptions`.
        settings: Keyword arguments of `loading.load_classifier`.
    """

    key: int
    committee: str
    options: dict[str, Any]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Drop:
    """The request to unload a committee; the response is ``None``."""

    key: int


@dataclass(frozen=True)
class Classify:
    """The request to classify a photo; the response is a verdict or a failure.

    Args:
        key: Of the committee.
        source: Where the photo came from, for people.
        image: As `Classifier.classify` takes it.
        options: How to answer.
    """

    key: int
    source: str
    image: Any
    options: ClassifyOptions


Request = Ping | Load | Drop | Classify
# What comes back: the response, or the error that was raised instead.
Response = Verdict | Failure | None | errors.TriptychError
