"""Saliency maps: which parts of a photo speak for a class.

There are two methods, and an explanation names the one that was used. Where a network ends in
global average pooling and a dense layer, the class activation map
(`triptych.engines.activation_maps`) is exact and costs one more forward pass at f32. For all other
networks there is occlusion (`triptych.inference.explain.occlusion`), which runs the network once
for each of 64 patches.

By its recipe, a member is shown only a part of the photo; its map lies over that part.
"""

from __future__ import annotations

import base64
import difflib
import threading
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np

from triptych import errors
from triptych.engines.activation_maps import ActivationMaps
from triptych.ensemble.rules import CASCADE
from triptych.images import heat as drawing
from triptych.inference.committee import Member
from triptych.inference.explain import heatmap_grid
from triptych.inference.explain import occlusion
from triptych.inference.member_batch import MemberBatch
from triptych.preprocessing import recipe
from triptych.results import Guess
from triptych.results import Label
from triptych.results import Verdict
from triptych.typing import Array
from triptych.typing import Float32Array
from triptych.typing import ShouldStop
from triptych.typing import UInt8Image

ACTIVATION = "class activation map"
OCCLUSION = "occlusion"
BATCH_SIZE = 8
LONGEST_PX = 960


@dataclass(frozen=True)
class SaliencyMap:
    """The map of one member for a class.

    Args:
        heat: Shape (h, w), from 0 to 1.
        box: The part of the photo that it lies over.
        method: `ACTIVATION` or `OCCLUSION`.
    """

    heat: Float32Array
    box: heatmap_grid.Box
    method: str


@dataclass(frozen=True)
class Explanation:
    """Which parts of a photo speak for a class.

    Args:
        source: Where the photo came from, as the caller named it.
        member: Whose map it is; ``None`` where it is that of the committee.
        guess: The class, and its probability in the answer that is explained.
        methods: How the map was made, by member.
        heat: Shape (h, w), from 0 to 1: little to much.
        box: The part of the upright photo that the networks are shown.
        photo: The photo, RGB.
        warning: Set if the answer is meaningless; else ``None``.
    """

    source: str
    member: str | None
    guess: Guess
    methods: Mapping[str, str]
    heat: Float32Array
    box: heatmap_grid.Box
    photo: recipe.Picture = field(repr=False, compare=False)
    warning: str | None = None

    @property
    def label(self) -> Label:
        """The class."""
        return self.guess.label

    @property
    def prob(self) -> float:
        """Its probability, in [0, 1]."""
        return self.guess.prob

    @property
    def method(self) -> str:
        """How the map was made, in words."""
        return " and ".join(dict.fromkeys(self.methods.values()))

    def overlay(self, *, longest_px: int = LONGEST_PX) -> bytes:
        """The map over the photo; a line is around the part that the networks are shown.

        Args:
            longest_px: The longer side is at most so long; it is never enlarged.

        Returns:
            The bytes of a PNG file.
        """
        photo = drawing.small(self.photo, longest_px)
        return drawing.png(
            photo, heatmap_grid.spread(self.heat, self.box, heatmap_grid.WHOLE, photo.shape[:2])
        )

    def to_dict(self) -> dict[str, Any]:
        """The explanation as the JSON object that API and page share."""
        answer: dict[str, Any] = {
            "source": self.source,
            "member": self.member,
            **self.guess.to_dict(),
            "method": self.method,
            "methods": dict(self.methods),
            "heat": [[round(float(value), 4) for value in row] for row in self.heat],
            "box": [round(side, 6) for side in self.box],
            "overlay": base64.b64encode(self.overlay()).decode(),
        }
        if self.warning:
            answer["warning"] = self.warning
        return answer

    def _repr_png_(self) -> bytes:
        """The overlay, as notebooks show it."""
        return self.overlay()


@dataclass(frozen=True)
class ExplainRequest:
    """Which class of which answer is to be explained.

    Args:
        verdict: The answer, with all classes among its guesses.
        alone: Whether it is the answer of a single member rather than the committee's.
        label: Id or name of the class; ``None`` takes the most probable one.
    """

    verdict: Verdict
    alone: bool = False
    label: str | None = None


