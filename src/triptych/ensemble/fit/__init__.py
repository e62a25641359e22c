"""Fitting the parameters of a committee from labelled photos that its networks were not trained on.

Arrays in, numbers out. Everything here takes *out-of-fold* probabilities: on the photos that a
head was trained on, every member looks perfect.

    calibration         temperatures, the threshold of "sure", the loss
    weights             how much each member counts
    cascade_thresholds  when the cascade may stop
    fitting             all of these in one go
    cross_fit           a fit measured on photos that it was not fitted on
    multilabel          the same for photos with any number of classes
"""

from triptych.ensemble.fit.calibration import FLOOR
from triptych.ensemble.fit.calibration import MAX_TEMPERATURE
from triptych.ensemble.fit.calibration import MIN_TEMPERATURE
from triptych.ensemble.fit.calibration import fit_temperature
from triptych.ensemble.fit.calibration import negative_log_likelihood
from triptych.ensemble.fit.calibration import sure_threshold
from triptych.ensemble.fit.cross_fit import CrossFit
from triptych.ensemble.fit.cross_fit import cross_fit
from triptych.ensemble.fit.fitting import fit
from triptych.ensemble.fit.fitting import fit_and_prune
from triptych.ensemble.fit.weights import choose_weights
from triptych.ensemble.fit.weights import fit_weights

__all__ = [
    "FLOOR",
    "MAX_TEMPERATURE",
    "MIN_TEMPERATURE",
    "CrossFit",
    "choose_weights",
    "cross_fit",
    "fit",
    "fit_and_prune",
    "fit_temperature",
    "fit_weights",
    "negative_log_likelihood",
    "sure_threshold",
]
