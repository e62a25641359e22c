"""Two protocols of other servers: the Open Inference Protocol and TF Serving's.

    tensors     tensors to arrays and back, as JSON and as bytes
    serving     a committee in one version, and verdicts on the images of a request
    exchange    an inference request of the Open Inference Protocol, and its answer
    v2          the routes of the Open Inference Protocol
    repository  its extension that loads and unloads committees
    tfserving   the routes of TF Serving

Both serve the same committees as the page and the API, with the same answers.
"""

from __future__ import annotations

from triptych.web.protocols import repository
from triptych.web.protocols import tfserving
from triptych.web.protocols import v2

blueprints = (v2.blueprint, repository.blueprint, tfserving.blueprint)
