"""Files of fitted parameters for committees of the zoo: a person's own, else the shipped ones.

    <home>/fits/<committee>.json       for a committee of the zoo
    <home>/fits/<member>+<member>.json for any other choice of backbones
    triptych/inference/fitted/<committee>.json   shipped with the package

Bundles keep their parameters themselves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.params import ParamsRecord
from triptych.models import zoo
from triptych.utils import files
from triptych.utils import validation

SCHEMA = 1
# More digits would make files larger and change answers less than one more photo would.
DIGITS = 6


def find(home: Path, committee: str, members: Sequence[str]) -> EnsembleParams | None:
    """Find the parameters for some members: a person's own fit, else the shipped one.

    Args:
        home: Folder for everything that Triptych keeps.
        committee: Name of the committee.
        members: Names of its members, in order; a fit for other members or another order does
            not count.

    Returns:
        ``None`` where nothing was fitted for these members.

    Raises:
        errors.FitError: The file is damaged; the message names it and says how to mend it.

    Example:
        >>> find(Path("nowhere"), "lite", ["EfficientNetLite0"]) is None
        True
    """
    name = _name(committee, members)
    for path in (home / "fits" / name, resources.files("triptych.inference") / "fitted" / name):
        if path.is_file():
            fitted_for, params = _read(path)
            if fitted_for == list(members):
                return params
    return None


def save(home: Path, committee: str, members: Sequence[str], params: EnsembleParams) -> Path:
    """Save a person's own fit, in place of the one before.

    Args:
        home: Folder for everything that Triptych keeps.
        committee: Name of the committee.
        members: Names of its members, in order.
        params: What was fitted.

    Returns:
        The file.

    Raises:
        errors.FitError: It cannot be written; the one before is still there.
    """
    path = home / "fits" / _name(committee, members)
    write(path, committee, members, params)
    return path


def write(path: Path, committee: str, members: Sequence[str], params: EnsembleParams) -> None:
    """Write what `find` reads to any file, atomically; otherwise as `save`."""
    about = {
        "schema": SCHEMA,
        "committee": committee,
        "members": list(members),
        "doubt": _rounded(params.to_dict()),
    }
    text = json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
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
    is_whole = tuple(members) == zoo.COMMITTEES.get(committee)
    return f"{committee if is_whole else '+'.join(members)}.json"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, DIGITS) if isinstance(value, float) else value


class _FitRecord(validation.Record):
    schema = validation.Integer(required=True)
    committee = validation.Text(required=True)
    members = validation.Items(validation.Text(), required=True)
    doubt = validation.Object(ParamsRecord, required=True)

    @validation.post_load
    def _check(self, parts: dict[str, Any], **_: Any) -> tuple[list[str], EnsembleParams]:
        members, params = list(parts["members"]), parts["doubt"]
        if len(members) != len(params.weights):
            expected = f"one for each of {len(params.weights)} weights"
            raise validation.wrong(members, expected, "members")
        return members, params


def _read(path: Any) -> tuple[list[str], EnsembleParams]:
    hint = "Delete it, and fit anew with `triptych fit`."
    try:
        about = validation.parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise errors.FitError(f"{path} cannot be read: {error}. {hint}") from error
    if isinstance(about, dict) and about.get("schema", SCHEMA) != SCHEMA:
        raise errors.FitError(
            f"{path} has schema {about['schema']!r}, and this Triptych reads schema {SCHEMA}. "
            f"{hint}"
        )
    fitted: tuple[list[str], EnsembleParams] = validation.load(
        _FitRecord, about, f"{path}: fit", error=errors.FitError, hint=hint
    )
    return fitted
