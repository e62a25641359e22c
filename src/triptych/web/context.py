"""What pages and API share: the committees, the limits, and how a long computation is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from typing import TypeVar
from typing import cast

import flask

from triptych.results import Failure
from triptych.results import Verdict
from triptych.settings import Settings
from triptych.web.registry import Registry
from triptych.web.uploads import Upload

KEY = "triptych"

T = TypeVar("T")


class Run(Protocol):
    """Calls a function and gives its result, here or in another thread."""

    def __call__(self, work: Callable[[], T], /) -> T:
        """The result of ``work()``."""
        ...


def run_here(work: Callable[[], T], /) -> T:
    """Call the function at once, in this thread."""
    return work()


@dataclass(frozen=True)
class Studio:
    """What a request needs to be answered.

    Args:
        settings: The limits.
        registry: The committees.
        run: How a long computation is run.
    """

    settings: Settings
    registry: Registry
    run: Run

    def answer(self, upload: Upload) -> list[Verdict | Failure]:
        """Ask the committee that an upload names; one answer per image, in order.

        Raises:
            errors.UnknownName: No such committee, member or rule.
            errors.SettingError: An option has an impossible value.
            errors.WeightsMissing: The committee's weights have to be fetched first.
        """

        def ask() -> list[Verdict | Failure]:
            classifier = self.registry.get(upload.committee)
            return list(classifier.classify_many(upload.images, upload.question))

        return self.run(ask)


def current() -> Studio:
    """The studio of the request that is being answered."""
    return cast(Studio, flask.current_app.extensions[KEY])
