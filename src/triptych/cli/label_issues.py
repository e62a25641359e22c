"""``triptych suspects``: photos that may be in the wrong class, the likeliest first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from typing import Any

import click

from triptych.cli import common

if TYPE_CHECKING:
    from triptych.bundles import Bundle
    from triptych.evaluation.label_issues import Suspect


@click.command()
@click.argument("name", metavar="NAME")
@click.option(
    "--limit", type=click.IntRange(min=1), default=30, help="How many photos to list at most."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per photo and line.")
@common.from_table("home")
def suspects(name: str, limit: int, as_json: bool, **options: Any) -> None:
    """List the photos a committee was taught with that may be in the wrong class.

    The likeliest come first. "Likely" are those that the committee is convinced of; the rest fills
    the list up. Every photo was answered by networks that had not learned it.

    \b
    Example:
      triptych suspects garden --limit 10
    """
    from triptych import bundles
    from triptych import errors
    from triptych.bundles.oof_predictions import Answers
    from triptych.evaluation import label_issues

    made = bundles.find(common.home(options), name)
    answers = Answers.read(made)
    if answers is None:
        raise errors.BundleError(
            f"The bundle {made.name} has no answers to the photos it was taught with: it was made "
            "elsewhere, or by an older Triptych. Teach it anew."
        )
    sources = dict(zip(answers.keys, map(str, answers.sources), strict=True))
    found = [_facts(suspect, made, sources) for suspect in label_issues.rank(answers)[:limit]]
    if as_json:
        for facts in found:
            click.echo(json.dumps(facts, ensure_ascii=False))
    else:
        heading = ("photo", "is in", "may be", "likely")
        click.echo(common.table([heading, *map(_row, found)]))


def _facts(suspect: Suspect, made: Bundle, sources: dict[str, str]) -> dict[str, Any]:
    return {
        "source": sources[suspect.digest],
        "digest": suspect.digest,
        "given": made.labels[suspect.given].name,
        "suggested": made.labels[suspect.suggested].name,
        "score": round(suspect.score, 4),
        "likely": suspect.likely,
    }


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    likely = "yes" if facts["likely"] else ""
    return (facts["source"], facts["given"], facts["suggested"], likely)
