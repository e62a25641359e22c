"""Import a classifier from elsewhere: its model, labels and recipe become a bundle.

The bundle gives the same predictions as the program that the file was made for, or is not imported:
the preprocessing and the meaning of the outputs are determined from the model (`recipe` and
`rules`) or from labelled photos (`photo_proof`), and predictions for synthetic photos are compared
with that program's (`runtimes`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych import bundles
from triptych import errors
from triptych.bundles import model_card
from triptych.engines import openvino
from triptych.engines.conversion import convert
from triptych.imports import formats
from triptych.imports import labels as label_files
from triptych.imports import photo_proof
from triptych.imports import recipe as recipes
from triptych.imports import rules
from triptych.imports import sources
from triptych.imports.readers import GraphReader
from triptych.imports.readers import KerasProcesses
from triptych.imports.readers import KerasReader
from triptych.imports.readers import Reader
from triptych.models import keras_file
from triptych.preprocessing import recipe as preprocessing
from triptych.preprocessing.recipe import Recipe
from triptych.typing import Array
from triptych.typing import Notify
from triptych.typing import UInt8Image
from triptych.utils.text import text

DRAWN_PHOTOS = 8
BATCH = 16
# How far quantized networks may be from their reference, at most and on average. Each rounds
# thousands of numbers, and the next program some of them to the next step: TensorFlow Lite's two
# sets of kernels were up to 0.08 apart, and 0.003 on average, in a published MobileNetV2.
QUANTIZED_MOST, QUANTIZED_MEAN = 0.1, 0.01


@dataclass(frozen=True)
class ExternalModel:
    """A classifier from elsewhere, and what is known about it.

    Args:
        model: Its file or folder, or a zip of it, of a format in `triptych.imports.formats`.
        labels: A file with its classes in the order of the outputs, one a line; ``None`` where they
            are in the model's file or beside it.
        recipe: ``scaling[:size[:fit[:interpolation]]]``; a backbone's name stands for its scaling.
            What is left out is determined from the model.
        logits: Whether it ends in logits; ``None`` determines that from the model.
        photos: Labelled photos that decide the recipe where the file does not: a folder with a
            folder per class, a zip of it, or a CSV.
    """

    model: Path
    labels: Path | None = None
    recipe: str | None = None
    logits: bool | None = None
    photos: Path | None = None


def import_model(
    model: ExternalModel,
    *,
    name: str,
    home: Path,
    report: Notify = lambda line: None,
) -> bundles.Bundle:
    """Import a classifier as a bundle.

    Args:
        model: The model file, labels and recipe.
        name: Name of the bundle.
        home: Home folder.
        report: Called with a line for people.

    Raises:
        errors.SourceError: A file is missing, damaged, or of no known format.
        errors.SettingError: The recipe or the number of labels does not fit, or the meaning of the
            model's input or output cannot be determined.
        errors.WeightsDamaged: There is code in it, or operations that are not run.
        errors.EngineError: It cannot be converted, or its predictions differ from the original's.
    """
    with Importer(report) as importer:
        return importer.import_model(model, name=name, home=home)


class Importer:
    """Imports classifiers; leave the ``with`` block to end its processes.

    Args:
        report: Called with a line for people.
    """

    def __init__(self, report: Notify = lambda line: None) -> None:
        self._report = report
        self._keras = KerasProcesses(report)

    def __enter__(self) -> Importer:
        return self

    def __exit__(self, *problem: object) -> None:
        self._keras.close()

    def import_model(self, model: ExternalModel, *, name: str, home: Path) -> bundles.Bundle:
        """Import a classifier as a bundle; see the function of this name."""
        bundles.check_name(name)
        parts = recipes.split_recipe(model.recipe)
        with (
            tempfile.TemporaryDirectory(prefix="triptych-") as scratch,
            contextlib.ExitStack() as stack,
        ):
            source = sources.open_source(model.model, Path(scratch) / "unpacked")
            file = source.format.read_facts(source.path)
            loss = None
            if source.format.is_keras:
                loss = keras_file.loss_outputs(formats.check_keras(source.path, source.format))
            labels = self._labels(model, source, file.labels)
            reader: Reader
            if source.format.is_keras:
                reader = KerasReader(source, self._keras, Path(scratch))
            else:
                reader = stack.enter_context(GraphReader(source, file))
            facts = reader.inspect(len(labels))
            rules.check_shapes(facts)
            rules.check_labels(facts, len(labels))
            candidates = recipes.candidates(parts, facts, file, source.preprocessing)
            if not model.photos:
                candidates.require_one()
            attempt = _Attempt(reader, facts, loss, model.logits, Path(scratch))
            recipe, why = candidates.recipes[0], candidates.why
            if model.photos:
                recipe, why = self._prove(model.photos, candidates, labels, attempt)
            self._report(text("Recipe: {recipe}; {why}.", recipe=str(recipe.to_dict()), why=why))
            return self._write(name, home, labels, recipe, attempt, model.model.name)

    def _labels(
        self, model: ExternalModel, source: sources.Source, in_file: Sequence[str]
    ) -> list[str]:
        if labels := model.labels or source.labels:
            return label_files.read_labels(labels)
        if in_file:
            self._report(text("Labels: {count}, as the model's file has them.", count=len(in_file)))
            return label_files.check(list(in_file), source.path.name)
        raise errors.SettingError(
            text(
                "The classes of {path} are not in it. Give them with --labels: a text file "
                "with one class a line, in the order of the outputs, or JSON.",
                path=source.path.name,
            )
        )

    def _prove(
        self,
        folder: Path,
        candidates: recipes.Candidates,
        labels: Sequence[str],
        attempt: _Attempt,
    ) -> tuple[Recipe, str]:
        photos = photo_proof.read_photos(folder, labels)
        if photos.skipped:
            self._report(
                text(
                    "{count} files are no photos of known classes; left out.", count=photos.skipped
                )
            )
        recipe, counts = photo_proof.decide(candidates.recipes, photos, attempt.probabilities)
        return recipe, f"{candidates.why}; {counts}" if candidates.is_certain else counts

    def _write(
        self,
        name: str,
        home: Path,
        labels: list[str],
        recipe: Recipe,
        attempt: _Attempt,
        source: str,
    ) -> bundles.Bundle:
        activation, ending = attempt.activation(recipe), attempt.facts["ending"]
        means = {
            "none": text("probabilities"),
            "softmax": text("logits"),
            "sigmoid": text("the logit of the second"),
        }
        self._report(
            text(
                "Outputs: {meaning} ({layers}).",
                meaning=means[activation],
                layers=", ".join(ending[::-1]),
            )
        )
        served, _ = recipes.as_served(recipe, attempt.facts)
        pixels, outputs = attempt.reference_outputs(recipe)

        def fill(folder: Path) -> dict[str, Any]:
            target = folder / "members" / name
            attempt.reader.convert(target, activation, recipe)
            expected = rules.to_probabilities(outputs, activation)
            off = compare(
                target / convert.NETWORK,
                preprocessing.scale(served, pixels),
                expected,
                reference=attempt.reader.reference,
                is_quantized=attempt.facts.get("output_step", 0.0) > 0,
            )
            values = {"reference": attempt.reader.reference, "off": off, "count": len(pixels)}
            self._report(
                text(
                    "Answers as {reference} does: {off:.1g} apart at most, on {count} drawn "
                    "photos. It is quantized, and rounding differs.",
                    **values,
                )
                if off > rules.TOLERANCE
                else text(
                    "Answers as {reference} does: {off:.1g} apart at most, on {count} drawn "
                    "photos.",
                    **values,
                )
            )
            return _describe(folder, name, labels, served, source)

        return bundles.write(home, name, fill)


class _Attempt:
    """A model with recipes tried on it; what was computed for one is kept."""

    def __init__(
        self,
        reader: Reader,
        facts: dict[str, Any],
        loss: str | None,
        logits: bool | None,
        scratch: Path,
    ) -> None:
        self.reader = reader
        self.facts = facts
        self._loss = loss
        self._logits = logits
        self._scratch = scratch
        self._outputs: dict[Recipe, tuple[Array, Array]] = {}
        self._engines: dict[tuple[float, float], openvino.OpenVINOEngine] = {}

    def reference_outputs(self, recipe: Recipe) -> tuple[Array, Array]:
        """Drawn photos resized by a recipe, and what the reference gives for them.

        Raises:
            errors.SettingError: The recipe scales pixels, and so does the model.
        """
        if recipe not in self._outputs:
            pixels = np.stack([preprocessing.resize(recipe, photo) for photo in draw_photos()])
            outputs = self.reader.predict(pixels, recipe)
            if recipe.scaling != "raw" and rules.takes_raw_pixels(self.facts["front"]):
                raw = dataclasses.replace(recipe, scaling="raw")
                rules.require_raw(recipe.scaling, outputs, self.reader.predict(pixels, raw))
            self._outputs[recipe] = pixels, outputs
        return self._outputs[recipe]

    def activation(self, recipe: Recipe) -> str:
        """What makes probabilities of the model's outputs; see `rules.activation_of`."""
        _, outputs = self.reference_outputs(recipe)
        return rules.activation_of(self.facts["ending"], outputs, self._loss, logits=self._logits)

    def probabilities(self, recipe: Recipe, photos: Sequence[UInt8Image]) -> Array:
        """The probabilities of photos by the converted network, shape (N, C)."""
        served, grey_scaling = recipes.as_served(recipe, self.facts)
        if grey_scaling not in self._engines:
            folder = self._scratch / f"network-{len(self._engines)}"
            self.reader.convert(folder, self.activation(recipe), recipe)
            network = folder / convert.NETWORK
            self._engines[grey_scaling] = openvino.OpenVINOEngine(network, precision="f32")
        engine = self._engines[grey_scaling]
        rows = []
        for start in range(0, len(photos), BATCH):
            batch = [preprocessing.apply(served, photo) for photo in photos[start : start + BATCH]]
            rows.append(engine.run(np.stack(batch)).probs)
        return np.concatenate(rows)


