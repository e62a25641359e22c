"""Fitting what joins members, from labelled photos they did not learn.

Arrays in, numbers out. Everything here wants *out-of-fold* probabilities: fitted on the answers
to photos a head was trained on, every member looks perfect.
"""

from triptych.ensemble.fit.confidence import sure_from
from triptych.ensemble.fit.cross_fit import CrossFit
from triptych.ensemble.fit.cross_fit import cross_fit
from triptych.ensemble.fit.fitting import fit
from triptych.ensemble.fit.losses import FLOOR
from triptych.ensemble.fit.losses import likelihood_loss
from triptych.ensemble.fit.prune import seat
from triptych.ensemble.fit.temperature import COOLEST
from triptych.ensemble.fit.temperature import HOTTEST
from triptych.ensemble.fit.temperature import fit_temperature
from triptych.ensemble.fit.weights import choose_weights
from triptych.ensemble.fit.weights import fit_weights

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
