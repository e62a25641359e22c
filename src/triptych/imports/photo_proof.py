"""Which of several recipes a model was trained with, decided by labelled photos.

Each recipe classifies the same photos, so that recipes are compared by the photos which one of them
gets right and the other wrong (McNemar, "Note on the sampling error of the difference between
correlated proportions or percentages", 1947), by the exact binomial test.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from triptych import errors
from triptych import images
from triptych.data import opening
from triptych.imports.recipe import describe
from triptych.preprocessing import recipe as preprocessing
from triptych.preprocessing.recipe import Recipe
from triptych.typing import Array
from triptych.typing import UInt8Image
from triptych.utils.text import text

# More photos than that make no difference to a decision, and each recipe classifies all.
MAX_PHOTOS = 400
# How rarely chance may make a difference as large, over all comparisons together.
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class LabelledPhotos:
    """Decoded photos with the index of their class.

    Args:
        photos: RGB.
        targets: The index of the class of each.
        skipped: How many files were left out, as they are no photos or of no known class.
    """

    photos: tuple[UInt8Image, ...]
    targets: tuple[int, ...]
    skipped: int = 0


def read_photos(path: Path, labels: Sequence[str]) -> LabelledPhotos:
    """Read up to `MAX_PHOTOS` photos, spread evenly over the classes.

    Args:
        path: A folder with a folder of photos per class, a zip of one, or a CSV of paths and
            classes.
        labels: The classes of the model; case, ``_`` and ``-`` make no difference.

    Raises:
        errors.SourceError: It cannot be opened, or has no photo of these classes.
    """
    index_of = {_key(label): n for n, label in enumerate(labels)}
    by_class = defaultdict(list)
    skipped = 0
    for item in opening.layout_of(path, images.DEFAULT_LIMITS, least=1).items:
        index = index_of.get(_key(item.label))
        if index is None:
            skipped += 1
        else:
            by_class[index].append(item)
    rng = np.random.default_rng(0)
    turns = [
        (n / len(items), index, items[int(position)])
        for index, items in by_class.items()
        for n, position in enumerate(rng.permutation(len(items)))
    ]
    photos: list[UInt8Image] = []
    targets: list[int] = []
    for _, index, item in sorted(turns, key=lambda turn: turn[:2]):
        if len(photos) == MAX_PHOTOS:
            break
        try:
            photos.append(images.decode(item.file.read(), enough=preprocessing.ENOUGH_PX))
            targets.append(index)
        except errors.TriptychError:
            skipped += 1
    if not photos:
        raise errors.SourceError(
            text(
                "{path} has no photo of the model's classes, {labels}; expected a folder of "
                "photos for each, named like it.",
                path=path,
                labels=", ".join(labels[:5]),
            )
        )
    return LabelledPhotos(tuple(photos), tuple(targets), skipped)


def _key(text: str) -> str:
    return " ".join(text.casefold().replace("_", " ").replace("-", " ").split())


def mcnemar(one: Array, other: Array) -> float:
    """How probable chance alone makes two sets of answers differ as much.

    Args:
        one: Whether each photo is classified correctly, booleans of shape (N,).
        other: The same by another recipe.

    Returns:
        The two-sided p-value of the exact test.

    Example:
        >>> mcnemar(np.array([True] * 6), np.array([False] * 6))
        0.03125
    """
    wins, losses = int((one & ~other).sum()), int((other & ~one).sum())
    total = wins + losses
    tail = sum(math.comb(total, k) for k in range(min(wins, losses) + 1))
    return float(min(1.0, 2 * tail / 2**total))


def decide(
    recipes: Sequence[Recipe],
    photos: LabelledPhotos,
    classify: Callable[[Recipe, Sequence[UInt8Image]], Array],
) -> tuple[Recipe, str]:
    """The recipe by which a model classifies labelled photos best.

    Args:
        recipes: The likeliest first.
        photos: The photos.
        classify: The probabilities of photos by a recipe, shape (N, C).

    Returns:
        The recipe, and the counts as a sentence.

    Raises:
        errors.SettingError: The difference may be chance, or no recipe does better than naming the
            most frequent class; the message has the counts.
    """
    targets = np.array(photos.targets)
    right = [classify(each, photos.photos).argmax(axis=1) == targets for each in recipes]
    order = sorted(range(len(recipes)), key=lambda n: -int(right[n].sum()))
    best = order[0]
    counts = ", ".join(f"{describe(recipes[n].scaling)}: {int(right[n].sum())}" for n in order)
    counts = text(
        "of {photos} photos, the model has right by {counts}", photos=len(targets), counts=counts
    )
    frequent = int(np.bincount(targets).max())
    if right[best].sum() <= frequent:
        raise errors.SettingError(
            text(
                "The photos do not tell the recipe: {counts}; to name the most frequent "
                "class for each would have {frequent} right. Check that the labels are in "
                "the order of the outputs.",
                counts=counts,
                frequent=frequent,
            )
        )
    chances = [(mcnemar(right[best], right[n]), n) for n in order[1:]]
    chance, rival = max(chances, default=(0.0, best))
    if chance * max(1, len(chances)) > SIGNIFICANCE:
        raise errors.SettingError(
            text(
                "The photos do not tell the recipe: {counts}; between {scaling} and "
                "{scaling_2} that may be chance (p = {chance:.2g}). Give more photos, or say "
                "it with --recipe.",
                counts=counts,
                scaling=describe(recipes[best].scaling),
                scaling_2=describe(recipes[rival].scaling),
                chance=chance,
            )
        )
    return recipes[best], f"{counts} (beyond chance, p = {chance:.1g})"
