"""A committee: an ordered set of members with one rule, built from the zoo by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych import errors
from triptych.engines import Engine
from triptych.engines.conversion import digests
from triptych.engines.conversion import int8
from triptych.engines.conversion import store
from triptych.engines.options import INT8
from triptych.engines.options import EngineOptions
from triptych.engines.options import open_engine
from triptych.ensemble import multilabel
from triptych.ensemble import ood
from triptych.ensemble import params
from triptych.ensemble import rules
from triptych.ensemble.multilabel import MultilabelParams
from triptych.ensemble.params import EnsembleParams
from triptych.inference import params_store
from triptych.models import imagenet
from triptych.models import weights
from triptych.models import zoo
from triptych.preprocessing.recipe import Recipe
from triptych.results import Label
from triptych.utils.text import text

RANDOM_WARNING = text("random weights: meaningless")

# Opens the network of a member, by the member's name, the network's path, and the recipe.
OpenNetwork = Callable[[str, Path, Recipe], Engine]


@dataclass(frozen=True)
class Member:
    """One classifier in a committee.

    Args:
        name: Its name on the page and in answers.
        engine: Runs its network.
        recipe: How photos become the network's input.
        cost: Cost of a forward pass, in billions of multiply-adds.
        ood: Reference of its training photos, to tell photos that are like none of them;
            ``None`` where there is none.
        network: File of its network at f32, for explanations; ``None`` where there is none.
    """

    name: str
    engine: Engine
    recipe: Recipe
    cost: float = 1.0
    ood: ood.OODReference | None = None
    network: Path | None = None


@dataclass(frozen=True)
class Committee:
    """Members for the same classes, and how their answers are combined.

    Args:
        name: Its name.
        members: At least one, in the order in which they are shown.
        labels: The classes, in the order of every member's output.
        params: What was fitted on labelled photos; `params.unfitted` where nothing was. With
            `MultilabelParams` it answers all classes that hold.
        rule: The default combination rule, a name from `rules.RULES`.
        warning: Set if the answers are meaningless.
    """

    name: str
    members: tuple[Member, ...]
    labels: tuple[Label, ...]
    params: EnsembleParams
    rule: str = "mean"
    warning: str | None = None

    def __post_init__(self) -> None:
        if not self.members:
            raise errors.SettingError("A committee needs at least one member, and got none.")
        rules.check(self.rule)
        if self.multilabel:
            multilabel.check_rule(self.rule)

    @property
    def multilabel(self) -> MultilabelParams | None:
        """The parameters of a multi-label committee; ``None`` where a photo has one class."""
        return self.params if isinstance(self.params, MultilabelParams) else None

    @property
    def costs(self) -> list[float]:
        """Cost of each member's forward pass, in billions of multiply-adds."""
        return [member.cost for member in self.members]

    def configured(
        self,
        members: Sequence[str] | None = None,
        *,
        rule: str | None = None,
        fit: str | None = None,
    ) -> Committee:
        """The same committee with some of its members, another rule or another way to fit photos.

        Args:
            members: Names of the members to keep, in any spelling that the zoo knows.
            rule: The new default rule.
            fit: ``"crop"`` or ``"square"``, for the recipes of all members.

        Raises:
            errors.UnknownName: There is no such member or rule, or no member was named.
            errors.SettingError: The rule chooses one class, and the committee is multi-label.
        """
        if members is None and fit is None and rule in (None, self.rule):
            return self
        indices = list(range(len(self.members)))
        if members is not None:
            names = [member.name for member in self.members]
            selected = select_names(self.name, names, members)
            indices = [index for index in indices if names[index] in selected]
        kept_members = [self.members[index] for index in indices]
        if fit is not None:
            kept_members = [
                dataclasses.replace(member, recipe=dataclasses.replace(member.recipe, fit=fit))
                for member in kept_members
            ]
        return dataclasses.replace(
            self,
            members=tuple(kept_members),
            params=self.params.select(indices),
            rule=rule or self.rule,
        )


def select_names(committee: str, members: Sequence[str], names: Sequence[str]) -> list[str]:
    """The members of a committee that are named, in committee order.

    Args:
        committee: Its name, for people.
        members: The names of its members.
        names: Those to keep, in any spelling that the zoo knows.

    Raises:
        errors.UnknownName: One is not a member, or none was named.

    Example:
        >>> select_names("classic", ["ResNet50", "VGG16"], ["vgg16"])
        ['VGG16']
    """
    wanted = {zoo.normalize(name) for name in names}
    if not wanted or wanted - {zoo.normalize(name) for name in members}:
        raise errors.UnknownName(
            text(
                "The committee {committee} has no members {names}; its members are: {members}.",
                committee=committee,
                names=", ".join(names) or "(none named)",
                members=", ".join(members),
            )
        )
    return [name for name in members if zoo.normalize(name) in wanted]


