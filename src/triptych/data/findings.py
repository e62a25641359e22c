"""Findings about a dataset, made once all of its photos are scanned."""

from __future__ import annotations

import statistics
from collections import Counter
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

from triptych import errors
from triptych.data import near
from triptych.data.layout import Item
from triptych.data.records import KINDS
from triptych.data.records import Finding
from triptych.data.scan import ScannedPhoto
from triptych.images.quality import MOST_BLURRED
from triptych.utils.formatting import counted
from triptych.utils.text import text

FEW_PHOTOS = 5
MUCH_LARGER = 5
# A tiny photo has a shorter side below this, and one so many times below the median of its set.
TINY_PX = 64
TIMES_SMALLER = 4
# Photos are called blurred only if a quarter of all photos are as sharp as this.
SHARP_SET = 2 * MOST_BLURRED
# A property of a larger share of all photos is not reported for each photo.
MOST_ALIKE = 0.5
# From this share of faulty photos on, a class is called faulty.
WHOLE_CLASS = 0.9
QUALITY_ADJECTIVES = {
    "blank": text("blank"),
    "dark": text("nearly black"),
    "bright": text("nearly white"),
    "blurred": text("blurred"),
    "tiny": text("tiny"),
}
QUALITY_MESSAGES = {
    "blank": text("Blank: one colour, or hardly more. Nothing can be learned from that."),
    "dark": text("Nearly black: hardly a pixel reaches a quarter of full brightness."),
    "bright": text("Nearly white: hardly a pixel stays below three quarters of full brightness."),
    "blurred": text("Blurred: no sharp edge anywhere, unlike the other photos."),
    "tiny": text("Tiny beside the other photos: enlarged for the networks, it shows little."),
}


@dataclass(frozen=True)
class GroupedPhoto:
    """A readable photo among all others.

    Args:
        item: Its file, class and side.
        scanned: Its digest and sketch.
        group: Number of its group; copies have the same one.
    """

    item: Item
    scanned: ScannedPhoto
    group: int


def grouped(pairs: Sequence[tuple[Item, ScannedPhoto]]) -> list[GroupedPhoto]:
    """Photos with the numbers of their groups, which do not depend on the files' names."""
    if not pairs:
        return []
    unique = {scanned.digest: scanned.sketch for _, scanned in pairs}
    digests = sorted(unique)
    numbers = near.groups([unique[digest] for digest in digests]).tolist()
    by_digest = dict(zip(digests, numbers, strict=True))
    return [GroupedPhoto(item, scanned, by_digest[scanned.digest]) for item, scanned in pairs]


def of_photos(
    pairs: Sequence[tuple[Item, ScannedPhoto]],
) -> tuple[list[GroupedPhoto], list[Finding]]:
    """Group photos with their copies, and list what is odd about single photos and copies."""
    alike = grouped(pairs)
    photos, of_bursts = bursts(alike)
    return photos, [
        *of_bursts,
        *odd_formats(photos),
        *guessed_depths(photos),
        *copies(photos),
        *conflicts(alike),  # also between a burst and other classes
        *quality(photos),
    ]


def unreadable(failures: Iterable[tuple[Item, errors.TriptychError]]) -> Iterator[Finding]:
    """Files that are not photos, grouped by the reason."""
    yield from _by_message(
        "unreadable", ((error.message, item.file.source) for item, error in failures)
    )


def odd_formats(photos: Iterable[GroupedPhoto]) -> Iterator[Finding]:
    """Photos of another format than their names say."""
    yield from _by_message(
        "odd_format",
        (
            (
                text(
                    "The content is {odd_format}; read as that.",
                    odd_format=photo.scanned.odd_format,
                ),
                photo.item.file.source,
            )
            for photo in photos
            if photo.scanned.odd_format
        ),
    )


def guessed_depths(photos: Iterable[GroupedPhoto]) -> Iterator[Finding]:
    """Photos whose files do not say which pixel value is white."""
    yield from _by_message(
        "guessed_depth",
        (
            (
                text(
                    "The file does not say which value is white, so its values decided: "
                    "{depth_guess}.",
                    depth_guess=photo.scanned.depth_guess,
                ),
                photo.item.file.source,
            )
            for photo in photos
            if photo.scanned.depth_guess
        ),
    )


