"""The one table of formats that say which classes photos have.

To add a format of documents, add a row to `FORMATS`, and a module with the two functions that it
names. Recognising it, the search for its photos, the option ``--format`` and what messages list
read the table.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

from triptych import errors
from triptych.data import coco
from triptych.data import imagefolder
from triptych.data import label_studio
from triptych.data import layout
from triptych.data import table
from triptych.data.documents import Description
from triptych.data.documents import Document
from triptych.data.documents import File
from triptych.data.documents import Row
from triptych.data.files import MAX_DEPTH
from triptych.data.files import Listing
from triptych.data.layout import Item
from triptych.data.layout import Layout
from triptych.data.records import Finding
from triptych.utils import storage
from triptych.utils.formatting import plain_text
from triptych.utils.text import text

AUTO = "auto"
FOLDERS = "folders"
# More files of one kind are one beside each photo, and no list of photos.
_MOST_DOCUMENTS = 20
_WORDS = re.compile("[a-z]+")


@dataclass(frozen=True)
class Format:
    """A format of documents that say what photos show.

    Args:
        name: For ``--format``.
        title: For people.
        suffixes: Endings of its files' names.
        matches: Whether a document is of this format, by its content or name.
        describe: Reads it.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    matches: Callable[[Document], bool]
    describe: Callable[[Document], Description]


FORMATS: tuple[Format, ...] = (
    Format("csv", "CSV", (".csv", ".tsv"), table.matches, table.describe),
    Format("coco", "COCO JSON", (".json",), coco.matches, coco.describe),
    Format(
        "label-studio",
        "Label Studio's JSON",
        (".json",),
        label_studio.matches,
        label_studio.describe,
    ),
    Format(
        "imagefolder",
        "metadata of Hugging Face's imagefolder",
        (".csv", ".jsonl", ".parquet"),
        imagefolder.matches,
        imagefolder.describe,
    ),
)
# A text file beside photos may be anything.
_TABLES = FORMATS[0].suffixes
NAMES = (AUTO, FOLDERS, *(row.name for row in FORMATS))
SUFFIXES = frozenset(suffix for row in FORMATS for suffix in row.suffixes)


def layout_of(
    listing: Listing, *, format: str = AUTO, least: int = 2, multilabel: bool = False
) -> Layout:
    """Derive classes and sides from the documents among some files, or from their folders.

    Args:
        listing: The files.
        format: A name from `NAMES`; ``"auto"`` recognises it.
        least: How many classes must have files to train on, if folders are classes.
        multilabel: Whether documents are multi-label even if no photo has several classes.

    Raises:
        errors.SettingError: There is no such format.
        errors.SourceError: There are fewer classes, or several formats fit.
    """
    if format not in NAMES:
        raise errors.SettingError(
            f"There is no format {format!r}; expected one of: {', '.join(NAMES)}."
        )
    if format == FOLDERS:
        return layout.of_folders(listing, least=least)
    problems: list[str] = []
    matching = {
        row.name: documents
        for row in FORMATS
        if format in (AUTO, row.name)
        and (documents := list(_matching(listing, row, problems, is_known=format != AUTO)))
    }
    if len(matching) > 1:
        each = [f"{name} ({documents[0].source})" for name, documents in matching.items()]
        raise errors.SourceError(
            text(
                "{name!r} can be read in several formats: {formats}. Leave the others out, or "
                "choose one with --format.",
                name=listing.name,
                formats=", ".join(each),
            )
        )
    rows = {row.name: row for row in FORMATS}
    for name, documents in matching.items():
        described = _described(listing, rows[name], documents, multilabel)
        if not described.items:
            raise errors.SourceError(
                text("No photo has a class in {document!r}.", document=documents[0].source)
            )
        if format == AUTO and not listing.is_chosen:
            _check_folders(listing, described, documents, rows[name])
        return described
    # A document that cannot be read may be the reason.
    first = problems[0] if problems else ""
    if format != AUTO or listing.is_chosen:
        what = ", ".join(row.title for row in FORMATS if format in (AUTO, row.name))
        name = listing.documents[0].source if listing.is_chosen else listing.name
        sentence = text(
            "{name!r} has nothing that can be read as {formats}.", name=name, formats=what
        )
        if first:
            sentence = text("{first} {second}", first=sentence, second=first)
        raise errors.SourceError(sentence)
    try:
        contents = layout.of_folders(listing, least=least)
    except errors.SourceError as error:
        reason = first or _why_no_table(listing)
        if not reason:
            raise
        message = text("{first} {second}", first=error.message, second=reason)
        raise errors.SourceError(message) from error
    reason = _why_no_table(listing, _TABLES) if len(contents.classes) == 1 else ""
    if reason:
        raise errors.SourceError(
            text(
                "{reason} Without that file all photos are {folder!r}, as their folder says: leave "
                "it out if they are.",
                reason=reason,
                folder=contents.classes[0],
            )
        )
    return contents


