"""Bundles: a trained committee on disk, complete; nothing else is needed to serve it.

    <home>/bundles/<name>/<version>/
        bundle.json            what it is, with the hash of every file below
        labels.txt             one class a line, in the order of the outputs
        learned.txt            SHA-256 of each photo it learned, so that none is taken to judge it
        README.md              model card
        metrics.json           figures of the evaluation, report.html with pictures
        members/<member>/
            model.keras        the whole Keras model: backbone and head
            taught.npz         what the photos it was taught on look like to it
            network.xml, .bin  the same for the engine, so that serving needs no Keras
            int8-1/            the same at int8, after ``triptych optimize``; see `engine.int8`

The highest version is served. A version is written in a hidden folder and appears by a rename:
whole or not at all. Nothing in it is a pickle.
"""

from __future__ import annotations

import contextlib
import json
import lzma
import re
import shutil
import stat
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import doubt
from triptych import errors
from triptych import hashing
from triptych import novelty
from triptych import zoo
from triptych.committee import INT8
from triptych.committee import Build
from triptych.committee import Committee
from triptych.committee import Member
from triptych.committee import engine
from triptych.doubt import Doubt
from triptych.engine import convert
from triptych.engine import int8
from triptych.recipe import Recipe
from triptych.results import Label

SCHEMA = 2
ABOUT = "bundle.json"
METRICS = "metrics.json"
TAUGHT = "taught.npz"
LEARNED = "learned.txt"
KEYS = ("name", "labels", "members", "rule", "doubt", "files")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RESERVED_COMMITTEES = ("auto", *zoo.COMMITTEES)
RESERVED = (*RESERVED_COMMITTEES, "custom")
# What one file may unpack to: more than the largest backbone, less than a disk.
MAX_FILE_BYTES = 4 << 30
# What damaged or hostile archives make Python's reader raise.
ZIP_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
SCRATCH_LIFE_S = 24 * 3600


@dataclass(frozen=True)
class Bundle:
    """One version of a bundle, checked.

    Args:
        folder: Where it lies.
        about: What its ``bundle.json`` says.
    """

    folder: Path
    about: dict[str, Any]

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.about["name"])

    @property
    def version(self) -> int:
        """Counts from 1."""
        return int(self.folder.name)

    @property
    def labels(self) -> tuple[Label, ...]:
        """Its classes, in the order of the outputs."""
        return tuple(Label(row["name"], row["id"], n) for n, row in enumerate(self.about["labels"]))

    @property
    def metrics(self) -> dict[str, Any]:
        """Figures of its evaluation; empty where there was none.

        Raises:
            errors.BundleError: They are damaged.
        """
        return _object(self.folder / METRICS) if (self.folder / METRICS).exists() else {}

    @property
    def learned(self) -> frozenset[str]:
        """SHA-256 of the photos it learned; empty where they are not known."""
        path = self.folder / LEARNED
        return frozenset(path.read_text(encoding="utf-8").split() if path.exists() else ())

    @property
    def doubt(self) -> Doubt:
        """What was fitted for it."""
        if self.about["doubt"]:
            return Doubt.from_dict(self.about["doubt"])
        costs = [float(row["cost"]) for row in self.about["members"]]
        return doubt.unfitted([1.0] * len(costs), costs)

    @property
    def facts(self) -> dict[str, Any]:
        """What a list of bundles says of it, as a JSON object.

        Raises:
            errors.BundleError: Its metrics are damaged.
        """
        return {
            "name": self.name,
            "version": self.version,
            "classes": [label.name for label in self.labels],
            "members": [member["name"] for member in self.about["members"]],
            "top1": self.metrics.get("committee", {}).get("top1"),
            "created": self.about.get("created", ""),
        }

    def committee(self, build: Build) -> Committee:
        """Seat its members, ready to answer.

        Args:
            build: Precision, threads and cache.

        Raises:
            errors.BundleError: A file of it is damaged.
            errors.SettingError: Precision int8 is asked for and was not made.
        """
        check_files(self.folder, self.about, suffixes=(".xml", ".bin", ".npz"))
        networks = self._int8() if build.precision == INT8 else self.networks
        rows = zip(self.about["members"], networks, strict=True)
        return Committee(
            name=self.name,
            members=tuple(self._seat(row, network, build) for row, network in rows),
            labels=self.labels,
            doubt=self.doubt,
            rule=self.about["rule"],
        )

    @property
    def networks(self) -> list[Path]:
        """The f32 network of each member, in order."""
        folder = self.folder / "members"
        return [folder / row["name"] / convert.NETWORK for row in self.about["members"]]

    def _int8(self) -> list[Path]:
        made = [int8.beside(network) for network in self.networks]
        # As all that is read: only what has a hash.
        wanted = [file for path in made for file in (path, path.with_suffix(".bin"))]
        if not {self.folder / name for name in self.about["files"]}.issuperset(wanted):
            raise int8.missing(self.name, f"triptych optimize {self.name} --images photos/")
        return made

    def _seat(self, row: dict[str, Any], network: Path, build: Build) -> Member:
        recipe = Recipe.from_dict(row["recipe"])
        # Read only what has a hash; an imported or tuned member has none.
        listed = f"members/{row['name']}/{TAUGHT}"
        taught = (
            novelty.Taught.read(self.folder / listed) if listed in self.about["files"] else None
        )
        return Member(row["name"], engine(network, build), recipe, float(row["cost"]), taught)


