"""Accuracy and calibration of networks and committees, and the report that shows them.

metrics       pure array functions of probabilities and true classes
predictions   a committee's predictions for its test photos, and their metrics as JSON
rule_metrics  the metrics of a combination rule that evaluate, fit and optimize report
running       metrics added photo by photo, in little memory: ``triptych evaluate``
figures       the metrics as tables and charts, for the result page and the report
report        ``report.html``, the page in each bundle
advice        which class more photos would help
multilabel    metrics of answers with any number of classes, and their JSON
label_issues  photos whose label may be wrong
paired        a committee at f32 and at int8, photo by photo: ``triptych optimize``
fit_report    networks and rules before and after a fit: ``triptych fit``
fit_plots     the same as PNG files, and the cost of networks; with Matplotlib and `plot_style`
"""

from triptych.evaluation.metrics import true_class_rank
from triptych.evaluation.metrics import wilson
from triptych.evaluation.multilabel import MultilabelPredictions
from triptych.evaluation.multilabel import RunningMultilabelMetrics
from triptych.evaluation.predictions import Predictions
from triptych.evaluation.predictions import metrics_of
from triptych.evaluation.running import RunningMetrics

__all__ = [
    "MultilabelPredictions",
    "Predictions",
    "RunningMetrics",
    "RunningMultilabelMetrics",
    "metrics_of",
    "true_class_rank",
    "wilson",
]
