"""Model cards: the README of a bundle, with the front matter that model hubs read.

The figures are generated. People's texts are escaped, so that they cannot contain headings, figures
or links.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.promise import PROMISED
from triptych.ensemble.promise import RISK
from triptych.utils import validation
from triptych.utils.formatting import accuracy
from triptych.utils.formatting import counted
from triptych.utils.formatting import percent
from triptych.utils.formatting import percent_range
from triptych.utils.formatting import plain_text
from triptych.utils.formatting import share_of

# The Hub's identifiers of licences: those of SPDX in lower case. Another licence is called "other".
LICENCES = (
    "afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 "
    "cc-by-2.0 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 "
    "cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 "
    "cc-by-sa-4.0 cc0-1.0 ecl-2.0 epl-1.0 epl-2.0 eupl-1.1 eupl-1.2 gpl-2.0 gpl-3.0 isc lgpl-2.1 "
    "lgpl-3.0 mit mpl-2.0 ms-pl ncsa ofl-1.1 osl-3.0 postgresql unlicense wtfpl zlib"
)

# Of F1 in a multi-label card.
AVERAGES = ("micro", "macro")

# The texts that people can write, with their maximum lengths.
FIELDS = {"description": 4000, "use": 4000, "limits": 4000, "licence": 200, "contact": 200}


class _CardText(validation.Text):
    """A text of limited length, trimmed and without unprintable characters.

    Invisible characters could disguise the rest.
    """

    def __init__(self, *, most: int, one_line: bool) -> None:
        self._most, self._joint = most, " " if one_line else "\n"
        super().__init__()

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> str:
        text = super()._deserialize(value, attr, data, **options)
        lines = re.sub(r"[^\S\n]", " ", re.sub(r"\r\n?", "\n", text)).split("\n")
        lines = ["".join(char for char in line if char.isprintable()).rstrip() for line in lines]
        whole = self._joint.join(lines).strip()
        if len(whole) > self._most:
            expected = f"at most {self._most} characters instead of {len(whole)}"
            raise validation.wrong(whole, f"{expected}: say it shorter, and link to what is longer")
        return whole


class CardRecord(validation.Record):
    """People's texts by the fields of `FIELDS`; empty ones are left out."""

    description = _CardText(most=FIELDS["description"], one_line=False)
    use = _CardText(most=FIELDS["use"], one_line=False)
    limits = _CardText(most=FIELDS["limits"], one_line=False)
    licence = _CardText(most=FIELDS["licence"], one_line=True)
    contact = _CardText(most=FIELDS["contact"], one_line=True)

    @validation.post_load
    def _make(self, parts: dict[str, str], **_: Any) -> dict[str, str]:
        return {field: parts[field] for field in FIELDS if parts.get(field)}


def check_texts(value: object) -> dict[str, str]:
    """Validate people's texts; they are trimmed, and empty ones are left out.

    Args:
        value: Texts by the fields of `FIELDS`.

    Raises:
        errors.SettingError: An unknown field, something other than a text, or a text that is too
        long.

    Example:
        >>> check_texts({"use": " Weeds in my garden. ", "contact": ""})
        {'use': 'Weeds in my garden.'}
    """
    texts: dict[str, str] = validation.load(CardRecord, value, "card")
    return texts


def render(
    about: dict[str, Any],
    metrics: dict[str, Any],
    words: Mapping[str, str] | None = None,
    *,
    address: str = "",
) -> str:
    """The card as Markdown.

    Args:
        about: What ``bundle.json`` says.
        metrics: Content of ``metrics.json``; empty if nothing was evaluated.
        words: The card texts, as returned by `check_texts`.
        address: Where the bundle is published; by default it is used by its name.
    """
    texts = words or {}
    if "data" not in about:  # metrics on unknown photos are meaningless
        metrics = {}
    front = _front_matter(about, metrics, texts)
    text = _text(about, metrics, texts, address or about["name"])
    return "\n".join([*front, "", *text, ""])


def missing_promise(about: Mapping[str, Any]) -> str | None:
    """Why no answer of a bundle can be called sure, and how many photos to add.

    Args:
        about: What ``bundle.json`` says.

    Returns:
        ``None`` if answers can be called sure, or if it is unknown.
    """
    if not about["doubt"]:
        return None
    if _is_multilabel(about):
        return None
    missing = EnsembleParams.from_dict(about["doubt"]).missing_promise(about["rule"])
    photos = about.get("data", {})
    if missing is None or not missing.lacking or not photos.get("held_out") or not photos["train"]:
        return missing.message if missing else None
    fraction = photos["train"] / (photos["train"] + photos.get("val", 0))
    return (
        f"{missing.reason} Add about {counted(missing.more(fraction), 'photo')} and train again; "
        f"{percent(1 - fraction, 0)} of all photos are held out to measure with."
    )


