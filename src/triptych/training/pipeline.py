"""The training flow: photos, features, heads, fit, bundle. `train` reads from top to bottom."""

from __future__ import annotations

import contextlib
import functools
import math
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from triptych import bundles
from triptych import data
from triptych import errors
from triptych.engines.conversion import backbone_graph
from triptych.engines.conversion import convert
from triptych.engines.conversion import store
from triptych.engines.options import EngineOptions
from triptych.ensemble import ood
from triptych.models import zoo
from triptych.preprocessing import augment
from triptych.training import artifacts
from triptych.training import committee as committees
from triptych.training import feature_set
from triptych.training import heads
from triptych.training import learning_curve
from triptych.training.committee import TrainedCommittee
from triptych.training.config import AUTO
from triptych.training.config import COMMITTEE
from triptych.training.config import TrainingConfig
from triptych.training.config import TrainingStage
from triptych.training.feature_set import FeatureSet
from triptych.training.finetune import advice
from triptych.training.finetune import committee as finetuning
from triptych.training.finetune.budget import MeasuredCosts
from triptych.training.finetune.committee import FinetuneResult
from triptych.training.learning_curve import CurvePoint
from triptych.typing import Notify
from triptych.utils import extras
from triptych.utils import storage
from triptych.utils.text import text

TRY_IT = "--fine-tune auto tries it, and keeps the result if it is better."


def train(
    source: str | Path | data.Dataset,
    *,
    name: str,
    options: EngineOptions,
    config: TrainingConfig = TrainingConfig(),
    publish: bool = True,
) -> bundles.Bundle:
    """Train a committee on labelled photos and write it as a bundle.

    Features are computed once for each photo and backbone; after that only heads are trained.
    Temperatures and weights are fitted on out-of-fold probabilities, and members that do not help
    are dropped. With ``config.fine_tune`` the selected backbones are trained, too; see
    `triptych.training.finetune`. Without it, a line is reported if that would probably pay.

    Args:
        source: A folder per class, ``train/`` and ``val/`` folders of those, a zip of either, a CSV
            with the columns ``path`` and ``label``, or an open data set.
        name: Name of the bundle.
        options: Home folder, and how networks run.
        config: Backbones, head, fine-tuning, seed, progress.
        publish: Serve the new version from now on; otherwise the served version stays the same.

    Raises:
        errors.SourceError: There are no classes of photos in the source.
        errors.SettingError: The name cannot be used, backbones and files of weights do not match,
            TensorFlow is needed and not installed, or the photos may have any number of classes,
            and something is configured that is for one class only.
        errors.WeightsMissing: A backbone's weights have to be fetched first.
        errors.Stopped: ``config.stop`` returned true; features computed so far are kept.

    Source: Yosinski et al., "How transferable are features in deep neural networks?", 2014.
    """
    backbones = check(name, config, options.home)
    started = time.perf_counter()
    with convert.Converter(options.report) as converter:
        _build_ahead(backbones, config, converter)
        dataset = _open(source, config, options.report)
        check_multilabel(dataset.multilabel, config)
        features = feature_set.compute(dataset, backbones, options, config, converter)
        heads_started = time.perf_counter()
        frozen = committees.train(features, backbones, config)
        heads_s = (time.perf_counter() - heads_started) / len(backbones)
        config.raise_if_stopped()

        states: list[Path] = []

        def fill(folder: Path) -> dict[str, Any]:
            curve, conversion_s = _save_models(folder, frozen, features, config, converter)
            result = _fine_tuned(
                folder,
                frozen,
                features,
                options=options,
                config=config,
                converter=converter,
                measured=MeasuredCosts(heads_s, conversion_s),
                deadline=started + (config.budget_s or math.inf),
            )
            states.extend(result.states)
            config.progress(TrainingStage.BUNDLE, 0, 1)
            committees.oof_predictions(features, frozen, result.committee).save(folder)
            contents = artifacts.Contents(
                name=name,
                dataset=dataset,
                features=result.features,
                committee=result.committee,
                reports=result.reports,
                references=_ood_references(result),
                curve=curve,
                config=config,
                seconds=time.perf_counter() - started,
            )
            return artifacts.write(folder, contents)

        bundle = bundles.write(options.home, name, fill, publish=publish)
        for state in states:
            shutil.rmtree(state, ignore_errors=True)
        config.progress(TrainingStage.BUNDLE, 1, 1)
        return bundle