def _why_no_table(listing: Listing, suffixes: Collection[str] = table.SUFFIXES) -> str:
    """Why the CSV files among photos say nothing of their classes; empty if there is none."""
    for document in sorted(listing.documents, key=lambda document: document.source):
        if table.is_one(document) and document.suffix in suffixes:
            try:
                table.describe(document)
            except errors.SourceError as error:
                return error.message
    return ""


def _matching(
    listing: Listing, row: Format, problems: list[str], *, is_known: bool
) -> Iterator[Document]:
    """The documents of a format; why others could not be read is added to the problems."""
    candidates = [each for each in listing.documents if each.suffix in row.suffixes]
    if len(candidates) > _MOST_DOCUMENTS and not is_known:
        return
    for document in sorted(candidates, key=lambda document: document.source):
        try:
            if row.matches(document):
                yield document
        except errors.SourceError as error:
            problems.append(error.message)


def _check_folders(
    listing: Listing, described: Layout, documents: Sequence[Document], row: Format
) -> None:
    """Refuse to choose where the folders of the photos say something else than the documents."""
    try:
        folders = layout.of_folders(listing)
    except errors.SourceError:
        return  # no folder a class
    by_folder = {item.file.source: item.label for item in folders.items}
    known = [item for item in described.items if item.file.source in by_folder]
    other = [
        item
        for item in known
        if by_folder[item.file.source] in described.classes
        and by_folder[item.file.source] not in item.all_labels
    ]
    if other:
        file = other[0].file.source
        raise errors.SourceError(
            text(
                "In {document}, {photo!r} is {label!r}, and it lies in the folder {folder!r}. "
                "Leave the document out, or choose with --format folders or --format {format}.",
                document=documents[0].source,
                photo=file,
                label=other[0].label,
                folder=by_folder[file],
                format=row.name,
            )
        )
    if 2 * len(known) < len(by_folder):
        raise errors.SourceError(
            text(
                "Only {known:,} of {all:,} photos in folders of classes are in {document}. Leave "
                "it out, or choose with --format folders or --format {format}.",
                known=len(known),
                all=len(by_folder),
                document=documents[0].source,
                format=row.name,
            )
        )


# ------------------------------------------------------------------ from documents to photos


def _described(
    listing: Listing, row: Format, documents: Sequence[Document], multilabel: bool
) -> Layout:
    """The photos of a listing with the classes that documents give them."""
    descriptions = [row.describe(document) for document in documents]
    found: set[str] = set()
    search = functools.cache(functools.partial(_search, listing))  # rows may name a file often

    def find(each: Row, document: Document) -> File:
        file = _find(each, lambda path: search(path, document.source))
        found.add(file.source)
        return file

    described = list(zip(documents, descriptions, strict=True))
    contents = assemble(described, find, multilabel=multilabel)
    names = ", ".join(document.source for document in documents)
    message = text(
        "Read as {format}: {documents}.",
        format=row.title,
        documents=names,
    )
    beside = sorted(listing.by_path.keys() - found)
    findings = [Finding("recognised", message)]
    if beside:
        message = text("Not in {documents}, and left out.", documents=names)
        findings.append(Finding("ignored", message, tuple(beside)))
    used = {document.source for document in documents}
    return Layout(
        contents.classes,
        contents.items,
        (*listing.findings(used), *contents.findings, *findings),
        contents.multilabel,
    )


def assemble(
    described: Sequence[tuple[Document, Description]],
    find: Callable[[Row, Document], File],
    *,
    multilabel: bool = False,
) -> Layout:
    """Put photos that documents describe into classes and sides.

    Args:
        described: Documents with what they say.
        find: The file of a row.
        multilabel: Whether they are multi-label even if no document says so.

    Returns:
        Multi-label if any document is; photos without a class are then photos in which none holds.
    """
    is_multilabel = multilabel or any(description.multilabel for _, description in described)
    words = [
        [layout.side_of(each.split) or _side_word(document, each) for each in description.rows]
        for document, description in described
    ]
    sides, left_out = _sides({word for each in words for word in each})
    items: list[Item] = []
    findings = [each for _, description in described for each in description.findings]
    without: list[str] = []
    beside: list[str] = []
    for (document, description), of_rows in zip(described, words, strict=True):
        for each, word in zip(description.rows, of_rows, strict=True):
            file = find(each, document)
            if word in left_out:
                beside.append(file.source)
            elif is_multilabel:
                items.append(Item.of_many(file, map(plain_text, each.labels), sides[word]))
            elif each.labels:
                items.append(Item(file, plain_text(each.labels[0]), sides[word]))
            else:
                without.append(file.source)
    for message, sources in (
        (text("No class is given, and left out."), without),
        (
            text(
                "Of {splits}, beside the photos held out, and left out.",
                splits=", ".join(sorted(left_out)),
            ),
            beside,
        ),
    ):
        if sources:
            findings.append(Finding("ignored", message, tuple(sorted(sources))))
    names = {name for _, description in described for name in description.classes}
    classes = tuple(sorted({plain_text(name) for name in names}))
    findings += layout.alike_names(names)
    return Layout(classes, tuple(items), tuple(findings), is_multilabel)


