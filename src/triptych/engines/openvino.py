"""The OpenVINO engine: runs converted networks on the CPU and on Intel's GPUs and NPUs."""

from __future__ import annotations

import contextlib
import functools
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from triptych import errors
from triptych.engines import Output
from triptych.engines import measurements
from triptych.typing import Float32Array
from triptych.utils import files

# The device that networks run on where no other is named.
DEVICE = "CPU"
# Devices that take batches of one size only.
STATIC = ("NPU",)

# How often each precision is timed, and what share of the time of f32 bf16 has to stay below.
PRECISION_ROUNDS = 10
AS_FAST = 0.95

# What networks are made of that Keras models convert to; none reads where its input tells it.
OPERATIONS = frozenset(
    [
        "Parameter",
        "Constant",
        "Result",
        "Convert",
        "FakeQuantize",
        "Convolution",
        "GroupConvolution",
        "MatMul",
        "MaxPool",
        "AvgPool",
        "Add",
        "Subtract",
        "Multiply",
        "Divide",
        "Maximum",
        "Minimum",
        "Power",
        "Sqrt",
        "Exp",
        "Log",
        "Abs",
        "Negative",
        "Relu",
        "PRelu",
        "Elu",
        "Selu",
        "Gelu",
        "Clamp",
        "Sigmoid",
        "HardSigmoid",
        "HSigmoid",
        "HSwish",
        "Swish",
        "Mish",
        "Tanh",
        "SoftPlus",
        "SoftSign",
        "Softmax",
        "LogSoftmax",
        "ReduceMean",
        "ReduceMax",
        "ReduceMin",
        "ReduceSum",
        "ReduceProd",
        "ReduceL2",
        "MVN",
        "NormalizeL2",
        "BatchNormInference",
        "LRN",
        "Interpolate",
        "Pad",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Concat",
        "Split",
        "VariadicSplit",
        "Slice",
        "StridedSlice",
        "ShapeOf",
        "Broadcast",
        "Tile",
        "Gather",
        "Reverse",
        "DepthToSpace",
        "SpaceToDepth",
        "Select",
        "Equal",
        "NotEqual",
        "Greater",
        "GreaterEqual",
        "Less",
        "LessEqual",
        "LogicalAnd",
        "LogicalOr",
        "LogicalNot",
    ]
)

_core_lock = threading.Lock()


def _core() -> Any:
    # `functools.cache` alone would let two threads make a core each.
    with _core_lock:
        return _cached_core()


@functools.cache
def _cached_core() -> Any:
    import openvino

    # OpenVINO sets up its table of number types at the first use, and two threads that do so at
    # once deadlock (2026.4: the guard of a C++ static is held without releasing the GIL). Used
    # here, under the lock, it is set up by one.
    openvino.Type.f32.to_dtype()
    return openvino.Core()


def read_network(path: Path) -> Any:
    """Read the graph of a network on disk, an OpenVINO model."""
    return _core().read_model(path)


def check_operations(path: Path) -> None:
    """Refuse a network with operations that no image classifier of ours has.

    OpenVINO does not check the indices that `GatherND` and its like read and write at, so that a
    crafted network reads foreign memory.

    Args:
        path: A network on disk.

    Raises:
        errors.EngineError: It has another operation, or gathers outside of what there is; or it
            cannot be read.
    """
    try:
        operations = read_network(path).get_ops()
    except RuntimeError as error:
        raise errors.EngineError(f"{path.name} cannot be read as a network: {error}") from error
    for operation in operations:
        kind = operation.get_type_name()
        if kind not in OPERATIONS or (kind == "Gather" and not _gathers_inside(operation)):
            raise errors.EngineError(
                f"{path.name} has the operation {kind} ({operation.get_friendly_name()[:60]!r}), "
                "which is not run in bundles from elsewhere."
            )


def _gathers_inside(operation: Any) -> bool:
    """Whether indices and axis are constants, and the indices exist."""
    shape = operation.input_value(0).get_partial_shape()
    indices, axis = (operation.input_value(n).get_node() for n in (1, 2))
    if any(node.get_type_name() != "Constant" for node in (indices, axis)):
        return False
    if shape.rank.is_dynamic or not shape[int(axis.data.item())].is_static:
        return False
    length = shape[int(axis.data.item())].get_length()
    return bool(((indices.data >= -length) & (indices.data < length)).all())


def count_classes(path: Path) -> int:
    """How many classes a network on disk has."""
    return int(read_network(path).output(0).partial_shape[1].get_length())


def input_shape(path: Path) -> tuple[int, ...]:
    """The shape of a photo that a network on disk takes, (H, W, 3)."""
    _, *photo = read_network(path).input(0).partial_shape
    return tuple(int(side.get_length()) for side in photo)


