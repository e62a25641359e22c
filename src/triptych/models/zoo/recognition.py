"""Which published network is inside a model, told by the names that Keras gives its layers.

A name of the whole, such as ``xception``, anybody gives to anything; the names of layers far apart
are those of Keras's own builders. They stay where a model is built on top, whatever it is called.
"""

from __future__ import annotations

from collections.abc import Collection

# By family of the zoo: layers that only Keras's builder of that family names so, at its begin and
# end. Networks that scale pixels inside are not here, but for those that can be built without.
SIGNATURES: dict[str, tuple[str, ...]] = {
    "VGG": ("block1_conv1", "block1_pool", "block5_conv3", "block5_pool"),
    "ResNetV2": ("conv1_conv", "conv2_block1_preact_bn", "post_relu"),
    "ResNet": ("conv1_conv", "conv1_relu", "conv2_block1_1_conv", "conv5_block3_out"),
    "Xception": ("block1_conv1", "block1_conv2", "block14_sepconv1", "block14_sepconv2"),
    "MobileNet": ("conv1", "conv_dw_1", "conv_pw_13", "conv_pw_13_relu"),
    "MobileNetV2": ("Conv1", "bn_Conv1", "block_16_project", "Conv_1"),
    "MobileNetV3": ("expanded_conv_project", "expanded_conv_10_project", "conv_1"),
    "DenseNet": ("conv1_conv", "conv2_block1_concat", "conv5_block16_concat"),
    "InceptionResNetV2": ("mixed_5b", "mixed_6a", "mixed_7a", "conv_7b_ac"),
    "InceptionV3": ("mixed0", "mixed5", "mixed10"),
    "NASNet": ("stem_conv1", "reduction_conv_1_stem_1", "normal_concat_10"),
    "EfficientNetV2": ("stem_conv", "block1a_project_conv", "block4a_se_reduce", "top_conv"),
}
# Built without their own preprocessing, these take values from -1 to 1
# (`include_preprocessing` in the docstrings of keras.applications).
FROM_MINUS_1_TO_1 = ("MobileNetV3", "EfficientNetV2")


def recognize(names: Collection[str]) -> str | None:
    """The family of the network inside a model; ``None`` where it is not one of Keras's.

    Args:
        names: Of all layers, those of nested models too.

    Example:
        >>> recognize(["Conv1", "bn_Conv1", "block_16_project", "Conv_1", "dense"])
        'MobileNetV2'
        >>> recognize(["mobilenetv2_1.00_224", "dense"])
    """
    for family, layers in SIGNATURES.items():
        if set(layers) <= set(names):
            return family
    return None
