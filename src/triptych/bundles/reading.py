"""A version of a bundle on disk, validated: bundles from elsewhere are not trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.bundles import metrics
from triptych.bundles import model_card
from triptych.bundles import oof_predictions
from triptych.bundles.metrics import FinetuneRecord
from triptych.bundles.metrics import HeldOutAccuracy
from triptych.bundles.metrics import MetricsRecord
from triptych.bundles.metrics import MultilabelMetricsRecord
from triptych.bundles.oof_predictions import OOFPredictions
from triptych.engines.conversion import convert
from triptych.engines.conversion import int8
from triptych.engines.options import INT8
from triptych.engines.options import EngineOptions
from triptych.ensemble import ood
from triptych.ensemble import params
from triptych.ensemble.multilabel import MultilabelParams
from triptych.ensemble.multilabel import MultilabelParamsRecord
from triptych.ensemble.params import EnsembleParams
from triptych.ensemble.params import ParamsRecord
from triptych.ensemble.rules import FITTED_RULE
from triptych.ensemble.rules import RULES
from triptych.inference.committee import Committee
from triptych.inference.committee import Member
from triptych.inference.committee import OpenNetwork
from triptych.inference.committee import in_process
from triptych.preprocessing.recipe import Recipe
from triptych.preprocessing.recipe import RecipeRecord
from triptych.results import Label
from triptych.utils import files
from triptych.utils import validation
from triptych.utils.formatting import plain_text
from triptych.utils.text import text

SCHEMA = 2
# Of bundles with the entry ``task``: readers that know single-label bundles only must refuse them.
MULTILABEL_SCHEMA = 3
MULTILABEL = "multi-label"
ABOUT = "bundle.json"
# In the folder above the versions, for all of them.
CARD = "card.json"
OOD_REFERENCE = "taught.npz"
TRAINED_ON = "learned.txt"

MAX_LABEL = 1000  # characters in the name of a class
MAX_MEMBER = 200


@dataclass(frozen=True)
class Bundle:
    """One version of a bundle, validated.

    Args:
        folder: Its folder.
        about: Content of its ``bundle.json``.
    """

    folder: Path
    about: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the bundle."""
        return str(self.about["name"])

    @property
    def version(self) -> int:
        """Number of the version, from 1."""
        return int(self.folder.name)

    @property
    def labels(self) -> tuple[Label, ...]:
        """The classes, in the order of the outputs."""
        rows = self.about["labels"]
        return tuple(
            Label(plain_text(row["name"]), plain_text(row["id"]), n) for n, row in enumerate(rows)
        )

    @property
    def multilabel(self) -> bool:
        """Whether it answers any number of classes for a photo, not exactly one."""
        return is_multilabel(self.about)

    @property
    def metrics(self) -> dict[str, Any]:
        """Metrics of the evaluation, see `MetricsRecord`; empty if there was none.

        Those of a multi-label bundle are others, see `MultilabelMetricsRecord`.

        Raises:
            errors.BundleError: They are damaged.
        """
        return read_metrics(self.folder, self.about)

    @property
    def accuracy(self) -> HeldOutAccuracy | None:
        """Its accuracy on photos it was not trained on; ``None`` if it was not evaluated.

        Of a multi-label bundle it is ``None``, too: an answer of several classes is right in part.

        Raises:
            errors.BundleError: Its metrics are damaged.
        """
        if not (figures := self.metrics) or self.multilabel:
            return None
        whole = figures["committee"]
        low, high = whole["interval"]
        return HeldOutAccuracy(whole["top1"], low, high, figures["images"])

    @property
    def card_texts(self) -> dict[str, str]:
        """People's texts for its model card, by the fields of `model_card.FIELDS`.

        Raises:
            errors.BundleError: They are damaged.
        """
        beside = self.folder.parent / CARD
        return read_card_texts(beside) if beside.exists() else dict(self.about.get("card", {}))

    @property
    def trained_on(self) -> frozenset[str]:
        """SHA-256 of the training photos, in hexadecimal digits; empty if they are unknown."""
        path = self.folder / TRAINED_ON
        return frozenset(path.read_text(encoding="utf-8").split() if path.exists() else ())

    def predictions(self) -> OOFPredictions | None:
        """Its out-of-fold predictions; ``None`` if it has none, like imported bundles.

        Raises:
            errors.BundleError: They are damaged.
        """
        if oof_predictions.FILE not in self.about["files"]:  # only files with a hash are read
            return None
        check_files(self.folder, self.about, suffixes=(oof_predictions.FILE,))
        path = self.folder / oof_predictions.FILE
        return OOFPredictions.read(path, classes=len(self.labels), multilabel=self.multilabel)

    @property
    def params(self) -> EnsembleParams:
        """Its fitted parameters; `MultilabelParams` of a multi-label bundle."""
        if self.multilabel:
            return MultilabelParams.from_dict(self.about["doubt"])
        if self.about["doubt"]:
            return EnsembleParams.from_dict(self.about["doubt"])
        costs = [float(row["cost"]) for row in self.about["members"]]
        return params.unfitted([1.0] * len(costs), costs)

    @property
    def missing_promise(self) -> str | None:
        """Why none of its answers can be called sure, and what to do; ``None`` if some can."""
        return model_card.missing_promise(self.about)

    @property
    def facts(self) -> dict[str, Any]:
        """A summary for lists of bundles, as a JSON object; describes damage of its metrics."""
        damage: dict[str, str] = {}
        accuracy, of_sets = None, {}
        try:
            accuracy = self.accuracy
            if self.multilabel and (figures := self.metrics):
                averages = {name: figures["committee"][name]["f1"] for name in ("micro", "macro")}
                of_sets = {f"{name}_f1": f1 for name, f1 in averages.items()}
                of_sets["images"] = figures["images"]
        except errors.BundleError as error:
            # Clients must not learn the path of the home folder.
            damage = {"damage": error.message.replace(f"{self.folder}/", "")}
        return {
            "name": self.name,
            "version": self.version,
            "classes": [label.name for label in self.labels],
            "members": [member["name"] for member in self.about["members"]],
            "top1": accuracy.top1 if accuracy else None,
            "interval": [accuracy.low, accuracy.high] if accuracy else None,
            "images": accuracy.photos if accuracy else None,
            "created": self.about.get("created", ""),
            **({"task": MULTILABEL} if self.multilabel else {}),
            **of_sets,
            **damage,
        }

    def committee(
        self, options: EngineOptions, open_network: OpenNetwork | None = None
    ) -> Committee:
        """Load its committee.

        Args:
            options: How networks run.
            open_network: Opens the network of each member; by default in this process.

        Raises:
            errors.BundleError: A file of it is damaged.
            errors.SettingError: Precision int8 is requested, and there is no int8 network.
        """
        check_files(self.folder, self.about, suffixes=(".xml", ".bin", ".npz"))
        networks = self._int8() if options.precision == INT8 else self.networks
        rows = zip(self.about["members"], networks, strict=True)
        open_network = open_network or in_process(options)
        return Committee(
            name=self.name,
            members=tuple(self._member(row, network, open_network) for row, network in rows),
            labels=self.labels,
            params=self.params,
            rule=self.about["rule"],
        )

    @property
    def networks(self) -> list[Path]:
        """Paths of the members' f32 networks, in order."""
        folder = self.folder / "members"
        return [folder / row["name"] / convert.NETWORK for row in self.about["members"]]

    def _int8(self) -> list[Path]:
        networks = [int8.int8_path(network) for network in self.networks]
        # Only files with a hash are read.
        wanted = [file for path in networks for file in (path, path.with_suffix(".bin"))]
        if not {self.folder / name for name in self.about["files"]}.issuperset(wanted):
            raise int8.not_quantized(self.name, f"triptych optimize {self.name} --images photos/")
        return networks

    def _member(self, row: dict[str, Any], network: Path, open_network: OpenNetwork) -> Member:
        recipe = Recipe.from_dict(row["recipe"])
        # Only files with a hash are read; an imported member has no reference.
        listed = f"members/{row['name']}/{OOD_REFERENCE}"
        reference = (
            ood.OODReference.read(self.folder / listed) if listed in self.about["files"] else None
        )
        unquantized = self.folder / "members" / row["name"] / convert.NETWORK
        runs = open_network(row["name"], network, recipe)
        return Member(row["name"], runs, recipe, float(row["cost"]), reference, unquantized)


