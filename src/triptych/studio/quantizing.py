"""Int8 networks for bundles that people make in the studio, from photos that they have at hand.

Run as a module, this is the process that makes them.
"""

from __future__ import annotations

import contextlib
import csv
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import bundles
from triptych import data
from triptych import errors
from triptych import images
from triptych.data import archive
from triptych.data import known
from triptych.data.layout import SEPARATOR
from triptych.engines.conversion import quantize as conversion
from triptych.engines.options import EngineOptions
from triptych.results import Label
from triptych.studio.bundle_jobs import BundleJob
from triptych.studio.bundle_jobs import BundleJobs
from triptych.studio.bundle_jobs import Run
from triptych.studio.bundle_jobs import work_for_parent
from triptych.studio.projects import Projects
from triptych.studio.projects.transfer import TABLE
from triptych.tuning import quantize
from triptych.tuning.quantize import QuantizeConfig
from triptych.tuning.quantize import QuantizeResult
from triptych.typing import Notify
from triptych.utils import concurrency
from triptych.utils.formatting import percent
from triptych.utils.text import text

# Photos go to folders named by class; those without a class to a folder that no class is called.
UNLABELLED = "photos without a class"
# Of a multi-label committee, those of a zip go here, and a list says which classes they have.
ZIPPED = "zip"


@dataclass(frozen=True)
class QuantizingJob(BundleJob):
    """Making int8 networks for a version."""


