"""Fine-tuning one member: train its network, fit a new head, and replace the member if that helps.

The network is fine-tuned in a separate process (`worker`) on the training photos, some of which are
held out: at a smaller input size first and at its full size last. Then a head is fitted to the
tuned network's features of all photos. The held-out photos decide everything: the best epoch, the
head's penalty, whether it or the head that was trained with the network is better, and whether the
fine-tuned member replaces the frozen one.
"""

from __future__ import annotations

import functools
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from triptych.engines.conversion import convert
from triptych.training.committee import TrainedMember
from triptych.training.config import TrainingStage
from triptych.training.finetune import budget
from triptych.training.finetune import decisions
from triptych.training.finetune import inputs
from triptych.training.finetune import losses
from triptych.training.finetune import member_heads
from triptych.training.finetune import pace
from triptych.training.finetune import process
from triptych.training.finetune import task as files_of
from triptych.training.finetune.checkpoints import Checkpoints
from triptych.training.finetune.context import FinetuneContext
from triptych.training.finetune.progress import WorkerProgress
from triptych.training.finetune.report import FinetuneMetrics
from triptych.training.finetune.report import FinetuneReport
from triptych.typing import Array
from triptych.utils import files


@dataclass(frozen=True)
class FinetunedMember:
    """A member after fine-tuning.

    Args:
        member: The frozen member if fine-tuning did not make it better.
        train: Features of the training photos by the tuned network, shape (N, F).
        val: Those of the validation photos.
        report: What fine-tuning gave.
        state: Folder of its finished epochs.
    """

    member: TrainedMember
    train: Array
    val: Array
    report: FinetuneReport
    state: Path


def improve(
    context: FinetuneContext,
    member: TrainedMember,
    augmentations: tuple[str, ...],
    planner: budget.Planner | None = None,
) -> FinetunedMember | None:
    """Fine-tune one member; if that helps, its files in the bundle are replaced.

    Args:
        context: The committee.
        member: The member with the frozen network.
        augmentations: Names from `augment.RANDOM`.
        planner: Decides how many epochs there is time for; ``None`` without a time budget.

    Returns:
        ``None`` if there was no time for it.
    """
    started = time.perf_counter()
    if planner and not planner.begin(member.name):
        return None
    context.config.progress(f"{TrainingStage.FINE_TUNING} {member.name}: preparing photos", 0, 0)
    progress = WorkerProgress(member.name, context.config, context.options)
    task = inputs.task_of(context, member, augmentations)
    state = Path(task.folder)
    with files.file_lock(state.with_suffix(".lock")):
        inputs.write(context, task, np.flatnonzero(~context.held_out))
        plan = functools.partial(planner.plan, member.name) if planner else None
        resumed = bool(Checkpoints(state).epochs)
        process.run(
            task, progress, stop=context.config.stop, plan=plan, threads=context.options.threads
        )
        if not progress.curve:  # there was no time, or training was stopped
            return None
        tuned, train, val = member, np.empty(0), np.empty(0)
        if (state / files_of.TUNED).exists():
            tuned, train, val = member_heads.of_tuned_network(context, member, state)
        kept = tuned is not member and decisions.is_better(
            tuned.fit.out_of_fold[context.held_out],
            member.fit.out_of_fold[context.held_out],
            context.features.train_targets[context.held_out],
        )
        if kept:
            _replace_model(context, tuned, state)
    ended = time.perf_counter()
    if not (resumed or context.config.stop()):
        pace.record(
            context.options.home,
            start_s=progress.first_epoch_s - started,
            rest_s=ended - progress.first_epoch_s,
            photos=len(context.features.train_photos) + len(context.features.val_photos),
            cost=member.cost,
        )
    report = FinetuneReport(
        member=member.name,
        seconds=round(ended - started, 1),
        photos=int(context.held_out.sum()),
        before=_metrics(context, member),
        after=_metrics(context, tuned),
        kept=kept,
        augment=list(augmentations),
        **progress.to_dict(),
    )
    return FinetunedMember(tuned, train, val, report, state)


def _replace_model(context: FinetuneContext, member: TrainedMember, state: Path) -> None:
    target = context.folder / "members" / member.name
    member.fit.head.save(state / "head.npz")
    shutil.rmtree(target)
    context.converter.run(
        [
            convert.ConversionJob(
                member.name, str(state / files_of.TUNED), str(target), str(state / "head.npz")
            )
        ]
    )


def _metrics(context: FinetuneContext, member: TrainedMember) -> FinetuneMetrics:
    probs = member.fit.out_of_fold[context.held_out]
    correct, loss = losses.score(probs, context.features.train_targets[context.held_out])
    correct_val = member.val_probs.argmax(axis=1) == context.features.val_targets
    return FinetuneMetrics(correct / len(probs), loss, float(correct_val.mean()))
