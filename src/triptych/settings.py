"""One table of settings; environment, command line and documentation are derived from it.

Only the edges (`cli`, `web`, `scale` and `triptych.load`) read settings. The core takes plain
arguments, so two classifiers set up differently can live in one process.

Precedence: command line, then ``TRIPTYCH_<NAME>`` in the environment, then the default.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import platformdirs

from triptych import errors
from triptych import images
from triptych.ensemble.rules import RULES


@dataclass(frozen=True)
class Setting:
    """One row of the table.

    Args:
        name: Lower case, with its unit as the last word where it has one.
        parse: Turns the text of an environment variable into the value.
        default: The value when nothing is set.
        help: One sentence for people.
        choices: The allowed values, where there are few.
        minimum: The smallest allowed number, where there is one.
        secret: Given in the environment only, where no list of processes shows it.
        alias: Its option on the command line, where that is not its name.
    """

    name: str
    parse: Callable[[str], Any]
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    secret: bool = False
    alias: str = ""

    @property
    def option(self) -> str:
        """Its option on the command line."""
        return f"--{(self.alias or self.name).replace('_', '-')}"

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return f"TRIPTYCH_{self.name.upper()}"

    @property
    def default_text(self) -> str:
        """The default as people read it."""
        return str(self.default) or "none"

    def read(self, text: str) -> Any:
        """The value in a text, checked.

        Raises:
            errors.SettingError: The text is not a value this setting can have.
        """
        try:
            value = self.parse(text)
        except ValueError:
            raise errors.SettingError(
                f"{self.variable} is {text!r}; expected a value of type {self.parse.__name__}, "
                f"such as {self.default!r}."
            ) from None
        if self.choices and value not in self.choices:
            raise errors.SettingError(
                f"{self.variable} is {text!r}; expected one of: {', '.join(self.choices)}."
            )
        if self.minimum is not None and value < self.minimum:
            raise errors.SettingError(
                f"{self.variable} is {text!r}; expected {self.minimum} or more."
            )
        return value


def _default_home() -> Path:
    try:
        return Path(platformdirs.user_data_dir("triptych", appauthor=False))
    except RuntimeError:  # this user has no home folder, as in a container
        return Path("~/triptych")


PRECISIONS = ("auto", "f32", "bf16", "int8")

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "home",
        Path,
        _default_home(),
        "Folder for everything that is kept: converted weights, compiled engines, bundles.",
    ),
    Setting("host", str, "127.0.0.1", "Address the studio listens on."),
    Setting("port", int, 5000, "Port the studio listens on; 0 takes any free one.", minimum=0),
    Setting(
        "api_key",
        str.strip,
        "",
        "API key that clients must send; required to listen where other machines can connect.",
        secret=True,
    ),
    Setting(
        "sso_issuer",
        str,
        "",
        "Issuer of an OpenID Connect provider with which people sign in, such as "
        "`https://id.example.org/realms/garden`.",
    ),
    Setting("sso_client_id", str, "", "The client that the provider knows the studio as."),
    Setting(
        "sso_client_secret",
        str.strip,
        "",
        "Secret of that client.",
        secret=True,
    ),
    Setting("sso_client_secret_file", str, "", "A file with the secret of that client."),
    Setting(
        "sso_scopes",
        str,
        "openid profile email",
        "What the provider is asked to say of a person.",
    ),
    Setting(
        "sso_name_claim",
        str,
        "name",
        "What of that is the name in the log and the history; best one that people cannot change.",
    ),
    Setting(
        "sso_roles",
        str,
        "",
        "What of that gives which role, such as "
        "`own:groups=admins; teach:groups=botany; ask:email=@example.org`.",
    ),
    Setting(
        "sso_label",
        str,
        "",
        "What the sign-in page calls the provider; by default the host of its address.",
    ),
    Setting(
        "sso_session_hours",
        int,
        12,
        "Hours after which people who came from the provider sign in once more.",
        minimum=1,
    ),
    Setting(
        "allowed_hosts",
        str,
        "",
        "Further host names of the studio, separated by commas; without a key: `localhost` only.",
    ),
    Setting(
        "certificate",
        str,
        "",
        "PEM file with a certificate: the studio speaks https.",
    ),
    Setting(
        "certificate_key",
        str,
        "",
        "PEM file with the certificate's private key, if that is another file.",
        alias="key",
    ),
    Setting(
        "self_signed",
        str,
        "off",
        "`on`: the studio speaks https with a certificate that it makes for this machine, for "
        "phones in the same network, whose cameras browsers lend to https only.",
        choices=("off", "on"),
    ),
    Setting(
        "proxies",
        int,
        0,
        "Reverse proxies in front of the studio, whose X-Forwarded headers are trusted.",
        minimum=0,
    ),
    Setting(
        "path_prefix",
        str,
        "",
        "Path under which a reverse proxy serves the studio, such as `/triptych`.",
    ),
    Setting(
        "cors_origins",
        str,
        "",
        "Origins whose pages may use the API in browsers, such as `https://app.example`, "
        "separated by commas.",
    ),
    Setting(
        "log_format",
        str,
        "auto",
        "A line for each request on stderr; `auto`: text on a terminal, JSON elsewhere.",
        choices=("auto", "json", "text", "off"),
    ),
    Setting(
        "committee",
        str,
        "auto",
        "Committee: `lite`, `classic`, `auto` (classic if all its weights are here), or a bundle "
        "by its name or by the URL of its file.",
    ),
    Setting(
        "weights_source",
        str,
        "",
        "A mirror, `https://...`, or a folder with the official weights under their names, from "
        "which the studio fetches; by default their official addresses.",
    ),
    Setting(
        "rule",
        str,
        "auto",
        "Rule that combines the members' answers; `auto` is the committee's default.",
        choices=("auto", *RULES),
    ),
    Setting(
        "coverage",
        float,
        0.9,
        "How often prediction sets are to contain the true class, such as 0.9.",
    ),
    Setting(
        "precision",
        str,
        "auto",
        "Number format of the networks; `auto` takes the fastest that is not quantized, measured "
        "once, and int8 needs `triptych optimize` first.",
        choices=PRECISIONS,
    ),
    Setting(
        "device",
        str,
        "auto",
        "What the networks run on: `cpu`, `gpu`, `npu`, one device such as `openvino:GPU.1` or "
        "`torch:cuda:0`, or `auto`: a graphics card if there is one, else the processor.",
    ),
    Setting(
        "threads",
        int,
        0,
        "Processor threads for the networks; 0 takes every core this process may use.",
        minimum=0,
    ),
    Setting(
        "streams",
        int,
        0,
        "Photos that are classified in parallel; 0 takes one for each core.",
        minimum=0,
    ),
    Setting(
        "workers",
        int,
        0,
        "Processes that classify for `serve` and `classify`, each on a core; 0 takes one for "
        "each core, 1 takes none. Committees of large networks stay in the first process.",
        minimum=0,
    ),
    Setting(
        "max_batch",
        int,
        0,
        "Most photos that a network runs as one batch when many requests come; 0 measures "
        "once, for each network, how many are fastest on this machine.",
        minimum=0,
    ),
    Setting(
        "max_waiting_images",
        int,
        64,
        "Most photos that may wait for an answer; beyond that, requests are refused.",
        minimum=1,
    ),
    Setting(
        "max_requests_per_minute",
        int,
        600,
        "Most requests of one client; 0: any number. Clients on this machine are not counted.",
        minimum=0,
    ),
    Setting(
        "max_client_connections",
        int,
        256,
        "Most connections of one client at once; with proxies, most of its requests at once.",
        minimum=1,
    ),
    Setting("deadline_s", float, 60.0, "Longest time that a request may take.", minimum=1),
    Setting(
        "max_loaded_bytes",
        int,
        2048 * images.MB,
        "Most weights of all committees in memory (where each byte of them takes two to "
        "three); beyond it the least recently used committees are unloaded.",
        minimum=1,
    ),
    Setting(
        "max_image_bytes",
        int,
        images.DEFAULT_LIMITS.max_bytes,
        "Largest image file that is accepted.",
        minimum=1,
    ),
    Setting(
        "max_image_pixels",
        int,
        images.DEFAULT_LIMITS.max_pixels,
        "Largest image that is decoded; a large JPEG is decoded at a reduced scale.",
        minimum=1,
    ),
    Setting(
        "max_unpacking_bytes",
        int,
        images.DEFAULT_LIMITS.max_unpacking_bytes,
        "Most memory for images that are decoded at the same time; further ones wait.",
        minimum=1,
    ),
    Setting(
        "max_request_bytes", int, 256 * images.MB, "Largest upload, all images together.", minimum=1
    ),
    Setting("max_request_images", int, 64, "Most images in one upload.", minimum=1),
    Setting(
        "shadow",
        str,
        "",
        "A version, such as `garden@3`, that also classifies photos sent to its bundle; only how "
        "often it answers otherwise than the published version is kept.",
    ),
    Setting(
        "shadow_share",
        float,
        0.1,
        "The share of requests whose photos the shadow gets, such as 0.1.",
        minimum=0,
    ),
    Setting(
        "inbox",
        str,
        "off",
        "`on`: whoever sends a photo may leave it for review if the committee is unsure of it.",
        choices=("off", "on"),
    ),
)


@dataclass(frozen=True)
class Settings:
    """The settings in force; one attribute per row of `SETTINGS`."""

    home: Path
    host: str
    port: int
    api_key: str = field(repr=False)
    sso_issuer: str
    sso_client_id: str
    sso_client_secret: str = field(repr=False)
    sso_client_secret_file: str
    sso_scopes: str
    sso_name_claim: str
    sso_roles: str
    sso_label: str
    sso_session_hours: int
    allowed_hosts: str
    certificate: str
    certificate_key: str
    self_signed: str
    proxies: int
    path_prefix: str
    cors_origins: str
    log_format: str
    committee: str
    weights_source: str
    rule: str
    coverage: float
    precision: str
    device: str
    threads: int
    streams: int
    workers: int
    max_batch: int
    max_waiting_images: int
    max_requests_per_minute: int
    max_client_connections: int
    deadline_s: float
    max_loaded_bytes: int
    max_image_bytes: int
    max_image_pixels: int
    max_unpacking_bytes: int
    max_request_bytes: int
    max_request_images: int
    shadow: str
    shadow_share: float
    inbox: str

    @property
    def image_limits(self) -> images.Limits:
        """How large an image may be."""
        return images.Limits(self.max_image_bytes, self.max_image_pixels, self.max_unpacking_bytes)


def load(environ: Mapping[str, str], **overrides: Any) -> Settings:
    """Read the settings from an environment.

    Args:
        environ: Usually ``os.environ``. Empty values count as not set.
        **overrides: Values that win over the environment; ``None`` means "not given".

    Raises:
        errors.SettingError: A value is impossible.

    Example:
        >>> load({"TRIPTYCH_PORT": "8080"}).port
        8080
    """
    values = {
        setting.name: setting.read(environ[setting.variable])
        if environ.get(setting.variable)
        else setting.default
        for setting in SETTINGS
    }
    values.update({name: value for name, value in overrides.items() if value is not None})
    values["home"] = _expanded(Path(values["home"]))
    return Settings(**values)


def _expanded(home: Path) -> Path:
    try:
        home = home.expanduser()
    except RuntimeError:
        raise errors.SettingError(
            f"This user has no home folder, so there is no {home}. Name a folder "
            "with --home or TRIPTYCH_HOME."
        ) from None
    if home.is_file():
        raise errors.SettingError(
            f"{str(home)!r} is a file, and everything is kept in a folder. Name one with --home or "
            "TRIPTYCH_HOME."
        )
    return home


def is_random(weights: str) -> bool:
    """Whether ``"imagenet"`` or ``"random"`` weights are asked for.

    Raises:
        errors.SettingError: Neither.
    """
    if weights not in ("imagenet", "random"):
        raise errors.SettingError(
            f"Got weights {weights!r}; expected 'imagenet', or 'random' to measure speed only."
        )
    return weights == "random"
