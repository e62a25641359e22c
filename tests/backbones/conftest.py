"""Shared by the tests of backbones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from triptych.backbones import adding
from triptych.engines.conversion.backbone_graph import BackboneConverter


class LentConverter:
    """A `BackboneConverter` whose process goes on, for the next file."""

    kept: BackboneConverter | None = None

    def __init__(self, **limits: Any) -> None:
        LentConverter.kept = LentConverter.kept or BackboneConverter(**limits)

    def __enter__(self) -> BackboneConverter:
        assert LentConverter.kept
        return LentConverter.kept

    def __exit__(self, *problem: object) -> None:
        """Keep the process."""


@pytest.fixture(scope="session")
def one_reader() -> Iterator[None]:
    """All graphs, for the files of tests that ask, are read by one child process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adding, "BackboneConverter", LentConverter)
        yield
    if LentConverter.kept:
        LentConverter.kept.__exit__()
        LentConverter.kept = None