class Explainer:
    """Makes saliency maps; keeps the networks that it opened for them.

    Args:
        pool: Runs networks.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._opened: dict[Path, ActivationMaps | None] = {}
        self._opening = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """How large the opened networks are."""
        return sum(maps.size_bytes for maps in list(self._opened.values()) if maps)

    def explain(
        self,
        batch: MemberBatch,
        photo: recipe.Picture,
        request: ExplainRequest,
        *,
        stop: ShouldStop,
    ) -> Explanation:
        """Map the evidence for a class in the first image of a batch.

        Args:
            batch: Its committee has predicted that image.
            photo: The image.
            request: What to explain.
            stop: Called from time to time: whether to give up.

        Raises:
            errors.UnknownName: There is no such class.
            errors.Stopped: ``stop`` said so.
        """
        committee, verdict = batch.committee, request.verdict
        guesses = verdict.members[0].top if request.alone else verdict.top
        guess = guesses[0]
        if request.label is not None:
            label = find_label(committee.labels, request.label)
            guess = next(guess for guess in guesses if guess.label == label)
        indices = np.flatnonzero(batch.answered[0]).tolist()
        members = [committee.members[index] for index in indices]
        maps = [self.saliency(member, photo, guess.label.index, stop=stop) for member in members]
        weights = [committee.params.weights[index] for index in indices]
        is_weighted = committee.rule in (CASCADE, "weighted") and any(weights)
        heat, box = heatmap_grid.together(
            [each.heat for each in maps],
            [each.box for each in maps],
            shares=weights if is_weighted else [1.0] * len(maps),
        )
        return Explanation(
            source=batch.images[0].source,
            member=members[0].name if request.alone else None,
            guess=guess,
            methods={member.name: each.method for member, each in zip(members, maps, strict=True)},
            heat=_positive(heat),
            box=box,
            photo=photo,
            warning=committee.warning,
        )

    def saliency(
        self, member: Member, picture: recipe.Picture, label: int, *, stop: ShouldStop
    ) -> SaliencyMap:
        """Map the evidence of one member for a class.

        Args:
            member: The member.
            picture: The photo.
            label: Index of the class.
            stop: Called from time to time: whether to give up.

        Raises:
            errors.Stopped: ``stop`` said so.
        """
        pixels = recipe.resize(member.recipe, picture)
        box = heatmap_grid.box_of(member.recipe, *recipe.size(picture))
        network = self._activation_maps(member.network) if member.network else None
        inputs = recipe.scale(member.recipe, pixels)[np.newaxis]
        maps = network.evidence(inputs) if network else None
        if maps is not None:
            evidence = maps[label]
            low, high = float(evidence.min()), float(evidence.max())
            heat = np.asarray((evidence - low) / (high - low or 1.0), np.float32)
            return SaliencyMap(heat, box, ACTIVATION)

        def probs_of(some: Sequence[UInt8Image]) -> Array:
            if stop():
                raise errors.Stopped("The request ended before the heat map was ready.")
            return member.engine.run(recipe.scale(member.recipe, np.stack(some))).probs[:, label]

        pictures = [pixels, *occlusion.covered(pixels)]
        batches = [pictures[n : n + BATCH_SIZE] for n in range(0, len(pictures), BATCH_SIZE)]
        whole, *parts = np.concatenate(list(self._pool.map(probs_of, batches)))
        worth = occlusion.worth(float(whole), np.array(parts))
        return SaliencyMap(_positive(worth), box, OCCLUSION)

    def _activation_maps(self, network: Path) -> ActivationMaps | None:
        with self._opening:
            if network not in self._opened:
                try:
                    self._opened[network] = ActivationMaps(network)
                except errors.EngineError:
                    self._opened[network] = None  # it does not end in pooling and a dense layer
            return self._opened[network]


def _positive(worth: Float32Array) -> Float32Array:
    gained = np.maximum(worth, 0)
    return np.asarray(gained / (gained.max() or 1.0), np.float32)


def find_label(labels: Sequence[Label], text: str) -> Label:
    """The class that is meant by an id or a name.

    Raises:
        errors.UnknownName: There is none; the message names some that are like it.

    Example:
        >>> find_label([Label("Egyptian cat", "n02124075", 285)], "egyptian cat").index
        285
    """
    for label in labels:
        if label.id == text:
            return label
    by_name = {label.name.casefold(): label for label in reversed(labels)}
    if text.casefold() in by_name:
        return by_name[text.casefold()]
    close = difflib.get_close_matches(text.casefold(), by_name, n=5, cutoff=0)
    raise errors.UnknownName(
        f"There is no class {text!r}; expected the id or name of one, such as "
        f"{', '.join(by_name[name].name for name in close)}."
    )
