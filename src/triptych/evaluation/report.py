"""``report.html``: a page about a committee, as one file that can be kept and passed on.

It shows the figures of the studio's result page, by the same macros, and is self-contained: it has
no script and no external address, and its content security policy forbids both.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import markupsafe

from triptych.evaluation import figures
from triptych.utils import formatting


@dataclass(frozen=True)
class MemberNote:
    """Notes on a member of the committee, shown beside its figures.

    Args:
        weight: Its fitted weight in the committee.
        temperature: Its fitted temperature, by which logits are divided; 1 changes nothing.
        dropped: Why it was left out of the committee, as a sentence; empty if it was not.
    """

    weight: float
    temperature: float = 1.0
    dropped: str = ""


def no_photo(source: str) -> bytes | None:
    """The thumbnail of a photo that cannot be shown."""
    return None


@dataclass(frozen=True)
class Report:
    """All that the page shows.

    Args:
        name: The bundle's.
        date: The date to show, as text.
        data: The photos that the figures were measured on, in words.
        labels: Names of the classes, in the order of the outputs.
        numbers: What ``metrics.json`` holds, with ``learning_curve`` and ``findings`` if any.
        members: Weight and temperature of each member, and why it was dropped, by name.
        confidence: Figures of its confidence (sure answers, sets), as rows of name and value.
        details: How the committee was made, as rows of name and value.
        thumbnail: Gives a small JPEG of a source, or ``None``.
    """

    name: str
    date: str
    data: str
    labels: Sequence[str]
    numbers: Mapping[str, Any]
    members: Mapping[str, MemberNote]
    confidence: Sequence[tuple[str, str]] = ()
    details: Sequence[tuple[str, str]] = ()
    thumbnail: Callable[[str], bytes | None] = no_photo


def render(report: Report) -> str:
    """The page as one HTML file; the same report gives the same text.

    Args:
        report: What to show.

    Returns:
        HTML, ready to be written as UTF-8.

    Example:
        >>> import numpy as np
        >>> from triptych.evaluation import Predictions, metrics_of
        >>> probs = np.array([[0.9, 0.1], [0.6, 0.4]])
        >>> labels = ("cat", "dog")
        >>> numbers = metrics_of(
        ...     Predictions(labels, np.array([0, 1]), {"A": probs}, probs, ("a.jpg", "b.jpg"))
        ... )
        >>> page = render(Report("pets", "1 May 2025", "two photos", labels, numbers, {}))
        >>> "right on 1 of 2 photos" in page
        True
    """
    mistakes = []
    for mistake in report.numbers["mistakes"]:
        jpeg = report.thumbnail(mistake["source"])
        photo = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" if jpeg else None
        mistakes.append({**mistake, "photo": photo})
    html = _template().render(
        report=report,
        f=figures.prepare(report.labels, report.numbers),
        notes=report.members,
        findings=report.numbers.get("findings", ()),
        mistakes=mistakes,
    )
    # File names may hold bytes that are not text; the page must still be written.
    return html.encode("utf-8", "replace").decode("utf-8")


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("triptych.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(formatting.FILTERS)
    # The report is in English; pages with the same figures are in the language of the person.
    environment.policies["ext.i18n.trimmed"] = True
    environment.add_extension("jinja2.ext.i18n")
    # The extension adds this method when it is loaded.
    environment.install_null_translations(newstyle=True)  # type: ignore[attr-defined]
    here = resources.files("triptych.evaluation")
    names = ("colours.css", "report.css", "figures.css")
    styles = [(here / "static" / name).read_text("utf-8") for name in names]
    environment.globals["styles"] = markupsafe.Markup("".join(styles))  # our own, no user's text
    return environment.get_template("report.html")
