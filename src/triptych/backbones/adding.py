"""From a file with a network to a backbone in the home, checked on the way."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.backbones import choices
from triptych.backbones import recipe_files
from triptych.backbones.recipe_files import PublishedRecipe
from triptych.bundles.registry import NAME
from triptych.bundles.registry import RESERVED
from triptych.engines import openvino
from triptych.engines.conversion import convert
from triptych.engines.conversion import digests
from triptych.engines.conversion.backbone_graph import PENULTIMATE
from triptych.engines.conversion.backbone_graph import BackboneConverter
from triptych.engines.conversion.backbone_graph import BackboneJob
from triptych.imports import formats
from triptych.imports import readers
from triptych.imports.recipe import split_recipe
from triptych.models import zoo
from triptych.models.zoo import added
from triptych.models.zoo.added import Added
from triptych.preprocessing.recipe import Recipe
from triptych.typing import Notify
from triptych.utils import files

# A recipe in words that leaves these out: most backbones were trained on crops, resized so.
FIT, INTERPOLATION = "crop", "bicubic"
UNKNOWN_LICENCE = "unknown"


@dataclass(frozen=True)
class ForeignNetwork:
    """A file with a network, and what its owner says of it; ``None`` is to be found out.

    Args:
        path: An ONNX, Keras or OpenVINO file, or of another format of `triptych.imports.formats`;
            not trusted.
        recipe: How photos become its input: ``scaling[:size[:fit[:interpolation]]]``, or the path
            of timm's ``config.json`` or Hugging Face's ``preprocessor_config.json``.
        tokens: Which tokens become the features, one of `choices.TOKENS`.
        output: Name of its output, or ``"penultimate"`` for what its last layer takes.
        layout: ``"nchw"`` or ``"nhwc"``, of its input.
        licence: Of its weights, which goes into the cards of bundles.
    """

    path: Path
    recipe: str | None = None
    tokens: str | None = None
    output: str | None = None
    layout: str | None = None
    licence: str | None = None


def add(
    network: ForeignNetwork,
    *,
    home: Path,
    name: str | None = None,
    report: Notify = lambda line: None,
) -> Added:
    """Make a backbone of a file, which can be trained on like those of the zoo.

    Args:
        network: The file, and what is known of it.
        home: Home folder.
        name: Of the backbone; by default that of the file.
        report: Called with a line for people about what was found out.

    Raises:
        errors.SettingError: Something has to be said that cannot be found out; or the name is
            taken.
        errors.SourceError: There is no such file, or it is of another kind.
        errors.WeightsDamaged: It cannot be a backbone; the message says why.
        errors.EngineError: It cannot be read within the limits of time and memory.
    """
    name = name or network.path.stem
    check_name(name, home)
    memory_bytes = readers.LEAST_MEMORY_BYTES + readers.MEMORY_FOR_BYTE * _size_bytes(network.path)
    limits: dict[str, Any] = {"longest_s": readers.LONGEST_S, "memory_bytes": memory_bytes}
    with (
        tempfile.TemporaryDirectory(prefix="triptych-") as scratch,
        BackboneConverter(**limits) as converter,
    ):
        graph = _graph(network.path, Path(scratch), report, limits)
        published, layout = _input(network, graph, converter)
        job, taken = _job(network, graph, published, layout, Path(scratch), converter, report)
        report(f"Recipe: {_in_words(published.recipe)}. Features: {taken}.")
        facts = converter.run(job)
        made = Path(job.folder) / added.NETWORK
        _check_operations(made, network.path)
        return _keep(made, network, name, published, facts, taken, home)


def _check_operations(made: Path, path: Path) -> None:
    try:
        openvino.check_operations(made)
    except errors.EngineError as error:
        operation = error.message.partition(" has ")[2].partition(", which")[0]
        raise errors.WeightsDamaged(
            f"{path.name} has {operation}, which is not run in bundles, so none made of it could "
            "be moved. Export it for inference, with fixed sizes of photos; in PyTorch the other "
            "exporter, torch.onnx.export(..., dynamo=False), may write it otherwise."
        ) from error


def remove(name: str, home: Path) -> Added:
    """Remove a backbone that was added; bundles that were trained on it stay complete.

    Args:
        name: Its name.
        home: Home folder.

    Raises:
        errors.UnknownName: There is none; the message names those that there are.
    """
    rows = {zoo.normalize(each.row.name): each for each in added.listed(home)}
    each = rows.get(zoo.normalize(name))
    if each is None:
        names = ", ".join(one.row.name for one in rows.values()) or "none"
        raise errors.UnknownName(f"There is no added backbone {name!r}; there are: {names}.")
    shutil.rmtree(each.folder)
    return each


def check_name(name: str, home: Path) -> None:
    """Refuse a name that cannot be a folder's, or that another backbone or a committee has.

    Raises:
        errors.SettingError: It cannot be used; the message says what to do.
    """
    if not NAME.fullmatch(name) or name in RESERVED:
        raise errors.SettingError(
            f"A backbone cannot be called {name!r}; expected up to 64 letters, digits, dots, "
            "dashes and underscores, beginning with a letter or digit, and not "
            f"{', '.join(RESERVED)}. Give a name with --name."
        )
    try:
        taken = zoo.find(name, home).name
    except errors.UnknownName:
        return
    raise errors.SettingError(
        f"There is a backbone {taken} already; give another name with --name"
        + ("." if taken in zoo.BACKBONES else f", or remove it: triptych backbones remove {taken}.")
    )


def _graph(path: Path, scratch: Path, report: Notify, limits: dict[str, Any]) -> Path:
    """The file of a graph that OpenVINO reads, of any file that may be imported."""
    format_ = formats.recognize(path)
    if format_ is None:
        expected = formats.EXPECTED.partition(", or a zip")[0]
        raise errors.SourceError(
            f"{path.name} is of no kind that is read here. {expected}. PyTorch writes "
            "ONNX with torch.onnx.export, and Keras and KerasHub write OpenVINO's format with "
            'model.export("network.xml", format="openvino").'
        )
    format_.read_facts(path)
    if not format_.is_keras:
        return path
    formats.check_keras(path, format_)
    with convert.Converter(report, **limits) as converter:
        if format_.name == "keras-h5":
            converter.rewrite(path, scratch / "model.keras")
            path = scratch / "model.keras"
        converter.run([convert.ImportJob(str(path), str(scratch / "keras"))])
    return scratch / "keras" / convert.NETWORK


def _size_bytes(path: Path) -> int:
    # Weights may be in further files beside it.
    return sum(each.stat().st_size for each in path.parent.glob(f"{path.stem}*") if each.is_file())


def _input(
    network: ForeignNetwork, graph: Path, converter: BackboneConverter
) -> tuple[PublishedRecipe, str]:
    """The recipe, and the layout of the input."""
    inputs = converter.inspect(graph)
    if len(inputs) != 1:
        names = ", ".join(name[:60] for name, *_ in inputs)
        raise errors.SettingError(
            f"{network.path.name} has {len(inputs)} inputs ({names}); expected one, of photos. "
            "Export the part of it that takes photos."
        )
    _, shape, kind = inputs[0]
    layout = choices.layout(shape, network.layout)
    published = _recipe(network, shape, layout)
    if kind not in ("f32", "f16") and (kind, published.recipe.scaling) != ("u8", "raw"):
        raise errors.SettingError(
            f"{network.path.name} takes numbers of the type {kind}; expected f32"
            + (", or the recipe raw for pixels of u8." if kind == "u8" else ".")
        )
    if layout is None:
        layout = _tried_layout(graph, published.recipe, converter)
    return published, layout


def _recipe(
    network: ForeignNetwork, shape: choices.Dims | None, layout: str | None
) -> PublishedRecipe:
    size = choices.sides(shape, layout) if layout else None
    text, beside = network.recipe, recipe_files.beside(network.path)
    if text is None and beside:
        return recipe_files.read(beside, size=size)
    if text is None:
        raise errors.SettingError(
            f"How photos are prepared for {network.path.name} is not in the file. Say it with "
            "--recipe: the file config.json of timm or preprocessor_config.json of Hugging Face, "
            "which is also found beside the network; or in words, SCALING:SIZE:FIT:INTERPOLATION, "
            "such as torch:224 for most networks of PyTorch, tf:224 for values from -1 to 1, or "
            "0..1:224:square:bilinear."
        )
    if text.endswith(".json") or Path(text).is_file():
        return recipe_files.read(Path(text), size=size)
    parts = split_recipe(text)
    if size and parts.size and parts.is_size_given and parts.size != size:
        raise errors.SettingError(
            f"The recipe says {choices.describe(parts.size)} pixels, and the network takes "
            f"{choices.describe(size)}. Leave the size out, or give the network's."
        )
    size = size or parts.size
    if parts.scaling is None or size is None:
        lacking = "scaling" if parts.scaling is None else "size"
        raise errors.SettingError(
            f"The recipe {text!r} lacks the {lacking}; expected such as torch:224."
        )
    return PublishedRecipe(
        Recipe(
            size,
            parts.scaling,
            parts.fit or FIT,
            parts.crop_share,
            parts.interpolation or INTERPOLATION,
        )
    )


def _tried_layout(graph: Path, recipe: Recipe, converter: BackboneConverter) -> str:
    """The layout that a network takes whose shape does not tell."""
    taken = []
    for layout in choices.LAYOUTS:
        try:
            converter.outputs(graph, layout, recipe.size)
        except (errors.EngineError, errors.WeightsDamaged):
            continue
        taken.append(layout)
    if len(taken) != 1:
        raise errors.SettingError(
            "Where the colours are in the network's input cannot be known. Say it with --layout: "
            "nchw as in PyTorch, or nhwc as in Keras and TensorFlow."
        )
    return taken[0]


def _job(
    network: ForeignNetwork,
    graph: Path,
    published: PublishedRecipe,
    layout: str,
    scratch: Path,
    converter: BackboneConverter,
    report: Notify,
) -> tuple[BackboneJob, str]:
    """What to convert, and what of it becomes the features, in words."""
    size = published.recipe.size
    facts: dict[str, Any] = converter.outputs(graph, layout, size)
    shapes, wanted = facts["outputs"], network.output
    if graph != network.path:  # converted with the input of its last layer, too
        first, last = shapes
        shapes = {first: shapes[first], PENULTIMATE: shapes[last]}
    output = choices.output(shapes, wanted, penultimate=PENULTIMATE)
    reduction = choices.reduction(
        shapes[output], size=size, grid=facts["grid"], tokens=network.tokens or published.tokens
    )
    if shapes[output] in ([n] for n in choices.IMAGENET) and PENULTIMATE in shapes:
        report(
            f"The {shapes[output][0]} numbers of {output!r} look like the classes of ImageNet. "
            f"What the last layer takes ({choices.describe(shapes[PENULTIMATE])}) usually serves "
            f"better: --output {PENULTIMATE}."
        )
    if graph != network.path:
        output = last if output == PENULTIMATE else first
    job = BackboneJob(
        model=str(graph),
        folder=str(scratch / "backbone"),
        layout=layout,
        recipe=published.recipe.to_dict(),
        output=output,
        reduction=reduction.kind,
        prefix=reduction.prefix,
    )
    return job, f"{reduction.words}, of {wanted or 'its output'}"


def _keep(
    made: Path,
    network: ForeignNetwork,
    name: str,
    published: PublishedRecipe,
    facts: dict[str, int],
    taken: str,
    home: Path,
) -> Added:
    """Move the converted network to its folder in the home."""
    sizes = {path: path.stat().st_size for path in (made, made.with_suffix(".bin"))}
    row = zoo.Backbone(
        name=name,
        family=added.FAMILY,
        builder="",
        recipe=published.recipe,
        feature_length=facts["feature_length"],
        parameters=facts["parameters"],
        multiply_adds=facts["multiply_adds"],
        top1=None,
        weights=zoo.WeightsSource(
            network.path.name, None, None, None, round(sum(sizes.values()) / 1e6, 1)
        ),
        licence=network.licence or published.licence or UNKNOWN_LICENCE,
        paper="",
    )
    # Stored features are kept by the name of the folder: another network has another one.
    content = "".join(files.digest(path) for path in sizes)
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    folder = home / added.FOLDER / f"{name}-{digest}"
    with files.exclusive(home / added.FOLDER / ".lock"):
        check_name(name, home)
        with files.atomic_dir(folder) as scratch:
            for path in sizes:
                shutil.copyfile(path, scratch / path.name)
            digests.record(scratch / added.NETWORK)
            about = added.describe(row, source=network.path.name, taken=taken)
            (scratch / added.ABOUT).write_text(about, encoding="utf-8")
    return added.read(folder)


def _in_words(recipe: Recipe) -> str:
    pixels = choices.describe(recipe.size)
    fit = "squeezed" if recipe.fit == "square" else f"centre, {100 * recipe.crop_share:.1f} %"
    return f"{pixels} pixels, {recipe.scaling}, {fit}, {recipe.interpolation}"
