"""A bundle as an MLflow model of the flavor ``python_function``: photos in, fields of verdicts out.

The files of the bundle are the model's data, and this module loads them: nothing is pickled.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import triptych
from triptych import errors
from triptych.benchmark import synthetic
from triptych.bundles import archive
from triptych.bundles.reading import Bundle
from triptych.bundles.reading import check_files
from triptych.bundles.reading import read
from triptych.inference.classifier import Classifier
from triptych.inference.classifier import ClassifyOptions
from triptych.results import Failure
from triptych.results import Verdict
from triptych.utils import extras

IMAGE, PATH = "image", "path"
TOP = 3

# The columns of an answer, with their types in MLflow's words; those that may be null end in "?".
_GUESS = {"label": "string", "id": "string", "index": "long", "prob": "double"}
COLUMNS: dict[str, Any] = {
    "source": "string",
    "label": "string?",
    "id": "string?",
    "prob": "double?",
    "status": "string?",
    "rule": "string?",
    "top": [_GUESS],
    "set": [_GUESS],
    "coverage": "double?",
    "novelty": "double?",
    "members": [{"name": "string", "top": [_GUESS]}],
    "error": "string?",
    "code": "string?",
}
# Of a multi-label bundle also the classes that hold, most probable first.
MULTILABEL_COLUMNS: dict[str, Any] = {
    **COLUMNS,
    "labels": [{**_GUESS, "threshold": "double"}],
}


def log(
    bundle: Bundle,
    *,
    name: str | None = None,
    registered_name: str | None = None,
    paths: bool = True,
) -> Any:
    """Log a bundle as a model to MLflow: to the active run, if there is one.

    Args:
        bundle: The version.
        name: Name of the model; by default the bundle's.
        registered_name: Register it under this name, too.
        paths: Whether the model reads photos by their paths, see `PhotoModel`.

    Returns:
        MLflow's ``ModelInfo``; its ``model_uri`` is for ``mlflow.pyfunc.load_model`` and
        ``mlflow models serve``.

    Raises:
        errors.SettingError: MLflow is not installed.
        errors.SourceError: The tracking server refuses it, or cannot be reached.
        errors.BundleError: A file of the bundle is damaged.
    """
    extras.require("An MLflow model", "mlflow", "pandas", extra="mlflow")
    import mlflow

    with _described(bundle, paths) as model, _in_words():
        return mlflow.pyfunc.log_model(
            name=name or bundle.name, registered_model_name=registered_name, **model
        )


def save(bundle: Bundle, folder: Path, *, paths: bool = True) -> None:
    """Save a bundle as an MLflow model in a new folder.

    Args:
        bundle: The version.
        folder: To be created.
        paths: As for `log`.

    Raises:
        errors.SettingError: MLflow is not installed.
        errors.SourceError: The folder is there already, or cannot be written.
        errors.BundleError: A file of the bundle is damaged.
    """
    extras.require("An MLflow model", "mlflow", "pandas", extra="mlflow")
    import mlflow

    with _described(bundle, paths) as model, _in_words():
        mlflow.pyfunc.save_model(path=str(folder), **model)


class PhotoModel:
    """Classifies the photos of a table, as MLflow calls it.

    A row has either ``image``, the bytes of a photo (as text in base64: JSON has no bytes), or
    ``path``, that of a file on the machine that runs the model. The answer has a row for each, with
    the fields of a verdict; what cannot be classified has an ``error`` instead.

    Args:
        classifier: Classifies them.
        paths: Whether ``path`` is read. Whoever can send a request to a served model can otherwise
            learn what any photo on that machine shows.
    """

    def __init__(self, classifier: Classifier, *, paths: bool = True) -> None:
        self._classifier, self._paths = classifier, paths
        self._columns = MULTILABEL_COLUMNS if classifier.committee.multilabel else COLUMNS

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Classify photos.

        Args:
            model_input: A pandas ``DataFrame`` with the columns ``image`` or ``path``, or both.
            params: ``top`` is how many guesses each answer names.

        Returns:
            A ``DataFrame`` with as many rows, in the same order.

        Raises:
            errors.SettingError: It has neither column.
        """
        import pandas

        columns = [name for name in (IMAGE, PATH) if name in getattr(model_input, "columns", ())]
        if not columns:
            raise errors.SettingError(
                f"Expected a table with a column {IMAGE!r} (bytes, or base64) or {PATH!r}, such as "
                f'pandas.DataFrame({{"{PATH}": ["photo.jpg"]}}).'
            )
        options = ClassifyOptions(top=int((params or {}).get("top", TOP)))
        rows: list[dict[str, Any]] = []
        photos, places = [], []
        for number, values in enumerate(model_input[columns].to_dict("records")):
            source, photo = self._photo(number, values)
            failure = self._row(Failure(source, "setting", str(photo)))
            rows.append(failure if isinstance(photo, str) else {})
            if not isinstance(photo, str):
                photos.append((source, photo))
                places.append(number)
        answers = self._classifier.classify_many(photos, options)
        for number, answer in zip(places, answers, strict=True):
            rows[number] = self._row(answer)
        return pandas.DataFrame(rows, columns=list(self._columns), dtype=object)

    def _row(self, answer: Verdict | Failure) -> dict[str, Any]:
        """The fields of an answer, by its columns; what does not apply is ``None``."""
        row = dict.fromkeys(self._columns)
        if isinstance(answer, Failure):
            return {**row, "source": answer.source, "error": answer.message, "code": answer.code}
        whole = answer.to_dict()
        verdict = whole["verdict"]
        chosen = verdict["set"] or {}
        fields = {name: verdict[name] for name in self._columns if name in verdict}
        return {
            **row,
            **fields,
            "source": answer.source,
            "set": chosen.get("labels"),
            "coverage": chosen.get("coverage"),
            "members": whole["members"],
        }

    def _photo(self, number: int, values: dict[str, Any]) -> tuple[str, bytes | Path | str]:
        """The photo of a row, by its source; a text says why there is none."""
        given = {name: value for name, value in values.items() if _is_given(value)}
        if len(given) != 1:
            return f"row {number}", f"Expected either {IMAGE!r} or {PATH!r}, got {len(given)}."
        (column, value) = given.popitem()
        if column == PATH:
            reason = "This model does not read paths; send the photo itself as 'image'."
            return str(value), Path(value) if self._paths else reason
        if isinstance(value, str):
            try:
                # A data URL, as browsers write it, has its type before the comma.
                value = base64.b64decode(value.rpartition(",")[2], validate=True)
            except binascii.Error:
                reason = f"{IMAGE!r} is a text that is not base64; expected bytes, or base64."
                return f"row {number}", reason
        return f"row {number}", bytes(value)


