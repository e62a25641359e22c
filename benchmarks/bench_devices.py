"""Photos a second on a device: the networks alone, a folder, HTTP; beside decoding and PyTorch.

    .venv/bin/python benchmarks/bench_devices.py --device torch:cuda:0 --committee classic PHOTOS

PHOTOS are files or folders; without them, synthetic photos are used. For `lite` take `--committee
lite`. `classic` has random weights unless its own are here (speed does not depend on the values).
For each member it measures batches of 1, 8 and 64 prepared photos; with PyTorch and torchvision
installed the same networks as torchvision builds them, on the same device and at the same precision
(ResNet50 and VGG16; torchvision has no Xception and no Lite). Decoding JPEGs on all cores is
measured by itself: no device makes a server faster than that.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import numpy as np

import common
import triptych
from triptych import images
from triptych.benchmark import load_generator
from triptych.benchmark import local
from triptych.benchmark import samples
from triptych.benchmark import serving
from triptych.benchmark.report import LoadReport
from triptych.benchmark.samples import Sample
from triptych.engines import devices
from triptych.engines.devices import Device
from triptych.engines.options import EngineOptions
from triptych.engines.options import open_engine
from triptych.inference import committee as committees
from triptych.inference.committee import Committee
from triptych.preprocessing import recipe
from triptych.utils import concurrency

BATCHES = (1, 8, 64)
CLIENTS = (1, 16, 64)
# By member, what torchvision calls the same network.
IN_TORCHVISION = {"ResNet50": "resnet50", "VGG16": "vgg16"}
SEED = 0


@click.command()
@click.argument("photos", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--device", default="auto", help="As for triptych serve.")
@click.option("--committee", default="lite", help="lite or classic.")
@click.option("--precision", default="auto", help="As for triptych serve.")
@click.option("--seconds", default=10.0, help="How long each figure is measured.")
def main(
    photos: tuple[Path, ...], device: str, committee: str, precision: str, seconds: float
) -> None:
    """Measure, print a table, write results/devices.json."""
    resolved = devices.resolve(device, precision)
    used = precision if precision == "int8" else devices.resolve_precision(resolved, precision)
    sample = samples.read(photos, print) if photos else samples.synthetic_samples()[0]
    weights = "random" if committees.missing(committee) else "imagenet"
    figures: dict[str, Any] = {
        **{"device": str(resolved), "precision": used, "committee": committee, "weights": weights},
        **{"megapixels": round(sample.megapixels, 2), "seconds": seconds},
    }
    with tempfile.TemporaryDirectory() as home:
        how: dict[str, Any] = {"home": Path(home), "device": str(resolved)}
        how["precision"] = precision
        figures["decoding"] = decoding(sample, seconds)
        classifier = triptych.load(committee, weights=weights, report=print, **how)
        figures["networks"] = networks(classifier.committee, Path(home), resolved, used, seconds)
        figures["torchvision"] = torchvision(classifier.committee, resolved, used, seconds)
        classifier.warm_up()
        figures["folder"] = local.measure_stream(classifier, sample.photos, seconds)
        options = {**how, "committee": committee, "weights": weights}
        figures["http"] = over_http(sample, options, seconds)
    _print(figures)
    rates = [figures["folder"], *figures["http"].values()]
    common.finish("devices", figures, {"every way answers photos": min(rates) > 0})


def decoding(sample: Sample, seconds: float) -> float:
    """JPEGs a second on all cores, each decoded as for a committee, with nothing after it."""
    cores = concurrency.cpu_count()

    def decode_all() -> None:
        for photo in sample.photos:
            images.decode(photo, enough=recipe.ENOUGH_PX)

    def one_thread(_: int) -> float:
        return rate(decode_all, len(sample.photos), seconds)

    with ThreadPoolExecutor(cores) as pool:
        return sum(pool.map(one_thread, range(cores)))


def networks(
    committee: Committee, home: Path, device: Device, precision: str, seconds: float
) -> dict[str, dict[int, float]]:
    """Prepared photos a second of each member, by size of batch."""
    options = EngineOptions(home, precision, device=str(device))
    figures = {}
    for member in committee.members:
        if member.network:
            run = open_engine(member.network, options).run
            figures[member.name] = _by_batch(run, member.recipe.size, seconds)
    return figures


def torchvision(
    committee: Committee, device: Device, precision: str, seconds: float
) -> dict[str, dict[int, float]]:
    """The same of torchvision's networks, as its documentation runs them; empty without it."""
    names = [member.name for member in committee.members if member.name in IN_TORCHVISION]
    if device.runtime != "torch" or importlib.util.find_spec("torchvision") is None:
        return {}
    torch = importlib.import_module("torch")
    models = importlib.import_module("torchvision.models")
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[precision]
    figures: dict[str, dict[int, float]] = {}
    for name in names:
        model = getattr(models, IN_TORCHVISION[name])(weights=None).eval()
        model = model.to(device.name, dtype, memory_format=torch.channels_last)

        def predict(batch: np.ndarray, model: Any = model) -> None:
            with torch.inference_mode():
                photos = torch.from_numpy(batch).to(device.name, dtype).permute(0, 3, 1, 2)
                model(photos).softmax(1).float().cpu().numpy()

        figures[name] = _by_batch(predict, (224, 224), seconds)
    return figures


def over_http(sample: Sample, options: dict[str, Any], seconds: float) -> dict[int, float]:
    """Answers a second of the real server, by number of clients."""
    server = serving.ServerProcess([f"--{name}={value}" for name, value in options.items()])
    requests = [load_generator.encode_request("/api/v1/classify", photo) for photo in sample.photos]
    figures = {}
    try:
        for clients in CLIENTS:
            for measured_s in (
                min(seconds, 2.0),
                seconds,
            ):  # new sizes of batches are slow at first
                records = load_generator.generate_load(
                    server.port, requests, clients=clients, seconds=measured_s
                )
            figures[clients] = LoadReport.of(clients, records).per_s
    finally:
        server.close()
    return figures


def rate(work: Callable[[], Any], photos: int, seconds: float) -> float:
    """Photos a second of a call that does as many; the first two calls do not count."""
    for _ in range(2):
        work()
    start, calls = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds or not calls:
        work()
        calls += 1
    return photos * calls / spent if calls and spent else 0.0


def _by_batch(
    run: Callable[[np.ndarray], Any], size: tuple[int, int], seconds: float
) -> dict[int, float]:
    rng, figures = np.random.default_rng(SEED), {}
    for count in BATCHES:
        batch = rng.uniform(-1, 1, (count, *size, 3)).astype(np.float32)
        figures[count] = rate(functools.partial(run, batch), count, seconds)
    return figures


def _print(figures: dict[str, Any]) -> None:
    print(f"\n{figures['committee']} on {figures['device']} at {figures['precision']}, photos/s")
    for title in ("networks", "torchvision"):
        for name, rates in figures[title].items():
            cells = ", ".join(f"{size}: {per_s:.1f}" for size, per_s in rates.items())
            print(f"{name} alone, {title}, by batch: {cells}")
    best = figures["decoding"]
    print(f"JPEG decoding alone, all cores: {best:.1f}")
    print(f"from a folder: {figures['folder']:.1f} ({figures['folder'] / best:.0%} of decoding)")
    for clients, per_s in figures["http"].items():
        print(f"over HTTP, {clients} clients: {per_s:.1f} ({per_s / best:.0%} of decoding)")


if __name__ == "__main__":
    main()
