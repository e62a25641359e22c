"""The photos that a network is trained and evaluated on, as batches of inputs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from triptych.preprocessing import augment
from triptych.preprocessing import recipe
from triptych.preprocessing.recipe import Recipe
from triptych.training.finetune.task import FinetuneTask
from triptych.typing import Array
from triptych.utils import concurrency

# A random crop shows at least this share of each side.
LEAST_SHARE = 0.75
# Photos predicted at a time.
PREDICTED = 64

# Inputs (B, *size, 3), one-hot labels (B, C) and sample weights (B,).
Batch = tuple[Array, Array, Array]


@dataclass(frozen=True)
class HeldOutPhotos:
    """Photos that are not trained on, by which networks are compared.

    Args:
        inputs: At the size at which the network answers, uint8 (M, *size, 3).
        labels: Shape (M,).
    """

    inputs: Array
    labels: Array

    def predict(self, model: Any, photo_recipe: Recipe) -> Array:
        """Probabilities (M, C) of a network with the input size of a recipe."""
        chunks = np.array_split(self.inputs, math.ceil(len(self.inputs) / PREDICTED))
        return np.concatenate(
            [model.predict_on_batch(_scaled(chunk, photo_recipe)) for chunk in chunks]
        )


def _scaled(inputs: Array, photo_recipe: Recipe) -> Array:
    """Inputs of a network, scaled down from larger ones."""
    height, width = inputs.shape[1:3]
    if (height, width) != photo_recipe.size:
        whole = (0.0, 0.0, float(width), float(height))
        inputs = np.stack([recipe.cut(photo_recipe, np.asarray(photo), whole) for photo in inputs])
    return recipe.scale(photo_recipe, inputs)


class AugmentedBatches:
    """Batches of augmented training photos; the same seed gives the same batches.

    All have the same number of photos, since a network is compiled anew for each shape: the last
    one is filled up with the first photos of the epoch.

    Args:
        canvases: Photos with a margin around the network's input, uint8 (N, H, W, 3).
        labels: Shape (N,).
        task: Its batch, seed and augmentations count.
    """

    def __init__(self, canvases: Array, labels: Array, task: FinetuneTask) -> None:
        self.labels = labels
        self._canvases, self._task = canvases, task
        self._one_hot = np.eye(task.classes, dtype=np.float32)
        counts = np.bincount(labels, minlength=task.classes)
        # Balanced sample weights: photos of rarer classes weigh more.
        self._weights = len(labels) / (np.maximum(counts, 1) * (counts > 0).sum())

    def __len__(self) -> int:
        return math.ceil(len(self.labels) / self._task.config.batch)

    def plain(self, photo_recipe: Recipe) -> Iterator[Array]:
        """Inputs (B, *size, 3) of the photos in order, not augmented."""
        height, width = self._canvases.shape[1:3]
        part = recipe.window(photo_recipe, height, width)
        for start in range(0, len(self.labels), self._task.config.batch):
            canvases = self._canvases[start : start + self._task.config.batch]
            photos = [recipe.cut(photo_recipe, np.asarray(canvas), part) for canvas in canvases]
            yield recipe.scale(photo_recipe, np.stack(photos))

    def epoch(self, number: int, photo_recipe: Recipe) -> Iterator[Batch]:
        """The batches of an epoch, from 1."""
        order = np.random.default_rng((self._task.seed, number)).permutation(len(self.labels))
        batch = min(self._task.config.batch, len(order))
        order = np.resize(order, len(self) * batch)

        def prepare(indices: Array) -> Batch:
            photos = [self._augment(number, int(index), photo_recipe) for index in indices]
            labels = self.labels[indices]
            inputs = recipe.scale(photo_recipe, np.stack(photos))
            return inputs, self._one_hot[labels], self._weights[labels]

        with ThreadPoolExecutor(concurrency.cpu_count()) as pool:
            # Computed ahead, so that the network never waits.
            yield from concurrency.map_ahead(
                pool, prepare, np.split(order, len(self)), ahead=2 * concurrency.cpu_count()
            )

    def repeated(self, photo_recipe: Recipe) -> Iterator[Batch]:
        """The batches of all epochs, without end."""
        for number in itertools.count(1):
            yield from self.epoch(number, photo_recipe)

    def _augment(self, epoch: int, index: int, photo_recipe: Recipe) -> Array:
        rng = np.random.default_rng((self._task.seed, epoch, index))
        canvas = np.asarray(self._canvases[index])
        height, width = canvas.shape[:2]
        share = rng.uniform(LEAST_SHARE, 1.0)
        left, top = (rng.uniform(0, side * (1 - share)) for side in (width, height))
        part = (left, top, left + share * width, top + share * height)
        photo = recipe.cut(photo_recipe, canvas, part)
        for name in self._task.augment:
            photo = augment.RANDOM[name](photo, rng)
        return photo
