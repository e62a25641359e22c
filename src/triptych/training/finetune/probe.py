"""Short trials before fine-tuning: whether it pays, and how long computing features takes."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path

import numpy as np

from triptych import features as extract
from triptych.training.committee import TrainedMember
from triptych.training.finetune import inputs
from triptych.training.finetune import process
from triptych.training.finetune import range_test
from triptych.training.finetune.context import FinetuneContext
from triptych.training.finetune.progress import WorkerProgress
from triptych.utils import files

# Photos that the network is trained on to see whether that pays.
TRAINING_PHOTOS = 1024
# Photos by which the time of computing features is measured.
TIMED_PHOTOS = 32


def features_s(context: FinetuneContext, member: TrainedMember) -> float:
    """Estimate how long the features of all photos take, in seconds, from a few of them."""
    extractors = context.extractors(member)
    photos = [*context.features.train_photos, *context.features.val_photos]
    first, *timed = [(photo, [True]) for photo in photos[: 1 + TIMED_PHOTOS]]
    list(extract.extract_locally([first], extractors))  # loads the network
    started = time.perf_counter()
    list(extract.extract_locally(timed, extractors))
    return (time.perf_counter() - started) * len(photos) / len(timed)


def pays(context: FinetuneContext, member: TrainedMember, augmentations: tuple[str, ...]) -> bool:
    """Whether one epoch on some of the photos lowers the loss on the held-out photos.

    It runs at the lowest learning rate, at which a step follows the gradient closely. At higher
    ones the loss rises for an epoch or two even where the whole run lowers it by far (omniglot136,
    whose frozen network classifies 171 of 299 held-out photos correctly: 177 and a higher loss at
    3e-4, 184 and a lower one at 1e-4).

    Args:
        context: The committee.
        member: The member with the frozen network.
        augmentations: Names from `augment.RANDOM`.
    """
    config = dataclasses.replace(
        context.finetune_config, epochs=1, full_size_epochs=0, rate=range_test.LEAST_RATE
    )
    trained_on = np.flatnonzero(~context.held_out)
    rng = np.random.default_rng(context.config.seed)
    trained_on = np.sort(rng.permutation(trained_on)[:TRAINING_PHOTOS])
    task = inputs.task_of(
        dataclasses.replace(context, finetune_config=config), member, augmentations
    )
    state = Path(task.folder)
    silent = dataclasses.replace(context.config, on_epoch=lambda epoch: None)
    progress = WorkerProgress(member.name, silent, context.options)
    context.options.report(
        f"Fine-tuning {member.name} on {len(trained_on):,} photos to see whether it pays"
    )
    with files.file_lock(state.with_suffix(".lock")):
        inputs.write(context, task, trained_on)
        process.run(task, progress, stop=context.config.stop, threads=context.options.threads)
    shutil.rmtree(state, ignore_errors=True)
    if context.config.stop():
        return False
    before, after = progress.curve[0], progress.curve[-1]
    pays = bool(after["loss"] < before["loss"])
    result = "pays, and goes on" if pays else "does not pay, and is left out"
    context.options.report(
        f"Fine-tuning {result}: loss {before['loss']:.4f} -> {after['loss']:.4f}, "
        f"{before['right']} -> {after['right']} of {before['photos']} held-out photos right"
    )
    return pays
