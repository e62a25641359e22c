"""Triptych: show a photo to a committee of networks and get one verdict.

Example:
    >>> import triptych
    >>> sorted(triptych.__all__)
    ['Classifier', 'Failure', 'Verdict', 'errors', 'export', 'load', 'train']
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING
from typing import Any

from triptych import errors
from triptych.results import Failure
from triptych.results import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence
    from pathlib import Path

    from triptych.bundles import Bundle
    from triptych.exports.exporting import Export
    from triptych.inference.classifier import Classifier
    from triptych.typing import Notify
    from triptych.workers.pool import WorkerPool

__version__ = "0.1.0"
__all__ = ["Classifier", "Failure", "Verdict", "errors", "export", "load", "train"]


def load(
    committee: str | Bundle | None = None,
    *,
    members: Sequence[str] | None = None,
    weights: str = "imagenet",
    report: Notify = lambda line: None,
    pool: WorkerPool | None = None,
    **settings: Any,
) -> Classifier:
    """Load a committee.

    Args:
        committee: ``"lite"``, ``"classic"``, ``"auto"`` (classic if its weights are here, else
            lite), the name of a bundle, the URL of a bundle's file with its hash, a repository of
            the Hugging Face Hub as ``"hf://user/name@revision"``, or a bundle; by default the
            setting ``committee``.
        members: Backbones of the zoo to use instead of the committee's own; of a bundle, the
            members to keep.
        weights: ``"imagenet"``, or ``"random"`` to measure speed without real weights.
        report: Called with a line for people while something slow happens, such as the one-time
            conversion of a network.
        pool: Worker processes that are to classify the photos, if the committee's networks are
            small; by default they are classified in this process.
        **settings: Settings of `triptych.settings`, such as ``precision="f32"``; by default from
            the environment (``TRIPTYCH_PRECISION``).

    Raises:
        errors.UnknownName: There is no such committee or backbone.
        errors.SettingError: A setting has an impossible value.
        errors.WeightsMissing: Weights have to be downloaded first; the message says how.
        errors.SourceError: A bundle at a URL cannot be fetched, or its hash differs.

    Example:
        >>> verdict = triptych.load("lite").classify("cat.jpg")  # doctest: +SKIP
        >>> verdict.label.name, verdict.prob  # doctest: +SKIP
        ('Egyptian cat', 0.83)
    """
    # Imported here to keep `import triptych` fast.
    from triptych import settings as table
    from triptych.bundles import Bundle
    from triptych.bundles import loading
    from triptych.engines import devices
    from triptych.engines.options import EngineOptions
    from triptych.utils import concurrency

    name = None if isinstance(committee, Bundle) else committee
    in_force = table.load(os.environ, committee=name, **settings)
    chosen = committee if isinstance(committee, Bundle) else in_force.committee
    # Before networks are converted, which takes long.
    device = devices.resolve(in_force.device, in_force.precision)
    options = EngineOptions(
        home=in_force.home,
        precision=in_force.precision,
        device=str(device),
        threads=in_force.threads,
        streams=in_force.streams or concurrency.cpu_count(),
        max_batch=in_force.max_batch,
        random_weights=table.is_random(weights),
        report=report,
    )
    how: dict[str, Any] = {
        "rule": in_force.rule,
        "coverage": in_force.coverage,
        "limits": in_force.image_limits,
        "members": members,
    }
    # Another device is best used by one process.
    if pool and device == devices.CPU and isinstance(chosen, str):
        from triptych.workers import classifier

        if in_workers := classifier.load(pool, chosen, options, **how):
            return in_workers
    return loading.load_classifier(chosen, options, **how)


def train(
    source: str | Path,
    *,
    name: str,
    report: Notify = lambda line: None,
    precision: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    home: Path | None = None,
    **config: Any,
) -> Bundle:
    """Train a committee on your own classes; afterwards ``load(name)`` loads it.

    Args:
        source: A folder per class, ``train/`` and ``val/`` folders of those, a zip of either, a
            CSV with the columns ``path`` and ``label``, or anything else that `data.open` takes,
            such as ``s3://bucket/photos/``.
        name: Name of the committee.
        report: Called with a line for people while something slow happens.
        precision: A setting, as the next three; by default from the environment.
        device: What the networks run on that compute features; fine-tuning takes TensorFlow's.
        threads: Processor threads.
        home: The home folder.
        **config: Fields of `triptych.training.config.TrainingConfig`: ``backbones``, ``head``,
            ``weights``, ``augment``, ``fine_tune``, ``budget_s``, ``seed``, ``multilabel``,
            ``label_precision``, ``progress``, ``on_score``, ``on_epoch``, ``stop``, ``compute``,
            ``format``, ``limits`` (a setting). ``judged`` is the former name of ``on_score``.

    Raises:
        errors.SourceError: There are no classes of photos in the source.
        errors.WeightsMissing: Weights have to be downloaded first; the message says how.
        errors.Stopped: ``stop`` returned true; features computed so far are kept.

    Example:
        >>> bundle = triptych.train("photos/", name="garden")  # doctest: +SKIP
        >>> bundle.metrics["committee"]["top1"]  # doctest: +SKIP
        0.973
    """
    from triptych import settings as table
    from triptych.engines.devices import check_device_of_nodes
    from triptych.engines.options import EngineOptions
    from triptych.training import pipeline
    from triptych.training.config import TrainingConfig

    in_force = table.load(
        os.environ, precision=precision, device=device, threads=threads, home=home
    )
    if "compute" in config:
        check_device_of_nodes(in_force.device)
    options = EngineOptions(
        home=in_force.home,
        precision=in_force.precision,
        device="cpu" if "compute" in config else in_force.device,
        threads=in_force.threads,
        report=report,
    )
    if "judged" in config:
        warnings.warn("judged= is called on_score= now.", DeprecationWarning, stacklevel=2)
        config["on_score"] = config.pop("judged")
    training_config = TrainingConfig(**{"limits": in_force.image_limits, **config})
    return pipeline.train(source, name=name, options=options, config=training_config)


def export(
    committee: str,
    path: str | Path,
    *,
    format: str | None = None,
    members: Sequence[str] | None = None,
    photos: Iterable[Any] = (),
    overwrite: bool = False,
    report: Notify = lambda line: None,
    **settings: Any,
) -> Export:
    """Export a committee as a file that answers elsewhere as it does here, compared beforehand.

    Args:
        committee: As for `load`.
        path: The file; its ending says the format.
        format: A name from `triptych.exports.formats.FORMATS`, where the ending does not say it.
        members: As for `load`.
        photos: Photos on which it is compared with the committee, beside drawn ones: paths, bytes,
            arrays or Pillow images.
        overwrite: Whether files that are there may be replaced.
        report: Called with a line for people while something slow happens.
        **settings: Settings of `triptych.settings`, such as ``precision="int8"`` or ``rule``.

    Raises:
        errors.UnknownName: There is no such committee, member, rule or format.
        errors.SettingError: The format is not known, a package is missing, or a file is there.
        errors.EngineError: The export does not answer as the committee does, or cannot be written.

    Example:
        >>> exported = triptych.export("lite", "lite.onnx")  # doctest: +SKIP
        >>> exported.comparison.largest  # doctest: +SKIP
        0.0006
    """
    from pathlib import Path

    from triptych import settings as table
    from triptych.engines.options import EngineOptions
    from triptych.exports import exporting

    in_force = table.load(os.environ, **settings)
    engine_options = EngineOptions(
        in_force.home, precision=in_force.precision, threads=in_force.threads, report=report
    )
    options = exporting.ExportOptions(
        format=format,
        members=members,
        rule=None if in_force.rule == "auto" else in_force.rule,
        coverage=in_force.coverage,
        photos=photos,
        overwrite=overwrite,
    )
    return exporting.export(committee, Path(path), engine_options, options)


def __getattr__(name: str) -> Any:
    if name == "Classifier":
        from triptych.inference.classifier import Classifier

        return Classifier
    raise AttributeError(f"module 'triptych' has no attribute {name!r}")