class _LabelRecord(validation.OpenRecord):
    name = validation.Text(longest=MAX_LABEL, required=True)
    id = validation.Text(longest=MAX_LABEL, required=True)


class _MemberRecord(validation.OpenRecord):
    name = validation.Text(longest=MAX_MEMBER, required=True)
    recipe = validation.Object(RecipeRecord, required=True)
    cost = validation.Number(above=0, most=1e9, required=True)
    licence = validation.Text()


class _DataRecord(validation.OpenRecord):
    name = validation.Text(required=True)
    train = validation.Integer(least=0, required=True)
    val = validation.Integer(least=0)


class _AboutRecord(validation.OpenRecord):
    name = validation.Text(required=True)
    labels = validation.Items(validation.Object(_LabelRecord), least=1, required=True)
    members = validation.Items(validation.Object(_MemberRecord), least=1, required=True)
    rule = validation.Text(choices=tuple(RULES), required=True)
    doubt: Any = validation.Object(ParamsRecord, required=True, allow_none=True)
    files = validation.Table(validation.Text(), required=True)
    card = validation.Object(model_card.CardRecord)
    # Missing in imported bundles.
    data = validation.Object(_DataRecord)
    created = validation.Text()
    fine_tuned = validation.Items(validation.Object(FinetuneRecord))

    @validation.post_load(pass_original=True)
    def _check(self, parts: dict[str, Any], original: dict[str, Any], **_: Any) -> dict[str, Any]:
        # Paths must stay inside the folder, and every network must have a hash.
        networks = [f"members/{row['name']}/{convert.NETWORK}" for row in parts["members"]]
        for name in (*parts["files"], *networks):
            if not is_inside(name):
                raise validation.wrong(name, "a path inside the bundle", "files")
        names = [row["name"] for row in parts["members"]]
        for index, name in enumerate(names):
            if not is_folder_name(name) or name in names[:index]:
                raise validation.wrong(name, "a folder's name, and another for each", "members")
        for name in (*networks, *(f"{network[:-4]}.bin" for network in networks)):
            if name not in parts["files"]:
                raise validation.wrong(parts["files"], f"the hash of {name} too", "files")
        fitted, members = parts["doubt"], parts["members"]
        if fitted is not None and len(fitted.weights) != len(members):
            expected = f"one for each of {len(members)} members"
            raise validation.wrong(list(fitted.weights), expected, "doubt", "weights")
        if parts.get("card", {}) != original.get("card", {}):
            raise validation.wrong(original["card"], "trimmed texts, none of them empty", "card")
        return parts