def _licence(about: dict[str, Any], texts: Mapping[str, str]) -> list[str]:
    if "licence" in texts:
        names = {texts["licence"]}
    else:
        names = {member.get("licence", "") for member in about["members"]}
    name = names.pop().lower() if len(names) == 1 else ""
    if name in LICENCES.split():
        return [f"license: {name}"]
    identifier = re.sub(r"[^a-z0-9.]+", "-", name).strip("-.")
    # Quoted: an identifier such as 1.0 would be a number.
    named = [f'license_name: "{identifier}"'] if identifier else []
    return ["license: other", *named]


def _front_matter(
    about: dict[str, Any], metrics: dict[str, Any], texts: Mapping[str, str]
) -> list[str]:
    lines = [
        "---",
        *_licence(about, texts),
        "library_name: triptych",
        "pipeline_tag: image-classification",
        "tags:",
        "- image-classification",
        *(["- multi-label"] if _is_multilabel(about) else []),
        "- transfer-learning",
        "- triptych",
        "- keras",
        "- openvino",
        "metrics:",
        "- f1" if _is_multilabel(about) else "- accuracy",
    ]
    if metrics:
        # JSON is YAML, and quotes what has to be quoted.
        figures = [{"type": "accuracy", "value": metrics["committee"].get("top1")}]
        if _is_multilabel(about):
            averages = {average: metrics["committee"][average]["f1"] for average in AVERAGES}
            figures = [
                {"type": "f1", "name": f"{average} F1", "value": value}
                for average, value in averages.items()
            ]
        result = {
            "task": {"type": "image-classification"},
            "dataset": {"name": about["data"]["name"], "type": "custom"},
            "metrics": figures,
        }
        entry = {"name": about["name"], "results": [result]}
        lines.append(f"model-index: {json.dumps([entry], ensure_ascii=False, allow_nan=False)}")
    return [*lines, "---"]


def _text(
    about: dict[str, Any], metrics: dict[str, Any], texts: Mapping[str, str], committee: str
) -> list[str]:
    labels = [_plain(plain_text(row["name"])) for row in about["labels"]]
    class_list = ", ".join(labels[:50]) + (
        f" and {len(labels) - 50} more" if len(labels) > 50 else ""
    )
    lines = [
        f"# {about['name']}",
        "",
        _summary(about, len(labels), class_list),
        *_paragraphs(texts, "description"),
        *_section(texts, "use", "Intended use"),
        "",
        "## Members",
        "",
        *_members(about),
        "",
        f"Their answers are joined by the rule *{about['rule']}*.",
        *_thresholds(about),
        *_fine_tuning(about),
        "",
        "## Use",
        "",
        "```sh",
        f"triptych classify photo.jpg --committee {committee}",
        "```",
        "",
        *_by_itself(about),
        "",
        "## Limits",
        "",
        *_promise_note(about),
        _ood_note(about) + "Figures hold for photos like those it was evaluated on.",
        *_paragraphs(texts, "limits"),
        *_section(texts, "licence", "Licence"),
        *_section(texts, "contact", "Contact"),
    ]
    return lines + (_results(about, metrics) if metrics else [])


def _is_multilabel(about: Mapping[str, Any]) -> bool:
    return about.get("task") == "multi-label"


def _summary(about: dict[str, Any], classes: int, class_list: str) -> str:
    if _is_multilabel(about):
        return (
            f"A multi-label image classifier: of {classes} classes, any number may hold for a "
            f"photo, or none: {class_list}."
        )
    return f"An image classifier of {classes} classes: {class_list}."


def _thresholds(about: dict[str, Any]) -> list[str]:
    """From which probability on each class holds, and what that was chosen for."""
    if not _is_multilabel(about):
        return []
    thresholds = about["doubt"]["thresholds"]
    target = thresholds[0]["target"]
    aim = "nearly the best F1" if target is None else f"a precision of {percent(target, None)}"
    rows = []
    for label, each in zip(about["labels"], thresholds, strict=True):
        value = "never answered" if each["value"] > 1 else percent(each["value"])
        reached = [
            "" if each[name] is None else percent(each[name]) for name in ("precision", "recall")
        ]
        promised = "yes" if each.get("status") == PROMISED else "no"
        rows.append(
            f"| {_plain(plain_text(label['name']))} | {value} | {' | '.join(reached)} | "
            f"{each['positives']} |{'' if target is None else f' {promised} |'}"
        )
    promise, column = [], ("", "")
    if target is not None:
        column = (" promised |", "---|")
        promise = [
            "Where the precision is promised, it holds for new photos like those with a confidence "
            f"of {percent(1 - RISK, None)}; other classes are answered where their own "
            f"probability is at least {percent(target, None)}, and nothing is promised of them.",
            "",
        ]
    return [
        "",
        "The probability of each class is that it holds for the photo, so they do not sum to 1. A "
        f"class is answered from its threshold on, which was chosen for {aim}; precision and "
        "recall are those on photos it was not chosen on.",
        "",
        *promise,
        f"| class | threshold | precision | recall | photos with it |{column[0]}",
        f"|---|---|---|---|---|{column[1]}",
        *rows,
    ]


