"""The page *Sort*: photos without a class, of a project or of the inbox, get one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import flask
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from triptych.evaluation import wilson
from triptych.studio.projects import Sorted
from triptych.studio.sorting import INBOX
from triptych.studio.sorting import PROJECT
from triptych.studio.sorting import Heap
from triptych.studio.sorting import plan
from triptych.studio.sorting import sorting
from triptych.studio.sorting.sorting import LabelsLeft
from triptych.studio.sorting.sorting import SortingJob
from triptych.utils import formatting
from triptych.utils.text import Text
from triptych.utils.text import ntext
from triptych.utils.text import text
from triptych.web import context
from triptych.web.studio.blueprint import redirect_or_json

blueprint = flask.Blueprint("studio_sorting", __name__, url_prefix="/projects")

# `REVIEW` brings photos of the inbox to a project without a class.
ACCEPT, CLASS, EXCLUDE, REVIEW = "accept", "class", "exclude", "review"
GROUPS, PHOTOS = "groups", "photos"
ON_A_PAGE = {PHOTOS: 60, GROUPS: 24}
# How many photos of a proposal are shown, and how many are accepted at once.
SHOWN, AT_ONCE = 48, 1000
_PHOTO = re.compile(r"([0-9a-f]{64})(?::(\d{1,15}))?", re.ASCII)


@blueprint.get("/inbox")
def inbox() -> Response:
    """The inbox is sorted into a project: the one that is named, else the one that was unsure."""
    here = context.current()
    keys = [project.key for project in here.projects.all()]
    asked = flask.request.args.get("project", "")
    if asked:
        here.projects.find(asked)
    unsure = [photo.verdict.get("committee", "") for photo in here.projects.inbox(0, 1)]
    key = next((each for each in (asked, *unsure, *keys) if each in keys), None)
    if key is None:
        waits = "waits" if unsure else None
        return flask.redirect(flask.url_for("studio.projects", inbox=waits))
    return flask.redirect(flask.url_for(".sort", key=key, source=INBOX))


@blueprint.get("/<key>/sort")
def sort(key: str) -> str:
    """What is left of a heap: proposals to accept, and photos or groups to label by hand."""
    here, args = context.current(), flask.request.args
    project, source = here.projects.find(key), _source(args)
    kept = {each.digest: each for each in here.projects.inbox(limit=-1)} if source == INBOX else {}
    common = {
        "tab": "Sort",
        "project": project,
        "source": source,
        "sources": counts(key),
        "kept": kept,
        "done": _done(args),
    }
    if project.multilabel:
        waiting = list(kept.values())[: ON_A_PAGE[PHOTOS]]
        return flask.render_template("studio/sort.html", heap=None, waiting=waiting, **common)
    heap = here.do(
        lambda: sorting.heap_of(
            here.projects, here.settings.home, key, source, is_closed=_is_closed(args)
        )
    )
    teaching, job = here.do(lambda: here.jobs.latest(key)), here.sorting.latest(key)
    mode = GROUPS if args.get("by") == GROUPS and heap.groups else PHOTOS
    return flask.render_template(
        "studio/sort.html",
        **common,
        heap=heap,
        mode=mode,
        shown=(heap.groups if mode == GROUPS else heap.photos)[: ON_A_PAGE[mode]],
        most_shown=SHOWN,
        at_once=AT_ONCE,
        wrong_share=plan.WRONG_SHARE,
        left=left_in_words(heap.left) if heap.left else None,
        job=state(job),
        starts=_starts(heap, job) and not _is_under_way(teaching),
        is_taught=_is_under_way(teaching),
        projects=here.projects.all() if source == INBOX else [],
    )


def _is_under_way(job: Any) -> bool:
    return bool(job and job.is_under_way)


def counts(key: str) -> dict[str, int]:
    """How many photos wait, by source."""
    projects = context.current().projects
    return {PROJECT: projects.find(key).unsorted, INBOX: projects.waiting()}


def _source(fields: Mapping[str, str]) -> str:
    source = fields.get("source", PROJECT)
    if source not in plan.SOURCES:
        raise BadRequest(
            text(
                "There is no source {source!r}; expected one of: {expected}.",
                source=source[:40],
                expected=", ".join(plan.SOURCES),
            )
        )
    return source


def _is_closed(fields: Mapping[str, str]) -> bool:
    """Whether a person says that all photos are of the project's classes."""
    return fields.get("closed") == "1"


