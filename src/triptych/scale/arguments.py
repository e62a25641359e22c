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
# Settings that `Arguments` has as fields of its own, and those that a cluster does not support.
FIELDS = ("committee", "rule", "precision", "home", "threads", "streams", "max_batch")
UNSUPPORTED = ("device", "inbox", "port", "certificate", "certificate_key", "self_signed")
# Arguments that replicas are constructed with: when one changes, replicas are replaced.
OF_REPLICAS = (
    *("members", "weights", "rule", "precision", "home", "cores", "settings"),
    *("ingress_threads", "needs_key", "insecure"),
)


class Arguments(BaseModel):
    """How a committee is served on a cluster.

    Settings that are not given are read from the environment of each replica; the API key is only
    read from there.

    Example:
        >>> Arguments(committee="lite", cores=2).threads
        2
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    committee: str = Field(
        "auto", description="`lite`, `classic`, `auto`, a bundle by its name or name@version."
    )
    members: tuple[str, ...] | None = Field(
        None, description="Networks to use instead of the committee's own."
    )
    weights: Literal["imagenet", "random"] = Field(
        "imagenet", description="`random`: to measure speed; answers are meaningless."
    )
    rule: str | None = Field(
        None, description="The combination rule; by default the committee's own."
    )
    precision: str | None = Field(None, description="`f32`, `bf16`, `int8` or `auto`.")
    home: str | None = Field(None, description="The home folder, the same path on each node.")

    cores: PositiveFloat = Field(1.0, description="Processor cores of each member's replica.")
    min_replicas: PositiveInt = Field(1, description="Fewest replicas of each member.")
    max_replicas: PositiveInt = Field(1, description="Most replicas of each member.")
    ingress_cores: PositiveFloat = Field(1.0, description="Processor cores of each ingress.")
    ingress_min_replicas: PositiveInt = Field(1, description="Fewest replicas of the ingress.")
    ingress_max_replicas: PositiveInt = Field(1, description="Most replicas of the ingress.")
    target_ongoing_requests: PositiveFloat = Field(
        2.0, description="Photos in progress per replica above which Ray Serve adds replicas."
    )
    max_ongoing_requests: PositiveInt | None = Field(
        None,
        description="Photos that a member's replica accepts at once; by default its cores plus 1. "
        "With more, its network joins them in batches, where that is faster.",
    )
    max_queued_requests: PositiveInt = Field(
        256, description="Photos that may wait for a member at each ingress."
    )
    ingress_threads: PositiveInt = Field(
        32, description="Worker threads of each ingress, for decoding photos and calling members."
    )
    graceful_shutdown_timeout_s: PositiveFloat = Field(
        30.0, description="How long a stopping replica may finish its requests, in seconds."
    )
    health_check_period_s: PositiveFloat = Field(
        10.0, description="Interval of health checks, in seconds."
    )
    needs_key: bool = Field(
        False, description="Refuse to start an ingress without TRIPTYCH_API_KEY in its environment."
    )
    insecure: bool = Field(False, description="Let other machines send requests without a key.")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="Other settings, by their names in docs/settings.md."
    )

    @field_validator("settings")
    @classmethod
    def _are_known(cls, values: dict[str, Any]) -> dict[str, Any]:
        allowed = {name for name, row in ROWS.items() if not row.secret} - {*FIELDS, *UNSUPPORTED}
        if unknown := set(values) - allowed:
            raise ValueError(
                f"Unknown settings: {', '.join(sorted(unknown))}; expected some of: "
                f"{', '.join(sorted(allowed))}."
            )
        return {name: _read(name, value) for name, value in values.items()}

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        for least, most in (
            (self.min_replicas, self.max_replicas),
            (self.ingress_min_replicas, self.ingress_max_replicas),
        ):
            if least > most:
                raise ValueError(
                    f"The fewest replicas, {least}, are more than the most, {most}. Lower the "
                    "first or raise the second."
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
    def ongoing_limit(self) -> int:
        """Photos that a member's replica accepts at once: one waits, so that no core is idle."""
        return self.max_ongoing_requests or self.threads + 1

    def least_cores(self, members: int) -> float:
        """Cores that the fewest replicas of this many members take."""
        return (
            members * self.min_replicas * self.cores
            + self.ingress_min_replicas * self.ingress_cores
        )

    def settings_in_force(self) -> Settings:
        """The settings in force in this process.

        Raises:
            errors.SettingError: One has an impossible value, or asks for https.
        """
        named = {name: getattr(self, name) for name in ("committee", "rule", "precision", "home")}
        # No inbox: photos would be kept on whichever node answered. Ray shows a replica no GPU.
        fixed = {"inbox": "off", "device": "cpu"}
        in_force = table.load(os.environ, **named, **self.settings, **fixed)
        # Only the environment can say so; nobody is to believe that keys are sent encrypted.
        if in_force.certificate or in_force.self_signed == "on":
            name = "SELF_SIGNED" if in_force.self_signed == "on" else "CERTIFICATE"
            raise errors.SettingError(
                f"TRIPTYCH_{name} is set, and Ray Serve answers by http only. Unset it, and put a "
                "reverse proxy with the certificate in front of the nodes (docs/serving.md)."
            )
        return in_force

    @property
    def of_replicas(self) -> Arguments:
        """The part that replicas are constructed with; the rest can change while they run."""
        return Arguments(**{name: getattr(self, name) for name in OF_REPLICAS})

    def digest(self, *names: str) -> str:
        """A hash that changes when replicas have to be replaced.

        Args:
            *names: Names of the members.
        """
        text = "\n".join((triptych.__version__, self.of_replicas.model_dump_json(), *names))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read(**values: Any) -> Arguments:
    """Check arguments that a person gave.

    Raises:
        errors.SettingError: One has an impossible value.

    Example:
        >>> read(cores=2).cores
        2.0
    """
    try:
        return Arguments(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise errors.SettingError(f"{where}: {message}" if where else message) from None


def _read(name: str, value: Any) -> Any:
    try:
        return ROWS[name].read(str(value))
    except errors.SettingError as error:
        raise ValueError(error.message) from None
