"""The input of a fine-tuning worker: a member's task, and the photos as arrays on disk."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import numpy as np

from triptych import images
from triptych.engines.conversion import convert
from triptych.engines.conversion import store
from triptych.features import ReadablePhoto
from triptych.preprocessing import recipe
from triptych.preprocessing.recipe import Recipe
from triptych.training.committee import TrainedMember
from triptych.training.finetune import decisions
from triptych.training.finetune import pace
from triptych.training.finetune import task as files_of
from triptych.training.finetune.context import FinetuneContext
from triptych.training.finetune.task import FinetuneTask
from triptych.typing import Array
from triptych.utils import concurrency
from triptych.utils import files
from triptych.utils import storage

# The share of a training canvas's side that the network's input size takes.
WINDOW_SHARE = 0.875
# Photos decoded ahead.
AHEAD = 16


def task_of(
    context: FinetuneContext, member: TrainedMember, augmentations: tuple[str, ...]
) -> FinetuneTask:
    """The task of a member, in a folder named by a hash of all that its epochs depend on.

    So the same training resumes where it was killed, and any other one starts anew.

    Args:
        context: The committee.
        member: The member with the frozen network.
        augmentations: Names from `augment.RANDOM`.
    """
    network_recipe = member.backbone.recipe
    weights = store.weights_of(member.backbone, context.config.weights_by_backbone)
    task = FinetuneTask(
        folder="",
        model=str(context.folder / "members" / member.name / convert.MODEL),
        recipe=network_recipe.to_dict(),
        size=decisions.tuning_size(network_recipe.size, context.finetune_config.size_share),
        classes=len(context.features.classes),
        head={"kind": member.fit.head.kind, "notes": member.fit.head.notes},
        augment=augmentations,
        seed=context.config.seed,
        config=context.finetune_config,
    )
    key = hashlib.sha256(
        json.dumps(
            [
                {**dataclasses.asdict(task), "model": member.name},
                [weights.stat().st_size, weights.stat().st_mtime_ns],
                context.features.train_targets.tolist(),
                context.held_out.tolist(),
                [metadata.version(name) for name in ("triptych", "keras")],
                context.config.budget_s,
            ],
            allow_nan=False,
        ).encode()
    )
    for photo in context.features.train_photos:
        key.update(photo.digest)
    state = context.options.home / pace.FOLDER / f"{member.name}-{key.hexdigest()[:16]}"
    return dataclasses.replace(task, folder=str(state))


def write(context: FinetuneContext, task: FinetuneTask, trained_on: Array) -> None:
    """Write the photos into the folder of a task, unless an earlier run has done so.

    Args:
        context: The committee.
        task: Its folder, and the size of its network's input.
        trained_on: Positions of the training photos that the network is trained on, ascending.

    Raises:
        errors.ImageError: A photo cannot be read.
    """
    state = Path(task.folder)
    if (state / files_of.LABELS).exists():
        return
    state.mkdir(parents=True, exist_ok=True)
    photos, targets = context.features.train_photos, context.features.train_targets
    network_recipe = Recipe.from_dict(task.recipe)
    write_photos(
        [photos[int(position)] for position in trained_on],
        canvas(network_recipe),
        state / files_of.CANVASES,
    )
    evaluated_on = list(itertools.compress(photos, context.held_out))
    write_photos(evaluated_on, network_recipe, state / files_of.INPUTS)
    # Written last: its presence says that the others are complete.
    with files.atomic_file(state / files_of.LABELS) as scratch:
        np.savez(
            scratch,
            allow_pickle=False,
            train=targets[trained_on],
            holdout=targets[context.held_out],
        )


def write_photos(photos: Sequence[ReadablePhoto], photo_recipe: Recipe, path: Path) -> None:
    """Write photos as an array, uint8 (N, *size, 3).

    Args:
        photos: N photos.
        photo_recipe: How they are cropped and resized.
        path: Ends in ``.npy``.

    Raises:
        errors.ImageError: A photo cannot be read.
    """
    # One by one to disk: all of them may be more than memory holds.
    array = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.uint8, shape=(len(photos), *photo_recipe.size, 3)
    )
    for index, pixels in enumerate(_resized(photos, photo_recipe)):
        array[index] = pixels
    array.flush()


def _resized(photos: Iterable[ReadablePhoto], photo_recipe: Recipe) -> Iterator[Array]:
    enough = recipe.enough([photo_recipe])
    with ThreadPoolExecutor(concurrency.cpu_count()) as pool:
        yield from concurrency.map_ahead(
            pool,
            lambda read: recipe.resize(
                photo_recipe,
                images.decode(read(), limits=images.CHECKED_BEFORE, enough=enough),
            ),
            storage.read_ahead(photo.read for photo in photos),
            ahead=AHEAD,
        )


def canvas(network_recipe: Recipe) -> Recipe:
    """The recipe of training photos: the largest window, with a margin around the input size.

    Example:
        >>> canvas(Recipe((224, 224), "tf")).size
        (256, 256)
    """
    height, width = (round(side / WINDOW_SHARE) for side in network_recipe.size)
    return dataclasses.replace(network_recipe, size=(height, width), crop_share=1.0)
