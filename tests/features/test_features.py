"""Each photo passes through each backbone once: also with kills, threads and processes."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from support.images import picture
from triptych import errors
from triptych import features
from triptych import images
from triptych.cli import main
from triptych.data import LabelledPhoto
from triptych.engines import Output
from triptych.engines.fake import FakeEngine
from triptych.features import Extractor
from triptych.features import FeatureStore
from triptych.preprocessing import recipe
from triptych.typing import Float32Array

BATCH = features.BATCH

# Opens the store, says so, and writes batches of 8 from the number given, until told not to.
WRITER = """
import sys
from pathlib import Path
import numpy as np
from triptych.features import FeatureStore
path, space, batches = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
store = FeatureStore(path)
for batch in range(batches):
    names = [b"%s %d" % (space.encode(), 8 * batch + n) for n in range(8)]
    store.put("shared", {name: np.full(500, batch, np.float32) for name in names})
"""


def vector(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=40).astype(np.float32)


def photo(seed: int, reads: Counter[int] | None = None) -> LabelledPhoto:
    data = picture(seed)

    def read_data() -> bytes:
        if reads is not None:
            reads[seed] += 1
        return data

    return LabelledPhoto(f"{seed}.jpg", 0, hashlib.sha256(data).digest(), seed, read_data)


class Counting:
    """A fake engine that counts its images."""

    def __init__(self, seed: int = 0) -> None:
        self._engine = FakeEngine(3, seed=seed)
        self._lock = threading.Lock()
        self.answered = 0

    def run(self, batch: Float32Array) -> Output:
        with self._lock:
            self.answered += len(batch)
        return self._engine.run(batch)


def extractor(space: str = "fake", *, size: int = 16) -> tuple[Extractor, Counting]:
    engine = Counting()
    return Extractor(space, engine, recipe.Recipe((size, size), "tf")), engine


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "new" / "folder" / "features.sqlite")


def test_features_come_back_to_the_bit_and_unknown_photos_are_left_out(
    store: FeatureStore,
) -> None:
    odd = np.array([1 / 3, -0.0, np.inf, 1e-45, np.finfo(np.float32).max], np.float32)
    store.put("a", {b"odd": odd, b"plain": vector(1)})
    stored = store.get("a", [b"plain", b"unknown", b"odd"])
    assert set(stored) == {b"plain", b"odd"}
    assert stored[b"odd"].dtype == np.float32
    assert stored[b"odd"].tobytes() == odd.tobytes()
    np.testing.assert_array_equal(stored[b"plain"], vector(1))
    assert store.get("another space", [b"plain"]) == {}


def test_more_photos_than_one_sql_query_can_name(store: FeatureStore) -> None:
    many = {b"%d" % n: np.float32([n]) for n in range(2 * features.KEYS_PER_QUERY + 3)}
    store.put("a", many)
    assert {key: float(v[0]) for key, v in store.get("a", list(many)).items()} == {
        key: float(v[0]) for key, v in many.items()
    }


def test_the_last_write_counts_and_array_slices_are_stored(store: FeatureStore) -> None:
    table = np.arange(12, dtype=np.float64).reshape(3, 4)
    store.put("a", {b"x": vector(1)})
    store.put("a", {b"x": table[:, 1]})  # type: ignore[dict-item]
    np.testing.assert_array_equal(store.get("a", [b"x"])[b"x"], np.float32([1, 5, 9]))


def test_a_batch_is_stored_atomically(store: FeatureStore) -> None:
    broken = {b"good": vector(1), b"bad": np.array(["no number"])}
    with pytest.raises(ValueError, match="could not convert"):
        store.put("a", broken)  # type: ignore[arg-type]
    assert store.get("a", [b"good"]) == {}


def test_list_counts_features_and_prune_frees_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "features.sqlite"
    store = FeatureStore(path)
    store.put("old", {bytes([n]) * 32: np.zeros(10_000, np.float32) for n in range(50)})
    store.put("new", {b"x" * 32: vector(2)})
    store.get("old", [])
    first, second = store.spaces()
    assert (first.name, first.photos, first.size_bytes) == ("old", 50, 50 * (40_000 + 32))
    assert (second.name, second.photos, second.size_bytes) == ("new", 1, 40 * 4 + 32)
    assert time.time() - 60 < second.used_s <= first.used_s <= time.time()
    assert store.prune(unused_days=1) == 0
    assert len(store.spaces()) == 2
    before = path.stat().st_size
    assert before > 2_000_000
    assert store.prune() == 2
    assert store.spaces() == []
    assert path.stat().st_size < before / 10
    assert store.get("old", [b"\0" * 32]) == {}


def test_the_command_lists_and_prunes(tmp_path: Path) -> None:
    FeatureStore(tmp_path / "features.sqlite").put("lite0 at 224", {b"x": vector(1)})
    run = CliRunner().invoke(main, ["features", "list", "--home", str(tmp_path)])
    assert "lite0 at 224" in run.stdout
    assert "0 days ago" in run.stdout
    ran = CliRunner().invoke(main, ["features", "prune", "--home", str(tmp_path)])
    assert ran.stdout == "Removed 0.\n"
    gone = ["features", "prune", "--unused-days", "0", "--home", str(tmp_path)]
    assert CliRunner().invoke(main, gone).stdout == "Removed 1.\n"
    empty = CliRunner().invoke(main, ["features", "list", "--home", str(tmp_path)])
    assert empty.stdout == "The store is empty.\n"


def writer(path: Path, space: str, batches: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), space, str(batches)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def begin(writers: list[subprocess.Popen[str]]) -> None:
    for process in writers:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in writers:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()


def test_two_processes_create_and_fill_one_store(tmp_path: Path) -> None:
    path = tmp_path / "features.sqlite"
    writers = [writer(path, name, 25) for name in ("one", "two")]
    begin(writers)
    for process in writers:
        _, complaint = process.communicate()
        assert (process.returncode, complaint) == (0, "")
    names = [b"%s %d" % (who, n) for who in (b"one", b"two") for n in range(200)]
    stored = FeatureStore(path).get("shared", names)
    assert all((stored[name] == n % 200 // 8).all() for n, name in enumerate(names))


def test_a_killed_process_leaves_whole_batches_and_a_store_that_works(tmp_path: Path) -> None:
    path = tmp_path / "features.sqlite"
    process = writer(path, "one", 1_000_000)
    begin([process])
    deadline = time.monotonic() + 300
    while not (path.exists() and sum(s.photos for s in FeatureStore(path).spaces()) > 80):
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    process.communicate()
    store = FeatureStore(path)
    (space,) = store.spaces()
    assert space.photos > 80
    assert space.photos % 8 == 0
    names = [b"one %d" % n for n in range(space.photos)]
    assert set(store.get("shared", names)) == set(names)
    store.put("shared", {b"next": vector(1)})
    assert store.spaces()[0].photos == space.photos + 1


def test_features_are_those_of_the_engine_in_the_requested_order(store: FeatureStore) -> None:
    one, _ = extractor()
    photos = [photo(seed) for seed in (3, 1, 2)]
    (extracted,) = features.extract(photos, [one], store)
    pixels = [recipe.apply(one.recipe, images.decode(photo.read())) for photo in photos]
    np.testing.assert_array_equal(extracted, FakeEngine(3).run(np.stack(pixels)).features)
    (turned,) = features.extract(photos[::-1], [one], store)
    np.testing.assert_array_equal(turned, extracted[::-1])


def test_only_what_is_missing_is_computed(store: FeatureStore) -> None:
    reads: Counter[int] = Counter()
    one, engine = extractor()
    (before,) = features.extract([photo(1, reads), photo(2, reads)], [one], store)
    assert engine.answered == 2
    (after,) = features.extract([photo(n, reads) for n in (1, 2, 3)], [one], store)
    assert engine.answered == 3
    assert reads == {1: 1, 2: 1, 3: 1}
    np.testing.assert_array_equal(after[:2], before)
    features.extract([photo(n, reads) for n in (3, 2, 1)], [one], store)
    assert engine.answered == 3


def test_the_same_photo_twice_is_computed_once(store: FeatureStore) -> None:
    one, engine = extractor()
    (extracted,) = features.extract([photo(1), photo(2), photo(1)], [one], store)
    assert engine.answered == 2
    assert extracted.shape == (3, 12)
    np.testing.assert_array_equal(extracted[0], extracted[2])
    assert (extracted[0] != extracted[1]).any()


def test_a_photo_is_decoded_once_for_all_backbones_that_lack_it(store: FeatureStore) -> None:
    reads: Counter[int] = Counter()
    (one, first), (two, second) = extractor("one"), extractor("two", size=20)
    features.extract([photo(1, reads)], [one], store)
    extracted = features.extract([photo(1, reads), photo(2, reads)], [one, two], store)
    assert [f.shape for f in extracted] == [(2, 12), (2, 12)]
    assert (first.answered, second.answered) == (2, 2)
    assert reads == {1: 2, 2: 1}


def test_progress_counts_missing_features(store: FeatureStore) -> None:
    one, _ = extractor()
    features.extract([photo(0)], [one], store)
    steps: list[tuple[int, int]] = []
    photos = [photo(n) for n in range(2 * BATCH + 4)]
    features.extract(photos, [one], store, progress=lambda *step: steps.append(step))
    total = 2 * BATCH + 3
    assert steps == [(0, total), (BATCH, total), (2 * BATCH, total), (total, total)]
    steps.clear()
    features.extract(photos, [one], store, progress=lambda *step: steps.append(step))
    assert steps == [(0, 0)]


def test_stopping_keeps_features_and_the_next_run_resumes(store: FeatureStore) -> None:
    one, engine = extractor()
    photos = [photo(n) for n in range(6 * BATCH)]

    def stored_photos() -> int:
        return sum(space.photos for space in store.spaces())

    with pytest.raises(errors.Stopped, match="the features computed so far are kept"):
        features.extract(photos, [one], store, stop=lambda: stored_photos() == 2 * BATCH)
    assert stored_photos() == 2 * BATCH
    assert engine.answered < 6 * BATCH
    engine.answered = 0
    (extracted,) = features.extract(photos, [one], store)
    assert engine.answered == 4 * BATCH
    assert extracted.shape == (6 * BATCH, 12)


def test_a_photo_that_became_unreadable_is_an_image_error(store: FeatureStore) -> None:
    one, _ = extractor()
    gone = LabelledPhoto("gone.jpg", 0, b"digest", 0, lambda: b"no photo any more")
    with pytest.raises(errors.NotAnImage):
        features.extract([photo(1), gone], [one], store)


@pytest.mark.parametrize("how", ["garbage", "truncated", "a page of zeros"])
def test_a_damaged_store_is_set_aside_and_filled_again(tmp_path, caplog, how):
    path = tmp_path / "features.sqlite"
    features = {bytes([number] * 32): np.full(600, number, np.float32) for number in range(200)}
    FeatureStore(path).put("demo", features)
    data = path.read_bytes()
    path.write_bytes(
        {
            "garbage": b"no database " * 1000,
            "truncated": data[: len(data) // 2],
            "a page of zeros": data[:4096] + bytes(len(data) - 4096),
        }[how]
    )
    store = FeatureStore(path)
    assert store.get("demo", list(features)) == {}
    assert "was set aside" in caplog.text
    assert path.with_name("features.sqlite.damaged").exists()
    store.put("demo", features)
    stored = FeatureStore(path).get("demo", list(features))
    assert {photo: vector[0] for photo, vector in stored.items()} == {
        photo: vector[0] for photo, vector in features.items()
    }