def _starts(heap: Heap, latest: SortingJob | None) -> bool:
    """Whether the page starts a job by itself: not again after one that was stopped or failed."""
    ended = latest and not latest.is_under_way and latest.state != "done"
    return heap.needs_plan and not ended and not _is_under_way(latest)


def _done(fields: Mapping[str, str]) -> dict[str, Any] | None:
    """The decision before, of a form without a script, so that it can be undone."""
    batch = fields.get("batch", "")
    kept = [number for number in fields.get("kept", "").split(",") if number.isdecimal()]
    if not (batch.isascii() and batch.isdecimal() and len(batch) < 16):
        return None
    return {"batch": int(batch), "kept": kept}


@blueprint.post("/<key>/sort")
def decide(key: str) -> Response:
    """Give photos a class, each its own or all the same one, or exclude them: as one batch."""
    form = flask.request.form
    source, classes = _source(form), _classes(form)
    if form.get("do") == REVIEW and source == PROJECT:
        raise BadRequest(text("The photos of a project are there already; expected the inbox."))
    if not classes:
        raise BadRequest(
            text("No photo was chosen, or none has a proposal. Choose at least one photo.")
        )

    done = carry_out(key, source, classes, form.get("do", ""))
    kept = ",".join(map(str, done.kept)) or None
    return redirect_or_json(
        _page(key, form, batch=done.batch, kept=kept),
        photos=list(done.digests),
        batch=done.batch,
        kept=list(done.kept),
        said=_said(done, classes, key, form.get("do", "")),
        left=counts(key)[source],
    )


def carry_out(key: str, source: str, classes: Mapping[str, int | None], verb: str) -> Sorted:
    """Give photos of a heap their classes, as one batch; what others decided about stays.

    Args:
        key: Of the project.
        source: `plan.PROJECT` or `plan.INBOX`.
        classes: The class of each photo, by digest.
        verb: `ACCEPT`, `CLASS`, `EXCLUDE` or `REVIEW`.

    Raises:
        errors.UnknownName: There is no such project or class; nothing is changed.
    """
    here, person = context.current(), context.of_request().key.name

    def change() -> Sorted:
        if source == PROJECT:
            return here.projects.sort(key, classes, person=person)
        numbers = {photo.digest: photo.id for photo in here.projects.inbox(limit=-1)}
        waiting = {digest: numbers[digest] for digest in classes if digest in numbers}
        if verb == EXCLUDE:
            here.projects.dismiss(list(waiting.values()))
            batch, digests, kept = 0, tuple(waiting), tuple(waiting.values())
        else:
            to = {number: classes[digest] for digest, number in waiting.items()}
            done = here.projects.settle(to, key, person=person)
            batch, digests, kept = done.batch, done.digests, done.kept
        return Sorted(batch, digests, len(classes) - len(digests), kept)

    return here.change(change)


