"""Backbones from elsewhere: a file with a network becomes a row like those of the zoo.

adding         from a file to a backbone in the home: `add`, `remove`
choices        which input, output and tokens are taken, found out or asked for
recipe_files   recipes that timm and Hugging Face publish beside their networks

A backbone is an OpenVINO graph from photos (N, height, width, 3) to features (N, F), kept in
``<home>/backbones``; `triptych.models.zoo.find` finds it by name. Nothing of a file is executed.
"""

from __future__ import annotations

from triptych.backbones.adding import ForeignNetwork
from triptych.backbones.adding import add
from triptych.backbones.adding import remove

__all__ = ["ForeignNetwork", "add", "remove"]
