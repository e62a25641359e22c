"""Model cards: the README of a bundle, with the front matter that model hubs read."""

from __future__ import annotations

import json
from typing import Any

# Names that hubs know licences by.
LICENCES = {"Apache-2.0": "apache-2.0", "MIT": "mit", "CC-BY-4.0": "cc-by-4.0"}


def render(about: dict[str, Any], metrics: dict[str, Any]) -> str:
    """The card as Markdown.

    Args:
        about: What ``bundle.json`` says.
        metrics: What ``metrics.json`` says; empty where nothing was evaluated.
    """
    return "\n".join([*_front_matter(about, metrics), "", *_text(about, metrics), ""])


def _front_matter(about: dict[str, Any], metrics: dict[str, Any]) -> list[str]:
    backbones = [member["name"] for member in about["members"]]
    licences = {member.get("licence", "") for member in about["members"]}
    licence = LICENCES.get(licences.pop(), "other") if len(licences) == 1 else "other"
    lines = [
        "---",
        f"license: {licence}",
        "library_name: keras",
        "pipeline_tag: image-classification",
        "tags:",
        "- image-classification",
        "- transfer-learning",
        "- triptych",
        "metrics:",
        "- accuracy",
        "base_model:",
        *(f"- {name}" for name in backbones),
    ]
    if metrics:
        # JSON is YAML, and quotes whatever needs quoting.
        result = {
            "task": {"type": "image-classification"},
            "dataset": {"name": about["data"]["name"], "type": "custom"},
            "metrics": [{"type": "accuracy", "value": metrics["committee"]["top1"]}],
        }
        entry = {"name": about["name"], "results": [result]}
        lines.append(f"model-index: {json.dumps([entry], ensure_ascii=False)}")
    return [*lines, "---"]


def _text(about: dict[str, Any], metrics: dict[str, Any]) -> list[str]:
    labels = [row["name"] for row in about["labels"]]
    shown = ", ".join(labels[:50]) + (f" and {len(labels) - 50} more" if len(labels) > 50 else "")
    lines = [
        f"# {about['name']}",
        "",
        f"An image classifier of {len(labels)} classes: {shown}.",
        "",
        "## Members",
        "",
        *_members(about),
        "",
        f"Their answers are joined by the rule *{about['rule']}*.",
        *_tuning(about),
        "",
        "## Use",
        "",
        "```sh",
        f"triptych classify photo.jpg --committee {about['name']}",
        "```",
        "",
        "Or without Triptych, each member by itself: "
        '`keras.models.load_model("members/<name>/model.keras")`; the recipe (size, crop, scaling) '
        "is in `bundle.json`.",
        "",
        "## Limits",
        "",
        _strangers(about) + "Figures hold for photos like those it was evaluated on.",
    ]
    return lines + (_results(about, metrics) if metrics else [])


def _strangers(about: dict[str, Any]) -> str:
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


def _members(about: dict[str, Any]) -> list[str]:
    lines = []
    for seat, member in enumerate(about["members"]):
        height, width = member["recipe"]["size"]
        line = f"- {member['name']}, {height} x {width} pixels"
        if fitted := about["doubt"]:
            line += (
                f", weight {fitted['weights'][seat]:.2f}, "
                f"temperature {fitted['temperatures'][seat]:.2f}"
            )
        lines.append(line)
    return lines


def _tuning(about: dict[str, Any]) -> list[str]:
    kept = [record for record in about.get("fine_tuned", []) if record["kept"]]
    lines = [
        f"- {record['member']}: the last {record['layers']} layers were fine-tuned for "
        f"{record['best_epoch']} epochs; {100 * record['before']['held_out']:.1f} % right before, "
        f"{100 * record['after']['held_out']:.1f} % after, on {record['photos']} photos that "
        "chose the epoch"
        for record in kept
    ]
    return ["", "Fine-tuned:", "", *lines] if lines else []


def _results(about: dict[str, Any], metrics: dict[str, Any]) -> list[str]:
    data, whole = about["data"], metrics["committee"]
    low, high = whole["interval"]
    return [
        "",
        "## Results",
        "",
        f"Taught on {data['train']} photos and evaluated on {metrics['images']} others: "
        f"{100 * whole['top1']:.1f} % right (95 % interval {100 * low:.1f} to {100 * high:.1f} %).",
        "",
        "| member | right |",
        "|---|---|",
        *(f"| {row['name']} | {100 * row['top1']:.1f} % |" for row in metrics["members"]),
    ]
