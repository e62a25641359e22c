"""Deprecated: `triptych.imports` is the present name of this module."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

_NAME = "triptych.imports.recipe"


def __getattr__(name: str) -> Any:
    warnings.warn(f"{__name__} is {_NAME} now.", DeprecationWarning, stacklevel=2)
    return getattr(importlib.import_module(_NAME), name)
