"""What was fitted for committees of the zoo: a person's own, else what is shipped.

    <home>/fits/<committee>.json       for a committee of the zoo
    <home>/fits/<member>+<member>.json for backbones that a person seated
    triptych/inference/fitted/<committee>.json   shipped with the package

Bundles keep what was fitted for them themselves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.ensemble.params import EnsembleParams
from triptych.models import zoo
from triptych.utils import files

SCHEMA = 1
KEYS = ("schema", "committee", "members", "doubt")
MEND = "Delete it, and fit anew with `triptych fit`."
# More would make files larger and change no answer that a photo more would not change.
DIGITS = 6


def find(home: Path, committee: str, members: Sequence[str]) -> EnsembleParams | None:
    """What was fitted for members: a person's own fit, else the one that is shipped.

    Args:
        home: Folder for everything that is kept.
        committee: Name of the committee.
        members: Names of its members, in order; what was fitted for others, or for another
            order, does not count.

    Returns:
        ``None`` where nothing was fitted for these members.

    Raises:
        errors.FitError: The file is damaged; the message names it and says how to mend it.

    Example:
        >>> find(Path("nowhere"), "lite", ["EfficientNetLite0"]) is None
        True
    """
    name = _name(committee, members)
    for place in (home / "fits" / name, resources.files("triptych.inference") / "fitted" / name):
        if place.is_file():
            known, params = _read(place)
            if known == list(members):
                return params
    return None


def save(home: Path, committee: str, members: Sequence[str], params: EnsembleParams) -> Path:
    """Keep what was fitted; it takes the place of what was there.

    Args:
        home: Folder for everything that is kept.
        committee: Name of the committee.
        members: Names of its members, in order.
        doubt: What was fitted.

    Returns:
        The file.

    Raises:
        errors.FitError: It cannot be written; what was there is still there.
    """
    path = home / "fits" / _name(committee, members)
    write(path, committee, members, params)
    return path


def write(path: Path, committee: str, members: Sequence[str], params: EnsembleParams) -> None:
    """Write what `find` reads to any file, whole or not at all; otherwise as `save`."""
    about = {
        "schema": SCHEMA,
        "committee": committee,
        "members": list(members),
        "doubt": _rounded(params.to_dict()),
    }
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.atomic_file(path) as new:
            new.write_bytes(text.encode())
    except OSError as error:
        raise errors.FitError(
            f"{path} cannot be written: {error.strerror}. Nothing was changed; make room or "
            "name another folder, and fit once more."
        ) from error


def _name(committee: str, members: Sequence[str]) -> str:
    own = tuple(members) == zoo.COMMITTEES.get(committee)
    return f"{committee if own else '+'.join(members)}.json"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(own) for key, own in value.items()}
    if isinstance(value, list):
        return [_rounded(own) for own in value]
    return round(value, DIGITS) if isinstance(value, float) else value


def _read(place: Any) -> tuple[list[str], EnsembleParams]:
    try:
        about = json.loads(place.read_bytes())
        if not isinstance(about, dict) or set(about) != set(KEYS):
            raise ValueError(f"expected an object with exactly: {', '.join(KEYS)}")
        if about["schema"] != SCHEMA:
            raise ValueError(
                f"it has schema {about['schema']!r}, and this Triptych reads schema {SCHEMA}"
            )
        members, params = about["members"], EnsembleParams.from_dict(about["doubt"])
        if not isinstance(members, list) or len(members) != len(params.weights):
            raise ValueError(f"it names {members!r} as members of {len(params.weights)} weights")
    except (OSError, ValueError, RecursionError, errors.SettingError) as error:
        raise errors.FitError(
            f"{place} cannot be used: {str(error).rstrip('.')}. {MEND}"
        ) from error
    return members, params
