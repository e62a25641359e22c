"""How a committee is served on a cluster: the ``args`` of Ray Serve's configuration."""

from __future__ import annotations

import hashlib
import os
from typing import Any
from typing import Literal

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field
from pydantic import PositiveFloat
from pydantic import PositiveInt
from pydantic import ValidationError
from pydantic import field_validator
from pydantic import model_validator
from typing_extensions import Self

import triptych
from triptych import errors
from triptych import settings as table
from triptych.settings import Settings

ROWS = {row.name: row for row in table.SETTINGS}
# What is said by fields of its own, and what a cluster cannot have.
OWN = ("committee", "rule", "precision", "home", "threads", "streams", "max_batch")
NOT_HERE = ("inbox", "port")
# What replicas are made with.
FIXED = (
    *("members", "weights", "rule", "precision", "home", "cores", "settings"),
    *("ingress_threads", "needs_key", "insecure"),
)


class Arguments(BaseModel):
    """How a committee is served on a cluster.

    Settings that are not given come from the environment of each replica, and else are the
    defaults; the key of the API comes from there only.

    Example:
        >>> Arguments(committee="lite", cores=2).threads
        2
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    committee: str = Field(
        "auto", description="`lite`, `classic`, `auto`, a bundle by its name or name@version."
    )
    members: tuple[str, ...] | None = Field(
        None, description="Networks to seat instead of the committee's own."
    )
    weights: Literal["imagenet", "random"] = Field(
        "imagenet", description="`random`: to measure speed; answers are meaningless."
    )
    rule: str | None = Field(None, description="How answers are joined; the committee's own way.")
    precision: str | None = Field(None, description="`f32`, `bf16`, `int8` or `auto`.")
    home: str | None = Field(None, description="Folder on each node for all that is kept.")

    cores: PositiveFloat = Field(1.0, description="Processor cores of each member's replica.")
    min_replicas: PositiveInt = Field(1, description="Fewest replicas of each member.")
    max_replicas: PositiveInt = Field(1, description="Most replicas of each member.")
    ingress_cores: PositiveFloat = Field(1.0, description="Processor cores of each ingress.")
    ingress_min_replicas: PositiveInt = Field(1, description="Fewest replicas of the ingress.")
    ingress_max_replicas: PositiveInt = Field(1, description="Most replicas of the ingress.")
    target_ongoing_requests: PositiveFloat = Field(
        2.0, description="Photos under way at a replica, above which there shall be more of them."
    )
    max_ongoing_requests: PositiveInt | None = Field(
        None,
        description="Photos that a member's replica takes at once; one more than it has cores.",
    )
    max_queued_requests: PositiveInt = Field(
        256, description="Most photos that wait for a member at each ingress."
    )
    ingress_threads: PositiveInt = Field(
        32, description="Photos and networks that each ingress works on beside each other."
    )
    graceful_shutdown_timeout_s: PositiveFloat = Field(
        30.0, description="Longest that a replica may still answer when it is to stop."
    )
    health_check_period_s: PositiveFloat = Field(
        10.0, description="How often each replica is asked whether it is well."
    )
    needs_key: bool = Field(
        False, description="An ingress without TRIPTYCH_API_KEY in its environment does not start."
    )
    insecure: bool = Field(False, description="Other machines may ask even without a key.")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="Further settings, by their names in docs/settings.md."
    )

    @field_validator("settings")
    @classmethod
    def _are_known(cls, given: dict[str, Any]) -> dict[str, Any]:
        known = {name for name, row in ROWS.items() if not row.secret} - {*OWN, *NOT_HERE}
        if unknown := set(given) - known:
            raise ValueError(
                f"settings names {', '.join(sorted(unknown))}; expected only: "
                f"{', '.join(sorted(known))}."
            )
        return {name: _read(name, value) for name, value in given.items()}

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        for least, most in (
            (self.min_replicas, self.max_replicas),
            (self.ingress_min_replicas, self.ingress_max_replicas),
        ):
            if least > most:
                raise ValueError(
                    f"Got at least {least} replicas and at most {most}; expected a range."
                )
        for name in ("rule", "precision"):
            if (value := getattr(self, name)) is not None:
                _read(name, value)
        return self

    @property
    def threads(self) -> int:
        """Processor threads of each member's replica."""
        return max(1, round(self.cores))

    @property
    def taken_at_once(self) -> int:
        """Photos that a member's replica takes at once; the last waits, so that no core does."""
        return self.max_ongoing_requests or self.threads + 1

    def wanted_cores(self, members: int) -> float:
        """How many cores all replicas of so many members take at least."""
        return (
            members * self.min_replicas * self.cores
            + self.ingress_min_replicas * self.ingress_cores
        )

    def chosen(self) -> Settings:
        """The settings in force in this process.

        Raises:
            errors.SettingError: One has an impossible value.
        """
        given = {name: getattr(self, name) for name in ("committee", "rule", "precision", "home")}
        # There is no inbox: photos would be kept on one node or another.
        return table.load(os.environ, **given, **self.settings, inbox="off")

    @property
    def fixed(self) -> Arguments:
        """What replicas are made with: the rest changes while they run."""
        return Arguments(**{name: getattr(self, name) for name in FIXED})

    def digest(self, *names: str) -> str:
        """What stays the same as long as replicas need not be replaced.

        Args:
            *names: Of the members.
        """
        text = "\n".join((triptych.__version__, self.fixed.model_dump_json(), *names))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read(**given: Any) -> Arguments:
    """Arguments that a person gave.

    Raises:
        errors.SettingError: One has an impossible value.

    Example:
        >>> read(cores=2).cores
        2.0
    """
    try:
        return Arguments(**given)
    except ValidationError as error:
        told = error.errors()[0]
        where = ".".join(map(str, told["loc"]))
        message = told["msg"].removeprefix("Value error, ")
        raise errors.SettingError(f"{where}: {message}" if where else message) from None


def _read(name: str, value: Any) -> Any:
    try:
        return ROWS[name].read(str(value))
    except errors.SettingError as error:
        raise ValueError(error.message) from None
