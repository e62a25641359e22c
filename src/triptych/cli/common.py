"""Shared by all commands: options from the settings table, errors, progress, notes, tables."""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import sys
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import TypeVar

import click

from triptych import errors
from triptych import settings
from triptych.utils import files
from triptych.utils import formatting
from triptych.utils.pace import TimeLeft

Command = TypeVar("Command", bound=Callable[..., Any])

TYPE_NAMES: Mapping[Callable[[str], Any], str] = {
    int: "integer",
    float: "number",
    str: "text",
    Path: "path",
}
_HALF_LETTERS = re.compile("[\ud800-\udfff]")
SWITCH = ("off", "on")
USAGE_ERRORS = (errors.SettingError, errors.UnknownName)


class CommandGroup(click.Group):
    """A command group that prints our errors as one line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors end with exit code 2 for wrong usage, else 1."""
        for stream in (sys.stdout, sys.stderr):
            # Characters that a terminal or a file cannot encode are escaped.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except errors.TriptychError as error:
            usage = isinstance(error, USAGE_ERRORS)
            raise (_WrongUsage if usage else click.ClickException)(error.message) from error
        except BrokenPipeError:
            # The reader (`| head`) has ended; without this Python would warn when it closes stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(1)
        except (OSError, sqlite3.Error) as error:
            disk = files.disk_error(error)
            if disk is None:
                raise
            raise click.ClickException(disk.message) from error


class _WrongUsage(click.ClickException):
    exit_code = 2


def from_table(*names: str) -> Callable[[Command], Command]:
    """Options for rows of the settings table; without them the environment counts."""
    rows = {row.name: row for row in settings.SETTINGS}

    def decorate(command: Command) -> Command:
        for row in (rows[name] for name in reversed(names)):
            text = f"{row.help} [env: {row.variable}; default: {row.default_text}]"
            command = click.option(
                row.option,
                row.name,
                type=click.Choice(row.choices) if row.choices else _Value(row),
                help=text.replace("`", ""),
                default=None,
                # A switch without a value is turned on, such as `--self-signed`.
                is_flag=False,
                flag_value="on" if row.choices == SWITCH else None,
            )(command)
        return command

    return decorate


class _Value(click.ParamType[Any]):
    def __init__(self, row: settings.Setting) -> None:
        self._row = row
        self.name = TYPE_NAMES[row.parse]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return self._row.read(value) if isinstance(value, str) else value


def split_names(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    """Callback of options that take ``a,b,c``."""
    return (
        None if value is None else tuple(name.strip() for name in value.split(",") if name.strip())
    )


format_option = click.option(
    "--format",
    type=click.Choice(["auto", "folders", "csv", "coco", "label-studio", "imagefolder"]),
    default="auto",
    help="What says which classes the photos have; auto recognises it.",
)
members_option = click.option(
    "--members",
    metavar="A,B,C",
    callback=split_names,
    help="Networks to use instead of the committee's own; see `triptych models`.",
)
weights_option = click.option(
    "--weights",
    type=click.Choice(["imagenet", "random"]),
    default="imagenet",
    help="random: to measure speed without real weights; answers are meaningless.",
)
fit_option = click.option(
    "--fit",
    type=click.Choice(["crop", "square"]),
    default=None,
    help="Centre crop, or squeeze the whole photo into a square. [default: each network's own]",
)


def ray_options(command: Command) -> Command:
    """Options ``--ray`` and ``--ray-address``, of which the second implies the first."""
    command = click.option(
        "--ray-address",
        metavar="HOST:PORT",
        help="Join this cluster. [default: --ray starts one on this machine]",
    )(command)
    return click.option(
        "--ray",
        is_flag=True,
        help="Use all nodes of a Ray cluster; needs triptych[ray].",
    )(command)


def note(line: str) -> None:
    """Print a line to stderr, which is separate from the command's output."""
    click.echo(line, err=True)


def print_json(value: Any, *, indent: int | None = None) -> None:
    """Print one JSON value; characters that the output cannot encode are escaped.

    Args:
        value: Any JSON value, without NaN and infinity.
        indent: Spaces by which to indent; by default it is one line.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    # File names may have bytes that are not text: strict readers refuse lone surrogates.
    text = _HALF_LETTERS.sub(lambda half: formatting.plain_text(half[0]), text)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text), allow_nan=False, indent=indent)
    click.echo(text)


def progress(total: int, label: str) -> Any:
    """A progress bar on stderr; hidden if that is no terminal."""
    return click.progressbar(
        length=total, label=label, file=sys.stderr, show_pos=True, hidden=not sys.stderr.isatty()
    )


class Stages:
    """Progress bars on a terminal, one for each stage of the work, with speed and time left."""

    def __init__(self) -> None:
        self._stage = ""
        self._bar: Any = None
        self._start = 0.0
        self._timed, self._time_left = "", TimeLeft()
        self._left_s: float | None = None

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def show(self, stage: str, done: int, total: int) -> None:
        """Show the progress of a stage; a new stage ends the previous one."""
        if stage != self._stage:
            self._close()
            self._stage, self._start = stage, time.perf_counter()
            if stage != self._timed:  # the same stage goes on after a printed line
                self._timed, self._time_left = stage, TimeLeft()
            if not total:
                return
            self._bar = click.progressbar(
                length=total,
                label=stage,
                file=sys.stderr,
                show_pos=True,
                show_eta=False,
                hidden=not sys.stderr.isatty(),
                item_show_func=self._pace,
            )
            self._bar.__enter__()
        if self._bar:
            self._left_s = self._time_left.update(done, total)
            self._bar.update(done - self._bar.pos, done)

    def _pace(self, done: int | None) -> str | None:
        spent = time.perf_counter() - self._start
        if not (done and spent):
            return None
        speed = f"{done / spent:.1f} per s"
        return f"{speed}, {formatting.about(self._left_s)} left" if self._left_s else speed

    def say(self, line: str) -> None:
        """Print a line between two stages."""
        self._close()
        note(line)

    def _close(self) -> None:
        if self._bar:
            self._bar.__exit__(None, None, None)
        self._bar, self._stage = None, ""


def home(options: Mapping[str, Any]) -> Path:
    """The home folder, from the options or the environment."""
    return settings.load(os.environ, **options).home


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text columns, percentages aligned right; the first row is the heading."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            f"{cell:{'>' if cell.endswith('%') else '<'}{width}}"
            for cell, width in zip(row, widths, strict=True)
        )
        for row in rows
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join(line.rstrip() for line in (lines[0], rule, *lines[1:]))


def sure_cells(share: float, accuracy: float | None, photos: int) -> tuple[str, str, str]:
    """Table cells: answers called sure, how many of them are right, and the 95 % interval of that.

    Args:
        share: Of the answers called sure, in [0, 1].
        accuracy: Share of right answers among these; ``None`` if there are none, or it is unknown.
        photos: How many were answered.
    """
    from triptych.evaluation import metrics

    count = round(share * photos)
    called = formatting.share_of(share, photos)
    if accuracy is None:
        return called, "", ""
    interval = metrics.wilson(round(accuracy * count), count)
    return called, formatting.share_of(accuracy, count), formatting.percent_range(*interval)


def skipped(failures: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines on the photos that were left out, with the reasons; none if there are none."""
    lines = [f"  {item['source']}: {item['error']['message']}" for item in failures]
    return [f"{len(lines)} skipped:", *lines] if lines else []