def check_name(name: str) -> None:
    """Refuse a name that cannot be a folder everywhere, or that means something else.

    Raises:
        errors.SettingError: The name cannot be used.
    """
    if not NAME.fullmatch(name) or name in RESERVED:
        raise errors.SettingError(
            f"A bundle cannot be called {name!r}; expected up to 64 letters, digits, dots, dashes "
            f"and underscores, beginning with a letter or digit, and not {', '.join(RESERVED)}."
        )


def write(home: Path, name: str, fill: Callable[[Path], dict[str, Any]]) -> Bundle:
    """Write the next version of a bundle, whole or not at all.

    Args:
        home: Folder for everything that is kept.
        name: Of the bundle.
        fill: Called with an empty folder; puts the files there and gives what ``bundle.json``
            should say of them.

    Raises:
        errors.SettingError: The name cannot be used.
    """
    check_name(name)
    shelf = home / "bundles" / name
    shelf.mkdir(parents=True, exist_ok=True)
    _sweep(shelf)
    try:
        with tempfile.TemporaryDirectory(dir=shelf, prefix=".writing-") as scratch:
            folder = Path(scratch) / "bundle"
            folder.mkdir()
            about = {"schema": SCHEMA, "name": name, **fill(folder)}
            about["files"] = {
                path.relative_to(folder).as_posix(): hashing.digest(path) for path in _files(folder)
            }
            text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
            (folder / ABOUT).write_text(text, encoding="utf-8")
            return read(_place(folder, shelf))
    finally:
        with contextlib.suppress(OSError):  # it is not empty, unless all failed
            shelf.rmdir()


def _sweep(shelf: Path) -> None:
    # What a killed process left; a living one is done within a day.
    for scratch in shelf.glob(".writing-*"):
        with contextlib.suppress(FileNotFoundError):  # its writer may be done just now
            if time.time() - scratch.stat().st_mtime > SCRATCH_LIFE_S:
                shutil.rmtree(scratch, ignore_errors=True)


def _place(folder: Path, shelf: Path) -> Path:
    # Another process may take a number first; then the next is free.
    for version in range(max(_versions(shelf), default=0) + 1, 1 << 31):
        target = shelf / str(version)
        if not target.exists():
            try:
                return folder.rename(target)
            except OSError:
                continue
    raise errors.BundleError(f"{shelf} has no free version number left.")


def read(folder: Path) -> Bundle:
    """Open a version of a bundle.

    Raises:
        errors.BundleError: It is no bundle, of an unknown form, or incomplete.
    """
    about = _object(folder / ABOUT)
    if about.get("schema") != SCHEMA:
        raise errors.BundleError(
            f"{folder} is a bundle of schema {about.get('schema')!r}; this Triptych reads schema "
            f"{SCHEMA}. Use the Triptych that wrote it, or a newer one."
        )
    lacking = [key for key in KEYS if key not in about]
    if lacking:
        raise errors.BundleError(f"{folder / ABOUT} lacks {', '.join(lacking)}; it is damaged.")
    if not _is_sound(about):
        raise errors.BundleError(
            f"{folder / ABOUT} does not describe labels, members and files as Triptych writes "
            "them; it is damaged."
        )
    gone = [name for name in about["files"] if not (folder / name).is_file()]
    if gone:
        raise errors.BundleError(f"{folder} is incomplete: {', '.join(sorted(gone))} missing.")
    return Bundle(folder, about)


