"""The data of the result pages: a committee's out-of-fold predictions, joined with the photos'
current labels in its project.

    review      one version beside the current project; `multilabel` one of several classes
    opening     a version by its number
    compare     two versions on the same photos

Figures are those of the training, as in ``report.html``: they do not change when labels do. The
current label of a photo is shown beside them, and two versions are compared by current labels, so
that a corrected label counts for both.
"""

from __future__ import annotations

from triptych.studio.review.compare import Comparison
from triptych.studio.review.compare import compare
from triptych.studio.review.multilabel import MultilabelReview
from triptych.studio.review.opening import bundle_of
from triptych.studio.review.opening import open
from triptych.studio.review.review import PhotoIssue
from triptych.studio.review.review import Review
from triptych.studio.review.review import ReviewedPhoto
from triptych.studio.review.review import status_of

__all__ = [
    "Comparison",
    "MultilabelReview",
    "PhotoIssue",
    "Review",
    "ReviewedPhoto",
    "bundle_of",
    "compare",
    "open",
    "status_of",
]