class Quantizing:
    """The int8 networks that are made in a studio.

    Args:
        home: Home folder.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._jobs: BundleJobs[QuantizingJob] = BundleJobs(home)

    def start(
        self, bundle: str, version: int, photos: Path | None, *, project: str | None = None
    ) -> QuantizingJob:
        """Start to make int8 networks for a version.

        Args:
            bundle: Name of the bundle.
            version: Its version.
            photos: A zip of photos like those to be classified; best with a folder per class. It
                is removed when the job has ended.
            project: A project whose photos are used, too.

        Raises:
            errors.UnknownName: There is no such version or project.
            errors.SettingError: NNCF is not installed, or there are no photos.
            errors.Busy: This is under way already.
        """
        conversion.check_installed()
        name = bundles.find(self._home, f"{bundle}@{version}").name
        if photos is None and project is None:
            raise errors.SettingError(
                text("Int8 networks are made with photos. Choose a zip of some, and try again.")
            )

        def work(run: Run[QuantizingJob]) -> str:
            try:
                task = {
                    "home": str(self._home),
                    "name": f"{name}@{version}",
                    "photos": str(photos) if photos else None,
                    "project": project,
                }
                return str(run.in_child(__name__, task))
            finally:
                if photos:
                    photos.unlink(missing_ok=True)

        return self._jobs.start(QuantizingJob(name, version), work)

    def stop(self, bundle: str) -> None:
        """Stop what is under way for a bundle; nothing of it is kept."""
        self._jobs.stop(bundle)

    def latest(self, bundle: str) -> QuantizingJob | None:
        """The latest job of a bundle since the studio was started, as it is now."""
        return self._jobs.latest(bundle)

    def close(self) -> None:
        """Stop what is under way, and wait for its end."""
        self._jobs.close()


def _quantize(task: dict[str, Any], report: Notify) -> str:
    """Make int8 networks, compare them with f32, and keep them in a new version if they agree."""
    home = Path(task["home"])
    bundle = bundles.find(home, task["name"])
    with tempfile.TemporaryDirectory(prefix="triptych-int8-") as scratch:
        report(text("Unpacking the photos ..."))
        photos = Path(scratch)
        if not (bundle.multilabel and _collect_sets(task, photos, bundle.labels)):
            _collect(task, photos, bundle.labels)
        options = EngineOptions(home, streams=concurrency.cpu_count(), report=report)
        config = QuantizeConfig(
            progress=lambda stage, done, total: report(f"{stage}: {done} of {total}")
        )
        try:
            done = quantize.optimize(task["name"], photos, options, config)
        except errors.SourceError as error:  # a folder of the studio tells a client nothing
            message = error.message.replace(str(photos), text("What you chose"))
            raise errors.SourceError(message) from None
    return _outcome(done)


def _outcome(done: QuantizeResult) -> str:
    """What was measured, for people.

    Raises:
        errors.TooLossy: Nothing was kept.
    """
    rule = done.report["rules"][0]
    measured = {
        "loss": percent(rule["loss"], 2),
        "agreement": percent(rule["agreement"]),
        "most": percent(done.report["max_loss"], 2),
        "report": done.report["photos"],
    }
    by_f1 = done.report["judged_by"] == "f1"
    if done.broken:
        raise errors.TooLossy(
            text(
                "At int8 the precision that is promised of {classes} is not kept: on {report} "
                "photos too few answers are right to be chance. Nothing was kept. Try with more "
                "photos, or with other ones.",
                classes=", ".join(done.broken),
                **measured,
            )
        )
    if not done.kept and by_f1:
        raise errors.TooLossy(
            text(
                "At int8 the committee loses {loss} of its F1 on {report} photos, and {most} are "
                "allowed. Nothing was kept. Try with more photos, or with other ones.",
                **measured,
            )
        )
    if not done.kept:
        raise errors.TooLossy(
            text(
                "At int8 the committee loses {loss} of {report} photos, and {most} are "
                "allowed. Nothing was kept. Try with more photos, or with other ones.",
                **measured,
            )
        )
    measured["version"] = done.kept[0].name
    if by_f1:
        return text(
            "Version {version} is the same with int8 networks, too: {agreement} of "
            "{report} photos get the same classes, and {loss} of the F1 are lost. It is used by a "
            "studio with `--precision int8`, and by exports at int8.",
            **measured,
        )
    return text(
        "Version {version} is the same with int8 networks, too: {agreement} of "
        "{report} photos get the same answer, and {loss} are lost. It is used by a "
        "studio with `--precision int8`, and by exports at int8.",
        **measured,
    )


def _collect_sets(task: dict[str, Any], folder: Path, labels: tuple[Label, ...]) -> bool:
    """Write the photos of a zip and of a project, and a list of all their classes.

    Returns:
        False, and nothing is written, where a zip has no list, or the project has one class a
        photo by now.
    """
    projects = Projects(Path(task["home"]))
    if task["project"] and not projects.find(task["project"]).multilabel:
        return False
    zipped: tuple[tuple[Any, tuple[int, ...]], ...] = ()
    if task["photos"]:
        try:
            zipped = data.labelled_sets(task["photos"], labels).photos
        except errors.SourceError:
            return False
    if task["project"]:
        projects.export(task["project"], folder)
    (folder / ZIPPED).mkdir()
    with (folder / TABLE).open("a", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        if not task["project"]:
            lines.writerow(["path", "label"])
        for number, (photo, indices) in enumerate(zipped):
            name = f"{ZIPPED}/{number}.{photo.source.rpartition('.')[2]}"
            # Photos that are too large or damaged are left out; hundreds of others remain.
            with contextlib.suppress(errors.TriptychError):
                (folder / name).write_bytes(photo.read())
                # With a separator at the end, one class is read as one of any number.
                lines.writerow(
                    [name, "".join(f"{labels[index].id}{SEPARATOR}" for index in indices)]
                )
    return True


def _collect(task: dict[str, Any], folder: Path, labels: tuple[Label, ...]) -> None:
    """Write the photos of a zip and of a project to a folder per class.

    Where the class of a photo in the zip is not known, all are written without their classes.
    """
    zipped = []
    if task["photos"]:
        listing = archive.in_archive(Path(task["photos"]), images.DEFAULT_LIMITS)
        zipped = list(listing.tree.walk())
        if not zipped:
            raise errors.SourceError(text("There are no photos in the zip."))
    index_of = known.index_by_name(labels)
    # A folder in the zip may be anywhere in it: the innermost one names the class.
    classes = [index_of("".join(photo.source.split("/")[-2:-1])) for photo in zipped]
    folders = [label.id for label in labels]
    is_labelled = None not in classes and all(Path(name).name == name for name in folders)
    if task["project"]:
        target = folder if is_labelled else folder / UNLABELLED / "project"
        Projects(Path(task["home"])).export(task["project"], target)
    for number, (photo, index) in enumerate(zip(zipped, classes, strict=True)):
        name = folders[index] if is_labelled and index is not None else UNLABELLED
        (folder / name).mkdir(exist_ok=True)
        # Photos that are too large or damaged are left out; hundreds of others remain.
        with contextlib.suppress(errors.TriptychError):
            ending = photo.source.rpartition(".")[2]
            (folder / name / f"{number}.{ending}").write_bytes(photo.read())


if __name__ == "__main__":
    work_for_parent(_quantize)
