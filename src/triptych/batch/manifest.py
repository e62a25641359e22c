"""Who is asked about the photos, and how: what a later run has to equal to go on with one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.bundles import loading
from triptych.engines import openvino
from triptych.engines.options import INT8
from triptych.inference.classifier import Classifier
from triptych.inference.classifier import ClassifyOptions
from triptych.inference.committee import Committee


@dataclass(frozen=True)
class Asked:
    """All that answers depend on, but for the photos.

    Args:
        load: Arguments of `triptych.load` that seat the same committee on any machine.
        top: How many guesses are named, as for `triptych.inference.classifier.Question`.
        fit: As for the same.
        similar: As for the same.
        digest: SHA-256 of what the committee is: its classes, recipes and all that was fitted.
    """

    load: dict[str, Any]
    top: int = 3
    fit: str | None = None
    similar: int = 0
    digest: str = ""

    @classmethod
    def of(
        cls, classifier: Classifier, home: Path, load: dict[str, Any], question: ClassifyOptions
    ) -> Asked:
        """The record of a question as it is asked here.

        Args:
            classifier: What `triptych.load` gave.
            home: Folder for everything that is kept.
            load: What it was given, with a committee and a precision: whatever is found out on
                the spot is put in its place, such as the version of a bundle.
            question: Its ``top``, ``fit`` and ``similar`` count.
        """
        exact = {
            "committee": loading.pin(load["committee"], home),
            "precision": _resolved(load["precision"]),
            "rule": classifier.committee.rule,
        }
        return cls(
            {**load, **exact},
            question.top,
            question.fit,
            question.similar,
            digest(classifier.committee),
        )

    @property
    def question(self) -> ClassifyOptions:
        """What each photo is asked for."""
        return ClassifyOptions(top=self.top, fit=self.fit, similar=self.similar)

    def to_dict(self) -> dict[str, Any]:
        """The record as a flat JSON object."""
        return {**self.load, **{k: v for k, v in asdict(self).items() if k != "load"}}

    def check(self, classifier: Classifier) -> None:
        """Refuse a committee that would answer otherwise.

        Raises:
            errors.SettingError: It is another one.
        """
        if digest(classifier.committee) != self.digest:
            raise errors.SettingError(
                f"The committee {classifier.committee.name} is another one here than where it "
                "was asked for: classes, recipes or what was fitted for it differ. Give every "
                "machine the same bundle, or the same fit."
            )


def _resolved(precision: str) -> str:
    return precision if precision == INT8 else openvino.resolve_precision(precision)


def digest(committee: Committee) -> str:
    """SHA-256 of all that decides what becomes of its networks' answers."""
    told = {
        "labels": [asdict(label) for label in committee.labels],
        "members": [[m.name, m.recipe.to_dict(), m.cost] for m in committee.members],
        "doubt": committee.params.to_dict(),
        "rule": committee.rule,
        "warning": committee.warning,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