def _is_given(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and np.isnan(value))


def _load_pyfunc(path: str, model_config: dict[str, Any] | None = None) -> PhotoModel:
    """Load the model, for MLflow, with the settings of the environment (``TRIPTYCH_...``)."""
    bundle = read(Path(path))
    check_files(bundle.folder, bundle.about)
    return PhotoModel(triptych.load(bundle), paths=(model_config or {}).get("paths", True))


@contextlib.contextmanager
def _described(bundle: Bundle, paths: bool) -> Iterator[dict[str, Any]]:
    """What MLflow is to save: the files, what loads them, and what goes in and comes out."""
    import pandas
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec
    from mlflow.types import ParamSchema
    from mlflow.types import ParamSpec
    from mlflow.types import Schema

    inputs: list[Any] = [
        ColSpec("binary", IMAGE, required=False),
        ColSpec("string", PATH, required=False),
    ]
    columns = MULTILABEL_COLUMNS if bundle.multilabel else COLUMNS
    outputs = [_column(name, kind) for name, kind in columns.items()]
    params = [ParamSpec("top", "long", TOP)]
    about = {"name": bundle.name, "version": bundle.version, "labels": len(bundle.labels)}
    with archive.contents(bundle) as packed, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / str(bundle.version)
        for name, source in packed.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / name)
        yield {
            "loader_module": __name__,
            "data_path": str(folder),
            "signature": ModelSignature(Schema(inputs), Schema(outputs), ParamSchema(params)),
            # MLflow asks the model about it, as a check.
            "input_example": pandas.DataFrame({IMAGE: [synthetic.jpeg((120, 160))]}),
            "pip_requirements": [f"triptych[mlflow]=={triptych.__version__}"],
            "model_config": {"paths": paths},
            "metadata": {"triptych": about},
        }


def _column(name: str, kind: Any) -> Any:
    from mlflow.types import ColSpec
    from mlflow.types.schema import Array
    from mlflow.types.schema import Object
    from mlflow.types.schema import Property

    def typed(kind: Any) -> Any:
        if isinstance(kind, list):
            return Array(typed(kind[0]))
        if isinstance(kind, dict):
            return Object([Property(key, typed(value)) for key, value in kind.items()])
        return kind

    if isinstance(kind, str):
        return ColSpec(kind.rstrip("?"), name, required=not kind.endswith("?"))
    return ColSpec(typed(kind), name, required=False)


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """Raise a `SourceError` for whatever MLflow and its stores raise."""
    try:
        yield
    except errors.TriptychError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise errors.SourceError(
            f"MLflow does not take the model: {reason.rstrip('.')}. Check MLFLOW_TRACKING_URI, "
            "which names its server or store."
        ) from error
