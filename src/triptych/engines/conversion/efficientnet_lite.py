"""EfficientNet-Lite as an OpenVINO graph, made of the published tensors without Keras.

So the default committee answers in an installation without Keras, and is ready in a second. It is
the network of `triptych.models.zoo.efficientnet_lite`; a test compares it with Keras's conversion.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from triptych import errors
from triptych.engines.conversion import convert
from triptych.models import torch_checkpoint
from triptych.models import zoo
from triptych.models.zoo import efficientnet_lite as lite
from triptych.utils import files


def write(backbone: zoo.Backbone, file: Path, folder: Path) -> None:
    """Write the network that `convert.export` would write for the same weights.

    Args:
        backbone: One of the family.
        file: Its published weights, already verified.
        folder: Where the network goes; it appears atomically.

    Raises:
        errors.DiskError: The disk is full.
        errors.EngineError: It cannot be written for another reason.
    """
    import openvino

    network = graph(backbone, torch_checkpoint.read(file))
    with files.atomic_dir(folder) as scratch:
        try:
            openvino.save_model(network, scratch / convert.NETWORK, compress_to_fp16=False)
        except RuntimeError as error:  # which does not say why
            message = f"{backbone.name} could not be written to {str(folder)!r}: {error}"
            files.check_room(folder, message)
            raise errors.EngineError(message) from error


def graph(backbone: zoo.Backbone, tensors: lite.Tensors) -> Any:
    """The graph from images (N, height, width, 3) to (probs, features).

    Args:
        backbone: One of the family.
        tensors: Its published tensors by name; kernels have the shape (out, in, height, width).
    """
    import numpy as np
    import openvino
    from openvino import opset13 as ops

    def convolve(x: Any, conv: str, norm: str, *, strides: int = 1, active: bool = True) -> Any:
        # The batch norm is a factor and a shift for each channel, and goes into the kernel.
        factor = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + lite.EPSILON)
        shift = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * factor
        kernel = tensors[f"{conv}.weight"] * factor[:, None, None, None]
        operation = ops.convolution
        if kernel.shape[1] == 1:  # depthwise: each channel is a group of its own
            operation, kernel = ops.group_convolution, kernel[:, None]
        x = operation(x, kernel, [strides] * 2, [0, 0], [0, 0], [1, 1], auto_pad="same_upper")
        x = ops.add(x, shift[None, :, None, None])
        return ops.clamp(x, 0.0, 6.0) if active else x

    image = ops.parameter([-1, *backbone.recipe.size, 3], np.float32)
    x = ops.transpose(image, [0, 3, 1, 2])
    x = convolve(x, lite.KEYS["stem_conv"], lite.KEYS["stem_bn"], strides=2)
    for number, block in enumerate(lite.blocks(backbone.name)):
        keys = {part: f"_blocks.{number}.{key}" for part, key in lite.BLOCK_KEYS.items()}
        inputs, filters_in = x, x.output(0).partial_shape[1].get_length()
        if block.expand > 1:
            x = convolve(x, keys["expand_conv"], keys["expand_bn"])
        x = convolve(x, keys["dwconv"], keys["bn"], strides=block.strides)
        x = convolve(x, keys["project_conv"], keys["project_bn"], active=False)
        if block.strides == 1 and block.filters == filters_in:
            x = ops.add(x, inputs)
    x = convolve(x, lite.KEYS["top_conv"], lite.KEYS["top_bn"])
    features = ops.reduce_mean(x, [2, 3], keep_dims=False)
    kernel, bias = (tensors[f"{lite.KEYS['predictions']}.{part}"] for part in ("weight", "bias"))
    logits = ops.add(ops.matmul(features, kernel, False, True), bias[None])
    return openvino.Model([ops.softmax(logits, 1), features], [image])