def _by_message(kind: str, pairs: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    by_message: defaultdict[str, list[str]] = defaultdict(list)
    for message, source in pairs:
        by_message[message].append(source)
    for message, sources in by_message.items():
        yield Finding(kind, message, tuple(sorted(sources)))


def copies(photos: Iterable[GroupedPhoto]) -> Iterator[Finding]:
    """Photos with copies, in both train and val or in one class of one side."""
    for group in _groups(photos):
        if len({photo.item.side for photo in group}) > 1:
            yield _finding(
                "leak",
                text(
                    "The same photo, or nearly, is in train and in val. Left out of train, "
                    "because val is for photos that were not trained on."
                ),
                group,
            )
        elif len({photo.item.all_labels for photo in group}) == 1:
            yield from _duplicates(group)


def conflicts(photos: Iterable[GroupedPhoto]) -> Iterator[Finding]:
    """Photos with copies in other classes."""
    for group in _groups(photos):
        labels = sorted({photo.item.label for photo in group})
        if len(labels) < 2:
            continue
        if group[0].item.labels is None:
            message = text(
                "The same photo, or nearly, is under several classes: {labels}. All are "
                "kept; remove the wrong ones.",
                labels=", ".join(labels),
            )
        else:
            sets = ", ".join(label or "no class" for label in labels)
            message = text(
                "The same photo, or nearly, has different classes: {sets}. All are kept; "
                "give the copies the same ones.",
                sets=sets,
            )
        yield _finding("label_conflict", message, group)


def _groups(photos: Iterable[GroupedPhoto]) -> Iterable[list[GroupedPhoto]]:
    by_group: defaultdict[int, list[GroupedPhoto]] = defaultdict(list)
    for photo in photos:
        by_group[photo.group].append(photo)
    return by_group.values()


def _duplicates(group: list[GroupedPhoto]) -> Iterator[Finding]:
    same: defaultdict[bytes, list[GroupedPhoto]] = defaultdict(list)
    for photo in group:
        same[photo.scanned.digest].append(photo)
    for equal in same.values():
        if len(equal) > 1:
            yield _finding(
                "exact_duplicate",
                text("The same file several times. All are kept, and held out together."),
                equal,
            )
    if len(same) > 1:
        yield _finding(
            "near_duplicate",
            text(
                "Nearly the same photo: resized, compressed again or similar. All are kept, "
                "and held out together."
            ),
            group,
        )


def bursts(photos: Sequence[GroupedPhoto]) -> tuple[list[GroupedPhoto], list[Finding]]:
    """Split groups of near-duplicates that cover a whole class, such as frames of a fixed camera.

    If all photos of a class were one group, they could never be held out; and if each were in a
    group with a photo in val, the class could not be trained. Exact copies stay together.

    Returns:
        The photos, with new groups, and a finding for each such class.
    """
    in_val = {photo.group for photo in photos if photo.item.side == "val"}
    digests_in_val = {photo.scanned.digest for photo in photos if photo.item.side == "val"}
    by_label: defaultdict[str, list[GroupedPhoto]] = defaultdict(list)
    for photo in photos:
        if photo.item.side == "train" and photo.scanned.digest not in digests_in_val:
            for name in photo.item.all_labels:
                by_label[name].append(photo)
    reported, apart = [], set[bytes]()
    for name, of_class in by_label.items():
        kept = [photo for photo in of_class if photo.group not in in_val]
        groups = {photo.group for photo in kept or of_class}
        if not kept:
            what = text(
                "All training photos of {name!r} are nearly the same as photos in val", name=name
            )
        elif len(groups) == 1 and len({photo.scanned.digest for photo in kept}) > 1:
            what = text(
                "All photos of {name!r} are nearly alike, like frames of one film", name=name
            )
        else:
            continue
        apart |= {
            photo.scanned.digest
            for photo in photos
            if name in photo.item.all_labels and photo.group in groups
        }
        reported.append(
            Finding(
                "burst",
                text(
                    "{what}. Some are held out anyway, so the figures of this class hold for "
                    "such photos, not for other ones. Add photos of another place or time.",
                    what=what,
                ),
            )
        )
    free = 1 + max((photo.group for photo in photos), default=0)
    numbers = {digest: free + n for n, digest in enumerate(sorted(apart))}
    regrouped = [
        replace(photo, group=numbers.get(photo.scanned.digest, photo.group)) for photo in photos
    ]
    return regrouped, reported


def _finding(kind: str, message: str, photos: Iterable[GroupedPhoto]) -> Finding:
    return Finding(kind, message, tuple(sorted(photo.item.file.source for photo in photos)))


def sizes(
    train: Sequence[GroupedPhoto], classes: Sequence[str], *, multilabel: bool = False
) -> Iterator[Finding]:
    """Classes with few photos, or with far fewer than others.

    In a multi-label data set each class is told from the photos that lack it: those can be too few,
    too, and another class's number of photos does not matter.
    """
    counts = Counter(name for photo in train for name in photo.item.all_labels)
    for name in classes:
        if counts[name] < FEW_PHOTOS:
            yield Finding(
                "small_class",
                text(
                    "{name!r} has {photos} for training. Expect poor results with fewer than "
                    "{few_photos}; add some.",
                    name=name,
                    photos=_photos(counts[name]),
                    few_photos=FEW_PHOTOS,
                ),
            )
        elif multilabel and len(train) - counts[name] < FEW_PHOTOS:
            yield Finding(
                "small_class",
                text(
                    "Photos without {name!r} for training: {count}. Expect poor results with fewer "
                    "than {few_photos}; add some.",
                    count=len(train) - counts[name],
                    name=name,
                    few_photos=FEW_PHOTOS,
                ),
            )
    if not counts or multilabel:
        return
    (largest, most), (smallest, least) = (counts.most_common()[end] for end in (0, -1))
    if most > MUCH_LARGER * least:
        yield Finding(
            "imbalance",
            text(
                "{largest!r} has {most} for training, {smallest!r} has {least}: more than "
                "{much_larger} to 1. Answers will lean towards {largest!r}.",
                largest=largest,
                most=_photos(most),
                smallest=smallest,
                least=least,
                much_larger=MUCH_LARGER,
            ),
        )


def quality(photos: Sequence[GroupedPhoto]) -> Iterator[Finding]:
    """Photos that show too little, and classes that consist of such photos.

    A property of most photos is no fault of single ones: if most are nearly black or white, there
    is one finding for all of them, and if most are blurred, none.
    """
    problems = _problems(photos)
    by_kind = Counter(problems.values())
    for kind, count in by_kind.items():
        if kind in ("dark", "bright") and count > MOST_ALIKE * len(photos):
            yield Finding(
                kind,
                text(
                    "{count:,} of {photos} are {what}. If that is not intended, "
                    "they were exported wrongly.",
                    count=count,
                    photos=_photos(len(photos)),
                    what=QUALITY_ADJECTIVES[kind],
                ),
            )
            continue
        sources = (photos[index].item.file.source for index in problems if problems[index] == kind)
        yield Finding(kind, QUALITY_MESSAGES[kind], tuple(sorted(sources)))
        members = Counter(name for photo in photos for name in photo.item.all_labels)
        faulty = Counter(
            name
            for index in problems
            if problems[index] == kind
            for name in photos[index].item.all_labels
        )
        for label, number in faulty.items():
            if number > 1 and number >= WHOLE_CLASS * members[label]:
                yield Finding(
                    "faulty_class",
                    text(
                        "{number:,} of {photos} of {label!r} are {what}. The class "
                        "would be recognised by that, not by what it shows; replace these photos.",
                        number=number,
                        photos=_photos(members[label]),
                        label=label,
                        what=QUALITY_ADJECTIVES[kind],
                    ),
                )


def _problems(photos: Sequence[GroupedPhoto]) -> dict[int, str]:
    """What is wrong with photos, by their positions."""
    measured = {n: q for n, photo in enumerate(photos) if (q := photo.scanned.quality)}
    if not photos:
        return {}
    usual_px = statistics.median(min(photo.scanned.size) for photo in photos)
    sharp = sorted(q.sharpness for q in measured.values() if q.problem in (None, "blurred"))
    usual_sharpness = sharp[3 * len(sharp) // 4] if sharp else 0.0
    problems = {}
    for number, photo in enumerate(photos):
        side, figures = min(photo.scanned.size), measured.get(number)
        problem = figures.problem if figures else None
        if problem == "blurred" and usual_sharpness < SHARP_SET:
            problem = None
        if problem is None and side < TINY_PX and TIMES_SMALLER * side <= usual_px:
            problem = "tiny"
        if problem:
            problems[number] = problem
    return problems


def _photos(count: int) -> str:
    return counted(count, "photo")


def empty(names: Iterable[str], val: Sequence[GroupedPhoto]) -> Iterator[Finding]:
    """Classes without training photos, including those whose photos are all in val."""
    counts = Counter(name for photo in val for name in photo.item.all_labels)
    for name in names:
        message = text("{name!r} has no photos for training. Left out.", name=name)
        if counts[name]:
            message = text(
                "{name!r} has no photos for training. Left out, and its {photos} in val too.",
                name=name,
                photos=_photos(counts[name]),
            )
        yield Finding("empty_class", message)


def universal(names: Iterable[str]) -> Iterator[Finding]:
    """Classes of a multi-label data set that every training photo has."""
    for name in sorted(names):
        yield Finding(
            "universal_class",
            text(
                "Every photo for training has {name!r}, so there is nothing to tell it from. "
                "Left out; add photos without it.",
                name=name,
            ),
        )


def unlabelled(photos: Iterable[GroupedPhoto]) -> Iterator[Finding]:
    """Photos of a multi-label data set that have no class."""
    without = [photo for photo in photos if not photo.item.all_labels]
    if without:
        message = text("Without a class: taken for photos in which none of the classes holds.")
        yield _finding("unlabelled", message, without)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings sorted by kind, then by their files."""
    return tuple(
        sorted(
            findings,
            key=lambda finding: (KINDS.index(finding.kind), finding.message, finding.sources),
        )
    )
