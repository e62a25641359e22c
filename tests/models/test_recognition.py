"""The networks of keras.applications are recognised by their layers, not by their names."""

from __future__ import annotations

from typing import Any

import pytest

from triptych.models import zoo
from triptych.models.zoo import recognition

# The smallest of each family, and those with layers of other names.
NETWORKS = [
    *("VGG16", "ResNet50", "ResNet50V2", "Xception", "MobileNet", "MobileNetV2"),
    *("MobileNetV3Small", "MobileNetV3Large", "DenseNet121", "InceptionV3", "EfficientNetV2B0"),
    # These take seconds to build.
    *(
        pytest.param(name, marks=pytest.mark.thorough)
        for name in ("InceptionResNetV2", "NASNetMobile")
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_is_recognised_as_its_family(name: str, keras: Any) -> None:
    row = zoo.find(name)
    family = recognition.recognize([layer.name for layer in row.build().layers])
    assert family == row.family


@pytest.mark.slow
@pytest.mark.parametrize("name", ["EfficientNetB0", "ConvNeXtTiny", "EfficientNetLite0"])
def test_networks_with_another_scaling_are_not_recognised(name: str, keras: Any) -> None:
    names = [layer.name for layer in zoo.find(name).build().layers]
    family = recognition.recognize(names)
    # An EfficientNet has its preprocessing inside, which counts first.
    if family is not None:
        assert names[1].startswith("rescaling")


def test_each_family_is_one_of_the_zoo() -> None:
    assert set(recognition.SIGNATURES) <= {row.family for row in zoo.BACKBONES.values()}
    assert set(recognition.FROM_MINUS_1_TO_1) <= set(recognition.SIGNATURES)
