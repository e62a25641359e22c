"""The manifest of a batch run: committee and options. A run is resumed only with an equal one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.bundles import loading
from triptych.engines import devices
from triptych.engines.options import INT8
from triptych.inference.classifier import Classifier
from triptych.inference.classifier import ClassifyOptions
from triptych.inference.committee import Committee


@dataclass(frozen=True)
class Manifest:
    """All that verdicts depend on, except the photos.

    Args:
        load: Arguments of `triptych.load` that load the same committee on any machine.
        top: As for `triptych.inference.classifier.ClassifyOptions`.
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
        cls, classifier: Classifier, home: Path, load: dict[str, Any], options: ClassifyOptions
    ) -> Manifest:
        """The manifest of a run that starts here.

        Args:
            classifier: What `triptych.load` gave.
            home: Folder for everything that is kept.
            load: What it was given, with a committee, a precision and a device: the version of a
                bundle and the like are resolved and put in their place.
            options: Its ``top``, ``fit`` and ``similar`` count.
        """
        precision = load["precision"]
        device = devices.resolve(load.get("device", "cpu"), precision)
        if precision != INT8:
            precision = devices.resolve_precision(device, precision, home)
        exact = {
            "committee": loading.pin(load["committee"], home),
            "precision": precision,
            "rule": classifier.committee.rule,
        }
        load = {name: value for name, value in load.items() if name != "device"}
        if not device.is_processor:  # else left out, as in runs that were started by 0.1.0
            exact["device"] = str(device)
        return cls(
            {**load, **exact},
            options.top,
            options.fit,
            options.similar,
            digest(classifier.committee),
        )

    @property
    def options(self) -> ClassifyOptions:
        """The options for each photo."""
        return ClassifyOptions(top=self.top, fit=self.fit, similar=self.similar)

    def to_dict(self) -> dict[str, Any]:
        """The manifest as a flat JSON object."""
        return {**self.load, **{k: v for k, v in asdict(self).items() if k != "load"}}

    def check(self, classifier: Classifier) -> None:
        """Refuse a committee that would give other verdicts.

        Raises:
            errors.SettingError: It is another committee.
        """
        if digest(classifier.committee) != self.digest:
            raise errors.SettingError(
                f"The committee {classifier.committee.name} is another one here than where it "
                "was asked for: classes, recipes or what was fitted for it differ. Give every "
                "machine the same bundle, or the same fit."
            )


def digest(committee: Committee) -> str:
    """SHA-256 of all that turns the outputs of a committee's networks into verdicts."""
    content = {
        "labels": [asdict(label) for label in committee.labels],
        "members": [[m.name, m.recipe.to_dict(), m.cost] for m in committee.members],
        "doubt": committee.params.to_dict(),
        "rule": committee.rule,
        "warning": committee.warning,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()
