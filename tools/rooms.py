"""The rooms of the package and their ranks, read by the architecture test and by ``make docs``.

A module imports only rooms of lower rank; modules of one room may import each other.
"""

from __future__ import annotations

RANKS = {
    "errors": 0,
    "typing": 0,
    "utils": 1,
    "results": 2,
    "preprocessing": 2,
    "ensemble": 2,
    "images": 4,
    "models": 4,
    "settings": 5,
    "data": 5,
    "engines": 5,
    "client": 6,
    "inference": 6,
    "features": 6,
    "bundles": 7,
    "imports": 8,
    "workers": 8,
    "batch": 8,
    "exports": 8,
    "evaluation": 8,
    "benchmark": 9,
    "backbones": 9,
    "training": 9,
    "tuning": 10,
    "studio": 11,
    "": 11,  # triptych/__init__.py: triptych.load, triptych.train
    "web": 12,
    "mlflow": 12,
    "scale": 13,
    "cli": 14,
    "__main__": 15,
}
