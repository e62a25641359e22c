"""Backbones of the zoo, ready to turn many photos into features."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

from triptych import features
from triptych.engines.conversion import convert
from triptych.engines.conversion import store
from triptych.engines.openvino import OpenVINOEngine
from triptych.engines.openvino import resolve_precision
from triptych.inference.committee import Build
from triptych.models import zoo
from triptych.preprocessing import recipe
from triptych.utils import concurrency


def of(
    rows: Sequence[zoo.Backbone],
    build: Build,
    *,
    own: Mapping[str, Path] = {},
    workshop: convert.Workshop | None = None,
) -> list[features.Extractor]:
    """An extractor for each backbone, converted first where that was not done yet.

    Args:
        rows: Of the zoo.
        build: Where things are kept and how networks run.
        own: Files of one's own that take the place of the published weights, by backbone.
        workshop: Where to convert; by default in one that is opened for it.

    Raises:
        errors.WeightsMissing: A backbone's weights have to be fetched first.
    """
    paths = store.prepare(rows, home=build.home, own=own, report=build.report, workshop=workshop)
    precision = resolve_precision(build.precision)
    engine = functools.partial(
        OpenVINOEngine,
        precision=precision,
        threads=build.threads,
        streams=concurrency.cores(),
        cache=store.compiled_cache(build.home),
    )
    return [
        features.Extractor(
            # The folder is named after backbone, weights and conversion.
            space=f"{path.parent.name} {row.recipe.to_dict()}, {recipe.SIGHT} {precision}",
            engine=engine(path),
            recipe=row.recipe,
            network=path,
            precision=precision,
        )
        for row, path in zip(rows, paths, strict=True)
    ]