def is_from_zoo(name: str) -> bool:
    """Whether a name is that of a committee of the zoo, not of a bundle."""
    return name == "auto" or name in zoo.COMMITTEES


def resolve(name: str) -> str:
    """Turn ``"auto"`` into ``classic`` when all its weights are here, else ``lite``.

    Raises:
        errors.UnknownName: No such committee.
    """
    if name == "auto":
        return "lite" if missing("classic") else "classic"
    if name not in zoo.COMMITTEES:
        raise errors.UnknownName(
            f"There is no committee {name!r}; expected one of: auto, {', '.join(zoo.COMMITTEES)}."
        )
    return name


def missing(name: str) -> list[zoo.Backbone]:
    """The backbones of a zoo committee whose weights are not on this machine."""
    return [row for row in backbones(name) if weights.locate(row) is None]


def backbones(name: str) -> list[zoo.Backbone]:
    """The rows behind a zoo committee, in order."""
    return [zoo.find(member) for member in zoo.COMMITTEES[name]]


def from_zoo(
    name: str,
    options: EngineOptions,
    *,
    members: Sequence[str] | None = None,
    open_network: OpenNetwork | None = None,
) -> Committee:
    """Build an ImageNet committee, or any set of backbones, ready to predict.

    Args:
        name: ``"classic"``, ``"lite"`` or ``"auto"``.
        options: Where things are kept and how networks run.
        members: Backbones to use instead of the committee's own: any names of the zoo.
        open_network: Opens the network of each member; by default in this process.

    Raises:
        errors.UnknownName: No such committee or backbone.
        errors.SettingError: A backbone has no classes of ImageNet.
        errors.WeightsMissing: Weights have to be fetched first; the message says how.
    """
    name = resolve(name)
    rows = [zoo.find(each, options.home) for each in members] if members else backbones(name)
    without = ",".join(row.name for row in rows if row.top1 is None)
    if without:
        raise errors.SettingError(
            f"{without} gives features and no classes of ImageNet, so it cannot answer by itself. "
            f"Train it on your own classes: triptych train photos/ --backbones {without}"
        )
    rows = list({row.name: row for row in rows}.values())
    random = options.random_weights
    networks = store.prepare(rows, home=options.home, random=random, report=options.report)
    runnable = _int8(rows, networks, options, name) if options.precision == INT8 else networks
    open_network = open_network or in_process(options)
    built = tuple(
        Member(
            row.name,
            open_network(row.name, path, row.recipe),
            row.recipe,
            row.multiply_adds / 1e9,
            network=network,
        )
        for row, path, network in zip(rows, runnable, networks, strict=True)
    )
    fitted = None if random else params_store.find(options.home, name, [row.name for row in rows])
    return Committee(
        name=name if {row.name for row in rows} <= set(zoo.COMMITTEES[name]) else "custom",
        members=built,
        labels=imagenet.imagenet(),
        params=fitted
        or params.unfitted(
            rules.log_odds([row.top1 or 0.0 for row in rows]), [member.cost for member in built]
        ),
        rule=rules.FITTED_RULE if fitted else "mean",
        warning=RANDOM_WARNING if random else None,
    )


def in_process(options: EngineOptions) -> OpenNetwork:
    """How the networks of members are opened where nothing else is said: here, by `options`."""
    return lambda name, network, recipe: open_engine(network, options, recipe=recipe)


def _int8(
    rows: list[zoo.Backbone], paths: list[Path], options: EngineOptions, name: str
) -> list[Path]:
    if options.random_weights:
        return int8.prepare(paths, [row.recipe for row in rows], report=options.report)
    quantized = [int8.int8_path(path) for path in paths]
    names = [row.name for row in rows]
    some = "" if names == list(zoo.COMMITTEES[name]) else f" --members {','.join(names)}"
    command = f"triptych optimize {name}{some} --images photos/"
    if not all(path.exists() for path in quantized):
        raise int8.not_quantized(", ".join(names), command)
    changed = next((path for path in quantized if not digests.is_unchanged(path)), None)
    if changed:
        raise errors.EngineError(
            f"The files in {changed.parent} are not those that were written there: their digests "
            f"differ. Make them anew from photos of yours with: {command}"
        )
    return quantized