def compile_network(network: Any, threads: int) -> Any:
    """Compile a network at f32, to run one batch at a time.

    Args:
        network: An OpenVINO model.
        threads: Processor threads; 0 takes every core this process may use.
    """
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": False,
        **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
    }
    return _core().compile_model(network, DEVICE, options)


def devices() -> list[str]:
    """Names of the devices that this machine has, such as ``CPU``, ``GPU.1`` and ``NPU``."""
    return list(_core().available_devices)


def is_discrete(device: str) -> bool:
    """Whether a device is a card of its own, not a part of the processor."""
    return "discrete" in str(_core().get_property(device, "DEVICE_TYPE")).lower()


def has_bf16() -> bool:
    """Whether this processor has bf16 arithmetic."""
    return "BF16" in _core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")


def resolve_precision(precision: str, device: str = DEVICE, home: Path | None = None) -> str:
    """Turn ``"auto"`` into the precision that is fastest on a device.

    It is one for all networks of a machine, so that a committee has one precision, and features and
    verdicts that were computed at different times go together.

    Args:
        precision: ``"auto"``, ``"f32"`` or ``"bf16"``; ``"f16"`` where that is the result.
        device: OpenVINO's name of the device.
        home: Folder where it is kept what is fastest; by default that is found out once a process.

    Returns:
        ``"f32"`` or ``"bf16"`` on a processor, ``"f32"`` or ``"f16"`` elsewhere.

    Raises:
        errors.SettingError: bf16 is wanted and this processor has none; or int8, which is not a
            way to run a network but another network.
    """
    if precision == "int8":
        raise errors.SettingError(
            "Got precision int8 where networks run unquantized; expected f32, bf16 or auto. "
            "Committees run at int8 after `triptych optimize`."
        )
    if device != DEVICE:  # GPUs and NPUs compute in f16
        if precision not in ("auto", "f16", "f32"):
            raise errors.SettingError(
                f"Got precision {precision}, and OpenVINO computes in f16 or f32 on {device}. "
                "Use f32, or auto for f16."
            )
        return "f32" if precision == "f32" else "f16"
    if precision == "f16":
        raise errors.SettingError(
            "Got precision f16, which is that of another device, and networks run on this "
            "processor. Use f32, or auto for the fastest that it has."
        )
    if precision == "auto":
        return _fastest_precision(home) if has_bf16() else "f32"
    if precision == "bf16" and not has_bf16():
        raise errors.SettingError(
            "Got precision bf16, and this processor has no bf16 arithmetic. "
            "Use f32, or auto for the fastest that it has."
        )
    return precision


def _fastest_precision(home: Path | None) -> str:
    times = measurements.recall(home, {"precision": "a few layers"}, _time_precisions)
    # Of two that are as fast, f32 is the exact one.
    return "bf16" if times.get("bf16", 1.0) < AS_FAST * times.get("f32", 0.0) else "f32"


@functools.cache
def _time_precisions() -> dict[str, float]:
    """Milliseconds of a few typical layers by precision.

    Processors with AMX compute at bf16 several times as fast as at f32. Those that only have the
    AVX-512 instructions for it are slower: each of the six networks of `lite` and `classic` took
    1.6 to 1.8 times as long (Intel Xeon, OpenVINO 2026.4), and these layers 1.7 times.
    """
    layers, photo = _typical_layers()
    requests, ms = {}, {}
    for precision in ("f32", "bf16"):
        options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1}
        requests[precision] = _core().compile_model(layers, DEVICE, options).create_infer_request()
        requests[precision].infer({0: photo})  # the first run is slow
        ms[precision] = math.inf
    # They take turns, and the shortest time counts, so that other programs do not decide.
    for _ in range(PRECISION_ROUNDS):
        for precision, request in requests.items():
            start = measurements.clock()
            request.infer({0: photo})
            ms[precision] = min(ms[precision], 1000 * (measurements.clock() - start))
    return ms


def _typical_layers() -> tuple[Any, Float32Array]:
    """An OpenVINO model with a convolution of each kind and a dense layer, and an input for it."""
    import openvino
    from openvino import opset13 as op

    rng = np.random.default_rng(0)

    def weights(*shape: int) -> Any:
        return op.constant(rng.normal(0, 0.05, shape).astype(np.float32))

    one, none = [1, 1], [0, 0]
    photo = op.parameter([1, 64, 56, 56], np.float32)
    dense = op.relu(op.convolution(photo, weights(64, 64, 3, 3), one, one, one, one))
    wide = op.relu(op.convolution(dense, weights(256, 64, 1, 1), one, none, none, one))
    deep = op.relu(op.group_convolution(wide, weights(256, 1, 1, 3, 3), one, one, one, one))
    narrow = op.relu(op.convolution(deep, weights(64, 256, 1, 1), one, none, none, one))
    pooled = op.reduce_mean(narrow, op.constant([2, 3]), keep_dims=False)
    logits = op.matmul(pooled, weights(64, 1000), False, False)
    return openvino.Model([logits], [photo]), rng.normal(size=(1, 64, 56, 56)).astype(np.float32)