def check(name: str, config: TrainingConfig, home: Path | None = None) -> list[zoo.Backbone]:
    """Refuse an impossible configuration at once, before anything takes time.

    Args:
        name: Name of the bundle.
        config: What to train, and how.
        home: Home folder, where backbones from files are; ``None`` for the zoo alone.

    Returns:
        The backbones to train.

    Raises:
        errors.UnknownName: No such backbone, head or augmentation.
        errors.SettingError: The name cannot be used, backbones and files of weights do not match,
            a backbone that cannot be fine-tuned is to be, or TensorFlow is needed and not
            installed.
    """
    bundles.check_name(name)
    augment.of(config.augment)
    heads.check(config.head)
    if config.fine_tune not in (True, False, AUTO):
        raise errors.SettingError(
            f"fine_tune is {config.fine_tune!r}; expected true, false or {AUTO!r}."
        )
    if config.budget_s is not None:
        if not config.fine_tune:
            raise errors.SettingError(
                "A budget is for fine-tuning, and fine_tune is off. Turn fine-tuning on, or leave "
                "the budget out."
            )
        if not 0 < config.budget_s < math.inf:
            raise errors.SettingError(
                f"budget_s is {config.budget_s}; expected a number of seconds above 0."
            )
    check_multilabel(config.multilabel or None, config)
    extras.require(text("Training a committee"), "keras", "scipy", "threadpoolctl", extra="teach")
    if config.fine_tune:
        extras.require(text("Fine-tuning"), "tensorflow", extra="tensorflow")
    rows = [zoo.find(backbone_name, home) for backbone_name in config.backbones]
    backbones = {backbone.name: backbone for backbone in rows}
    if not backbones:
        raise errors.SettingError("No backbone was named; expected at least one, such as lite0.")
    fixed = [backbone.name for backbone in backbones.values() if backbone.network]
    if set(map(zoo.normalize, config.weights)) & set(map(zoo.normalize, fixed)):
        raise errors.SettingError(
            f"There is a file of weights for {', '.join(fixed)}, which was added from a file that "
            "has its own. Leave that out."
        )
    for backbone_name in config.weights_by_backbone:
        if backbone_name not in backbones:
            raise errors.SettingError(
                f"There is a file of weights for {backbone_name}, and {backbone_name} is not among "
                f"the backbones to train: {', '.join(backbones)}. Name it there, too, or leave the "
                "file out."
            )
    if fixed and config.fine_tune:
        raise errors.SettingError(
            f"{', '.join(fixed)} cannot be fine-tuned: a backbone that was added from a file is a "
            "graph without layers that could be trained. Train without fine-tuning, or fine-tune "
            "it where it comes from, and add the result."
        )
    return list(backbones.values())


def check_multilabel(multilabel: bool | None, config: TrainingConfig) -> None:
    """Refuse what is not for photos with any number of classes, and what is for them only.

    Args:
        multilabel: Whether they are; ``None`` while that is not known.
        config: What to train, and how.

    Raises:
        errors.SettingError: The configuration is for other photos; the message says what to change.
    """
    if multilabel and config.head != "linear":
        raise errors.SettingError(
            text(
                "The photos may have any number of classes (multi-label), for which there is the "
                "head 'linear' only, a logistic regression per class. Leave the head {head!r} out.",
                head=config.head,
            )
        )
    if multilabel and config.fine_tune:
        raise errors.SettingError(
            text(
                "The photos may have any number of classes (multi-label), and fine-tuning is for "
                "photos with exactly one. Leave fine_tune out."
            )
        )
    if config.label_precision is None:
        return
    if multilabel is False:
        raise errors.SettingError(
            text(
                "A precision of labels is for photos that may have any number of classes, and "
                "these have exactly one. Leave label_precision out, or set multilabel."
            )
        )
    if not 0 < config.label_precision <= 1:
        raise errors.SettingError(
            text(
                "label_precision is {precision}; expected a share above 0, such as 0.95.",
                precision=config.label_precision,
            )
        )


