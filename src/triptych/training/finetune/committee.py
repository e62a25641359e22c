"""Fine-tuning a committee: select the members, tune them, and fit the committee again.

The validation photos, on which the report is based, are not used for any decision. Everything, the
temperature and the weights included, is decided on photos that are held out of the training photos.
Finished epochs are kept below ``home/tuning`` until the bundle is written, so that killed training
resumes from there.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych.engines.conversion import convert
from triptych.engines.options import EngineOptions
from triptych.training import committee as committees
from triptych.training.committee import TrainedCommittee
from triptych.training.committee import TrainedMember
from triptych.training.config import AUTO
from triptych.training.config import TrainingConfig
from triptych.training.feature_set import FeatureSet
from triptych.training.finetune import augmentations as random_changes
from triptych.training.finetune import budget
from triptych.training.finetune import decisions
from triptych.training.finetune import member as member_finetuning
from triptych.training.finetune import member_heads
from triptych.training.finetune import pace
from triptych.training.finetune import probe
from triptych.training.finetune.context import FinetuneContext
from triptych.training.finetune.member import FinetunedMember
from triptych.training.finetune.report import FinetuneReport
from triptych.training.finetune.task import FinetuneConfig
from triptych.typing import Array
from triptych.utils import files

# How long unfinished fine-tuning is kept.
STATE_LIFE_S = 30 * 24 * 3600


@dataclass(frozen=True)
class FinetuneResult:
    """A committee after fine-tuning.

    Args:
        committee: Unchanged if no member became better.
        features: Those of the fine-tuned networks for members that were replaced.
        reports: One for each member that was fine-tuned.
        held_out: Which training photos no fine-tuned network was trained on, bool, shape (N,).
        states: Folders of finished epochs, to be removed once the bundle is written.
    """

    committee: TrainedCommittee
    features: FeatureSet
    reports: Sequence[FinetuneReport] = ()
    held_out: Array | None = None
    states: Sequence[Path] = ()


def improve(
    folder: Path,
    committee: TrainedCommittee,
    features: FeatureSet,
    *,
    options: EngineOptions,
    config: TrainingConfig,
    converter: convert.Converter,
    measured: budget.MeasuredCosts,
    deadline: float,
    finetune_config: FinetuneConfig = FinetuneConfig(),
) -> FinetuneResult:
    """Fine-tune the selected members of a bundle that is being written, the cheapest first.

    When ``config.stop`` returns true, the best epoch so far is the result. With ``"auto"``, no
    further members are tuned as soon as fine-tuning does not pay for one.

    Args:
        folder: The bundle's folder, with ``members/`` in it.
        committee: With frozen backbones.
        features: Features of its photos.
        options: How networks run.
        config: Seed, progress, stop.
        converter: Converts the fine-tuned networks.
        measured: What training has cost so far.
        deadline: When the bundle must be finished, in seconds of `time.perf_counter`, or infinity;
            it limits which members are fine-tuned, and for how many epochs.
        finetune_config: Epochs and learning rate.

    Raises:
        errors.SettingError: There are too few photos to hold some out.
        errors.EngineError: Training failed.
    """
    held_out = decisions.held_out_fold(features.folds, features.train_targets)
    files.sweep(options.home / pace.FOLDER, life_s=STATE_LIFE_S)
    context = FinetuneContext(
        folder, features, held_out, options, config, converter, finetune_config
    )
    members, train, val = list(committee.members), list(features.train), list(features.val)
    selected = [index for index, member in enumerate(members) if member.weight]
    selected.sort(key=lambda index: members[index].cost)
    frozen_heads = {}
    for index in selected:
        members[index], frozen_heads[index] = member_heads.without_held_out(
            context, members[index], train[index]
        )
    first, is_auto, planner = selected[0], config.fine_tune == AUTO, None
    augmentations = random_changes.measure(
        context, members[first], frozen_heads[first], train[first]
    )
    if deadline < math.inf:
        features_s = probe.features_s(context, members[first])
        measured = dataclasses.replace(measured, features_s=features_s)
        costs = {members[index].name: members[index].cost for index in selected}
        planner = budget.Planner(costs, deadline, measured, options.report)
    elif is_auto and not probe.pays(context, members[first], augmentations):
        return FinetuneResult(committee, features)
    finetuned = list[FinetunedMember]()
    for index in selected:
        if config.stop() or (is_auto and not all(each.report.kept for each in finetuned)):
            break
        result = member_finetuning.improve(context, members[index], augmentations, planner)
        if result is not None:
            finetuned.append(result)
            if result.report.kept:
                members[index], train[index], val[index] = result.member, result.train, result.val
    reports = [each.report for each in finetuned]
    if any(report.kept for report in reports):
        committee = _refitted(members, selected, features.train_targets, held_out)
        features = dataclasses.replace(features, train=train, val=val)
        for member in members:
            if not member.weight:
                shutil.rmtree(folder / "members" / member.name, ignore_errors=True)
    return FinetuneResult(
        committee, features, reports, held_out, [each.state for each in finetuned]
    )


def _refitted(
    members: list[TrainedMember], selected: list[int], targets: Array, held_out: Array
) -> TrainedCommittee:
    """Fit the committee on the held-out photos, which no member was trained on."""
    refitted = committees.fit_committee(
        [members[index] for index in selected],
        [members[index].fit.out_of_fold[held_out] for index in selected],
        targets[held_out],
    )
    for index, member in zip(selected, refitted.members, strict=True):
        members[index] = member
    return TrainedCommittee(members, refitted.params)