def _is_sound(about: dict[str, Any]) -> bool:
    # It may come from anybody: names must not lead out of the folder, networks must have a hash.
    try:
        networks = [f"members/{row['name']}/{convert.NETWORK}" for row in about["members"]]
        return (
            about["rule"] in doubt.RULES
            and _fits(about["doubt"], about["members"])
            and all(isinstance(row["name"] + row["id"], str) for row in about["labels"])
            and all(_is_inside(name) for name in [*about["files"], *networks])
            and {*networks, *(f"{name[:-4]}.bin" for name in networks)} <= set(about["files"])
            and all(_is_seat(row) for row in about["members"])
        )
    except (KeyError, TypeError, ValueError, AttributeError, errors.SettingError):
        return False


def _is_seat(row: dict[str, Any]) -> bool:
    Recipe.from_dict(row["recipe"])
    return float(row["cost"]) > 0


def _fits(fitted: object, members: list[Any]) -> bool:
    return fitted is None or len(Doubt.from_dict(fitted).weights) == len(members)


def _is_inside(name: str) -> bool:
    return not Path(name).is_absolute() and ".." not in Path(name).parts and "\\" not in name


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise errors.BundleError(f"{path.parent} is no bundle: it has no {path.name}.") from None
    except (OSError, ValueError) as error:
        raise errors.BundleError(f"{path} cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise errors.BundleError(f"{path} holds no object; it is damaged.")
    return found


def check_files(folder: Path, about: dict[str, Any], *, suffixes: tuple[str, ...] = ("",)) -> None:
    """Compare files with the hashes that ``bundle.json`` has of them.

    Raises:
        errors.BundleError: One differs; the message names it.
    """
    for name, digest in about["files"].items():
        if name.endswith(suffixes) and hashing.digest(folder / name) != digest:
            raise errors.BundleError(
                f"{folder / name} is not the file that was written: its hash differs. "
                "Import the bundle again, or train it anew."
            )


def find(home: Path, name: str) -> Bundle:
    """A bundle by name.

    Args:
        home: Folder for everything that is kept.
        name: Of the bundle; with a version, as ``garden@2``, else the highest is meant.

    Raises:
        errors.UnknownName: There is none.
        errors.BundleError: It is damaged.
    """
    bare, _, version = name.partition("@")
    kept = versions(home, bare)
    if not kept or version not in ("", *map(str, kept)):
        known = ", ".join([*RESERVED_COMMITTEES, *(bundle.name for bundle in listed(home))])
        raise errors.UnknownName(
            f"There is no committee {name!r}; expected one of: {known}. "
            "`triptych train` makes a new one."
        )
    return read(home / "bundles" / bare / (version or str(kept[-1])))


def versions(home: Path, name: str) -> list[int]:
    """The versions of a bundle that there are, the highest last; none if there is no such bundle.

    Args:
        home: Folder for everything that is kept.
        name: Of the bundle.
    """
    return _versions(home / "bundles" / name) if NAME.fullmatch(name) else []


def listed(home: Path) -> list[Bundle]:
    """The bundles there are, each in its highest version, by name; damaged ones are left out."""
    return list(_listed(home))


def _listed(home: Path) -> Iterator[Bundle]:
    shelves = sorted((home / "bundles").iterdir()) if (home / "bundles").is_dir() else []
    for shelf in shelves:
        versions = _versions(shelf)
        if versions:
            try:
                yield read(shelf / str(max(versions)))
            except errors.BundleError:
                continue


def _versions(shelf: Path) -> list[int]:
    names = [path.name for path in shelf.iterdir()] if shelf.is_dir() else []
    return sorted(int(name) for name in names if name.isdecimal() and name.isascii())


def refit(bundle: Bundle, home: Path, fitted: Doubt) -> Bundle:
    """Write the next version of a bundle, the same but for what was fitted.

    Args:
        bundle: Whose members and pages are taken over.
        home: Folder for everything that is kept.
        fitted: Takes the place of what it had.

    Raises:
        errors.BundleError: A file of it is damaged.
    """
    check_files(bundle.folder, bundle.about)
    return _copy(bundle, home, bundle.name, doubt=fitted.to_dict(), rule=doubt.FITTED_RULE)


def equip(bundle: Bundle, home: Path, made: Sequence[Path], told: Mapping[str, Any]) -> Bundle:
    """Write the next version of a bundle, the same with an int8 network for each member.

    Args:
        bundle: Whose members and pages are taken over.
        home: Folder for everything that is kept.
        made: The int8 networks, one per member.
        told: See `triptych.engine.int8.put`.

    Raises:
        errors.BundleError: A file of it is damaged.
    """
    check_files(bundle.folder, bundle.about)

    def add(target: Path) -> None:
        for row, path in zip(bundle.about["members"], made, strict=True):
            int8.put(path, target / "members" / row["name"], told)

    return _copy(bundle, home, bundle.name, add=add)


def _copy(
    bundle: Bundle,
    home: Path,
    name: str,
    *,
    add: Callable[[Path], None] = lambda target: None,
    **changes: Any,
) -> Bundle:
    def fill(target: Path) -> dict[str, Any]:
        for file in bundle.about["files"]:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.folder / file, target / file)
        add(target)
        return {key: value for key, value in {**bundle.about, **changes}.items() if key != "name"}

    return write(home, name, fill)


