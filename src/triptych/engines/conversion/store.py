"""Converted networks on disk: converted once, under a key of what they were made from.

Each is checked against its digest before it is used; one that changed on disk is converted anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from triptych import errors
from triptych.engines.conversion import convert
from triptych.engines.conversion import digests
from triptych.engines.conversion import efficientnet_lite
from triptych.models import weights
from triptych.models import zoo
from triptych.typing import Notify

# A folder whose network changed on disk is renamed to this until there is a new one.
CHANGED = ".changed"


def prepare(
    backbones: Sequence[zoo.Backbone],
    *,
    home: Path,
    random: bool = False,
    weights_by_backbone: Mapping[str, Path] = {},
    report: Notify = lambda line: None,
    converter: convert.Converter | None = None,
) -> list[Path]:
    """Paths of converted networks; missing ones, and those that changed, are converted now.

    Args:
        backbones: Which networks; those that were added from files are converted already.
        home: Folder for everything that is kept; they go to ``home/engines``.
        random: Use random weights instead of the published ones.
        weights_by_backbone: Weights files that replace the published ones, by backbone.
        report: Called with a line for people before each conversion.
        converter: Where to convert; by default in a new one.

    Raises:
        errors.WeightsMissing: Published weights are not on this machine.
        errors.WeightsDamaged: They are not the official ones, or do not fit; or the network of a
            backbone that was added has changed on disk.
    """
    files = [
        None if random else weights_of(backbone, weights_by_backbone) for backbone in backbones
    ]
    paths, jobs = [], []
    for backbone, file in zip(backbones, files, strict=True):
        if backbone.network:
            paths.append(_added(backbone, backbone.network))
            continue
        published = file is not None and backbone.name not in weights_by_backbone
        direct = published and backbone.family == "EfficientNetLite"
        folder = home / "engines" / f"{backbone.name}-{_key(backbone, file, direct=direct)}"
        paths.append(folder / convert.NETWORK)
        if _is_usable(paths[-1], report):
            continue
        if file and published:
            weights.verify(backbone, file)
        if file and direct:
            report(f"Preparing {backbone.name} ...")
            efficientnet_lite.write(backbone, file, folder)
        else:
            jobs.append(
                convert.ConversionJob(backbone.name, str(file) if file else None, str(folder))
            )
    if jobs and converter:
        converter.run(jobs)
    elif jobs:
        convert.run(jobs, report)
    for backbone, path in zip(backbones, paths, strict=True):
        if not backbone.network:
            _finish(path)
    return paths


def _added(backbone: zoo.Backbone, network: Path) -> Path:
    if not digests.is_unchanged(network):
        raise errors.WeightsDamaged(
            f"The files of {backbone.name} in {network.parent} are not those that were written "
            "there. Remove it with `triptych backbones remove`, and add its file again."
        )
    return network


def _is_usable(network: Path, report: Notify) -> bool:
    """Whether a network is there and as it was written; one that is not is set aside."""
    folder = network.parent
    if folder.exists() and not digests.is_unchanged(network):
        report(f"The files in {folder} are not those that were written there: converting anew ...")
        folder.replace(folder.with_name(folder.name + CHANGED))
    return network.exists()


def _finish(network: Path) -> None:
    """Record the digests of a new network; it takes over the int8 form of one that changed."""
    changed = network.parent.with_name(network.parent.name + CHANGED)
    for int8 in changed.glob("int8-*"):
        int8.replace(network.parent / int8.name)
    shutil.rmtree(changed, ignore_errors=True)
    if not digests.is_recorded(network):
        digests.record(network)


def weights_of(backbone: zoo.Backbone, weights_by_backbone: Mapping[str, Path]) -> Path:
    """The file of a backbone's weights: the person's own, else the published one.

    Raises:
        errors.WeightsMissing: It is not on this machine.
    """
    path = weights_by_backbone.get(backbone.name)
    if path is None:
        return weights.require(backbone)
    if not path.is_file():
        raise errors.WeightsMissing(
            f"There is no file {path}, named as the weights of {backbone.name}."
        )
    return path


def outdated(home: Path) -> list[Path]:
    """Folders of converted networks that no start uses any more, and that can be made anew.

    They come from earlier versions, or from weights that changed or were given once. Those with
    int8 networks are left out, as these cannot be made without the photos.

    Args:
        home: Home folder.
    """
    current: set[str] = set()
    for backbone in zoo.BACKBONES.values():
        direct = backbone.family == "EfficientNetLite"
        file = weights.locate(backbone)
        if file is None:  # what was converted from it is used again as soon as it is back
            current.update(path.name for path in (home / "engines").glob(f"{backbone.name}-*"))
        else:
            current.add(f"{backbone.name}-{_key(backbone, file, direct=direct)}")
        current.add(f"{backbone.name}-{_key(backbone, None, direct=False)}")
    return sorted(
        network.parent
        for network in (home / "engines").glob(f"*/{convert.NETWORK}")
        if network.parent.name not in current and not list(network.parent.glob("int8-*"))
    )


def compiled_cache(home: Path) -> Path:
    """Folder in which OpenVINO keeps compiled networks."""
    return home / "engines" / "compiled"


def _key(backbone: zoo.Backbone, file: Path | None, *, direct: bool) -> str:
    # Size and time stand for the content: hashing the half gigabyte of VGG16 at each start would
    # cost more than the rest of the start. The content itself is checked when it is converted.
    origin = [file.stat().st_size, file.stat().st_mtime_ns] if file else ["random"]
    makers = ("openvino",) if direct else ("openvino", "keras")
    versions = [convert.VERSION, *map(_version, makers)]
    text = json.dumps([backbone.name, backbone.recipe.size, origin, versions], allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _version(package: str) -> str | None:
    """The version of a package; ``None`` where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
