"""Import a Keras classifier from elsewhere: its model, labels and recipe become a bundle.

It answers as Keras's ``predict`` does, or is not imported: what it does to its input and what its
outputs mean is found out (`triptych.bundles.import_rules`), and for drawn photos the bundle's
answers are compared with Keras's.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych import bundles
from triptych import errors
from triptych.bundles import import_rules
from triptych.bundles import model_card
from triptych.engines import openvino
from triptych.engines.conversion import convert
from triptych.models import keras_file
from triptych.models import zoo
from triptych.preprocessing import recipe as preprocessing
from triptych.preprocessing.recipe import Recipe
from triptych.typing import Array
from triptych.typing import Notify
from triptych.typing import UInt8Image
from triptych.utils import validation

# The defaults of keras.utils.load_img: resize without keeping the aspect ratio, nearest pixel.
FIT = "square"
INTERPOLATION = "nearest"
RECIPE = "SCALING[:SIZE[:FIT[:INTERPOLATION]]]"
DRAWN_PHOTOS = 8
# No network that somebody serves takes so long to load or to convert; layers nested in layers that
# repeat them may take for ever.
LONGEST_S = 600


@dataclass(frozen=True)
class ExternalModel:
    """A Keras classifier from elsewhere, and what must be known about it.

    Args:
        model: Its ``.keras`` file.
        labels: A text file, one class a line, in the order of the outputs.
        recipe: ``scaling[:size[:fit[:interpolation]]]``; a backbone's name stands for its
            scaling. What is left out is found out.
        logits: Whether it ends in logits; ``None`` finds it out.
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
        name: What to call it.
        home: Folder for everything that is kept.
        report: Called with a line for people.

    Raises:
        errors.SourceError: A file is missing, or no ``.keras`` file.
        errors.SettingError: The recipe or the number of labels does not fit, or what the model
            does cannot be known.
        errors.WeightsDamaged: Keras cannot load the model in safe mode.
        errors.EngineError: It cannot be converted, or would not answer as Keras does.
    """
    with Importer(report) as importer:
        return importer.import_model(model, name=name, home=home)


class Importer:
    """Imports classifiers; leave the ``with`` block to end its processes, in which Keras runs.

    Keras's own answers come from its TensorFlow backend where that is installed, which shares no
    code with what is served; else from its OpenVINO backend.

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
        """The process that converts, and the one that Keras answers in."""
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
        labels = read_labels(model.labels)
        config = keras_file.read_config(model.model)
        parts = split_recipe(model.recipe)
        converter, reference = self._start()
        facts = converter.inspect(model.model)
        import_rules.check_shapes(facts)
        count = facts["outputs"][0][1][0]
        if max(count, 2) != len(labels):
            raise errors.SettingError(
                f"The model has {count} outputs, and the labels file {len(labels)} lines; expected "
                f"{'two lines, for no and yes' if count == 1 else 'as many lines as outputs'}."
            )
        recipe, why = decide_recipe(parts, facts)
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

        served, grey_scaling = _served_recipe(recipe, facts)

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
            (folder / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
            about = {
                "labels": [{"name": label, "id": label} for label in labels],
                "rule": "mean",
                "doubt": None,
                "members": [{"name": name, "recipe": served.to_dict(), "cost": 1.0}],
                "imported_from": model.model.name,
            }
            text = model_card.render({"name": name, **about}, {})
            (folder / "README.md").write_text(text, encoding="utf-8")
            return about

        return bundles.write(home, name, fill)


def read_labels(path: Path) -> list[str]:
    """The classes in a file, in the order of the outputs.

    A text file has one class a line; empty lines at its end do not count. Lines may be numbered
    from 0, before the name (``0 cat``, as Teachable Machine has them) or after it (``cat,0``): the
    numbers count then, not the order. A JSON file has a list of names, or names and numbers, such
    as the ``class_indices`` of Keras.

    Raises:
        errors.SourceError: It cannot be read, names a class twice or not at all, or has numbers
            that are not those of the outputs.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        is_json = text.lstrip()[:1] in ("{", "[")
        lines = _names_of_json(text) if is_json else _names_of_lines(text)
    except (OSError, ValueError) as error:
        raise errors.SourceError(
            f"{path} cannot be read: {error}. Expected a text file with one class a line."
        ) from error
    if len(lines) < 2 or "" in lines or len(set(lines)) < len(lines):
        raise errors.SourceError(
            f"{path} has {len(lines)} lines, {len(set(lines))} of them different; expected one "
            "class a line, at least two, none empty and none twice."
        )
    return lines


# A number and a name, in the forms that cannot be part of a name, and in the one that can.
_NUMBERED = (
    re.compile(r"(?P<number>\d+)\s*[:,;]\s*(?P<name>\S.*)"),
    re.compile(r"(?P<name>.*\S)\s*[,;\t]\s*(?P<number>\d+)"),
)
_SPACED = re.compile(r"(?P<number>\d+)\s+(?P<name>\S.*)")


def _names_of_lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    for form in (*_NUMBERED, _SPACED):
        matches = [form.fullmatch(line) for line in lines]
        if form is not _SPACED and matches and not matches[0]:
            matches = matches[1:]  # the names of columns
        numbered = [(int(match["number"]), match["name"]) for match in matches if match]
        numbers = [number for number, _ in numbered]
        if not numbers or len(numbers) < len(matches) or set(numbers) != {*range(len(numbers))}:
            continue
        if form is _SPACED and numbers != sorted(numbers):
            raise ValueError(
                f"its lines begin with the numbers from 0 to {len(numbers) - 1}, and not in this "
                "order, so whether the numbers or the lines count cannot be known; write "
                f"{lines[0]!r} as {numbered[0][1] + ',' + str(numbers[0])!r} where the numbers do"
            )
        return [name for _, name in sorted(numbered)]
    return lines


def _names_of_json(text: str) -> list[str]:
    content = validation.parse_json(text)
    if isinstance(content, list):
        names = dict(enumerate(content))
    elif all(isinstance(value, int) for value in content.values()):
        names = {number: name for name, number in content.items()}
    else:
        names = {int(number): name for number, name in content.items()}
    if sorted(names) != list(range(len(names))) or not all(
        isinstance(name, str) for name in names.values()
    ):
        raise ValueError("expected a list of names, or names with the numbers from 0 on")
    return [names[number].strip() for number in range(len(names))]


@dataclass(frozen=True)
class RecipeParts:
    """What a person says of a model's recipe; ``None`` is to be found out.

    Args:
        scaling: A name from `triptych.preprocessing.recipe.SCALINGS`.
        size: (height, width) in pixels; that of a backbone that was named is no more than a
            default.
        is_size_given: Whether a person said the size.
        fit: As in `Recipe`.
        interpolation: As in `Recipe`.
        crop_share: As in `Recipe`.
    """

    scaling: str | None = None
    size: tuple[int, int] | None = None
    is_size_given: bool = False
    fit: str = FIT
    interpolation: str = INTERPOLATION
    crop_share: float = 0.875


def split_recipe(text: str | None) -> RecipeParts:
    """What ``scaling[:size[:fit[:interpolation]]]`` says.

    Args:
        text: Such as ``"0..1"``, ``"raw:180"``, ``"xception:150"`` or ``":224:crop:bilinear"``.

    Raises:
        errors.SettingError: It cannot be understood.
        errors.UnknownName: There is no such scaling or backbone.

    Example:
        >>> split_recipe("0..1:96x128").scaling, split_recipe("resnet-50").scaling
        ('unit', 'caffe')
    """
    parts = (text or "").split(":")
    if len(parts) > 4:
        raise errors.SettingError(f"Got the recipe {text!r}; expected {RECIPE}, such as 0..1:224.")
    scaling, size, fit, interpolation = (*parts, *[""] * (4 - len(parts)))
    word = scaling.strip().lower()
    scaling_name = preprocessing.SCALING_WORDS.get(word, word) or None
    crop_share, default_size = RecipeParts.crop_share, None
    if scaling_name and scaling_name not in preprocessing.SCALINGS:
        try:
            row = zoo.find(scaling)
        except errors.UnknownName as error:
            raise errors.UnknownName(
                f"Got the scaling {scaling!r} in a recipe; expected 0..1, -1..1, raw, caffe or "
                f"torch, or the name of a backbone. {error.message}"
            ) from None
        scaling_name, crop_share = row.recipe.scaling, row.recipe.crop_share
        default_size = row.recipe.size
    return RecipeParts(
        scaling_name,
        _size(size) or default_size,
        bool(size),
        fit or FIT,
        interpolation or INTERPOLATION,
        crop_share,
    )


def _size(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    height, _, width = text.partition("x")
    try:
        return int(height), int(width or height)
    except ValueError:
        raise errors.SettingError(
            f"Got the size {text!r} in a recipe; expected pixels, such as 150 or 150x200."
        ) from None


def decide_recipe(parts: RecipeParts, facts: dict[str, Any]) -> tuple[Recipe, str]:
    """The recipe of a model, and why it is believed so.

    Args:
        parts: What a person says.
        facts: As `triptych.engines.conversion.keras_model.inspect` gives them.

    Raises:
        errors.SettingError: It does not fit the model, or cannot be known.
    """
    height, width = facts["inputs"][0][1][:2]
    size = (height, width) if height and width else None
    if size and parts.size and parts.is_size_given and parts.size != size:
        raise errors.SettingError(
            f"The recipe says {parts.size[0]} x {parts.size[1]} pixels, and the model takes "
            f"{size[0]} x {size[1]}. Leave the size out, or give the model's."
        )
    size = size or parts.size
    if size is None:
        raise errors.SettingError(
            "The model takes photos of any size, and which one it was trained with is not in the "
            "file. Say it with --recipe, such as --recipe :224."
        )
    scaling, why = parts.scaling, "its scaling as --recipe says"
    if scaling is None:
        scaling, why = import_rules.scaling_of(facts)
    if _is_grey(facts) and scaling not in ("raw", "unit", "tf"):
        raise errors.SettingError(
            f"The model takes grey pictures, and the scaling {scaling} is for colours; expected "
            "raw, 0..1 or -1..1."
        )
    return Recipe(size, scaling, parts.fit, parts.crop_share, parts.interpolation), why


def _is_grey(facts: dict[str, Any]) -> bool:
    shape = facts["inputs"][0][1]
    return len(shape) == 2 or shape[2] == 1


def _served_recipe(recipe: Recipe, facts: dict[str, Any]) -> tuple[Recipe, tuple[float, float]]:
    """The recipe as it is served, and mean and standard deviation for grey values.

    A network that takes grey gets colours, and turns and scales them itself.
    """
    scaling = preprocessing.SCALINGS[recipe.scaling]
    if not _is_grey(facts):
        return recipe, (0.0, 1.0)
    raw = Recipe(recipe.size, "raw", recipe.fit, recipe.crop_share, recipe.interpolation)
    return raw, (scaling.mean[0], scaling.std[0])


def _keras_inputs(pixels: Array, facts: dict[str, Any]) -> Array:
    """Photos as a person feeds them to the model in Keras, before any scaling."""
    if not _is_grey(facts):
        return pixels.astype(np.float32)
    # ITU-R 601, as Pillow's convert("L"), by which Keras loads grey pictures.
    red, green, blue = np.moveaxis(pixels.astype(np.int64), -1, 0)
    grey = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16
    shape = facts["inputs"][0][1]
    inputs: Array = grey if len(shape) == 2 else grey[..., np.newaxis]
    return inputs.astype(np.float32)


def draw_photos() -> list[UInt8Image]:
    """Pictures to compare a network with another: soft and sharp, dark and bright, any proportions.

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
    """How far a network's answers are from Keras's, at most.

    Raises:
        errors.EngineError: Too far.
    """
    engine = openvino.OpenVINOEngine(network, precision="f32")
    # One by one, as photos mostly come, and all at once.
    answers = np.concatenate([engine.run(each[np.newaxis]).probs for each in inputs])
    for probs in (answers, engine.run(inputs).probs):
        off = np.abs(probs - expected)
        if not off.max() <= import_rules.TOLERANCE:  # also where it is NaN
            photo, label = np.unravel_index(np.nan_to_num(off, nan=np.inf).argmax(), off.shape)
            raise errors.EngineError(
                f"The converted network does not answer as Keras does: for a drawn photo, class "
                f"{label} has {probs[photo, label]:.4f}, and {expected[photo, label]:.4f} in "
                "Keras's predict. It was not imported."
            )
    return float(np.abs(answers - expected).max())
