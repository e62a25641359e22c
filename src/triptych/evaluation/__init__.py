"""How often members and committee are right, how far their probabilities can be believed, and a
page that says so.

    tally        counts image by image, in little memory: ``triptych evaluate``
    metrics      pure array functions on probs and truth
    outcome      all answers of a committee to its test photos, and their numbers as JSON
    plots        the report's pictures
    report       the page; imports what it draws with only when asked to draw
    gains        members and rules before and after a fit: ``triptych fit``
    doubt_plots  the same as pictures, and what networks cost
    comparing    a committee at f32 and at int8, photo by photo: ``triptych optimize``
"""

from triptych.evaluation.metrics import truth_rank
from triptych.evaluation.metrics import wilson
from triptych.evaluation.predictions import Outcome
from triptych.evaluation.predictions import metrics_of
from triptych.evaluation.running import Evaluation

__all__ = ["Evaluation", "Outcome", "metrics_of", "truth_rank", "wilson"]
