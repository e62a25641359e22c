"""How networks run, and the one place where they are opened: `open_engine`."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from triptych.engines import Engine
from triptych.engines import batch_limit
from triptych.engines import batching
from triptych.engines import devices
from triptych.engines.batching import NetworkQueue
from triptych.engines.conversion import store
from triptych.engines.devices import Device
from triptych.engines.keras_engine import KerasEngine
from triptych.engines.keras_engine import KerasPixelEngine
from triptych.engines.openvino import OpenVINOEngine
from triptych.preprocessing.recipe import Recipe
from triptych.typing import Notify

INT8 = "int8"
# How many photos a graphics card runs at once, at most.
LARGEST_BATCH = 64
# How many batches a graphics card is given at a time: one is copied while it computes the other.
# Further photos wait, and become the next large batch.
DEVICE_SLOTS = 2


@dataclass(frozen=True)
class EngineOptions:
    """How networks are made and run.

    Args:
        home: Folder for everything that is kept, converted and compiled networks among it.
        precision: ``"auto"``, ``"f32"``, ``"bf16"`` or ``"int8"``.
        device: What networks run on, as for `triptych.engines.devices.parse`.
        threads: Processor threads; 0 takes every core this process may use.
        streams: How many batches each network runs in parallel, each on its share of the threads.
        max_batch: Most photos of concurrent callers that a network runs as one batch; 0 measures
            how many it should run.
        random_weights: Use random weights, to measure speed where the real ones cannot be had.
        report: Called with a line for people before something slow.

    Example:
        >>> EngineOptions(Path("home"), "bf16").streams
        1
    """

    home: Path
    precision: str = "auto"
    threads: int = 0
    streams: int = 1
    max_batch: int = 1
    random_weights: bool = False
    report: Notify = lambda line: None
    device: str = "cpu"


def open_engine(
    network: Path, options: EngineOptions, *, recipe: Recipe | None = None, cache: bool = True
) -> Engine:
    """Open a converted network in this process.

    Args:
        network: Its ``.xml`` file; for precision int8, that of its int8 form.
        options: How it runs.
        recipe: How its photos are scaled; with it a graphics card takes pixels, and scales them.
        cache: Whether to keep the compiled network in the home, so that the next start is quick;
            false for networks that do not last.

    Raises:
        errors.EngineError: The file cannot be compiled.
        errors.SettingError: This machine does not have the device, or the device does not have
            the precision.
    """
    device = devices.resolve(options.device, options.precision)
    is_int8 = options.precision == INT8
    # The layers of an int8 network that are not quantized, the first and the last, run at f32.
    precision = (
        "f32" if is_int8 else devices.resolve_precision(device, options.precision, options.home)
    )

    def opened() -> Engine:
        if device.runtime != devices.OPENVINO:
            if recipe:
                return KerasPixelEngine(network, device, recipe, precision=options.precision)
            return KerasEngine(network, device, precision=options.precision)
        return OpenVINOEngine(
            network,
            precision=precision,
            threads=options.threads,
            streams=options.streams,
            cache=store.compiled_cache(options.home) if cache else None,
            device=device.name,
            is_int8=is_int8,
        )

    if not device.is_processor:
        max_batch = options.max_batch or LARGEST_BATCH
        return batching.batched(opened(), max_batch=max_batch, networks=_networks(device))
    # Keras on a processor is for tests; measurements are of OpenVINO.
    if options.max_batch == 1 or (device != devices.CPU and not options.max_batch):
        return opened()
    max_batch = options.max_batch or batch_limit.find(
        opened,
        network,
        home=options.home if cache else None,
        precision=INT8 if is_int8 else precision,
        threads=options.threads,
        streams=options.streams,
        report=options.report,
    )
    networks = _networks_of(options.threads) if options.threads else batching.NETWORKS
    return batching.batched(opened(), max_batch=max_batch, networks=networks)


@functools.cache
def _networks_of(threads: int) -> NetworkQueue:
    """That of a process which is to use so many cores only, such as a replica on a cluster."""
    return NetworkQueue(threads)


@functools.cache
def _networks(device: Device) -> NetworkQueue:
    return NetworkQueue(DEVICE_SLOTS)
