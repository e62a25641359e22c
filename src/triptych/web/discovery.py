"""What a studio offers: the committees of the zoo, and the bundles in its home folder."""

from __future__ import annotations

from pathlib import Path

from triptych import bundles
from triptych.models import zoo
from triptych.web.registry import Catalogue
from triptych.web.registry import Offer


def of(home: Path) -> Catalogue:
    """The committees that can be asked now.

    Args:
        home: Folder for everything that is kept.
    """
    taught = [made.name for made in bundles.listed(home, unpublished=True)]
    return {
        **{name: Offer((1,), 1) for name in zoo.COMMITTEES},
        **{name: _offer(home, name) for name in taught},
    }


def _offer(home: Path, name: str) -> Offer:
    # In this order: a version that comes meanwhile must not be active and unknown.
    active = bundles.active(home, name)
    return Offer(tuple(bundles.versions(home, name)), active)
