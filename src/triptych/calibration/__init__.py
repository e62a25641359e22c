"""Fitting what joins members, from labelled photos they did not learn.

Arrays in, numbers out. Everything here wants *out-of-fold* probabilities: fitted on the answers
to photos a head was trained on, every member looks perfect.
"""

from triptych.calibration.certainty import sure_from
from triptych.calibration.crossing import CrossFit
from triptych.calibration.crossing import cross_fit
from triptych.calibration.fitting import fit
from triptych.calibration.likelihood import FLOOR
from triptych.calibration.likelihood import likelihood_loss
from triptych.calibration.seating import seat
from triptych.calibration.temperature import COOLEST
from triptych.calibration.temperature import HOTTEST
from triptych.calibration.temperature import fit_temperature
from triptych.calibration.weighing import choose_weights
from triptych.calibration.weighing import fit_weights

__all__ = [
    "COOLEST",
    "FLOOR",
    "HOTTEST",
    "CrossFit",
    "choose_weights",
    "cross_fit",
    "fit",
    "fit_temperature",
    "fit_weights",
    "likelihood_loss",
    "seat",
    "sure_from",
]
