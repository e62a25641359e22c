"""The data of the result pages: out-of-fold predictions of a committee, joined with how each photo
is labelled in its project today.

    review      one version beside the project today
    compare     two versions on the same photos

Figures are those of the training, as in ``report.html``: they do not change when labels do. What a
photo is called today is shown beside them, and two versions are compared by today's labels, so
that a corrected label counts as right for both.
"""

from __future__ import annotations

from triptych.studio.review.compare import Comparison
from triptych.studio.review.compare import compare
from triptych.studio.review.review import PhotoIssue
from triptych.studio.review.review import Review
from triptych.studio.review.review import ReviewedPhoto
from triptych.studio.review.review import bundle_of
from triptych.studio.review.review import open
from triptych.studio.review.review import status_of

__all__ = [
    "Comparison",
    "PhotoIssue",
    "Review",
    "ReviewedPhoto",
    "bundle_of",
    "compare",
    "open",
    "status_of",
]
