"""Accuracy and calibration of networks and committees, and the report that shows them.

metrics       pure array functions of probabilities and true classes
predictions   a committee's answers to its test photos, and their metrics as JSON
rule_metrics  how a rule fares: the metrics that evaluate, fit and optimize report
running       metrics photo by photo, in little memory: ``triptych evaluate``
figures       the metrics as tables and charts, for the result page and the report
report        ``report.html``, the page that each bundle brings along
advice        which class more photos would help
label_issues  photos that may be in the wrong class
paired        a committee at f32 and at int8, photo by photo: ``triptych optimize``
fit_report    networks and rules before and after a fit: ``triptych fit``
fit_plots     the same as pictures, and what networks cost; by Matplotlib, in `plot_style`
"""

from triptych.evaluation.metrics import true_class_rank
from triptych.evaluation.metrics import wilson
from triptych.evaluation.predictions import Predictions
from triptych.evaluation.predictions import metrics_of
from triptych.evaluation.running import RunningMetrics

__all__ = ["Predictions", "RunningMetrics", "metrics_of", "true_class_rank", "wilson"]
