"""Features computed by the nodes of a cluster: the same to the bit, whatever happens to a node."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
from click.testing import CliRunner
from ray import cloudpickle

from support import networks
from support import ray_cluster
from support.images import picture
from support.images import squares
from triptych import bundles
from triptych import data
from triptych import errors
from triptych import features
from triptych import images
from triptych.cli import main
from triptych.engines.openvino import OpenVINOEngine
from triptych.features import Extractor
from triptych.features import FeatureStore
from triptych.preprocessing import recipe
from triptych.scale import features as spread

pytestmark = [
    pytest.mark.ray,
    *(pytest.mark.filterwarnings(line) for line in ray_cluster.WARNINGS),
]


@pytest.fixture(scope="module", autouse=True)
def classes_for_nodes() -> Iterator[None]:
    """Processes of the cluster cannot import this module, so its classes are sent whole."""
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


@dataclass(frozen=True)
class Photo:
    """A photo on disk; it may take its time, or until a file is there, once its node is noted."""

    path: Path
    trace: Path
    spent_s: float = 0.0
    until: Path | None = None

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.path.name.encode()).digest()

    def read(self) -> bytes:
        time.sleep(self.spent_s)
        if self.until:
            (self.trace / ray.get_runtime_context().get_node_id()).touch()
            wait_for(self.until.exists)
        return self.path.read_bytes()


@dataclass(frozen=True)
class Broken:
    """Not even an error of ours."""

    digest: bytes

    def read(self) -> bytes:
        raise ZeroDivisionError


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    (tmp_path / "trace").mkdir()
    return tmp_path / "trace"


@pytest.fixture
def photos(tmp_path: Path, trace: Path) -> list[Photo]:
    """More than a piece of them, and no whole number of pieces."""
    mixed = [
        Photo(tmp_path / f"{seed}.jpg", trace) for seed in range(3 * spread.PHOTOS_PER_TASK + 5)
    ]
    for seed, photo in enumerate(mixed):
        photo.path.write_bytes(picture(seed % 7, size=(40 + seed, 60)))
    return mixed


@pytest.fixture(scope="module")
def extractors(tmp_path_factory: pytest.TempPathFactory) -> list[Extractor]:
    """Two backbones, one of them with two looks at each photo."""
    of_sizes = []
    for seed, size in enumerate((32, 48)):
        path = tmp_path_factory.mktemp("networks") / "network.xml"
        networks.write_tiny(path, classes=3, size=size, seed=seed)
        engine = OpenVINOEngine(path, precision="f32", streams=2)
        of_sizes.append(
            Extractor(str(size), engine, recipe.Recipe((size, size), "tf"), network=path)
        )
    return [*of_sizes, dataclasses.replace(of_sizes[0], space="flipped", view="flip")]


def slow(photos: list[Photo], spent_s: float) -> list[Photo]:
    return [dataclasses.replace(photo, spent_s=spent_s) for photo in photos]


def wait_for(happened: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 300
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_all_cores() -> None:
    """Wait until nothing in the cluster takes a core any more."""
    wait_for(
        lambda: ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"],
    )


def test_only_missing_features_are_computed_and_equal_to_the_bit(
    cluster: Any, photos: list[Photo], extractors: list[Extractor], tmp_path: Path
) -> None:
    alone = features.extract(photos, extractors, FeatureStore(tmp_path / "alone"))
    store = FeatureStore(tmp_path / "spread")
    features.extract(photos[:9], extractors[1:2], store)
    steps: list[tuple[int, int]] = []
    together = features.extract(
        photos, extractors, store, compute=spread.compute, progress=lambda *at: steps.append(at)
    )
    assert [array.tobytes() for array in together] == [array.tobytes() for array in alone]
    assert steps[0] == (0, len(photos))
    assert steps[-1] == (len(photos), len(photos))
    assert [space.photos for space in store.spaces()] == [len(photos)] * 3
    features.extract(
        photos, extractors, store, compute=spread.compute, progress=lambda *at: steps.append(at)
    )
    assert steps[-1] == (0, 0)


def test_errors_on_a_node_reach_the_driver(
    cluster: Any, photos: list[Photo], extractors: list[Extractor], tmp_path: Path
) -> None:
    gone = data.LabelledPhoto(
        "gone", 0, b"x" * 32, 0, functools.partial(images.read, "/none/a.jpg")
    )
    store = FeatureStore(tmp_path / "s")
    with pytest.raises(errors.SourceError, match=r"There is no file '/none/a.jpg'.* at the paths"):
        features.extract([gone], extractors[:1], store, compute=spread.compute)


def test_each_kind_of_error_is_sent(
    cluster: Any, photos: list[Photo], extractors: list[Extractor]
) -> None:
    # What an actor on a node runs, in this process.
    actor = spread.FeatureActor(ray.put(spread.pack(extractors[:1])))

    def error_of(photo: features.ReadablePhoto) -> BaseException:
        row = {"digest": photo.digest, "read": cloudpickle.dumps(photo.read), "lacking": b"\1"}
        error: BaseException = cloudpickle.loads(actor(row)["error"])
        return error

    photos[1].path.write_bytes(photos[1].path.read_bytes()[:200])
    truncated = error_of(photos[1])
    assert isinstance(truncated, errors.TruncatedImage)
    assert re.match(r"On the node \d+\.\d+\.\d+\.\d+: ", str(truncated))
    assert isinstance(error_of(Broken(b"y" * 32)), ZeroDivisionError)


def test_stopping_keeps_computed_features_and_frees_the_cluster(
    cluster: Any, photos: list[Photo], extractors: list[Extractor], tmp_path: Path
) -> None:
    store = FeatureStore(tmp_path / "store")
    stored_photos: list[int] = []

    def stop() -> bool:
        stored_photos.append(sum(space.photos for space in store.spaces()))
        return len(stored_photos) == 3

    with pytest.raises(errors.Stopped):
        features.extract(
            slow(photos, 0.02), extractors[:1], store, compute=spread.compute, stop=stop
        )
    assert stored_photos == [0, features.BATCH, 2 * features.BATCH]
    wait_for_all_cores()
    assert sum(space.photos for space in store.spaces()) == 2 * features.BATCH


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of photos."""
    folder = tmp_path_factory.mktemp("shapes")
    for kind in ("smooth", "squares"):
        (folder / kind).mkdir()
        for seed in range(12):
            draw = picture(seed) if kind == "smooth" else squares(seed, size=(90, 120))
            (folder / kind / f"{seed}.img.png").write_bytes(draw)
    return folder


