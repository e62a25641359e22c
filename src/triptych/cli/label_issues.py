"""``triptych suspects``: photos that may be in the wrong class, the likeliest first."""

from __future__ import annotations

import json
from typing import Any

import click

from triptych.cli import common


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
    from triptych.evaluation import label_issues

    bundle = bundles.find(common.home(options), name)
    predictions = bundle.predictions()
    if predictions is None:
        raise errors.BundleError(
            f"The bundle {bundle.name} has no answers to the photos it was taught with: it was "
            "made elsewhere, or by an older Triptych. Teach it anew."
        )
    keys = predictions.keys
    listed = [
        {
            "source": str(predictions.sources[issue.photo]),
            "digest": keys[issue.photo],
            "given": bundle.labels[issue.given].name,
            "suggested": bundle.labels[issue.suggested].name,
            "score": round(issue.score, 4),
            "likely": issue.likely,
        }
        for issue in label_issues.rank(predictions.probs, predictions.truth)[:limit]
    ]
    if as_json:
        for facts in listed:
            click.echo(json.dumps(facts, ensure_ascii=False))
    else:
        heading = ("photo", "is in", "may be", "likely")
        click.echo(common.table([heading, *map(_row, listed)]))


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    likely = "yes" if facts["likely"] else ""
    return (facts["source"], facts["given"], facts["suggested"], likely)
