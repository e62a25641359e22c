"""What the worker process of fine-tuning gets: a task, and the files in its folder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

from triptych.preprocessing.recipe import Recipe

# Files in the folder of a task.
CANVASES = "canvases.npy"
INPUTS = "inputs.npy"
LABELS = "labels.npz"
TRAINED_HEAD = "trained_head.npz"
TUNED = "tuned.keras"


@dataclass(frozen=True)
class FinetuneConfig:
    """Hyperparameters of fine-tuning.

    Args:
        epochs: Epochs to run; the learning rate falls to 0 along half a cosine until the last.
        patience: Early stopping: epochs after which to stop if none was better than the frozen
            network.
        rate: Peak learning rate of Adam; 0 finds it by a range test.
        batch: Photos per step.
        size_share: Side of the network's input in the first epochs, as a share of the side it is
            served with, in (0, 1]; rounded to a multiple of 32 pixels.
        full_size_epochs: How many of the last epochs use the input size that the network is served
            with.
    """

    epochs: int = 6
    patience: int = 3
    rate: float = 0.0
    batch: int = 32
    size_share: float = 0.7
    full_size_epochs: int = 1


@dataclass(frozen=True)
class FinetuneTask:
    """One member to fine-tune.

    Args:
        folder: Holds ``canvases.npy``, training photos with a margin around the network's input,
            uint8 (N, H, W, 3); ``inputs.npy``, held-out photos at the size of `recipe`, uint8
            (M, *size, 3); and ``labels.npz``, ``train`` (N,) and ``holdout`` (M,). Gets a folder
            per epoch and, if an epoch improves on the frozen network, ``tuned.keras`` and its head,
            ``trained_head.npz``.
        model: Path of the member's ``.keras`` file.
        recipe: The member's recipe as JSON.
        size: (height, width) of the network's input in the epochs before those at full size.
        classes: How many classes there are.
        head: Kind and notes of the member's head; a head of the same kind is fitted to the training
            photos.
        augment: Names from `augment.RANDOM`, the random changes of photos.
        seed: Seed of everything random.
        config: Hyperparameters.
    """

    folder: str
    model: str
    recipe: dict[str, Any]
    size: tuple[int, int]
    classes: int
    head: dict[str, Any]
    augment: tuple[str, ...]
    seed: int
    config: FinetuneConfig = FinetuneConfig()

    def recipe_of_epoch(self, number: int) -> Recipe:
        """The recipe with the input size of an epoch, from 1."""
        full = Recipe.from_dict(self.recipe)
        last = number > self.config.epochs - self.config.full_size_epochs
        return full if last else replace(full, size=self.size)

    def is_full_size(self, number: int) -> bool:
        """Whether an epoch uses the input size that the network is served with."""
        return self.recipe_of_epoch(number) == Recipe.from_dict(self.recipe)

    @property
    def costs(self) -> list[float]:
        """The cost of a step in each epoch, in pixels per photo."""
        epochs = range(1, self.config.epochs + 1)
        return [float(math.prod(self.recipe_of_epoch(number).size)) for number in epochs]