class OpenVINOEngine:
    """Runs a converted network; safe to call from several threads.

    Args:
        path: The network, as `triptych.engines.conversion.convert.export` writes it.
        precision: ``"auto"``, ``"f32"`` or ``"bf16"``.
        threads: Processor threads; 0 takes every core this process may use.
        streams: How many batches run in parallel, each on its share of the threads: 1 for the
            lowest latency, as many as threads for the highest throughput.
        cache: Folder for the compiled network, so that the next start is quick; ``None``
            compiles it each time.
        device: OpenVINO's name of the device, such as ``"GPU.1"``. Threads and streams are those
            of the processor; other devices decide themselves.
        network: The OpenVINO model to compile, where it is not the file as it is.
        is_int8: Whether the network is the int8 form of another one, and its products are computed
            so. Other networks that are quantized, such as imported ones, run at the precision:
            on processors without VNNI int8 products of the full range overflow.

    Raises:
        errors.EngineError: The file cannot be compiled.
        errors.SettingError: This processor does not have the precision.
    """

    def __init__(
        self,
        path: Path,
        *,
        precision: str = "auto",
        threads: int = 0,
        streams: int = 1,
        cache: Path | None = None,
        network: Any = None,
        device: str = DEVICE,
        is_int8: bool = False,
    ) -> None:
        self.precision = resolve_precision(precision, device)
        self._is_static = device.partition(".")[0] in STATIC
        options = {
            "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": self.precision,
            **({"CACHE_DIR": str(cache)} if cache else {}),
        }
        if device == DEVICE:
            options |= _of_processor(threads, streams)
            if not is_int8:
                options["LP_TRANSFORMS_MODE"] = "NO"
        # OpenVINO writes a cached network in place, and maps it into memory where it exists: of
        # three processes that start together, the second would truncate the file that the third
        # has mapped, which then dies by SIGBUS.
        lock: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if cache:
            lock = files.exclusive(cache / f"{path.parent.name}.lock")
        try:
            with lock:
                self._network = _compiled(network or path, device, options)
        except RuntimeError as error:
            raise errors.EngineError(
                f"OpenVINO cannot compile {path}: {_first_line(error)}. Delete its folder; "
                "it is made anew at the next start."
            ) from error
        self._size_bytes = path.with_suffix(".bin").stat().st_size
        self._requests: list[Any] = []

    @property
    def size_bytes(self) -> int:
        """The size of its weights."""
        return self._size_bytes

    def run(self, batch: Float32Array) -> Output:
        """Compute probabilities and features; see `triptych.engines.Engine.run`."""
        if self._is_static and len(batch) > 1:
            outputs = [self.run(batch[n : n + 1]) for n in range(len(batch))]
            return Output(*map(np.concatenate, zip(*outputs, strict=True)))
        with self._request() as request:
            try:
                request.infer({0: batch}, share_inputs=True)
            except RuntimeError as error:
                raise errors.EngineError(
                    f"The network takes {self._network.input(0).partial_shape} and got a batch of "
                    f"shape {batch.shape}: {_first_line(error)}."
                ) from error
            count = len(self._network.outputs)
            *probs, features = (request.get_output_tensor(i).data.copy() for i in range(count))
        # A backbone by itself has no classes, and gives features only.
        return Output(probs[0] if probs else features[:, :0], features)

    @contextlib.contextmanager
    def _request(self) -> Iterator[Any]:
        # A pool: a request holds the tensors of one batch, and its first batch is slow. It grows to
        # as many as batches ran in parallel; the one that was used last is taken first.
        try:
            request = self._requests.pop()
        except IndexError:
            request = self._network.create_infer_request()
        try:
            yield request
        finally:
            self._requests.append(request)


def _of_processor(threads: int, streams: int) -> dict[str, Any]:
    return {
        "NUM_STREAMS": streams,
        # Each network would pin its streams to the same cores, and two networks that run in
        # parallel would share one core while another is idle (measured: ResNet50, VGG16 and
        # Xception behind HTTP, 2 cores, 16 clients: f32 1.8 photos/s pinned and 2.5 free, int8
        # 4.0 and 4.7).
        "ENABLE_CPU_PINNING": False,
        **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
    }


def _compiled(network: Any, device: str, options: dict[str, Any]) -> Any:
    if device.partition(".")[0] in STATIC:
        network = read_network(network) if isinstance(network, Path) else network.clone()
        _, *sides = network.input(0).partial_shape
        network.reshape([1, *sides])
    try:
        return _core().compile_model(network, device, options)
    except RuntimeError:
        if "CACHE_DIR" not in options:
            raise
        # The cache may be on a disk that is full or read-only; the network runs without it.
        plain = {name: value for name, value in options.items() if name != "CACHE_DIR"}
        return _core().compile_model(network, device, plain)


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
