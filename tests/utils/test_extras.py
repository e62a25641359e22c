"""Large libraries are imported while the garbage collector pauses."""

from __future__ import annotations

import gc

import pytest

from triptych.utils import extras


def test_the_garbage_collector_pauses_and_leaves_alone_what_is_there() -> None:
    frozen = gc.get_freeze_count()
    made: list[list[list[int]]] = []

    def fail() -> None:
        with extras.large_import():
            assert not gc.isenabled()
            with extras.large_import():
                made.append([[number] for number in range(1000)])
            assert not gc.isenabled()
            raise ModuleNotFoundError

    with pytest.raises(ModuleNotFoundError):
        fail()
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + 1000
