"""The web part of a classification, from top to bottom: the request, the queue, the inbox.

`triptych.web.uploads` finds the images in a request; `triptych.inference.classifier` classifies
them. API, pages and protocols share this path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flask
from werkzeug.exceptions import Forbidden

from triptych import errors
from triptych.inference.classifier import ClassifyOptions
from triptych.results import Failure
from triptych.results import Verdict
from triptych.settings import Settings
from triptych.utils.text import text
from triptych.web import context
from triptych.web import request_schemas
from triptych.web import uploads
from triptych.web.context import Studio

# Fields of a verdict that the inbox keeps.
INBOX_FIELDS = ("label", "prob", "status", "status_reason", "novelty", "top")

Answer = Verdict | Failure


@dataclass(frozen=True)
class Upload:
    """A request to classify images.

    Args:
        images: Pairs of a name for people and a file, in order.
        committee: The committee's name; ``None`` means the default.
        options: How to answer.
        keep: Whether images may be kept for review.
    """

    images: list[uploads.Named]
    committee: str | None
    options: ClassifyOptions
    keep: bool = False


def classify_request(
    request: flask.Request, *, similar: int | None = None
) -> tuple[Upload, list[Answer]]:
    """Classify the images of a request.

    Args:
        request: Its body is multipart/form-data, the bytes of one image, or JSON.
        similar: How many similar training photos to return; overrides the request's option.

    Returns:
        The parsed request, and an answer for each of its images, in order.

    Raises:
        HTTPException: As `read`.
        errors.TriptychError: As `read` and `answer_images`.
    """
    studio = context.current()
    upload = read(request, studio.settings)
    options = upload.options
    if similar is not None:
        options = dataclasses.replace(options, similar=similar)
    answers = answer_images(studio, upload.committee, upload.images, options)
    if upload.keep:
        keep_doubtful(studio, upload, answers)
    return upload, answers


def read(request: flask.Request, settings: Settings) -> Upload:
    """Read a request to classify images.

    Args:
        request: Its body is multipart/form-data, the bytes of one image, or JSON.
        settings: The most images in one request, and whether the inbox is open.

    Raises:
        BadRequest: There is no image in it; the description says why.
        RequestEntityTooLarge: Too many images or bytes.
        Forbidden: The images should be kept, and the inbox is off; or the key of the request is
            for another committee.
        errors.SettingError: An option that does not exist, or an impossible value.
    """
    images, in_json = uploads.images(request)
    uploads.check_count(len(images), most=settings.max_request_images)
    options = request_schemas.read_options(request, in_json, request_schemas.OPTIONS)
    committee = context.permitted(options.pop("committee", None))
    keep = options.pop("keep", False)
    if keep and settings.inbox != "on":
        raise Forbidden(
            text(
                "The option keep is true, and this studio keeps no photos: its inbox is off. "
                "Leave the option out, or ask its owner to start it with --inbox on."
            )
        )
    members = tuple(options.pop("members", ())) or None
    return Upload(images, committee, ClassifyOptions(members, **options), keep)


def answer_images(
    studio: Studio,
    committee: str | None,
    images: Sequence[tuple[str, Any]],
    options: ClassifyOptions,
) -> list[Answer]:
    """Classify images by a committee, in the queue.

    Args:
        studio: Its committees, its queue and its deadline.
        committee: The committee's name; ``None`` means the default.
        images: Pairs of a name for people and an image, as `Classifier.classify` takes.
        options: How to answer.

    Returns:
        One answer for each image, in order.

    Raises:
        errors.UnknownName: No such committee, member or rule.
        errors.SettingError: An option has an impossible value.
        errors.WeightsMissing: The committee's weights have to be fetched first.
        errors.Overloaded: Too many images are waiting.
        errors.DeadlinePassed: It took too long.
    """
    deadline = studio.deadline()
    classifier = studio.classifier(committee, deadline)
    request_context = context.of_request()
    request_context.committee = classifier.committee.name
    request_context.images += len(images)

    def work() -> list[Answer]:
        answers: list[Answer] = []
        for each in classifier.classify_many(images, options):
            answers.append(each)
            if not deadline.left_s:  # the client does not wait for the rest
                break
        return answers

    answers = deadline.result(studio.queue.submit(work, images=len(images)), stops=True)
    request_context.answers += answers
    if studio.shadow:
        studio.shadow.offer(studio.registry.resolve(committee), images, options, answers)
    return answers


def keep_doubtful(studio: Studio, upload: Upload, answers: Sequence[Answer]) -> None:
    """Keep images about which the committee is unsure in the inbox, for a person to review.

    Two people have to agree: the owner of the studio, who turns the inbox on (it is off by
    default), and the sender, with each request. If an image cannot be kept, that is logged and the
    answer is the same.

    Args:
        studio: The studio with the inbox.
        upload: The request.
        answers: One for each of its images.
    """
    doubtful = [
        (name, data, each.to_dict()["verdict"])
        for (name, data), each in zip(upload.images, answers, strict=True)
        if not isinstance(each, Failure) and each.is_doubtful
    ]
    if not doubtful:
        return
    committee = studio.registry.resolve(upload.committee)

    def work() -> None:
        for name, data, verdict in doubtful:
            record = {"committee": committee, **{key: verdict[key] for key in INBOX_FIELDS}}
            studio.projects.keep(name, data if isinstance(data, bytes) else data.read(), record)

    try:
        studio.change(work)
    except errors.TriptychError as error:
        flask.current_app.logger.warning("A photo could not be kept for review: %s", error)
