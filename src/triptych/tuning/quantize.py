"""Quantize a committee to int8: calibrate, compare with f32, and store the networks."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import tempfile
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych import bundles
from triptych import data
from triptych import errors
from triptych import images
from triptych.data import Labelled
from triptych.data import LabelledSets
from triptych.engines.conversion import convert
from triptych.engines.conversion import int8
from triptych.engines.conversion import quantize
from triptych.engines.conversion import store
from triptych.engines.options import INT8
from triptych.engines.options import EngineOptions
from triptych.engines.options import open_engine
from triptych.evaluation import paired
from triptych.inference import committee as committees
from triptych.inference.classifier import Classifier
from triptych.inference.committee import Committee
from triptych.models import zoo
from triptych.preprocessing import recipe
from triptych.preprocessing.recipe import Recipe
from triptych.results import Failure
from triptych.typing import Array
from triptych.typing import Float32Array
from triptych.typing import ShouldStop
from triptych.typing import StageProgress
from triptych.utils import files
from triptych.utils.text import text

# More calibration photos do not improve the ranges of activations (measured: `lite` with 300 agrees
# with f32 on 97.1 % of 450 photos, with 100 on 97.8 %); the others are used for evaluation.
MOST_SHOWN = 100
# With few photos, one in three is for calibration and two are for evaluation.
SHOWN_SHARE = 1 / 3
# With fewer evaluation photos, one of them is more than two points.
FEWEST_HELD_OUT = 50
# Among ImageNet's 1000 classes, the probabilities of three members for so many are 60 MB.
MOST_HELD_OUT = 5000
UNKNOWN = -1

# The class of a photo, or all of a multi-label one; `UNKNOWN` where they are not known.
Answer = int | tuple[int, ...]


@dataclass(frozen=True)
class QuantizeConfig:
    """Configuration of a quantization.

    Args:
        max_loss: The accuracy that the committee may lose, as a share.
        members: Backbones to use instead of the committee's; not for a bundle.
        seed: Seed of the division of photos.
        progress: Called with the stage, the steps done and the total number of steps.
        stop: Polled often; when it returns true, the work ends and nothing is kept.
    """

    max_loss: float = 0.005
    members: tuple[str, ...] | None = None
    seed: int = 0
    progress: StageProgress = lambda stage, done, total: None
    stop: ShouldStop = lambda: False


@dataclass(frozen=True)
class QuantizeResult:
    """The result of a quantization.

    Args:
        report: See `triptych.evaluation.paired.compare`; and ``committee``, ``shown`` (how
            many photos the networks were quantized with), ``max_loss``, ``skipped``.
        kept: The folder of each int8 network, or of the bundle's next version; empty if the
            committee loses more than ``max_loss``, or breaks a promise.
    """

    report: dict[str, Any]
    kept: tuple[Path, ...]

    @property
    def broken(self) -> list[str]:
        """The classes of which a precision is promised that int8 does not keep."""
        return [row["label"] for row in self.report.get("per_class", ()) if row["breaks_promise"]]


@dataclass(frozen=True)
class _Photos:
    """Calibration photos (``calibration``) and evaluation photos (``held_out``), disjoint.

    Photos are paths, or `File` records of a document that names them.
    """

    calibration: tuple[Any, ...]
    held_out: tuple[tuple[Any, Answer], ...]
    skipped: tuple[Failure, ...]


@dataclass(frozen=True)
class _Subject:
    """A committee at f32, its networks, the photos it was trained on, and how int8 is stored."""

    committee: Committee
    networks: Sequence[Path]
    trained_on: Collection[str]
    keep: Callable[[Sequence[Path], dict[str, Any]], tuple[Path, ...]]


def optimize(
    name: str, folder: Path, options: EngineOptions, config: QuantizeConfig = QuantizeConfig()
) -> QuantizeResult:
    """Quantize a committee's networks, measure the loss, and keep them unless it is too large.

    Args:
        name: Of a committee of the zoo, or of a bundle.
        folder: Photos like those to be classified later; best with a folder per class, or for a
            multi-label committee a CSV file, see `data.labelled_sets`.
        options: Home folder, and how networks run; its precision is ignored, as int8 is compared
            with f32.
        config: Limits, seed, progress, stop.

    Raises:
        errors.SettingError: NNCF is not installed, or the config is impossible.
        errors.SourceError: There are too few photos.
        errors.UnknownName: No such committee.
        errors.Stopped: ``config.stop`` returned true.
    """
    quantize.check_installed()
    exact = dataclasses.replace(options, precision="f32")
    subject = (_of_zoo if committees.is_from_zoo(name) else _of_bundle)(name, exact, config)
    committee = subject.committee
    photos = _photos(folder, subject, config)
    exactly = _predict(committee, photos.held_out, "Predicting at f32", config)
    _check_enough(len(exactly.targets), folder)
    with tempfile.TemporaryDirectory(prefix="triptych-") as scratch:
        networks = list(_quantized(subject, photos.calibration, Path(scratch), exact, config))
        int8_options = dataclasses.replace(options, precision=INT8)
        members = tuple(  # as they will be served
            dataclasses.replace(member, engine=open_engine(path, int8_options))
            for member, path in zip(committee.members, networks, strict=True)
        )
        quantized = dataclasses.replace(committee, members=members)
        coarsely = _predict(quantized, photos.held_out, "Predicting at int8", config)
        comparison = _compare(committee, exactly, coarsely)
        report = {
            "committee": committee.name,
            **comparison,
            "shown": len(photos.calibration),
            "max_loss": config.max_loss,
        }
        result = QuantizeResult(report, ())
        accepted = report["rules"][0]["loss"] <= config.max_loss and not result.broken
        saved = subject.keep(networks, report) if accepted else ()
    skipped = [failure.to_dict() for failure in (*photos.skipped, *exactly.failures)]
    return QuantizeResult({**report, "skipped": skipped}, saved)


def _compare(committee: Committee, exactly: _Predictions, coarsely: _Predictions) -> dict[str, Any]:
    pair, names = (exactly.probs, coarsely.probs), [member.name for member in committee.members]
    targets = None if UNKNOWN in exactly.targets else exactly.targets
    if params := committee.multilabel:
        holds = None
        if targets is not None:
            holds = np.zeros((len(targets), len(committee.labels)), bool)
            for row, labels in zip(holds, targets, strict=True):
                row[[labels] if isinstance(labels, int) else list(labels)] = True
        comparison = paired.compare_multilabel(pair, holds, names=names, params=params)
        # Of all classes, or of none.
        named = zip(committee.labels, comparison["per_class"], strict=False)
        rows = [{"label": label.name, **row} for label, row in named]
        return {**comparison, "per_class": rows}
    return paired.compare(
        pair,
        None if targets is None else np.array(targets),
        names=names,
        costs=committee.costs,
        params=committee.params,
        rule=committee.rule,
    )


def _of_zoo(name: str, options: EngineOptions, config: QuantizeConfig) -> _Subject:
    committee = committees.from_zoo(name, options, members=config.members)
    rows = [zoo.find(member.name) for member in committee.members]
    networks = store.prepare(rows, home=options.home)

    def keep(quantized: Sequence[Path], report: dict[str, Any]) -> tuple[Path, ...]:
        for path, network in zip(quantized, networks, strict=True):
            int8.install(path, network, report)
        return tuple(int8.int8_path(network).parent for network in networks)

    return _Subject(committee, networks, (), keep)


def _of_bundle(name: str, options: EngineOptions, config: QuantizeConfig) -> _Subject:
    if config.members:
        raise errors.SettingError(
            text(
                "{name} is a bundle, whose members are all made int8; leave out --members.",
                name=name,
            )
        )
    bundle = bundles.find(options.home, name)

    def keep(quantized: Sequence[Path], report: dict[str, Any]) -> tuple[Path, ...]:
        return (bundles.with_int8(bundle, options.home, quantized, report).folder,)

    return _Subject(bundle.committee(options), bundle.networks, bundle.trained_on, keep)


def _photos(folder: Path, subject: _Subject, config: QuantizeConfig) -> _Photos:
    """Split by content hash; photos the committee was trained on may be used for calibration."""
    labelled = _labelled(folder, subject.committee)
    unique: dict[str, tuple[Any, Answer]]
    unique = {_digest(photo): (photo, index) for photo, index in labelled.photos}
    order = sorted(
        unique, key=lambda digest: hashlib.sha256(f"{config.seed} {digest}".encode()).hexdigest()
    )
    order.sort(key=lambda digest: digest not in subject.trained_on)
    trained = sum(digest in subject.trained_on for digest in order)
    count = min(MOST_SHOWN, int(len(order) * SHOWN_SHARE))
    held_out = order[max(count, trained) :][:MOST_HELD_OUT]
    _check_enough(len(held_out), folder, trained)
    return _Photos(
        tuple(unique[digest][0] for digest in order[:count]),
        tuple(unique[digest] for digest in held_out),
        labelled.skipped,
    )


def _digest(photo: Any) -> str:
    """SHA-256 of a file at a path, or of one that a document names."""
    if isinstance(photo, Path):
        return files.digest(photo)
    return hashlib.sha256(photo.read()).hexdigest()


def _labelled(folder: Path, committee: Committee) -> Labelled | LabelledSets:
    read = data.labelled_sets if committee.multilabel else data.labelled
    try:
        return read(folder, committee.labels)
    except errors.SourceError:  # nothing says which classes they have: all photos, without them
        plain = tuple((path, UNKNOWN) for path in data.walk(folder))
        if not plain:
            raise
        return Labelled(plain, ())


def _check_enough(held_out: int, folder: Path, trained_on: int = 0) -> None:
    if held_out < FEWEST_HELD_OUT:
        trained = ""
        if trained_on:
            trained = text(
                "; the committee was trained on {count}, which cannot evaluate", count=trained_on
            )
        raise errors.SourceError(
            text(
                "{folder} has {held_out} different photos to evaluate int8 with, after one "
                "in three was taken for calibration{trained}. Expected {fewest_held_out} or "
                "more, ideally a few hundred: with fewer, half a point of accuracy cannot be "
                "seen.",
                folder=folder,
                held_out=held_out,
                trained=trained,
                fewest_held_out=FEWEST_HELD_OUT,
            )
        )


def _quantized(
    subject: _Subject,
    photos: Sequence[Any],
    scratch: Path,
    options: EngineOptions,
    config: QuantizeConfig,
) -> Iterator[Path]:
    pairs = zip(subject.committee.members, subject.networks, strict=True)

    def inputs(network_recipe: Recipe) -> Iterator[Float32Array]:
        enough = recipe.enough([network_recipe])
        for photo in photos:
            # Skip unreadable photos; hundreds of others remain.
            with contextlib.suppress(errors.ImageError):
                yield recipe.apply(network_recipe, images.picture(photo, enough=enough))

    for index, (member, network) in enumerate(pairs):
        options.report(f"Quantizing {member.name} with {len(photos)} photos ...")
        target = scratch / str(index) / convert.NETWORK
        target.parent.mkdir()
        quantize.run(network, inputs(member.recipe), target, stop=config.stop)
        yield target


@dataclass(frozen=True)
class _Predictions:
    """The raw probabilities of N photos, shape (M, N, C); their classes, and what failed."""

    probs: Array
    targets: Sequence[Answer]
    failures: tuple[Failure, ...]


def _predict(
    committee: Committee, photos: Sequence[tuple[Any, Answer]], stage: str, config: QuantizeConfig
) -> _Predictions:
    probs = np.empty((len(committee.members), len(photos), len(committee.labels)), np.float32)
    targets: list[Answer] = []
    failures: list[Failure] = []
    answers = Classifier(committee).score_many(data.read_ahead(photo for photo, _ in photos))
    for number, answer in enumerate(answers):
        if config.stop():
            raise errors.Stopped(quantize.STOPPED)
        if isinstance(answer, Failure):
            failures.append(answer)
        else:
            probs[:, len(targets)] = answer.probs
            targets.append(photos[number][1])
        config.progress(stage, number + 1, len(photos))
    return _Predictions(probs[:, : len(targets)], targets, tuple(failures))
