"""Import a Keras classifier from elsewhere: its model, labels and recipe become a bundle.

The bundle gives the same predictions as Keras's ``predict``, or is not imported: the preprocessing
and the meaning of the outputs are determined from the model (`triptych.bundles.import_rules`), and
predictions for synthetic photos are compared with Keras's.
"""

from __future__ import annotations

import contextlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych import bundles
from triptych import errors
from triptych.bundles import import_labels
from triptych.bundles import import_recipe
from triptych.bundles import import_rules
from triptych.bundles import model_card
from triptych.engines import openvino
from triptych.engines.conversion import convert
from triptych.models import keras_file
from triptych.preprocessing import recipe as preprocessing
from triptych.preprocessing.recipe import Recipe
from triptych.typing import Array
from triptych.typing import Notify
from triptych.typing import UInt8Image

DRAWN_PHOTOS = 8
# No real network takes so long to load or to convert; maliciously nested layers may take for ever.
LONGEST_S = 600


@dataclass(frozen=True)
class ExternalModel:
    """A Keras classifier from elsewhere, and what is known about it.

    Args:
        model: Its ``.keras`` file.
        labels: A text file, one class a line, in the order of the outputs.
        recipe: ``scaling[:size[:fit[:interpolation]]]``; a backbone's name stands for its scaling.
            What is left out is determined from the model.
        logits: Whether it ends in logits; ``None`` determines that from the model.
    """

    model: Path
    labels: Path
    recipe: str | None = None
    logits: bool | None = None


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
        errors.SourceError: A file is missing, or no ``.keras`` file.
        errors.SettingError: The recipe or the number of labels does not fit, or the meaning of the
            model's input or output cannot be determined.
        errors.WeightsDamaged: Keras cannot load the model in safe mode.
        errors.EngineError: It cannot be converted, or its predictions differ from Keras's.
    """
    with Importer(report) as importer:
        return importer.import_model(model, name=name, home=home)


class Importer:
    """Imports classifiers; leave the ``with`` block to end its processes, in which Keras runs.

    The reference predictions come from Keras with the TensorFlow backend if that is installed,
    which shares no code with serving; else from Keras with the OpenVINO backend.

    Args:
        report: Called with a line for people.

    Raises:
        errors.SettingError: Keras is not installed.
    """

    def __init__(self, report: Notify = lambda line: None) -> None:
        self._report = report
        self._processes = contextlib.ExitStack()
        self._reference: convert.Converter | None = None
        self._converter: convert.Converter | None = None

    def __enter__(self) -> Importer:
        return self

    def __exit__(self, *problem: object) -> None:
        self._processes.close()

    def _start(self) -> tuple[convert.Converter, convert.Converter]:
        """The process that converts, and the one for Keras's reference predictions."""
        if self._converter is None or self._reference is None:
            enter = self._processes.enter_context
            self._converter = enter(convert.Converter(lambda line: None, longest_s=LONGEST_S))
            self._reference = self._converter
            if importlib.util.find_spec("tensorflow"):
                self._reference = enter(
                    convert.Converter(self._report, backend="tensorflow", longest_s=LONGEST_S)
                )
        return self._converter, self._reference

    def import_model(self, model: ExternalModel, *, name: str, home: Path) -> bundles.Bundle:
        """Import a classifier as a bundle; see the function of this name."""
        bundles.check_name(name)
        labels = import_labels.read_labels(model.labels)
        config = keras_file.read_config(model.model)
        parts = import_recipe.split_recipe(model.recipe)
        converter, reference = self._start()
        facts = converter.inspect(model.model)
        import_rules.check_shapes(facts)
        import_rules.check_labels(facts, len(labels))
        recipe, why = import_recipe.decide_recipe(parts, facts)
        self._report(f"Recipe: {recipe.to_dict()}; {why}.")

        pixels = np.stack([preprocessing.resize(recipe, photo) for photo in draw_photos()])
        inputs = _keras_inputs(pixels, facts)
        outputs = reference.predict(model.model, inputs, recipe.scaling)
        if recipe.scaling != "raw" and import_rules.takes_raw_pixels(facts["front"]):
            raw = reference.predict(model.model, inputs, "raw")
            import_rules.require_raw(recipe.scaling, facts, outputs, raw)
        loss = keras_file.loss_outputs(config)
        activation = import_rules.activation_of(facts["ending"], outputs, loss, logits=model.logits)
        means = {"none": "probabilities", "softmax": "logits", "sigmoid": "the logit of the second"}
        self._report(f"Outputs: {means[activation]} ({', '.join(facts['ending'][::-1])}).")

        served, grey_scaling = import_recipe.as_served(recipe, facts)

        def fill(folder: Path) -> dict[str, Any]:
            target = folder / "members" / name
            job = convert.ImportJob(
                str(model.model), str(target), activation, recipe.size, grey_scaling
            )
            converter.run([job])
            expected = import_rules.to_probabilities(outputs, activation)
            off = _compare(target / convert.NETWORK, preprocessing.scale(served, pixels), expected)
            self._report(
                f"Answers as Keras's predict does: {off:.1g} apart at most, on {len(pixels)} "
                "drawn photos."
            )
            return _describe(folder, name, labels, served, model.model.name)

        return bundles.write(home, name, fill)


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


def _keras_inputs(pixels: Array, facts: dict[str, Any]) -> Array:
    """Photos as input for the model in Keras, before any scaling."""
    if not import_recipe.is_grey(facts):
        return pixels.astype(np.float32)
    # ITU-R 601, like Pillow's convert("L"), with which Keras loads grey pictures.
    red, green, blue = np.moveaxis(pixels.astype(np.int64), -1, 0)
    grey = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16
    shape = facts["inputs"][0][1]
    inputs: Array = grey if len(shape) == 2 else grey[..., np.newaxis]
    return inputs.astype(np.float32)


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


def _compare(network: Path, inputs: Array, expected: Array) -> float:
    """The largest difference between a network's predictions and Keras's.

    Raises:
        errors.EngineError: It is too large.
    """
    engine = openvino.OpenVINOEngine(network, precision="f32")
    # One by one, as photos are mostly sent, and all at once.
    answers = np.concatenate([engine.run(each[np.newaxis]).probs for each in inputs])
    for probs in (answers, engine.run(inputs).probs):
        off = np.abs(probs - expected)
        if not off.max() <= import_rules.TOLERANCE:  # also if it is NaN
            photo, label = np.unravel_index(np.nan_to_num(off, nan=np.inf).argmax(), off.shape)
            raise errors.EngineError(
                f"The converted network does not answer as Keras does: for a drawn photo, class "
                f"{label} has {probs[photo, label]:.4f}, and {expected[photo, label]:.4f} in "
                "Keras's predict. It was not imported."
            )
    return float(np.abs(answers - expected).max())
