"""The only place that joins the teaching steps: photos, features, heads, committee, bundle."""

from __future__ import annotations

import datetime
import json
import platform
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from dataclasses import field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych import bundle
from triptych import calibration
from triptych import card
from triptych import combine
from triptych import dataset
from triptych import errors
from triptych import evaluation
from triptych import features
from triptych import head
from triptych import zoo
from triptych.committee import Build
from triptych.engine import convert
from triptych.engine import store
from triptych.engine.openvino import OpenVINOEngine
from triptych.engine.openvino import resolve_precision
from triptych.evaluation import report
from triptych.images import preview

Array = npt.NDArray[Any]
Progress = Callable[[str, int, int], None]  # stage, done, total

FOLDS = 5
HELD_OUT_SHARE = 0.2
CURVE_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
CURVE_SEEDS = 5
THUMBNAIL_PX = 240
DROPPED = "The committee is right more often without it, on photos that were not learned."


@dataclass(frozen=True)
class Lesson:
    """What to teach, and how.

    Args:
        backbones: Names in the zoo, one member each.
        head: ``"linear"`` or ``"mlp"``.
        weights: Files of one's own for backbones, by name: ``.keras`` or ``.h5``.
        seed: Of splits and everything else random.
        progress: Called with the stage, what is done and what there is to do.
        stop: Asked now and then whether to stop.
    """

    backbones: tuple[str, ...] = zoo.COMMITTEES["lite"]
    head: str = "linear"
    weights: Mapping[str, Path] = field(default_factory=dict)
    seed: int = 0
    progress: Progress = lambda stage, done, total: None
    stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Pupil:
    """A backbone with its trained head, and what it says of photos it did not learn.

    Args:
        backbone: Its row in the zoo.
        fit: The head, with its out-of-fold answers.
        temperature: Fitted on those.
        validation: Calibrated probabilities of the validation photos, shape (N, C).
    """

    backbone: zoo.Backbone
    fit: head.Fit
    temperature: float
    validation: Array

    @property
    def out_of_fold(self) -> Array:
        """Calibrated out-of-fold probabilities of the training photos, shape (N, C)."""
        return combine.temper(self.fit.out_of_fold, self.temperature)


@dataclass(frozen=True)
class Material:
    """Photos as arrays.

    Args:
        classes: Names of the classes.
        train: Features of the training photos by backbone, each (N, F).
        train_truth: Their classes, shape (N,).
        folds: Their folds, shape (N,).
        val: Features of the validation photos by backbone.
        val_truth: Their classes.
        val_photos: The validation photos themselves.
    """

    classes: tuple[str, ...]
    train: list[Array]
    train_truth: Array
    folds: Array
    val: list[Array]
    val_truth: Array
    val_photos: Sequence[dataset.Photo]


def train(
    source: str | Path,
    *,
    name: str,
    build: Build,
    lesson: Lesson = Lesson(),
) -> bundle.Bundle:
    """Teach a committee a person's own classes and write it as a bundle.

    Each photo passes through each backbone once, ever; then only heads are trained. Temperatures
    and weights are fitted on out-of-fold answers, and members that do not help are dropped.

    Args:
        source: A folder per class, ``train/`` and ``val/`` folders of those, a zip of either, or
            a CSV with the columns ``path`` and ``label``.
        name: Of the bundle.
        build: Where things are kept and how networks run.
        lesson: Backbones, head, seed, progress.

    Raises:
        errors.SourceError: There are no classes of photos in the source.
        errors.SettingError: The bundle cannot be called that, or backbones and files of weights
            do not fit together.
        errors.WeightsMissing: A backbone's weights have to be fetched first.
        errors.Stopped: ``lesson.stop`` said so; features computed so far are kept.

    Source: Yosinski et al., "How transferable are features in deep neural networks?", 2014.
    """
    bundle.check_name(name)
    started = time.perf_counter()
    rows = _rows(lesson)
    data = dataset.open(source, progress=_stage(lesson, "Looking at photos"))
    material = _study(data, rows, build, lesson)
    pupils = _teach(material, rows, lesson)
    _pause(lesson)
    weights = calibration.choose_weights(
        np.stack([pupil.out_of_fold for pupil in pupils]), material.train_truth
    )

    def fill(folder: Path) -> dict[str, Any]:
        seated = [(p, w) for p, w in zip(pupils, weights, strict=True) if w > 0]
        with ThreadPoolExecutor(1) as pool:
            # Conversion is a process of its own; the curve is drawn meanwhile.
            members = pool.submit(_write_members, folder, [p for p, _ in seated], build, lesson)
            curve = _curve(material, pupils, weights, lesson)
            lesson.progress("Writing the bundle", 0, 1)
            members.result()
        about = _about(data, material, seated, lesson)
        about["dropped"] = [p.backbone.name for p, w in zip(pupils, weights, strict=True) if not w]
        about["taught_in_s"] = round(time.perf_counter() - started, 1)
        told = Told(name, about, data, material, tuple(zip(pupils, weights, strict=True)), curve)
        _write_pages(folder, told)
        return about

    written = bundle.write(build.home, name, fill)
    lesson.progress("Writing the bundle", 1, 1)
    return written


