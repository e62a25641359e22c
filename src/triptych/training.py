"""The only place that joins the teaching steps: photos, features, heads, committee, bundle."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import importlib
import importlib.util
import platform
import time
from collections.abc import Callable
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from triptych import bundle
from triptych import combine
from triptych import dataset
from triptych import errors
from triptych import extractors
from triptych import features
from triptych import finetune
from triptych import head
from triptych import novelty
from triptych import pages
from triptych import views
from triptych import zoo
from triptych.committee import Build
from triptych.doubt import FITTED_RULE
from triptych.doubt import Doubt
from triptych.engine import convert
from triptych.engine import store
from triptych.evaluation import report
from triptych.lesson import Array
from triptych.lesson import Lesson
from triptych.lesson import Material
from triptych.lesson import Pupil
from triptych.lesson import seated
from triptych.lesson import weigh

FOLDS = 5
HELD_OUT_SHARE = 0.2
CURVE_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
CURVE_SEEDS = 5


def train(
    source: str | Path,
    *,
    name: str,
    build: Build,
    lesson: Lesson = Lesson(),
) -> bundle.Bundle:
    """Teach a committee a person's own classes and write it as a bundle.

    Each photo passes through each backbone once, ever; then only heads are trained. Temperatures
    and weights are fitted on out-of-fold answers, and members that do not help are dropped. With
    ``lesson.fine_tune`` the last blocks of the seated backbones learn after that; see `finetune`.

    Args:
        source: A folder per class, ``train/`` and ``val/`` folders of those, a zip of either, or
            a CSV with the columns ``path`` and ``label``.
        name: Of the bundle.
        build: Where things are kept and how networks run.
        lesson: Backbones, head, fine-tuning, seed, progress.

    Raises:
        errors.SourceError: There are no classes of photos in the source.
        errors.SettingError: The bundle cannot be called that, backbones and files of weights do
            not fit together, or TensorFlow is needed and not installed.
        errors.WeightsMissing: A backbone's weights have to be fetched first.
        errors.Stopped: ``lesson.stop`` said so; features computed so far are kept.

    Source: Yosinski et al., "How transferable are features in deep neural networks?", 2014.
    """
    bundle.check_name(name)
    views.of(lesson.augment)
    if lesson.fine_tune or lesson.head == "mlp":
        _require_tensorflow("Fine-tuning" if lesson.fine_tune else "The head 'mlp'")
    rows = _rows(lesson)
    with convert.Workshop(build.report) as workshop:
        return _train(source, name, rows, build, lesson, workshop)


def _train(
    source: str | Path,
    name: str,
    rows: list[zoo.Backbone],
    build: Build,
    lesson: Lesson,
    workshop: convert.Workshop,
) -> bundle.Bundle:
    started = time.perf_counter()
    _build_ahead(rows, lesson, workshop)
    data = dataset.open(source, progress=_stage(lesson, "Looking at photos"))
    material = _study(data, _extractors(rows, build, lesson, workshop), build, lesson)
    pupils, doubt = _teach(material, rows, lesson)
    _pause(lesson)

    def fill(folder: Path) -> dict[str, Any]:
        after = finetune.Outcome(pupils, doubt)
        with ThreadPoolExecutor(1) as pool:
            # The workshop is a process of its own; curve and pages are made meanwhile.
            members = pool.submit(_write_members, folder, seated(pupils), lesson, workshop)
            curve = _curve(material, pupils, lesson)
            lesson.progress("Writing the bundle", 0, 1)
            if lesson.fine_tune:
                members.result()
                after = finetune.improve(
                    folder, pupils, doubt, material, build=build, lesson=lesson
                )
            about = _about(data, material, after, lesson)
            about["taught_in_s"] = round(time.perf_counter() - started, 1)
            taught = _novelty(after, material)
            pages.write(folder, pages.Told(name, about, data, material, after, taught, curve))
            members.result()
        for member, known in taught.items():
            known.save(folder / "members" / member / bundle.TAUGHT)
        learned = sorted({photo.digest.hex() for photo in material.train_photos})
        (folder / bundle.LEARNED).write_text("\n".join(learned) + "\n", encoding="utf-8")
        return about

    written = bundle.write(build.home, name, fill)
    lesson.progress("Writing the bundle", 1, 1)
    return written


def _require_tensorflow(what: str) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        raise errors.SettingError(
            f"{what} needs TensorFlow, which is not installed. "
            'Install it with: pip install "triptych[tensorflow]"'
        )


def _build_ahead(rows: list[zoo.Backbone], lesson: Lesson, workshop: convert.Workshop) -> None:
    """Let the workshop build the networks while photos are looked at."""
    for row in rows:
        with contextlib.suppress(errors.WeightsMissing):  # said when they are wanted
            workshop.build(row.name, store.weights_of(row, _own_weights(lesson)))


def _own_weights(lesson: Lesson) -> dict[str, Path]:
    return {zoo.find(key).name: path for key, path in lesson.weights.items()}


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
    data: dataset.Dataset, extractors: list[features.Extractor], build: Build, lesson: Lesson
) -> Material:
    train, val = data.train, data.val
    if not val:
        train, val = dataset.split(train, share=HELD_OUT_SHARE, seed=lesson.seed)
    photos = [*train, *val]
    store = features.FeatureStore(build.home / "features.sqlite")
    extract = functools.partial(features.extract, store=store, stop=lesson.stop)
    vectors = extract(photos, extractors, progress=_stage(lesson, "Computing features"))
    return Material(
        classes=data.classes,
        train=[own[: len(train)] for own in vectors],
        views=_views(train, extractors, extract, lesson) or [own[:0] for own in vectors],
        train_truth=np.array([photo.label for photo in train]),
        folds=dataset.folds(train, FOLDS, seed=lesson.seed),
        train_photos=train,
        val=[own[len(train) :] for own in vectors],
        val_truth=np.array([photo.label for photo in val]),
        val_photos=val,
    )


def _views(
    train: Sequence[dataset.Photo],
    extractors: list[features.Extractor],
    extract: Callable[..., list[Array]],
    lesson: Lesson,
) -> list[Array]:
    names = [name for name in views.of(lesson.augment) if name != views.PLAIN]
    others = [_seen(extractor, name) for extractor in extractors for name in names]
    if not others:
        return []
    found = extract(train, others, progress=_stage(lesson, "Computing features of other views"))
    return [
        np.concatenate(found[start : start + len(names)])
        for start in range(0, len(found), len(names))
    ]


def _seen(extractor: features.Extractor, view: str) -> features.Extractor:
    return dataclasses.replace(extractor, view=view, space=f"{extractor.space} {view}")


def _extractors(
    rows: list[zoo.Backbone], build: Build, lesson: Lesson, workshop: convert.Workshop
) -> list[features.Extractor]:
    own = _own_weights(lesson)
    with ThreadPoolExecutor(1) as pool:
        # Seconds of imports that are wanted later; here is time, while the workshop works.
        for module in ("sklearn.linear_model", "matplotlib.figure"):
            pool.submit(importlib.import_module, module)
        return extractors.of(rows, build, own=own, workshop=workshop)


def _teach(
    material: Material, rows: list[zoo.Backbone], lesson: Lesson
) -> tuple[list[Pupil], Doubt]:
    pupils = []
    for number, row in enumerate(rows):
        lesson.progress("Training heads", number, len(rows))
        _pause(lesson)
        fitted = _fit(material, number, lesson)
        pupils.append(Pupil(row, fitted, fitted.head.probs(material.val[number])))
    lesson.progress("Training heads", len(rows), len(rows))
    judged = material.judged
    answers = [pupil.fit.out_of_fold[judged] for pupil in pupils]
    return weigh(pupils, answers, material.train_truth[judged])


def _fit(material: Material, number: int, lesson: Lesson) -> head.Fit:
    """A head that learned from all views, with its answers to the plain ones."""
    plain, others = material.train[number], material.views[number]
    looks = 1 + len(others) // len(plain)
    fitted = head.fit(
        lesson.head,
        np.concatenate([plain, others]),
        np.tile(material.train_truth, looks),
        folds=np.tile(material.folds, looks),  # all views of a photo are held back together
        classes=len(material.classes),
        seed=lesson.seed,
    )
    return dataclasses.replace(fitted, out_of_fold=fitted.out_of_fold[: len(plain)])


def _curve(
    material: Material, pupils: list[Pupil], lesson: Lesson
) -> tuple[report.CurvePoint, ...]:
    """Accuracy of the committee against images per class: nearly free once there are features."""
    counts = np.bincount(material.train_truth, minlength=len(material.classes))
    sizes = [size for size in CURVE_SIZES if size < counts.max()]
    points = []
    for number, size in enumerate(sizes):
        lesson.progress("Learning curve", number, len(sizes))
        _pause(lesson)
        scores = [
            _score(material, pupils, _some(material.train_truth, size, seed))
            for seed in range(lesson.seed, lesson.seed + CURVE_SEEDS)
        ]
        points.append(report.CurvePoint(size, tuple(scores)))
    lesson.progress("Learning curve", len(sizes), len(sizes))
    return tuple(points)


def _some(truth: Array, size: int, seed: int) -> Array:
    """Positions of at most ``size`` photos of each class."""
    order = np.random.default_rng(seed).permutation(len(truth))
    return np.concatenate([order[truth[order] == label][:size] for label in np.unique(truth)])


def _score(material: Material, pupils: list[Pupil], some: Array) -> float:
    joined = np.zeros((len(material.val_truth), len(material.classes)))
    for pupil, own, val in zip(pupils, material.train, material.val, strict=True):
        if pupil.weight:
            strength = pupil.fit.head.notes.get("strength", 1e-3)
            fitted = head.linear(
                own[some],
                material.train_truth[some],
                classes=len(material.classes),
                strength=strength,
            )
            joined += pupil.weight * combine.temper(fitted.probs(val), pupil.temperature)
    return float((joined.argmax(axis=1) == material.val_truth).mean())


def _write_members(
    folder: Path, pupils: list[Pupil], lesson: Lesson, workshop: convert.Workshop
) -> None:
    own = _own_weights(lesson)
    jobs = []
    for pupil in pupils:
        saved = folder / f"{pupil.backbone.name}.npz"
        pupil.fit.head.save(saved)
        file = store.weights_of(pupil.backbone, own)
        target = folder / "members" / pupil.backbone.name
        jobs.append(convert.Job(pupil.backbone.name, str(file), str(target), str(saved)))
    workshop.run(jobs)
    for job in jobs:
        Path(str(job.head)).unlink()


def _novelty(after: finetune.Outcome, material: Material) -> dict[str, novelty.Taught]:
    """What the photos look like to each member, by which it knows others.

    A network that was tuned sees them otherwise than these features say, and tells nothing.
    """
    groups = np.array([photo.group for photo in material.train_photos])
    tuned = {record.member for record in after.records if record.kept}
    return {
        pupil.backbone.name: novelty.fit(own, groups=groups)
        for pupil, own in zip(after.pupils, material.train, strict=True)
        if pupil.weight and pupil.backbone.name not in tuned
    }


def _about(
    data: dataset.Dataset, material: Material, after: finetune.Outcome, lesson: Lesson
) -> dict[str, Any]:
    return {
        "labels": [{"name": label, "id": label} for label in material.classes],
        "rule": FITTED_RULE,
        "members": [
            {
                "name": pupil.backbone.name,
                "backbone": pupil.backbone.name,
                "recipe": pupil.backbone.recipe.to_dict(),
                "cost": pupil.cost,
                "head": {"kind": pupil.fit.head.kind, **pupil.fit.head.notes},
                "licence": pupil.backbone.licence,
            }
            for pupil in seated(after.pupils)
        ],
        "dropped": [pupil.backbone.name for pupil in after.pupils if not pupil.weight],
        "doubt": after.doubt.to_dict() if after.doubt.is_fitted else None,
        "data": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "train": len(material.train_truth),
            "val": len(material.val_truth),
            "held_out": not data.val,
        },
        "augment": list(lesson.augment),
        **({"fine_tuned": [one.to_dict() for one in after.records]} if after.records else {}),
        "seed": lesson.seed,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("triptych", "keras", "openvino")},
        },
    }