def _side_word(document: Document, row: Row) -> str:
    """The word for a side in the path of a document, such as instances_train2017, or of a photo."""
    folders = row.path.replace("\\", "/").split("/")[:-1]
    in_folders = (part.strip().casefold() for part in folders if layout.side_of(part))
    return _word_in(document.source) or next(in_folders, "")


@functools.lru_cache(1024)
def _word_in(path: str) -> str:
    words = (word for part in reversed(path.split("/")) for word in _WORDS.findall(part.casefold()))
    return next((str(word) for word in words if layout.side_of(word)), "")


def _sides(words: Iterable[str]) -> tuple[dict[str, layout.Side], set[str]]:
    """The side of each word, and words of which others are preferred; one side alone is train."""
    by_side: dict[layout.Side, list[str]] = {"train": [], "val": []}
    for word in words:
        by_side[layout.side_of(word) or "train"].append(word)
    if not by_side["train"]:
        return dict.fromkeys(by_side["val"], "train"), set()
    order = layout.SIDES["val"]
    preferred = sorted(by_side["val"], key=lambda word: order.index(word.strip().casefold()))
    sides: dict[str, layout.Side] = dict.fromkeys(by_side["train"], "train")
    return sides | dict.fromkeys(preferred[:1], "val"), set(preferred[1:])


def _find(row: Row, search: Callable[[str], File | str]) -> File:
    """The photo that a row means.

    Args:
        row: The row.
        search: Gives the photo at a path, or why there is none; nothing, if it is not there.
    """
    name = row.name or plain_text(storage.redact(row.path))
    for path in filter(None, (row.path, row.other_path)):
        found = search(path)
        if isinstance(found, File):
            return found
        if found:
            return _missing(name, found)
    if storage.is_url(row.path):
        return _missing(name, text("Not among the files; addresses in a document are not opened."))
    return _missing(name, text("Not among the files."))


def _search(listing: Listing, path: str, document: str) -> File | str:
    """The photo whose path ends with the one in a document, or the other way round.

    Only files of the listing are found, so a path cannot lead out of it.

    Args:
        listing: The files.
        path: As the document writes it.
        document: Path of the document.

    Returns:
        The photo, or why there is none; nothing, if it is not among the files.
    """
    folders = document.split("/")[:-1]
    folder = "/".join(folders)
    around = ["".join(f"{part}/" for part in folders[:n]) for n in range(len(folders), -1, -1)]
    path = storage.path_of(path) if storage.is_url(path) else path
    parts = plain_text(path).replace("\\", "/").split("/")
    if ".." in parts:
        return text("Its path leads out of the data set.")
    parts = [part for part in parts if part not in ("", ".")]
    # With fewer and fewer of its folders, from the document's folder and those around it.
    deepest = max(0, len(parts) - MAX_DEPTH)
    for end in ("/".join(parts[n:]) for n in range(deepest, len(parts))):
        for base in around:
            if file := listing.by_path.get(f"{base}{end}"):
                return file
    fitting = listing.below_folders("/".join(parts)) if parts else []
    near = [file for file in fitting if file.source.startswith(f"{folder}/")]
    of_side = [file for file in fitting if _word_in(file.source) == _word_in(document)]
    best = (near if folder else []) or of_side or fitting
    if len(best) > 1:
        return text("Several files have this name, in different folders.")
    return best[0] if best else ""


def _missing(source: str, message: str) -> File:
    return File(source, Missing(message))


@dataclass(frozen=True)
class Missing:
    """In place of what reads a photo, where there is none.

    Args:
        message: Why, for people.
    """

    message: str

    def __call__(self) -> bytes:
        """Raise `errors.SourceError`."""
        raise errors.SourceError(self.message)
