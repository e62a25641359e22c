"""The labels of ImageNet-1k, in the order of every ImageNet network's output.

The order is that of the sorted WordNet ids. The names are WordNet 3.0's first lemmas; four that
would occur twice are made distinct: ``crane (bird)``, ``crane (machine)``, ``tank suit`` (beside
``maillot``) and ``Cardigan Welsh corgi`` (beside ``cardigan``).
"""

from __future__ import annotations

import functools
from importlib import resources

from triptych.results import Label


@functools.cache
def imagenet() -> tuple[Label, ...]:
    """The 1000 labels, read from the package at the first call.

    Example:
        >>> imagenet()[285]
        Label(name='Egyptian cat', id='n02124075', index=285)
    """
    table = resources.files("triptych.models") / "imagenet_classes.tsv"
    rows = (line.split("\t") for line in table.read_text(encoding="utf-8").splitlines())
    return tuple(Label(name=name, id=id, index=index) for index, (id, name) in enumerate(rows))