def _describe(
    folder: Path, name: str, labels: list[str], recipe: Recipe, source: str
) -> dict[str, Any]:
    """Write the labels and the card of a bundle, and return the content of ``bundle.json``."""
    about = {
        "labels": [{"name": label, "id": label} for label in labels],
        "rule": "mean",
        "doubt": None,
        "members": [{"name": name, "recipe": recipe.to_dict(), "cost": 1.0}],
        "imported_from": source,
    }
    (folder / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    card = model_card.render({"name": name, **about}, {})
    (folder / "README.md").write_text(card, encoding="utf-8")
    return about


def draw_photos() -> list[UInt8Image]:
    """Synthetic pictures to compare networks with: soft and sharp, dark and bright, of any shape.

    Returns:
        Arrays of shape (H, W, 3), the same every time.
    """
    rng = np.random.default_rng(0)
    photos = []
    for number in range(DRAWN_PHOTOS):
        height, width = rng.integers(200, 400, 2)
        cells = rng.integers(0, 256, (2 + 3 * number, 3 + 2 * number, 3))
        rows = np.arange(height) * len(cells) // height
        columns = np.arange(width) * cells.shape[1] // width
        colours = cells[rows][:, columns] + rng.normal(0, 12, (height, width, 3))
        low, high = sorted(rng.uniform(0, 255, 2))
        light = (0.0, 255.0) if number % 2 else (low, high)
        photos.append(np.interp(colours, (0, 255), light).astype(np.uint8))
    return photos


def compare(
    network: Path,
    inputs: Array,
    expected: Array,
    *,
    reference: str = "Keras's predict",
    is_quantized: bool = False,
) -> float:
    """The largest difference between a network's probabilities and those of a reference.

    Args:
        network: The network on disk.
        inputs: A batch for it.
        expected: The probabilities of the reference, shape (N, C).
        reference: Its name, for people.
        is_quantized: Whether its numbers are rounded to few steps, which differs from program to
            program.

    Raises:
        errors.EngineError: It is too large.
    """
    engine = openvino.OpenVINOEngine(network, precision="f32")
    # One by one, as photos are mostly sent, and all at once.
    answers = np.concatenate([engine.run(each[np.newaxis]).probs for each in inputs])
    for probs in (answers, engine.run(inputs).probs):
        off = np.abs(probs - expected)
        most, mean = (
            (QUANTIZED_MOST, QUANTIZED_MEAN) if is_quantized else (rules.TOLERANCE, rules.TOLERANCE)
        )
        if not (off.max() <= most and off.mean() <= mean):  # also if it is NaN
            photo, label = np.unravel_index(np.nan_to_num(off, nan=np.inf).argmax(), off.shape)
            raise errors.EngineError(
                text(
                    "The converted network does not answer as {reference} does: for a drawn "
                    "photo, class {label} has {probs:.4f}, and {expected:.4f} by {reference}. It "
                    "was not imported.",
                    reference=reference,
                    label=label,
                    probs=probs[photo, label],
                    expected=expected[photo, label],
                )
            )
    return float(np.abs(answers - expected).max())
