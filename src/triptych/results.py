"""The answers of a committee: frozen records, and ``to_dict()`` as their only JSON form.

A probability stays a float in [0, 1] here and everywhere; `percent` makes percentages for people.
"""

from __future__ import annotations

import html
import warnings
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from triptych.typing import Array
from triptych.utils.formatting import percent


@dataclass(frozen=True)
class Label:
    """A class.

    Args:
        name: Its name for people, such as ``"Egyptian cat"``.
        id: Stable identifier: a WordNet id for ImageNet, the folder's name for trained classes.
        index: Position in the network's output, from 0.
    """

    name: str
    id: str
    index: int


@dataclass(frozen=True)
class Guess:
    """A label with its probability.

    Args:
        label: The class.
        prob: Its probability, in [0, 1].
    """

    label: Label
    prob: float

    def to_dict(self) -> dict[str, Any]:
        """The guess as a flat JSON object."""
        return {
            "label": self.label.name,
            "id": self.label.id,
            "index": self.label.index,
            "prob": self.prob,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Guess:
        """The guess that `to_dict` wrote."""
        return cls(Label(fields["label"], fields["id"], fields["index"]), fields["prob"])


@dataclass(frozen=True)
class MultilabelGuess(Guess):
    """A class that holds, in the answer of a multi-label committee.

    Args:
        threshold: The probability from which on it holds.
    """

    threshold: float = 0.5

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> MultilabelGuess:
        """The guess that `to_dict` wrote."""
        guess = Guess.from_dict(fields)
        return cls(guess.label, guess.prob, fields["threshold"])

    def to_dict(self) -> dict[str, Any]:
        """The guess as a flat JSON object."""
        return {**super().to_dict(), "threshold": self.threshold}


@dataclass(frozen=True)
class Prediction:
    """One member's answer to one image.

    Args:
        name: The member.
        top: Its best guesses, most probable first; never empty.
    """

    name: str
    top: tuple[Guess, ...]

    def to_dict(self) -> dict[str, Any]:
        """The prediction as a JSON object."""
        return {"name": self.name, "top": [guess.to_dict() for guess in self.top]}


@dataclass(frozen=True)
class Timing:
    """Where the time of one image went, in milliseconds.

    Members run beside each other, so the parts can add up to more than the whole.

    Args:
        decode_ms: Bytes to pixels.
        recipe_ms: Pixels to network inputs, all members.
        members_ms: Network time by member.
        total_ms: From bytes to the members' answers; of the images of a batch, an equal share.
        batch_sizes: How many images the network of each member ran at once, this one among them.
    """

    decode_ms: float
    recipe_ms: float
    members_ms: dict[str, float] = field(default_factory=dict)
    total_ms: float = 0.0
    batch_sizes: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The timing as a JSON object, rounded to microseconds."""
        return {
            "decode_ms": round(self.decode_ms, 3),
            "recipe_ms": round(self.recipe_ms, 3),
            "members_ms": {name: round(ms, 3) for name, ms in self.members_ms.items()},
            "total_ms": round(self.total_ms, 3),
        }


@dataclass(frozen=True)
class PredictionSet:
    """A set of classes that contains the true one as often as requested.

    Args:
        coverage: How often, in (0, 1).
        guesses: The classes, most probable first; never empty.
    """

    coverage: float
    guesses: tuple[Guess, ...]

    def to_dict(self) -> dict[str, Any]:
        """The set as a JSON object."""
        return {"coverage": self.coverage, "labels": [guess.to_dict() for guess in self.guesses]}


@dataclass(frozen=True)
class Similar:
    """A training photo that is near to the image.

    Args:
        digest: SHA-256 of its file, in hex.
        label: Its class; ``None`` in a multi-label data set.
        distance: Cosine distance of a network's features, 0 (alike) to 2.
        labels: All its classes in a multi-label data set, where it may have none; else ``None``.
    """

    digest: str
    label: Label | None
    distance: float
    labels: tuple[Label, ...] | None = None

    @property
    def text(self) -> str:
        """Its classes, for people: those of a multi-label data set joined as in its CSV file."""
        if self.label is not None:
            return self.label.name
        return "|".join(label.name for label in self.labels or ())

    def to_dict(self) -> dict[str, Any]:
        """The photo as a flat JSON object."""
        facts = {"digest": self.digest, "label": self.text, "distance": self.distance}
        if self.labels is not None:
            facts["labels"] = [label.name for label in self.labels]
        return facts

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Similar:
        """The photo that `to_dict` wrote: only the names of its classes; their index is -1."""
        if "labels" not in fields:
            label = Label(fields["label"], fields["label"], -1)
            return cls(fields["digest"], label, fields["distance"])
        labels = tuple([Label(name, name, -1) for name in fields["labels"]])
        return cls(fields["digest"], None, fields["distance"], labels)


SURE, UNSURE, NONE = "sure", "unsure", "none"
# Between these probabilities, whether a class of a multi-label committee holds is an open question.
OPEN = (0.25, 0.75)


@dataclass(frozen=True)
class StatusReason:
    """Why an answer is unsure, where that says nothing about the image.

    Args:
        code: ``"too_few_to_promise"`` or ``"too_many_mistakes_to_promise"``: with what was
            learned no answer can be called sure, however probable it is.
        message: The same for people, and what to do about it.
        promise: The share of sure answers that was to be right, in (0, 1).
    """

    code: str
    message: str
    promise: float

    def to_dict(self) -> dict[str, Any]:
        """The reason as a JSON object."""
        return {"code": self.code, "message": self.message, "promise": self.promise}


@dataclass(frozen=True)
class Verdict:
    """The committee's answer to one image.

    Args:
        source: Where the image came from, as the caller named it.
        rule: The combination rule that made the verdict.
        top: The combined guesses, most probable first; never empty.
        members: The answer of each member that predicted, in committee order.
        timing: Where the time went.
        warning: Set if the answer is meaningless (random weights); else ``None``.
        status: ``"sure"``: answers as probable as this are right as often as was promised;
            ``"unsure"``; ``"none"``: the image is like none of the training photos; ``None``
            where the rule was not fitted on labelled photos, so that nothing can be promised.
        status_reason: Why it is unsure, where the committee can call no answer sure; else ``None``.
        prediction_set: A set of classes that contains the true one as often as requested;
            ``None`` where that cannot be promised.
        novelty: The share of training photos that are at least as far from the others as this
            image, in (0, 1]; ``None`` where they are not known.
        skipped: Names of the members that the cascade did not need.
        reason: Why it did not need them, in words.
        similar: The nearest training photos, the nearest first, where they were asked for and
            are known.
        labels: Of a multi-label committee the classes that hold, most probable first; there may
            be none, and the probabilities in ``top`` do not sum to 1. ``None`` where the committee
            is single-label.

    Example:
        >>> cat = Guess(Label("Egyptian cat", "n02124075", 285), 0.9)
        >>> verdict = Verdict("cat.jpg", "mean", (cat,), (Prediction("A", (cat,)),), Timing(1, 1))
        >>> verdict.label.name, verdict.prob, verdict.surest
        ('Egyptian cat', 0.9, 'A')
    """

    source: str
    rule: str
    top: tuple[Guess, ...]
    members: tuple[Prediction, ...]
    timing: Timing
    warning: str | None = None
    status: str | None = None
    prediction_set: PredictionSet | None = None
    novelty: float | None = None
    skipped: tuple[str, ...] = ()
    reason: str | None = None
    similar: tuple[Similar, ...] = ()
    status_reason: StatusReason | None = None
    labels: tuple[MultilabelGuess, ...] | None = None

    @property
    def slept(self) -> tuple[str, ...]:
        """The old name of `skipped`."""
        warnings.warn("Verdict.slept is now Verdict.skipped", DeprecationWarning, stacklevel=2)
        return self.skipped

    @property
    def choice(self) -> PredictionSet | None:
        """The old name of `prediction_set`."""
        message = "Verdict.choice is now Verdict.prediction_set"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return self.prediction_set

    @property
    def label(self) -> Label:
        """The winning class."""
        return self.top[0].label

    @property
    def prob(self) -> float:
        """Probability of the winning class, in [0, 1]."""
        return self.top[0].prob

    @property
    def surest(self) -> str:
        """Name of the member with the highest probability."""
        return max(self.members, key=lambda prediction: prediction.top[0].prob).name

    @property
    def is_doubtful(self) -> bool:
        """Whether a person should review the image.

        Where no answer can be called sure, an unsure one is doubtful only if it is less probable
        than what was to be promised, or if the members disagree. A multi-label one is doubtful if
        any of the classes in ``top`` is about as likely to hold as not.
        """
        if self.labels is not None and self.status != NONE:
            return any(OPEN[0] < guess.prob < OPEN[1] for guess in self.top)
        if self.status != UNSURE or not self.status_reason:
            return self.status in (UNSURE, NONE)
        classes = {member.top[0].label.index for member in self.members}
        return self.prob < self.status_reason.promise or len(classes) > 1

    def to_dict(self) -> dict[str, Any]:
        """The verdict as the JSON object that API, page and command line share."""
        answer: dict[str, Any] = {
            "source": self.source,
            "verdict": {
                **self.top[0].to_dict(),
                "rule": self.rule,
                "surest": self.surest,
                "top": [guess.to_dict() for guess in self.top],
                "status": self.status,
                "status_reason": self.status_reason.to_dict() if self.status_reason else None,
                "set": self.prediction_set.to_dict() if self.prediction_set else None,
                "novelty": self.novelty,
                "similar": [photo.to_dict() for photo in self.similar],
                **self._labels_to_dict(),
            },
            "members": [prediction.to_dict() for prediction in self.members],
            "skipped": list(self.skipped),
            "slept": list(self.skipped),  # its name before 0.2, for programs that read it
            "reason": self.reason,
            "timing": self.timing.to_dict(),
        }
        if self.warning:
            answer["warning"] = self.warning
        return answer

    @classmethod
    def from_dict(cls, answer: Mapping[str, Any]) -> Verdict:
        """The verdict that `to_dict` wrote, such as a studio elsewhere sends it.

        Args:
            answer: One of the ``results`` of the API. It does not say the sizes of batches.

        Example:
            >>> cat = Guess(Label("Egyptian cat", "n02124075", 285), 0.9)
            >>> verdict = Verdict("a.jpg", "mean", (cat,), (Prediction("A", (cat,)),), Timing(1, 1))
            >>> Verdict.from_dict(verdict.to_dict()) == verdict
            True
        """
        verdict, coverage = answer["verdict"], answer["verdict"]["set"]

        def guesses(rows: Sequence[Mapping[str, Any]]) -> tuple[Guess, ...]:
            return tuple([Guess.from_dict(row) for row in rows])

        return cls(
            source=answer["source"],
            rule=verdict["rule"],
            top=guesses(verdict["top"]),
            members=tuple(
                [Prediction(row["name"], guesses(row["top"])) for row in answer["members"]]
            ),
            timing=Timing(**answer["timing"]),
            warning=answer.get("warning"),
            status=verdict["status"],
            prediction_set=coverage
            and PredictionSet(coverage["coverage"], guesses(coverage["labels"])),
            novelty=verdict["novelty"],
            skipped=tuple(answer["skipped"]),
            reason=answer["reason"],
            similar=tuple([Similar.from_dict(row) for row in verdict["similar"]]),
            status_reason=verdict["status_reason"] and StatusReason(**verdict["status_reason"]),
            labels=tuple([MultilabelGuess.from_dict(row) for row in verdict["labels"]])
            if "labels" in verdict
            else None,
        )

    def _labels_to_dict(self) -> dict[str, Any]:
        if self.labels is None:
            return {}
        return {"labels": [guess.to_dict() for guess in self.labels]}

    @property
    def classes(self) -> str:
        """Name of the winning class; of a multi-label committee all that hold, joined by ``|``."""
        if self.labels is None:
            return self.label.name
        return "|".join(guess.label.name for guess in self.labels)

    @property
    def answer(self) -> str:
        """The answer in words: the winning class, or all that hold, with their probabilities."""
        if self.labels is None:
            return f"{self.label.name} {percent(self.prob)}"
        named = [f"{guess.label.name} {percent(guess.prob)}" for guess in self.labels]
        return ", ".join(named) or "None of the classes"

    def _repr_html_(self) -> str:
        """The verdict as notebooks show it: the answer, how sure it is, and each member's guesses.

        Names come from people and folders, so all text is escaped.
        """
        at_best = "None of these; at best " if self.status == NONE else ""
        best = f"<strong>{at_best}{html.escape(self.label.name)}</strong> {percent(self.prob)}"
        if self.labels is not None:
            best = f"<strong>{html.escape(self.answer)}</strong>"
            best += ": unlike the training photos" if self.status == NONE else ""
        status = f" ({self.status})" if self.status in (SURE, UNSURE) else ""
        notes = [self.source, f"rule: {self.rule}, surest: {self.surest}"]
        if self.prediction_set:
            named = ", ".join(guess.label.name for guess in self.prediction_set.guesses)
            coverage = percent(self.prediction_set.coverage, None)
            notes.append(f"prediction set at {coverage}: {named}")
        if self.status_reason:
            notes.append(self.status_reason.message)
        if self.skipped:
            notes.append(f"skipped: {', '.join(self.skipped)}")
        if self.warning:
            notes.append(self.warning)
        rows = [
            f"<tr><th>{html.escape(member.name)}</th>{''.join(map(_html_cell, member.top))}</tr>"
            for member in self.members
        ]
        return (
            f"<div><p>{best}{status}<br>{'<br>'.join(map(html.escape, notes))}</p>"
            f"<table><tbody>{''.join(rows)}</tbody></table></div>"
        )


def _html_cell(guess: Guess) -> str:
    return f"<td>{html.escape(guess.label.name)} {percent(guess.prob)}</td>"


@dataclass(frozen=True)
class Failure:
    """An image that could not be classified, in the place of its verdict.

    Args:
        source: Where the image came from.
        code: Stable error code, from :mod:`triptych.errors`.
        message: The sentence a person reads.
    """

    source: str
    code: str
    message: str

    def to_dict(self) -> dict[str, Any]:
        """The failure as a JSON object."""
        return {"source": self.source, "error": {"code": self.code, "message": self.message}}

    @classmethod
    def from_dict(cls, answer: Mapping[str, Any]) -> Failure:
        """The failure that `to_dict` wrote."""
        return cls(answer["source"], answer["error"]["code"], answer["error"]["message"])


def top_guesses(
    probs: Array | Sequence[float], labels: Sequence[Label], k: int
) -> tuple[Guess, ...]:
    """The k most probable labels, most probable first; ties go to the lower index.

    Args:
        probs: One probability per label, shape (C,).
        labels: The labels, in output order, length C.
        k: How many, at least 1; values above C give C.
    """
    # Imported here, as the command line needs results before it needs NumPy.
    import numpy as np

    from triptych.utils import ranking

    array = np.asarray(probs)
    return tuple([Guess(labels[i], float(array[i])) for i in ranking.top_indices(array, k)])