class _MultilabelAboutRecord(_AboutRecord):
    task = validation.Text(choices=(MULTILABEL,), required=True)
    rule = validation.Text(choices=(FITTED_RULE,), required=True)
    doubt = validation.Object(MultilabelParamsRecord, required=True)

    @validation.post_load
    def _check_classes(self, parts: dict[str, Any], **_: Any) -> dict[str, Any]:
        thresholds, classes = len(parts["doubt"].thresholds), len(parts["labels"])
        if thresholds != classes:
            raise validation.wrong(thresholds, f"{classes} thresholds", "doubt", "thresholds")
        return parts


def is_multilabel(about: Mapping[str, Any]) -> bool:
    """Whether the content of a ``bundle.json`` is that of a multi-label bundle."""
    return about.get("task") == MULTILABEL


def read(folder: Path) -> Bundle:
    """Open a version of a bundle.

    Raises:
        errors.BundleError: It is not a bundle, of an unknown schema, or incomplete.
    """
    about = read_about(folder)
    try:
        gone = [name for name in about["files"] if not (folder / name).is_file()]
    except OSError as error:  # an invalid file name
        raise errors.BundleError(
            text("{folder} cannot be read: {strerror}.", folder=folder, strerror=error.strerror)
        ) from error
    if gone:
        raise errors.BundleError(
            text(
                "{folder} is incomplete: {gone} missing.",
                folder=folder,
                gone=", ".join(sorted(gone)),
            )
        )
    return Bundle(folder, about)