def _classes(form: Any) -> dict[str, int | None]:
    """The class of each photo that a form names; ``None`` for those to exclude or to review.

    A photo is its digest and, where the page proposes a class for it, that class: it was seen by
    who decides, whatever is proposed by now.
    """
    verb, _, target = form.get("do", "").partition(":")
    target = form.get("to", "") if verb == CLASS and not target else target
    is_class = target.isascii() and target.isdecimal() and len(target) < 16
    if verb not in (ACCEPT, CLASS, EXCLUDE, REVIEW) or (verb == CLASS and not is_class):
        raise BadRequest(
            text(
                "What to do with the photos is {what!r}; expected accept, class:CLASS, exclude or "
                "review.",
                what=form.get("do", "")[:40],
            )
        )
    classes: dict[str, int | None] = {}
    for value in (*form.getlist("photo"), *form.get("rest", "").split()):
        if not (photo := _PHOTO.fullmatch(value)):
            raise BadRequest(text("A photo is {value!r}; expected its SHA-256.", value=value[:80]))
        digest, proposed = photo.groups()
        if verb == CLASS:
            classes[digest] = int(target)
        elif verb in (EXCLUDE, REVIEW):
            classes[digest] = None
        elif proposed:
            classes[digest] = int(proposed)
    return classes


def _said(done: Sorted, classes: Mapping[str, int | None], key: str, verb: str) -> list[Text]:
    """What was done, in sentences."""
    targets = {classes[digest] for digest in done.digests}
    names = {each.id: each.name for each in context.current().projects.find(key).classes}
    count = len(done.digests)
    if verb == REVIEW:
        said = ntext("{n} photo to review.", "{n} photos to review.", count)
    elif verb == EXCLUDE:
        said = ntext("{n} photo left out.", "{n} photos left out.", count)
    elif len(targets) == 1:
        name = names.get(next(iter(targets)) or 0, "")
        said = ntext("{n} photo in {name}.", "{n} photos in {name}.", count, name=name)
    else:
        said = ntext(
            "{n} photo in its class.", "{n} photos, each in the class proposed for it.", count
        )
    if not done.skipped:
        return [said]
    skipped = ntext(
        "{n} photo was decided about by somebody else meanwhile, and stays as it is.",
        "{n} photos were decided about by somebody else meanwhile, and stay as they are.",
        done.skipped,
    )
    return [said, skipped]


@blueprint.post("/<key>/sort/undo")
def undo(key: str) -> Response:
    """Take a batch back, whole."""
    form = flask.request.form
    source, what = _source(form), _done({"batch": form.get("batch", ""), "kept": ""})
    kept = [int(each) for each in form.getlist("kept") if each.isdecimal() and len(each) < 16]
    if what is None:
        raise BadRequest(text("There is no decision to undo; expected the number of a batch."))
    take_back(key, source, what["batch"], kept)
    return redirect_or_json(_page(key, form), left=counts(key)[source])


def take_back(key: str, source: str, batch: int, kept: Sequence[int]) -> None:
    """Undo a batch, whole.

    Args:
        key: Of the project.
        source: Where the photos were: `plan.PROJECT` or `plan.INBOX`.
        batch: Its number.
        kept: The numbers of the photos in the inbox, if they came from there.

    Raises:
        errors.Conflict: It is not in effect, or its photos were decided about since.
        errors.UnknownName: One of the photos of the inbox is gone for good.
    """
    here = context.current()
    if source == INBOX:
        here.change(lambda: here.projects.reopen(kept, key, batch))
    else:
        here.change(lambda: here.projects.undo(key, batch))


def _page(key: str, form: Mapping[str, str], **more: Any) -> str:
    """The address of the page that a form is on."""
    fields: dict[str, Any] = {name: form.get(name) or None for name in ("source", "by", "closed")}
    return flask.url_for(".sort", key=key, **fields, **more)


# ------------------------------------------------------------------ the job


@blueprint.post("/<key>/sort/start")
def start(key: str) -> Response:
    """Start to ask the committee about all photos, and to order them."""
    here, source = context.current(), _source(flask.request.form)
    here.projects.find(key)
    here.change(lambda: here.sorting.start(key, source))
    return redirect_or_json(_page(key, flask.request.form))


@blueprint.post("/<key>/sort/stop")
def stop(key: str) -> Response:
    """Stop it; what the networks have computed is kept."""
    here, form = context.current(), flask.request.form
    _source(form)  # refuses one that is not there
    here.change(lambda: here.sorting.stop(key))
    return redirect_or_json(_page(key, form))


