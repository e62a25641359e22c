"""Load a committee by name, from the zoo or from a bundle."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from triptych import bundles
from triptych import images
from triptych.bundles.reading import Bundle
from triptych.engines import batching
from triptych.engines.options import EngineOptions
from triptych.inference import committee
from triptych.inference.classifier import Classifier
from triptych.inference.committee import Committee
from triptych.inference.committee import OpenNetwork
from triptych.models import zoo
from triptych.utils import storage


def load_classifier(
    name: str | Bundle,
    options: EngineOptions,
    *,
    rule: str = "auto",
    coverage: float = 0.9,
    limits: images.Limits = images.DEFAULT_LIMITS,
    members: Sequence[str] | None = None,
    threads: int | None = None,
    open_network: OpenNetwork | None = None,
) -> Classifier:
    """Load a committee as a classifier.

    Args:
        name: As for `load_committee`.
        options: As for `load_committee`.
        rule: How members' predictions are combined; ``"auto"`` is the committee's rule.
        coverage: As for `Classifier`.
        limits: How large a photo may be.
        members: As for `load_committee`.
        threads: As for `Classifier`; by default as many as fill the batches of its networks.
        open_network: As for `load_committee`.

    Raises:
        errors.TriptychError: As `load_committee`.
    """
    loaded = load_committee(name, options, members=members, open_network=open_network)
    engines = [member.engine for member in loaded.members]
    capacity = max(map(batching.capacity_of, engines))
    joins = max(map(batching.limit_of, engines)) > 1
    return Classifier(
        loaded.configured(rule=None if rule == "auto" else rule),
        limits=limits,
        coverage=coverage,
        threads=threads or capacity * (len(engines) if joins else 1),
    )


def load_committee(
    name: str | Bundle,
    options: EngineOptions,
    *,
    members: Sequence[str] | None = None,
    open_network: OpenNetwork | None = None,
) -> Committee:
    """Load a committee.

    Args:
        name: ``"lite"``, ``"classic"``, ``"auto"``, the name or URL of a bundle, or the bundle.
        options: Home folder, and how networks run.
        members: Backbones to use instead of the committee's; for a bundle, the members to keep.
        open_network: Opens the network of each member; by default in this process.

    Raises:
        errors.UnknownName: No such committee, backbone or member.
        errors.WeightsMissing: Weights have to be fetched first; the message says how.
        errors.BundleError: The bundle is damaged.
    """
    if isinstance(name, str) and committee.is_from_zoo(name):
        return committee.from_zoo(name, options, members=members, open_network=open_network)
    bundle = bundles.get(options.home, name) if isinstance(name, str) else name
    return bundle.committee(options, open_network).configured(members)


def pin(name: str, home: Path) -> str:
    """Pin a name, so that it means the same committee whatever is published later.

    Args:
        name: As for `load_committee`. ``"auto"`` becomes ``"lite"`` or ``"classic"``, a bundle its
            active version, such as ``garden@3``, and a URL one with the file's hash.
        home: Home folder.

    Raises:
        errors.UnknownName: No such committee.
        errors.SettingError: A URL has no hash, and there is none beside it.

    Example:
        >>> pin("lite", Path("home"))
        'lite'
    """
    if committee.is_from_zoo(name):
        return committee.resolve(name)
    if storage.is_url(name):
        return bundles.with_digest(name)
    bundle = bundles.find(home, name)
    return f"{bundle.name}@{bundle.version}"


def member_names(name: str, home: Path, *, members: Sequence[str] | None = None) -> tuple[str, ...]:
    """The members of a committee, in order, without opening their networks.

    Args:
        name: As for `load_committee`.
        home: Home folder.
        members: As for `load_committee`.

    Raises:
        errors.UnknownName: No such committee, backbone or member.

    Example:
        >>> member_names("classic", Path("home"))
        ('ResNet50', 'VGG16', 'Xception')
    """
    if committee.is_from_zoo(name):
        find = functools.partial(zoo.find, home=home)
        rows = map(find, members) if members else committee.backbones(committee.resolve(name))
        return tuple(dict.fromkeys(row.name for row in rows))
    names = [str(row["name"]) for row in bundles.get(home, name).about["members"]]
    return tuple(names if members is None else committee.select_names(name, names, members))