def _by_itself(about: dict[str, Any]) -> list[str]:
    """How to use a member without Triptych; one that was added from a file has no Keras model."""
    uses = {
        False: 'Keras: `keras.models.load_model("members/<name>/model.keras")`',
        True: 'OpenVINO: `openvino.Core().compile_model("members/<name>/network.xml")`',
    }
    kinds = [bool(member.get("added")) for member in about["members"]]
    lines = [f"by {use}" for is_added, use in uses.items() if is_added in kinds]
    if len(lines) > 1:
        names = ", ".join(member["name"] for member in about["members"] if member.get("added"))
        lines[1] = f"{names} {lines[1]}"
    return [
        f"Or without Triptych, each member by itself: {'; '.join(lines)}. The recipe (size, crop, "
        "scaling) is in `bundle.json`."
    ]


def _section(texts: Mapping[str, str], field: str, title: str) -> list[str]:
    return ["", f"## {title}", *_paragraphs(texts, field)] if field in texts else []


def _paragraphs(texts: Mapping[str, str], field: str) -> list[str]:
    return ["", *map(_plain, texts[field].split("\n"))] if field in texts else []


def _plain(line: str) -> str:
    """Escape a line so that Markdown shows it literally.

    Example:
        >>> print(_plain("# 100 % *right*"))
        \\# 100 % \\*right\\*
    """
    line = re.sub(r"([\\`*_\[\]<>#|~&])", r"\\\1", line.strip())
    # Lists and underlined headings are recognised by the beginning of a line.
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", line)


def _ood_note(about: dict[str, Any]) -> str:
    if not about["doubt"]:
        return (
            "It knows its classes and nothing else: a photo of something else also gets one of "
            "them. "
        )
    return (
        "It knows its classes and nothing else. Triptych calls a photo *none of these* where it "
        "looks like nothing that was taught, which does not tell near relatives; the Keras models "
        "by themselves give any photo one of the classes. "
    )


def _promise_note(about: dict[str, Any]) -> list[str]:
    missing = missing_promise(about)
    return [f"No answer is called *sure*. {missing}", ""] if missing else []


def _members(about: dict[str, Any]) -> list[str]:
    lines = []
    for index, member in enumerate(about["members"]):
        height, width = member["recipe"]["size"]
        line = f"- {member['name']}, {height} x {width} pixels"
        if fitted := about["doubt"]:
            line += f", weight {fitted['weights'][index]:.2f}"
            if "temperatures" in fitted:
                line += f", temperature {fitted['temperatures'][index]:.2f}"
        lines.append(line)
    return lines


def _fine_tuning(about: dict[str, Any]) -> list[str]:
    adopted = [record for record in about.get("fine_tuned", []) if record["kept"]]
    lines = [
        f"- {record['member']}: {record['layers']} layers were fine-tuned for "
        f"{record['best_epoch']} epochs; right before: "
        f"{share_of(record['before']['held_out'], record['photos'])}, after: "
        f"{share_of(record['after']['held_out'], record['photos'])}, of {record['photos']} photos "
        "that it was not trained on; they select the epoch, and calibrate the committee"
        for record in adopted
    ]
    return ["", "Fine-tuned:", "", *lines] if lines else []


def _results(about: dict[str, Any], metrics: dict[str, Any]) -> list[str]:
    data, images, whole = about["data"], metrics["images"], metrics["committee"]
    if _is_multilabel(about):
        return _multilabel_results(data, metrics)
    return [
        "",
        "## Results",
        "",
        f"Trained on {data['train']} photos and evaluated on {images} others. Right answers, with "
        f"the 95 % interval: {accuracy(whole['top1'], whole['interval'], images)}.",
        "",
        "| member | right | 95 % interval |",
        "|---|---|---|",
        *(
            f"| {row['name']} | {share_of(row['top1'], images)} | "
            f"{percent_range(*row['interval'])} |"
            for row in metrics["members"]
        ),
    ]


def _multilabel_results(data: Mapping[str, Any], metrics: dict[str, Any]) -> list[str]:
    images, whole = metrics["images"], metrics["committee"]
    exact = accuracy(whole["subset_accuracy"], whole["interval"], images)
    return [
        "",
        "## Results",
        "",
        f"Trained on {data['train']} photos and evaluated on {images} others. Photos that got all "
        f"their classes and no other, with the 95 % interval: {exact}.",
        "",
        "| member | micro F1 | macro F1 | Hamming loss |",
        "|---|---|---|---|",
        *(
            f"| {row.get('name', 'the committee')} | {row['micro']['f1']:.3f} | "
            f"{row['macro']['f1']:.3f} | {row['hamming_loss']:.3f} |"
            for row in (whole, *metrics["members"])
        ),
        "",
        "| class | precision | recall | F1 | average precision | photos |",
        "|---|---|---|---|---|---|",
        *map(_class_row, metrics["per_class"]),
    ]


def _class_row(row: Mapping[str, Any]) -> str:
    average_precision = row["average_precision"]
    cells = [
        _plain(plain_text(row["label"])),
        *(f"{row[name]:.3f}" for name in ("precision", "recall", "f1")),
        "" if average_precision is None else f"{average_precision:.3f}",
        str(row["support"]),
    ]
    return f"| {' | '.join(cells)} |"
