"""The only place that joins the teaching steps: photos, features, heads, committee, bundle."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import importlib
import platform
import time
from collections.abc import Callable
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from triptych import bundles
from triptych import data as triptych_data
from triptych import errors
from triptych import features
from triptych.engines.conversion import convert
from triptych.engines.conversion import store
from triptych.engines.options import EngineOptions
from triptych.ensemble import ood
from triptych.ensemble.rules import FITTED_RULE
from triptych.features import extractors
from triptych.models import zoo
from triptych.preprocessing import augment
from triptych.training import artifacts
from triptych.training import finetune
from triptych.training import heads
from triptych.training import learning_curve
from triptych.training.config import COMMITTEE
from triptych.training.config import Lesson
from triptych.training.config import Material
from triptych.training.config import Outcome
from triptych.training.config import Pupil
from triptych.training.config import seated
from triptych.typing import Array
from triptych.typing import Progress
from triptych.utils import extras

FOLDS = 5
HELD_OUT_SHARE = 0.2


def train(
    source: str | Path | triptych_data.Dataset,
    *,
    name: str,
    options: EngineOptions,
    lesson: Lesson = Lesson(),
    publish: bool = True,
) -> bundles.Bundle:
    """Teach a committee a person's own classes and write it as a bundle.

    Each photo passes through each backbone once, ever; then only heads are trained. Temperatures
    and weights are fitted on out-of-fold answers, and members that do not help are dropped. With
    ``lesson.fine_tune`` the last blocks of the seated backbones learn after that; see `finetune`.

    Args:
        source: A folder per class, ``train/`` and ``val/`` folders of those, a zip of either, or
            a CSV with the columns ``path`` and ``label``; or photos that were looked at before.
        name: Of the bundle.
        options: Where things are kept and how networks run.
        lesson: Backbones, head, fine-tuning, seed, progress.
        publish: Serve the new version from now on; else what is served stays as it is.

    Raises:
        errors.SourceError: There are no classes of photos in the source.
        errors.SettingError: The bundle cannot be called that, backbones and files of weights do
            not fit together, or TensorFlow is needed and not installed.
        errors.WeightsMissing: A backbone's weights have to be fetched first.
        errors.Stopped: ``lesson.stop`` said so; features computed so far are kept.

    Source: Yosinski et al., "How transferable are features in deep neural networks?", 2014.
    """
    rows = check(name, lesson)
    with convert.Workshop(options.report) as workshop:
        fill = _train(source, name, rows, options, lesson, workshop)
        written = bundles.write(options.home, name, fill, publish=publish)
        lesson.progress("Writing the bundle", 1, 1)
        return written


def check(name: str, lesson: Lesson) -> list[zoo.Backbone]:
    """Refuse at once what cannot be taught, before anything takes time.

    Args:
        name: Of the bundle.
        lesson: What to teach, and how.

    Returns:
        The backbones to teach.

    Raises:
        errors.UnknownName: No such backbone, head or augmentation.
        errors.SettingError: The bundle cannot be called that, backbones and files of weights do
            not fit together, or TensorFlow is needed and not installed.
    """
    bundles.check_name(name)
    augment.of(lesson.augment)
    heads.check(lesson.head)
    extras.require("Teaching", "keras", "scipy", "sklearn", extra="teach")
    if lesson.fine_tune or lesson.head == "mlp":
        what = "Fine-tuning" if lesson.fine_tune else "The head 'mlp'"
        extras.require(what, "tensorflow", extra="tensorflow")
    return _rows(lesson)


def _train(
    source: str | Path | triptych_data.Dataset,
    name: str,
    rows: list[zoo.Backbone],
    options: EngineOptions,
    lesson: Lesson,
    workshop: convert.Workshop,
) -> Callable[[Path], dict[str, Any]]:
    """Teach; gives what fills the folder of a bundle."""
    started = time.perf_counter()
    _build_ahead(rows, lesson, workshop)
    data = _opened(source, lesson)
    material = _study(data, _extractors(rows, options, lesson, workshop), options, lesson)
    before = heads.teach(material, rows, lesson)
    lesson.pause()

    def fill(folder: Path) -> dict[str, Any]:
        with ThreadPoolExecutor(1) as pool:
            # The workshop is a process of its own; curve and pages are made meanwhile.
            members = pool.submit(_write_members, folder, seated(before.pupils), lesson, workshop)
            curve = learning_curve.draw(material, before.pupils, lesson)
            lesson.progress("Writing the bundle", 0, 1)
            after = before
            if lesson.fine_tune:
                members.result()
                after = _tune(folder, before, material, options, lesson)
            about = _about(data, material, after, lesson)
            about["taught_in_s"] = round(time.perf_counter() - started, 1)
            taught = _novelty(after, material)
            artifacts.write(
                folder, artifacts.Told(name, about, data, material, after, taught, curve)
            )
            members.result()
        for member, known in taught.items():
            known.save(folder / "members" / member / bundles.TAUGHT)
        learned = sorted({photo.digest.hex() for photo in material.train_photos})
        (folder / bundles.LEARNED).write_text("\n".join(learned) + "\n", encoding="utf-8")
        heads.answers(material, before, after).save(folder)
        return about

    return fill


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


def _stage(lesson: Lesson, stage: str) -> Progress:
    return lambda done, total: lesson.progress(stage, done, total)


def _opened(source: str | Path | triptych_data.Dataset, lesson: Lesson) -> triptych_data.Dataset:
    if isinstance(source, triptych_data.Dataset):
        return source

    def show(done: int, total: int) -> None:
        lesson.pause()
        lesson.progress("Looking at photos", done, total)

    # Photos may be read by processes that work in other folders.
    return triptych_data.open(Path(source).absolute(), progress=show)


def _study(
    data: triptych_data.Dataset,
    extractors: list[features.Extractor],
    options: EngineOptions,
    lesson: Lesson,
) -> Material:
    train, val = data.train, data.val
    if not val:
        train, val = triptych_data.split(train, share=HELD_OUT_SHARE, seed=lesson.seed)
    photos = [*train, *val]
    store = features.FeatureStore(options.home / "features.sqlite")
    extract = functools.partial(
        features.extract, store=store, stop=lesson.stop, compute=lesson.compute
    )
    vectors = extract(photos, extractors, progress=_stage(lesson, "Computing features"))
    return Material(
        classes=data.classes,
        train=[own[: len(train)] for own in vectors],
        views=_views(train, extractors, extract, lesson) or [own[:0] for own in vectors],
        train_truth=np.array([photo.label for photo in train]),
        folds=triptych_data.folds(train, FOLDS, seed=lesson.seed),
        train_photos=train,
        val=[own[len(train) :] for own in vectors],
        val_truth=np.array([photo.label for photo in val]),
        val_photos=val,
    )


def _views(
    train: Sequence[triptych_data.Photo],
    extractors: list[features.Extractor],
    extract: Callable[..., list[Array]],
    lesson: Lesson,
) -> list[Array]:
    names = [name for name in augment.of(lesson.augment) if name != augment.PLAIN]
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
    rows: list[zoo.Backbone], options: EngineOptions, lesson: Lesson, workshop: convert.Workshop
) -> list[features.Extractor]:
    own = _own_weights(lesson)
    with ThreadPoolExecutor(1) as pool:
        # It takes seconds and is wanted later; here is time, while the workshop works.
        pool.submit(importlib.import_module, "sklearn.linear_model")
        return extractors.of(rows, options, own=own, workshop=workshop)


def _tune(
    folder: Path,
    before: Outcome,
    material: Material,
    options: EngineOptions,
    lesson: Lesson,
) -> Outcome:
    after = finetune.improve(
        folder, before.pupils, before.params, material, options=options, lesson=lesson
    )
    for pupil in seated(after.pupils):
        heads.judge(lesson, pupil.backbone.name, pupil.answers, material)
    heads.judge(lesson, COMMITTEE, heads.validation(after), material)
    return after


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


def _novelty(after: Outcome, material: Material) -> dict[str, ood.OODReference]:
    """What the photos look like to each member, by which it knows others.

    A network that was tuned sees them otherwise than these features say, and tells nothing.
    """
    photos = material.train_photos
    groups = np.array([photo.group for photo in photos])
    digests = np.frombuffer(b"".join(photo.digest for photo in photos), np.uint8).reshape(-1, 32)
    tuned = {record.member for record in after.records if record.kept}
    return {
        pupil.backbone.name: ood.fit(
            own, groups=groups, digests=digests, labels=material.train_truth
        )
        for pupil, own in zip(after.pupils, material.train, strict=True)
        if pupil.weight and pupil.backbone.name not in tuned
    }


def _about(
    data: triptych_data.Dataset, material: Material, after: Outcome, lesson: Lesson
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
        "doubt": after.params.to_dict() if after.params.is_fitted else None,
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
