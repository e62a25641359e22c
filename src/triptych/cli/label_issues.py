"""``triptych label-issues``: photos that may be in the wrong class, the likeliest first."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import click

from triptych.cli import common

if TYPE_CHECKING:
    from triptych.bundles import Bundle
    from triptych.bundles.oof_predictions import OOFPredictions


@click.command("label-issues")
@click.argument("name", metavar="NAME")
@click.option(
    "--limit", type=click.IntRange(min=1), default=30, help="How many photos to list at most."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per photo and line.")
@common.from_table("home")
def label_issues(name: str, limit: int, as_json: bool, **options: Any) -> None:
    """List a bundle's training photos that may be in the wrong class, the likeliest first.

    Of a multi-label bundle, list the classes that photos may have or lack by mistake.

    They are ranked by confident learning on out-of-fold predictions: every photo was classified by
    heads that were not trained on it. "Likely" marks those above the threshold of confident
    learning; the rest fills up the list.

    \b
    Example:
      triptych label-issues garden --limit 10
    """
    from triptych import bundles
    from triptych import errors
    from triptych.evaluation.label_issues import rank

    bundle = bundles.find(common.home(options), name)
    predictions = bundle.predictions()
    if predictions is None:
        raise errors.BundleError(
            f"The bundle {bundle.name} has no out-of-fold predictions: it was imported "
            "from another model, or made by an older Triptych. Train it again."
        )
    if predictions.multilabel:
        _print_pairs(bundle, predictions, limit, as_json=as_json)
        return
    listed: list[dict[str, Any]] = [
        {
            "source": str(predictions.sources[issue.photo]),
            "digest": predictions.keys[issue.photo],
            "given": bundle.labels[issue.given].name,
            "suggested": bundle.labels[issue.suggested].name,
            "score": round(issue.score, 4),
            "likely": issue.likely,
        }
        for issue in rank(predictions.probs, predictions.targets)[:limit]
    ]
    if as_json:
        for facts in listed:
            common.print_json(facts)
    else:
        rows = [("photo", "is in", "may be", "likely")]
        for facts in listed:
            likely = "yes" if facts["likely"] else ""
            rows.append((facts["source"], facts["given"], facts["suggested"], likely))
        click.echo(common.table(rows))


def _print_pairs(bundle: Bundle, predictions: OOFPredictions, limit: int, *, as_json: bool) -> None:
    """List the classes of photos that may be wrong, of a multi-label bundle."""
    from triptych.evaluation.label_issues import rank_pairs

    rows = [("photo", "class", "is labelled", "likely wrong")]
    for issue in rank_pairs(predictions.probs, predictions.targets.astype(bool))[:limit]:
        facts = {
            "source": str(predictions.sources[issue.photo]),
            "digest": predictions.keys[issue.photo],
            "label": bundle.labels[issue.label].name,
            "given": issue.given,
            "score": round(issue.score, 4),
            "likely": issue.likely,
        }
        if as_json:
            common.print_json(facts)
        given, likely = "with it" if issue.given else "without it", "yes" if issue.likely else ""
        rows.append((str(facts["source"]), str(facts["label"]), given, likely))
    if not as_json:
        click.echo(common.table(rows))


@click.command("suspects", hidden=True, params=label_issues.params)
@click.pass_context
def suspects(context: click.Context, /, **options: Any) -> None:
    """Do the same as `triptych label-issues`: its name in version 0.1, deprecated."""
    common.note("`triptych suspects` is deprecated; use `triptych label-issues`.")
    context.invoke(label_issues, **options)
