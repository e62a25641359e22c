"""Backbones of the zoo, ready to turn many photos into features."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

from triptych import features
from triptych.engines.conversion import convert
from triptych.engines.conversion import store
from triptych.engines.openvino import resolve_precision
from triptych.engines.options import EngineOptions
from triptych.engines.options import open_engine
from triptych.models import zoo
from triptych.preprocessing import recipe
from triptych.utils import concurrency


def of(
    rows: Sequence[zoo.Backbone],
    options: EngineOptions,
    *,
    own: Mapping[str, Path] = {},
    converter: convert.Converter | None = None,
) -> list[features.Extractor]:
    """An extractor for each backbone, converted first where that was not done yet.

    Args:
        rows: Of the zoo.
        options: Where things are kept and how networks run.
        own: Files of one's own that take the place of the published weights, by backbone.
        converter: Where to convert; by default in one that is opened for it.

    Raises:
        errors.WeightsMissing: A backbone's weights have to be fetched first.
    """
    paths = store.prepare(
        rows, home=options.home, own=own, report=options.report, converter=converter
    )
    precision = resolve_precision(options.precision)
    options = dataclasses.replace(options, precision=precision, streams=concurrency.cpu_count())
    return [
        features.Extractor(
            # The folder is named after backbone, weights and conversion.
            space=f"{path.parent.name} {row.recipe.to_dict()}, {recipe.SIGHT} {precision}",
            engine=open_engine(path, options),
            recipe=row.recipe,
            network=path,
            precision=precision,
        )
        for row, path in zip(rows, paths, strict=True)
    ]
