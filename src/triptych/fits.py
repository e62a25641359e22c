"""What was fitted for committees of the zoo: shipped with the package, or a person's own."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.doubt import Doubt

SCHEMA = 1


def find(home: Path, committee: str, members: Sequence[str]) -> Doubt | None:
    """What was fitted for a committee: a person's own, else what is shipped.

    Args:
        home: Folder for everything that is kept.
        committee: Its name.
        members: Names of its members; a fit for others, or another order, does not count.

    Returns:
        ``None`` where nothing was fitted for these members.

    Raises:
        errors.FitError: The file is damaged.

    Example:
        >>> find(Path("nowhere"), "lite", ["EfficientNetLite0"]) is None
        True
    """
    shipped = resources.files("triptych") / "fitted" / f"{committee}.json"
    for place in (path(home, committee), shipped):
        if place.is_file():
            named, doubt = _read(str(place), place.read_bytes())
            if named == list(members):
                return doubt
    return None


def save(home: Path, committee: str, members: Sequence[str], doubt: Doubt) -> Path:
    """Keep what was fitted, whole or not at all; it takes the place of what was there.

    Args:
        home: Folder for everything that is kept.
        committee: Its name.
        members: Names of its members, in order.
        doubt: What was fitted.

    Returns:
        Where it is now.
    """
    target = path(home, committee)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = render(committee, members, doubt)
    with tempfile.NamedTemporaryFile("w", dir=target.parent, delete=False) as scratch:
        scratch.write(text)
    os.replace(scratch.name, target)
    return target


def render(committee: str, members: Sequence[str], doubt: Doubt) -> str:
    """The text of a file of this kind."""
    about = {
        "schema": SCHEMA,
        "committee": committee,
        "members": list(members),
        "doubt": doubt.to_dict(),
    }
    return json.dumps(about, indent=1, ensure_ascii=False) + "\n"


def path(home: Path, committee: str) -> Path:
    """Where a person's own fit is kept."""
    return home / "fits" / f"{committee}.json"


def _read(name: str, data: bytes) -> tuple[list[str], Doubt]:
    try:
        about: dict[str, Any] = json.loads(data)
        if about["schema"] != SCHEMA:
            raise errors.FitError(
                f"{name} is of schema {about['schema']!r}; this Triptych reads schema {SCHEMA}. "
                "Delete it, and fit anew with `triptych fit`."
            )
        members, doubt = list(about["members"]), Doubt.from_dict(about["doubt"])
    except (ValueError, TypeError, KeyError, errors.SettingError) as error:
        raise errors.FitError(
            f"{name} is damaged: {error}. Delete it, and fit anew with `triptych fit`."
        ) from error
    if len(members) != len(doubt.weights):
        raise errors.FitError(
            f"{name} is damaged: {len(members)} members, {len(doubt.weights)} weights. Delete it, "
            "and fit anew with `triptych fit`."
        )
    return members, doubt