def remove(home: Path, name: str) -> None:
    """Remove all versions of a bundle.

    Raises:
        errors.UnknownName: There is none.
    """
    shelf = home / "bundles" / name
    if not NAME.fullmatch(name) or not shelf.is_dir():
        find(home, name)
    with tempfile.TemporaryDirectory(dir=home / "bundles", prefix=".removing-") as scratch:
        # First out of sight in one step, so that nobody meets half of it.
        shelf.rename(Path(scratch) / name)


def pack(bundle: Bundle, target: Path) -> None:
    """Write a bundle as one zip file, whole or not at all.

    Raises:
        errors.BundleError: A file of it is damaged, or the zip file cannot be written.
    """
    check_files(bundle.folder, bundle.about)
    scratch = target.with_name(target.name + ".part")
    try:
        with zipfile.ZipFile(scratch, "w", zipfile.ZIP_STORED) as archive:
            for path in _files(bundle.folder):
                archive.write(path, path.relative_to(bundle.folder).as_posix())
        scratch.replace(target)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise errors.BundleError(
            f"{target} cannot be written: {error.strerror}. Name a file in a folder that exists."
        ) from error


def unpack(home: Path, source: Path, *, name: str | None = None) -> Bundle:
    """Take in a bundle from the zip file that `pack` wrote, as a new version.

    Args:
        home: Folder for everything that is kept.
        source: The file; not trusted.
        name: Instead of its own name.

    Raises:
        errors.BundleError: It is no bundle, or damaged; nothing was kept.
    """
    with tempfile.TemporaryDirectory(prefix="triptych-") as scratch:
        folder = Path(scratch)
        _extract(source, folder)
        bundle = read(folder)
        check_files(folder, bundle.about)
        return _copy(bundle, home, name or bundle.name)


def _extract(source: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            for member in archive.infolist():
                _check_member(source, member)
            archive.extractall(folder)
    except ZIP_ERRORS as error:
        raise errors.BundleError(
            f"{source} cannot be read as a bundle: {error}. Expected the file that "
            "`triptych bundles export` writes."
        ) from error


def _check_member(source: Path, member: zipfile.ZipInfo) -> None:
    if not _is_inside(member.filename):
        raise errors.BundleError(f"{source} is refused: it writes to {member.filename!r}.")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise errors.BundleError(f"{source} is refused: {member.filename!r} is a link.")
    if member.file_size > MAX_FILE_BYTES:
        raise errors.BundleError(f"{source} is refused: {member.filename!r} is too large.")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