def teach(shapes: Path, home: Path, engines: Path, *options: str) -> bundles.Bundle:
    """What `triptych train` makes in a home of its own, with networks that are converted."""
    home.mkdir()
    (home / "engines").symlink_to(engines)
    options_of_lite0 = ["--name", "shapes", "--backbones", "lite0", "--precision", "f32"]
    ran = CliRunner().invoke(
        main, ["train", str(shapes), *options_of_lite0, "--home", str(home), *options]
    )
    assert ran.exit_code == 0, ran.output
    return bundles.find(home, "shapes")


@pytest.mark.usefixtures("one_converter")
def test_a_committee_trained_by_a_cluster_is_the_same(
    cluster: Any, shapes: Path, engines: Path, tmp_path: Path
) -> None:
    alone = teach(shapes, tmp_path / "alone", engines)
    address = ["--ray", "--ray-address", cluster.address]
    together = teach(shapes, tmp_path / "spread", engines, *address)
    assert together.metrics == alone.metrics
    assert together.about["doubt"] == alone.about["doubt"]
    first, second = alone.predictions(), together.predictions()
    assert first is not None
    assert second is not None
    assert first.probs.tobytes() == second.probs.tobytes()
    for file in (name for name in alone.about["files"] if name.endswith((".bin", ".npz"))):
        assert together.about["files"][file] == alone.about["files"][file], file


def test_the_work_of_a_node_that_dies_is_done_elsewhere(
    cluster: Any,
    photos: list[Photo],
    extractors: list[Extractor],
    trace: Path,
    tmp_path: Path,
) -> None:
    requested = extractors[:1]
    alone = features.extract(photos, requested, FeatureStore(tmp_path / "alone"))
    died = tmp_path / "died"
    wanted = [dataclasses.replace(photo, until=died) for photo in photos]
    ray_cluster.add_workers(cluster, 2)

    def at_work() -> list[Any]:
        # The head must not be killed.
        return [node for node in cluster.worker_nodes if (trace / node.node_id).exists()]

    def kill() -> float:
        wait_for(at_work)
        cluster.remove_node(at_work()[0], allow_graceful=False)
        died.touch()
        return time.monotonic()

    with ThreadPoolExecutor(1) as pool:
        killed = pool.submit(kill)
        together = features.extract(
            wanted, requested, FeatureStore(tmp_path / "store"), compute=spread.compute
        )
        print(f"all done {time.monotonic() - killed.result():.1f} s after a node was killed")
    assert [array.tobytes() for array in together] == [array.tobytes() for array in alone]


def test_features_of_a_network_without_a_file_need_this_machine(
    cluster: Any, photos: list[Photo], extractors: list[Extractor], tmp_path: Path
) -> None:
    homeless = dataclasses.replace(extractors[0], network=None)
    with pytest.raises(errors.SettingError, match="no network in a file that other nodes"):
        features.extract(photos, [homeless], FeatureStore(tmp_path / "s"), compute=spread.compute)