def _fine_tuned(
    folder: Path,
    frozen: TrainedCommittee,
    features: FeatureSet,
    *,
    options: EngineOptions,
    config: TrainingConfig,
    **more: Any,
) -> FinetuneResult:
    """Fine-tune if requested, or report that it would pay; ``more`` goes to `improve`."""
    if features.multilabel:
        return FinetuneResult(frozen, features)
    in_folds = features.in_folds
    estimate = advice.advise(
        frozen.combine([member.fit.out_of_fold[in_folds] for member in frozen.members]),
        features.train_targets[in_folds],
        held_out=advice.held_out_photos(features.folds),
    )
    if estimate.pays and not config.fine_tune:
        options.report(f"Fine-tuning would probably pay: {estimate.reason}. {TRY_IT}")
    if config.fine_tune == AUTO and not estimate.pays:
        options.report(f"Fine-tuning is left out: {estimate.reason}.")
    if not config.fine_tune or (config.fine_tune == AUTO and not estimate.pays):
        return FinetuneResult(frozen, features)
    result = finetuning.improve(folder, frozen, features, options=options, config=config, **more)
    if result.reports:
        for member in result.committee.selected:
            committees.report_score(member.name, member.val_probs, features, config)
        committees.report_score(COMMITTEE, result.committee.val_probs, features, config)
    return result


def _build_ahead(
    backbones: Sequence[zoo.Backbone], config: TrainingConfig, converter: convert.Converter
) -> None:
    """Let the converter's process build networks while this one decodes photos."""
    for backbone in backbones:
        if backbone.network:
            continue
        with contextlib.suppress(errors.WeightsMissing):  # raised where they are needed
            weights = store.weights_of(backbone, config.weights_by_backbone)
            converter.build(backbone.name, weights)


def _open(
    source: str | Path | data.Dataset, config: TrainingConfig, report: Notify
) -> data.Dataset:
    """Open the data set, and report classes whose photos are nearly all faulty."""

    def progress(done: int, total: int) -> None:
        config.raise_if_stopped()
        config.progress(TrainingStage.SCAN, done, total)

    if isinstance(source, data.Dataset):
        dataset = source
    else:
        if not storage.is_url(str(source)):
            # Absolute, since photos may be read by processes that work in other folders.
            source = Path(source).absolute()
        dataset = data.open(
            source,
            format=config.format,
            multilabel=config.multilabel,
            progress=progress,
            limits=config.limits,
        )
    for finding in dataset.findings:
        if finding.kind == "faulty_class":
            report(finding.message)
    return dataset


def _save_models(
    folder: Path,
    committee: TrainedCommittee,
    features: FeatureSet,
    config: TrainingConfig,
    converter: convert.Converter,
) -> tuple[tuple[CurvePoint, ...], float]:
    """Write each member as ``model.keras`` and as the engine's network.

    Of a backbone that was added there is no Keras model, only the network.

    Returns:
        The learning curve, which is computed meanwhile, and the seconds for each member. There is
        no curve where photos may have any number of classes: it is drawn by photos per class.
    """
    started, jobs = time.perf_counter(), []
    for member in committee.selected:
        target = folder / "members" / member.name
        if member.backbone.network:
            backbone_graph.with_head(member.backbone.network, member.fit.head, target)
            continue
        head_file = folder / f"{member.name}.npz"
        member.fit.head.save(head_file)
        weights = store.weights_of(member.backbone, config.weights_by_backbone)
        jobs.append(convert.ConversionJob(member.name, str(weights), str(target), str(head_file)))
    with ThreadPoolExecutor(1) as pool:
        conversion = pool.submit(converter.run, jobs)
        curve = (
            ()
            if features.multilabel
            else learning_curve.compute(features, committee.members, config)
        )
        conversion.result()
    for job in jobs:
        Path(str(job.head)).unlink()
    return curve, (time.perf_counter() - started) / len(committee.selected)


def _ood_references(result: FinetuneResult) -> dict[str, ood.OODReference]:
    """Training features by member, with which out-of-distribution photos are recognised.

    In the features of a fine-tuned network, the photos it was trained on lie closer together than
    new photos lie to them. So the usual distances are measured on held-out photos.
    """
    features, photos = result.features, result.features.train_photos
    fit = functools.partial(
        ood.fit,
        groups=np.array([photo.group for photo in photos]),
        digests=np.frombuffer(b"".join(p.digest for p in photos), np.uint8).reshape(-1, 32),
        labels=features.train_targets,
    )
    tuned = {report.member for report in result.reports if report.kept}
    return {
        member.name: fit(array, typical=result.held_out if member.name in tuned else None)
        for member, array in zip(result.committee.members, features.train, strict=True)
        if member.weight
    }