def _rows(lesson: Lesson) -> list[zoo.Backbone]:
    rows = {row.name: row for row in map(zoo.find, lesson.backbones)}
    if not rows:
        raise errors.SettingError("No backbone was named; expected at least one, such as lite0.")
    for name in (zoo.find(key).name for key in lesson.weights):
        if name not in rows:
            raise errors.SettingError(
                f"There is a file of weights for {name}, and {name} is not among the backbones "
                f"to teach: {', '.join(rows)}. Name it there, too, or leave the file out."
            )
    return list(rows.values())


def _stage(lesson: Lesson, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: lesson.progress(stage, done, total)


def _pause(lesson: Lesson) -> None:
    if lesson.stop():
        raise errors.Stopped("Stopped; the features computed so far are kept.")


def _study(
    data: dataset.Dataset, rows: list[zoo.Backbone], build: Build, lesson: Lesson
) -> Material:
    train, val = data.train, data.val
    if not val:
        train, val = dataset.split(train, share=HELD_OUT_SHARE, seed=lesson.seed)
    photos = [*train, *val]
    vectors = features.extract(
        photos,
        _extractors(rows, build, lesson),
        features.FeatureStore(build.home / "features.sqlite"),
        progress=_stage(lesson, "Computing features"),
        stop=lesson.stop,
    )
    return Material(
        classes=data.classes,
        train=[own[: len(train)] for own in vectors],
        train_truth=np.array([photo.label for photo in train]),
        folds=dataset.folds(train, FOLDS, seed=lesson.seed),
        val=[own[len(train) :] for own in vectors],
        val_truth=np.array([photo.label for photo in val]),
        val_photos=val,
    )


def _extractors(rows: list[zoo.Backbone], build: Build, lesson: Lesson) -> list[features.Extractor]:
    own = {zoo.find(key).name: path for key, path in lesson.weights.items()}
    paths = store.prepare(rows, home=build.home, own=own, report=build.report)
    precision = resolve_precision(build.precision)
    cache = store.compiled_cache(build.home)
    return [
        features.Extractor(
            # The folder is named after backbone, weights and conversion.
            space=f"{path.parent.name} {row.recipe.to_dict()} {precision}",
            engine=OpenVINOEngine(path, precision=precision, threads=build.threads, cache=cache),
            recipe=row.recipe,
        )
        for row, path in zip(rows, paths, strict=True)
    ]


def _teach(material: Material, rows: list[zoo.Backbone], lesson: Lesson) -> list[Pupil]:
    pupils = []
    for number, row in enumerate(rows):
        lesson.progress("Training heads", number, len(rows))
        _pause(lesson)
        fitted = head.fit(
            lesson.head,
            material.train[number],
            material.train_truth,
            folds=material.folds,
            classes=len(material.classes),
            seed=lesson.seed,
        )
        temperature = calibration.fit_temperature(fitted.out_of_fold, material.train_truth)
        validation = combine.temper(fitted.head.probs(material.val[number]), temperature)
        pupils.append(Pupil(row, fitted, temperature, validation))
    lesson.progress("Training heads", len(rows), len(rows))
    return pupils


def _curve(
    material: Material, pupils: list[Pupil], weights: list[float], lesson: Lesson
) -> tuple[report.CurvePoint, ...]:
    """Accuracy of the committee against images per class: nearly free once there are features."""
    counts = np.bincount(material.train_truth, minlength=len(material.classes))
    sizes = [size for size in CURVE_SIZES if size < counts.max()]
    points = []
    for number, size in enumerate(sizes):
        lesson.progress("Learning curve", number, len(sizes))
        _pause(lesson)
        scores = [
            _score(material, pupils, weights, _some(material.train_truth, size, seed))
            for seed in range(lesson.seed, lesson.seed + CURVE_SEEDS)
        ]
        points.append(report.CurvePoint(size, tuple(scores)))
    lesson.progress("Learning curve", len(sizes), len(sizes))
    return tuple(points)


def _some(truth: Array, size: int, seed: int) -> Array:
    """Positions of at most ``size`` photos of each class."""
    order = np.random.default_rng(seed).permutation(len(truth))
    return np.concatenate([order[truth[order] == label][:size] for label in np.unique(truth)])


def _score(material: Material, pupils: list[Pupil], weights: list[float], some: Array) -> float:
    joined = np.zeros((len(material.val_truth), len(material.classes)))
    for pupil, weight, own, val in zip(pupils, weights, material.train, material.val, strict=True):
        if weight:
            strength = pupil.fit.head.notes.get("strength", 1e-3)
            fitted = head.linear(
                own[some],
                material.train_truth[some],
                classes=len(material.classes),
                strength=strength,
            )
            joined += weight * combine.temper(fitted.probs(val), pupil.temperature)
    return float((joined.argmax(axis=1) == material.val_truth).mean())


def _write_members(folder: Path, pupils: list[Pupil], build: Build, lesson: Lesson) -> None:
    own = {zoo.find(key).name: path for key, path in lesson.weights.items()}
    jobs = []
    for pupil in pupils:
        saved = folder / f"{pupil.backbone.name}.npz"
        pupil.fit.head.save(saved)
        file = store.weights_of(pupil.backbone, own)
        target = folder / "members" / pupil.backbone.name
        jobs.append(convert.Job(pupil.backbone.name, str(file), str(target), str(saved)))
    convert.run(jobs, build.report)
    for job in jobs:
        Path(str(job.head)).unlink()


def _about(
    data: dataset.Dataset, material: Material, seated: list[tuple[Pupil, float]], lesson: Lesson
) -> dict[str, Any]:
    return {
        "labels": [{"name": label, "id": label} for label in material.classes],
        "rule": "weighted",
        "members": [
            {
                "name": pupil.backbone.name,
                "backbone": pupil.backbone.name,
                "recipe": pupil.backbone.recipe.to_dict(),
                "temperature": pupil.temperature,
                "weight": weight,
                "head": {"kind": pupil.fit.head.kind, **pupil.fit.head.notes},
                "licence": pupil.backbone.licence,
            }
            for pupil, weight in seated
        ],
        "data": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "train": len(material.train_truth),
            "val": len(material.val_truth),
            "held_out": not data.val,
        },
        "seed": lesson.seed,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("triptych", "keras", "openvino")},
        },
    }