def read_about(folder: Path) -> dict[str, Any]:
    """Read the ``bundle.json`` in a folder, which may still lack the other files.

    Raises:
        errors.BundleError: It is missing, damaged, or of an unknown schema.
    """
    about = read_object(folder / ABOUT)
    if about.get("schema") not in (SCHEMA, MULTILABEL_SCHEMA):
        raise errors.BundleError(
            text(
                "{folder} is a bundle of schema {get!r}; this Triptych reads schema {schema} "
                "and {multilabel_schema}. Use the Triptych that wrote it, or a newer one.",
                folder=folder,
                get=about.get("schema"),
                schema=SCHEMA,
                multilabel_schema=MULTILABEL_SCHEMA,
            )
        )
    has_task = about["schema"] == MULTILABEL_SCHEMA
    if about.get("task") != (MULTILABEL if has_task else None):
        raise errors.BundleError(
            text(
                "{folder} is a bundle of schema {about} for the task {get!r}; expected "
                "{multilabel!r} in schema {multilabel_schema}, and no task in schema "
                "{schema}. Use the Triptych that wrote it, or a newer one.",
                folder=folder,
                about=about["schema"],
                get=about.get("task"),
                multilabel=MULTILABEL,
                multilabel_schema=MULTILABEL_SCHEMA,
                schema=SCHEMA,
            )
        )
    if isinstance(about.get("rule"), str) and about["rule"] not in RULES:
        raise errors.BundleError(
            text(
                "{folder} answers by the rule {about!r}, and this Triptych has only: "
                "{rules}. Use the Triptych that wrote it, or a newer one.",
                folder=folder,
                about=about["rule"],
                rules=", ".join(RULES),
            )
        )
    _checked(_MultilabelAboutRecord if has_task else _AboutRecord, about, folder / ABOUT)
    return about


def is_inside(name: str) -> bool:
    """Whether a relative path stays inside its folder (no path traversal)."""
    return not Path(name).is_absolute() and ".." not in Path(name).parts and "\\" not in name


def is_folder_name(name: str) -> bool:
    """Whether a text is the name of a folder, and safe to print."""
    return name == plain_text(name) and name not in ("", ".", "..") and not set(name) & set("/\\")


def read_object(path: Path) -> dict[str, Any]:
    """Read a file with a JSON object.

    Raises:
        errors.BundleError: It is missing, damaged, or not an object.
    """
    try:
        content = validation.parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise errors.BundleError(
            text("{parent} is no bundle: it has no {path}.", parent=path.parent, path=path.name)
        ) from None
    except (OSError, ValueError) as error:
        raise errors.BundleError(
            text("{path} cannot be read: {error}.", path=path, error=error)
        ) from error
    return _checked(validation.Table(), content, path)


def read_metrics(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Read the metrics in the folder of a bundle; empty if there are none.

    Args:
        folder: Of the bundle.
        about: Content of its ``bundle.json``.

    Raises:
        errors.BundleError: They are damaged, or not those of the bundle's classes.
    """
    path, classes = folder / metrics.FILE, len(about["labels"])
    if not path.exists():
        return {}
    record = MultilabelMetricsRecord if is_multilabel(about) else MetricsRecord
    figures = _checked(record, read_object(path), path)
    if len(figures["per_class"]) != classes:
        raise errors.BundleError(
            text(
                "{path} has the figures of {figures} classes; expected those of the bundle's "
                "{classes}. It is damaged.",
                path=path,
                figures=len(figures["per_class"]),
                classes=classes,
            )
        )
    return figures


def read_card_texts(path: Path) -> dict[str, str]:
    """Read the card texts of a bundle from the file beside its versions.

    Raises:
        errors.BundleError: It is damaged.
    """
    return _checked(model_card.CardRecord, read_object(path), path)


def _checked(record: Any, data: object, path: Path) -> dict[str, Any]:
    checked: dict[str, Any] = validation.load(
        record, data, f"{path}: {path.stem}", error=errors.BundleError, hint="It is damaged."
    )
    return checked


def check_files(folder: Path, about: dict[str, Any], *, suffixes: tuple[str, ...] = ("",)) -> None:
    """Check files against their hashes in ``bundle.json``.

    Raises:
        errors.BundleError: One differs; the message names it.
    """
    for name, digest in about["files"].items():
        if name.endswith(suffixes) and files.digest(folder / name) != digest:
            raise errors.BundleError(
                text(
                    "{folder} is not the file that was written: its hash differs. Import the "
                    "bundle again, or train it anew.",
                    folder=folder / name,
                )
            )