@blueprint.get("/<key>/sort/job.json")
def job(key: str) -> Response:
    """How far it is."""
    return flask.jsonify(state(context.current().sorting.latest(key)))


def state(job: SortingJob | None) -> dict[str, Any] | None:
    """The state of a job, for pages and programs, as a JSON object; ``None`` without one."""
    if job is None:
        return None
    said, progress = job.said, None
    if job.is_under_way:
        stage, done, total = _progress(job.said)
        progress = done / total if total else None
        said = {
            plan.COMPARING: text("Comparing photos: {done} of {total}.", done=done, total=total),
            plan.ASKING: text("Asking the committee: {done} of {total}.", done=done, total=total),
            plan.ORDERING: text("Ordering the photos."),
        }.get(stage, text("Starting."))
    return {
        "state": job.state,
        "under_way": job.is_under_way,
        "said": said,
        "progress": progress,
        "source": job.source,
        "began_s": job.began_s,
    }


def _progress(said: str) -> tuple[str, int, int]:
    """What the worker said: a stage, the steps done and all steps."""
    stage, *numbers = said.split() or [""]
    if len(numbers) != 2 or not all(map(str.isdecimal, numbers)):
        return "", 0, 0
    return stage, int(numbers[0]), int(numbers[1])


# ------------------------------------------------------------------ in words


def left_in_words(left: LabelsLeft) -> list[Text]:
    """How many labels are left to be good enough, in sentences.

    Example:
        >>> left = LabelsLeft(0.8, 50, 41, 20, 90, 0.97)
        >>> left_in_words(left)[1].replace(chr(160), " ")
        'About 41 more labels for 95 % (20 to 90).'
    """
    goal = formatting.percent(sorting.GOAL, None)
    interval = wilson(round(left.accuracy * left.photos), left.photos)
    now = text(
        "Right answers to photos it was not taught: {share}.",
        share=formatting.accuracy(left.accuracy, interval, left.photos),
    )
    if interval[0] >= sorting.GOAL:
        return [now, text("That is good enough, if {goal} is.", goal=goal)]
    return [now, _more_labels(left, goal)]


def _more_labels(left: LabelsLeft, goal: str) -> Text:
    more, low, high = (None if n is None else _rounded(n) for n in (left.more, left.low, left.high))
    if more is None and low is None:
        return text(
            "More labels alone will hardly lead to {goal}: with ten times as many it would be "
            "about {limit}. Look at the mistakes, or teach with other networks.",
            goal=goal,
            limit=formatting.percent(left.limit, 0),
        )
    if more is None and not low:
        return text(
            "How many more labels lead to {goal} cannot be known yet, with so few photos to "
            "measure on.",
            goal=goal,
        )
    if more is None:
        return ntext(
            "At least {n} more label for {goal}; whether any number is enough cannot be known yet.",
            "At least {n} more labels for {goal}; whether any number is enough cannot be known "
            "yet.",
            low or 0,
            goal=goal,
        )
    if more == 0:
        return text(
            "That may be {goal} already; with so few photos to measure on it cannot be known.",
            goal=goal,
        )
    if high is not None:
        return ntext(
            "About {n} more label for {goal} ({low} to {high}).",
            "About {n} more labels for {goal} ({low} to {high}).",
            more,
            goal=goal,
            low=low,
            high=high,
        )
    if low:
        return ntext(
            "About {n} more label for {goal}; at least {low}, and perhaps far more.",
            "About {n} more labels for {goal}; at least {low}, and perhaps far more.",
            more,
            goal=goal,
            low=low,
        )
    return ntext(
        "About {n} more label for {goal}; with so few photos to measure on it may be none, "
        "or far more.",
        "About {n} more labels for {goal}; with so few photos to measure on it may be none, "
        "or far more.",
        more,
        goal=goal,
    )


def _rounded(number: int) -> int:
    """Two digits of an estimate, as it knows no more."""
    return round(number, 2 - len(str(number)))