@dataclass(frozen=True)
class Told:
    """What the pages of a bundle tell.

    Args:
        name: Of the bundle.
        about: What ``bundle.json`` says.
        data: The photos as they were found.
        material: The same as arrays.
        pupils: All that were taught, with their weights; 0 for those dropped.
        curve: Points of the learning curve.
    """

    name: str
    about: dict[str, Any]
    data: dataset.Dataset
    material: Material
    pupils: tuple[tuple[Pupil, float], ...]
    curve: tuple[report.CurvePoint, ...]


def _write_pages(folder: Path, told: Told) -> None:
    outcome = _outcome(told)
    figures = evaluation.metrics_of(outcome)
    figures["learning_curve"] = [
        {"images_per_class": point.per_class, "top1": point.accuracies} for point in told.curve
    ]
    figures["findings"] = [finding.to_dict() for finding in told.data.findings]
    pages = {
        "metrics.json": json.dumps(figures, indent=1, ensure_ascii=False) + "\n",
        "labels.txt": "".join(f"{name}\n" for name in told.material.classes),
        "README.md": card.render({"name": told.name, **told.about}, figures),
        "report.html": report.render(_report(told, outcome)),
    }
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")


def _outcome(told: Told) -> evaluation.Outcome:
    answers = np.stack([pupil.validation for pupil, _ in told.pupils])
    return evaluation.Outcome(
        labels=told.material.classes,
        truth=told.material.val_truth,
        members={pupil.backbone.name: pupil.validation for pupil, _ in told.pupils},
        committee=combine.weighted(answers, [weight for _, weight in told.pupils]),
        sources=tuple(photo.source for photo in told.material.val_photos),
    )


def _report(told: Told, outcome: evaluation.Outcome) -> report.Report:
    data, about = told.about["data"], told.about
    held = f", held out of {data['train'] + data['val']}" if data["held_out"] else ""
    photos = {photo.source: photo for photo in told.material.val_photos}
    return report.Report(
        name=told.name,
        date=about["created"][:10],
        data=f"{data['val']} photos of {data['name']} that were not learned{held}",
        outcome=outcome,
        rule=about["rule"],
        members=[
            report.MemberNote(
                pupil.backbone.name, weight, pupil.temperature, "" if weight else DROPPED
            )
            for pupil, weight in told.pupils
        ],
        curve=told.curve,
        findings=told.data.findings,
        made=[
            ("Taught on", f"{data['train']} photos of {len(told.material.classes)} classes"),
            ("Head", told.pupils[0][0].fit.head.kind),
            ("Seed", str(about["seed"])),
            ("Time", f"{about['taught_in_s']} s"),
            *((name, version) for name, version in about["versions"].items()),
        ],
        thumbnail=lambda source: preview.jpeg(photos[source].read(), longest_px=THUMBNAIL_PX),
    )
