"""The networks of keras.applications are recognised by their layers, not by their names."""

from __future__ import annotations

from typing import Any

import pytest

from triptych.models import zoo
from triptych.models.zoo import recognition


@pytest.mark.slow
# Of the other families one network each, in test_zoo.
@pytest.mark.parametrize("name", ["VGG16", "ResNet50", "Xception", "MobileNetV3Large"])
def test_each_network_is_recognised_as_its_family(name: str, keras: Any) -> None:
    row = zoo.find(name)
    family = recognition.recognize([layer.name for layer in row.build().layers])
    assert family == row.family


def test_each_family_is_one_of_the_zoo() -> None:
    assert set(recognition.SIGNATURES) <= {row.family for row in zoo.BACKBONES.values()}
    assert set(recognition.FROM_MINUS_1_TO_1) <= set(recognition.SIGNATURES)
