"""Fine-tuning: the worker with three convolutions, then all of it with the smallest backbone."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import triptych
from support import networks
from triptych import data as triptych_data
from triptych import errors
from triptych.engines.conversion import convert
from triptych.engines.openvino import OpenVINOEngine
from triptych.engines.options import EngineOptions
from triptych.ensemble import params
from triptych.models import weights
from triptych.models import zoo
from triptych.models.head import Head
from triptych.preprocessing.recipe import Recipe
from triptych.preprocessing.recipe import apply
from triptych.training import finetune
from triptych.training import finetune_worker as worker
from triptych.training import heads
from triptych.training.committee import TrainedCommittee
from triptych.training.committee import TrainedMember
from triptych.training.config import TrainingConfig
from triptych.training.feature_set import FeatureSet

# Keras's TensorFlow backend turns variables into arrays in NumPy 1's way.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

LITE0 = zoo.find("lite0")
SIDE = 32
RECIPE = Recipe((SIDE, SIDE), "tf")
CONFIG = worker.FinetuneConfig(epochs=3, patience=3, rate=1e-2, share=0.5)


def small_network(keras: Any) -> Any:
    """Three convolutions with lively batch norms, and a head that knows nothing yet."""
    image = x = keras.Input((SIDE, SIDE, 3))
    for _ in range(3):
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same")(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    features = keras.layers.GlobalAveragePooling2D()(x)
    probs = keras.layers.Dense(2, activation="softmax", name="predictions")(features)
    return keras.Model(image, probs, name="small")


def stripes(count: int, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy photos, uint8 (N, side, side, 3), of lying (0) or standing (1) stripes."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % 2
    waves = np.sin(np.arange(side)[None] / 2 + rng.uniform(0, 6, (count, 1)))
    lying = np.repeat(waves[:, :, None], side, axis=2)
    photos = np.where(truth[:, None, None] == 0, lying, lying.swapaxes(1, 2))[..., None]
    noisy = 128 + 60 * photos + rng.normal(0, 40, (count, side, side, 3))
    return noisy.clip(0, 255).astype(np.uint8), truth


def task_in(folder: Path) -> worker.FinetuneTask:
    model = str(folder / "model.keras")
    return worker.FinetuneTask(
        str(folder), model, RECIPE.to_dict(), classes=2, seed=3, config=CONFIG
    )


@pytest.fixture
def task(keras: Any, tmp_path: Path) -> worker.FinetuneTask:
    return prepare(keras, tmp_path)


def prepare(keras: Any, folder: Path) -> worker.FinetuneTask:
    """The files of a task."""
    keras.utils.set_random_seed(1)
    small_network(keras).save(folder / "model.keras")
    canvases, train = stripes(48, 36, seed=1)
    inputs, held = stripes(16, SIDE, seed=2)
    np.save(folder / worker.CANVASES, canvases)
    np.save(folder / worker.INPUTS, inputs)
    np.savez(folder / worker.TRUTH, train=train, held=held)
    Head("linear", (np.zeros((8, 2)),), (np.zeros(2),), {}).save(folder / worker.HEAD)
    return task_in(folder)


@dataclasses.dataclass(frozen=True)
class Tuned:
    """A task that was done, and what was said meanwhile; its files are to be left as they are."""

    task: worker.FinetuneTask
    path: Path
    said: list[dict[str, Any]]


@pytest.fixture(scope="module")
def tuned(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    task = prepare(keras, tmp_path_factory.mktemp("tuned"))
    said: list[dict[str, Any]] = []
    path = worker.finetune(task, said.append)
    assert path is not None
    return Tuned(task, path, said)


def epochs(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in messages if "epoch" in message]


def test_the_last_layers_learn_and_all_others_and_batch_norms_stay_as_they_were(
    keras: Any, tuned: Tuned
) -> None:
    before, after = map(keras.models.load_model, (tuned.task.model, tuned.path))
    learned = []
    for old, new in zip(before.layers, after.layers, strict=True):
        pairs = list(zip(old.get_weights(), new.get_weights(), strict=True))
        if any((a != b).any() for a, b in pairs):
            learned.append(new.name)
    assert sorted(learned) == sorted(tuned.said[0]["layers"])
    convolutions = [layer.name for layer in before.layers if "conv" in layer.name]
    assert sorted(learned) == sorted([*convolutions[1:], "predictions"])


def test_the_best_epoch_is_what_is_kept(keras: Any, tuned: Tuned) -> None:
    looks = epochs(tuned.said)
    best = looks[looks[-1]["best"]]
    inputs = np.load(Path(tuned.task.folder) / worker.INPUTS)
    batch = (inputs.astype(np.float32) - 127.5) / 127.5
    probs = keras.models.load_model(tuned.path).predict(batch, verbose=0)
    seen = worker.score(probs, np.arange(16) % 2)
    assert best["epoch"] > 0
    assert best["loss"] == min(look["loss"] for look in looks)
    assert (seen.right, seen.loss) == (best["right"], pytest.approx(best["loss"], rel=1e-4))


def test_where_no_epoch_is_better_the_member_stays_as_it_came(
    keras: Any, tuned: Tuned, tmp_path: Path
) -> None:
    # It has learned; now it is taught the opposite of what the held-out photos say.
    folder = shutil.copytree(tuned.task.folder, tmp_path / "task")
    task = task_in(folder)
    knowing = keras.models.load_model(folder / worker.TUNED)
    kernel, bias = knowing.get_layer("predictions").get_weights()
    Head("linear", (kernel,), (bias,), {}).save(folder / worker.HEAD)
    with np.load(folder / worker.TRUTH) as truth:
        np.savez(folder / worker.TRUTH, train=1 - truth["train"], held=truth["held"])
    (folder / worker.TUNED).rename(task.model)
    said: list[dict[str, Any]] = []
    assert worker.finetune(task, said.append) is None
    assert not (folder / worker.TUNED).exists()
    assert {look["best"] for look in epochs(said)} == {0}
    assert len(epochs(said)) == CONFIG.patience + 1


@pytest.mark.thorough
def test_the_same_seed_gives_the_same_figures_in_processes_of_their_own(
    task: worker.FinetuneTask,
) -> None:
    told = []
    for _ in range(2):
        said: list[dict[str, Any]] = []
        finetune.run(task, said.append)
        told.append(epochs(said))
    assert told[0] == told[1]
    assert len(told[0]) == CONFIG.epochs + 1


def test_stopping_ends_the_worker(task: worker.FinetuneTask) -> None:
    endless = dataclasses.replace(
        task, config=worker.FinetuneConfig(epochs=10_000, patience=10_000)
    )
    said: list[dict[str, Any]] = []
    with pytest.raises(errors.Stopped, match="features computed so far are kept"):
        finetune.run(endless, said.append, stop=lambda: len(said) > 3)
    # What it wrote to has been waited for, so it is gone; and it had begun.
    assert any("step" in message for message in said)
    assert not (Path(task.folder) / worker.TUNED).exists()


def test_a_worker_that_fails_says_why(task: worker.FinetuneTask) -> None:
    (Path(task.folder) / worker.INPUTS).unlink()
    with pytest.raises(errors.EngineError, match=r"inputs\.npy"):
        finetune.run(task, lambda message: None)


def test_without_tensorflow_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(errors.SettingError, match=r'pip install "triptych\[tensorflow\]"'):
        triptych.train("no such folder", name="garden", fine_tune=True)


def test_the_last_fold_is_held_out_and_must_be_large_enough() -> None:
    folds = np.array([0, 1, 2, -1] * 12)
    assert (np.flatnonzero(finetune.held_out_fold(folds)) == np.arange(2, 48, 4)).all()
    with pytest.raises(errors.SettingError, match="here 9, and needs 10 or more"):
        finetune.held_out_fold(np.array([0, 1] * 9))
    with pytest.raises(errors.SettingError, match="Train with more photos"):
        finetune.held_out_fold(np.full(20, -1))


def test_a_tuned_member_must_be_clearly_better() -> None:
    truth = np.zeros(40, int)
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.6, 0.9, 40)
    frozen = np.stack([sure, 1 - sure], axis=1)
    wrong = frozen.copy()
    wrong[:8] = wrong[:8, ::-1]
    assert finetune.is_significantly_better(frozen, wrong, truth)
    assert not finetune.is_significantly_better(wrong, frozen, truth)
    assert not finetune.is_significantly_better(frozen, frozen, truth)


def test_what_only_looks_better_by_luck_is_seldom_kept() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros(40, int)
    own = np.concatenate([rng.uniform(0.6, 0.9, 36), rng.uniform(0.1, 0.4, 4)])
    frozen = np.stack([own, 1 - own], axis=1)
    better, kept = 0, 0
    for _ in range(300):
        shaken = np.clip(own + rng.normal(0, 0.05, 40), 0.01, 0.99)
        tuned = np.stack([shaken, 1 - shaken], axis=1)
        better += worker.score(tuned, truth).loss < worker.score(frozen, truth).loss
        kept += finetune.is_significantly_better(tuned, frozen, truth)
    assert better > 50
    assert kept < better / 4


@pytest.fixture(scope="module")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy stripes that lie or stand, as photos in a folder per class."""
    folder = tmp_path_factory.mktemp("textures")
    for side, count in (("train", 50), ("val", 12)):
        photos, truth = stripes(count, 120, seed=count)
        for number, (photo, label) in enumerate(zip(photos, truth, strict=True)):
            target = folder / side / ("lying", "standing")[label] / f"{number}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo).save(target)
    return folder


def equals_its_keras_model(keras: Any, folder: Path, recipe: Recipe) -> None:
    photos, _ = stripes(3, 224, seed=9)
    inputs = np.stack([apply(recipe, photo) for photo in photos])
    plain = keras.models.load_model(folder / "model.keras").predict(inputs, verbose=0)
    ours = OpenVINOEngine(folder / "network.xml", precision="f32").run(inputs).probs
    np.testing.assert_allclose(ours, plain, atol=1e-4)


@pytest.mark.thorough
def test_a_member_that_knows_nothing_is_replaced_by_what_it_learns(
    keras: Any, textures: Path, tmp_path: Path
) -> None:
    data = triptych_data.open(textures)
    train, val = (np.array([photo.label for photo in side]) for side in (data.train, data.val))
    noise = np.random.default_rng(0).normal(size=(len(train), 1280)).astype(np.float32)
    folds = triptych_data.folds(data.train, 5, seed=0)
    features = FeatureSet(
        data.classes, [noise], [noise[:0]], train, folds, data.train, [noise], val, data.val
    )
    fit = heads.fit("linear", noise, train, folds=folds, classes=2, seed=0)
    knows_nothing = TrainedMember(LITE0, fit, np.full((len(val), 2), 0.5))
    fit.head.save(tmp_path / "head.npz")
    bundle = tmp_path / "scratch" / "bundle"
    member = bundle / "members" / LITE0.name
    weights_file = str(weights.require(LITE0))
    convert.run(
        [convert.ConversionJob(LITE0.name, weights_file, str(member), str(tmp_path / "head.npz"))],
        print,
    )
    before = keras.models.load_model(member / "model.keras")

    committee, (report,) = finetune.improve(
        bundle,
        TrainedCommittee([knows_nothing], params.unfitted([1.0], [1.0])),
        features,
        options=EngineOptions(home=tmp_path, precision="f32"),
        config=TrainingConfig(),
        finetune_config=worker.FinetuneConfig(epochs=3, rate=1e-3),
    )
    (tuned,) = committee.members
    assert (report.kept, tuned.weight) == (True, 1.0)
    assert committee.params.is_fitted
    assert committee.params.temperatures == (tuned.temperature,)
    assert report.before.held_out < report.after.held_out
    assert (
        report.after.validation == (tuned.calibrated_val_probs.argmax(axis=1) == val).mean() > 0.5
    )
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]
    equals_its_keras_model(keras, member, LITE0.recipe)
    after = keras.models.load_model(member / "model.keras")
    for old, new in zip(before.layers, after.layers, strict=True):
        if isinstance(old, keras.layers.BatchNormalization):
            for one, other in zip(old.get_weights(), new.get_weights(), strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.fixture(params=["MobileNetV3Small", pytest.param("lite0", marks=pytest.mark.thorough)])
def backbone(request: pytest.FixtureRequest, keras: Any, tmp_path: Path) -> dict[str, Any]:
    """The backbone to teach: the cheapest, with weights drawn by lot, or one that is published."""
    if request.param == "lite0":
        return {"backbones": ["lite0"]}
    keras.utils.set_random_seed(0)
    model = zoo.find(request.param).build()
    networks.randomize(model)
    path = tmp_path / "drawn.h5"
    networks.save_applications_weights(model, path)
    return {"backbones": [request.param], "weights": {request.param: path}}


def test_from_photos_to_a_bundle_and_its_records(
    keras: Any, backbone: dict[str, Any], textures: Path, tmp_path: Path
) -> None:
    lines: list[str] = []
    made = triptych.train(
        textures,
        name="stripes",
        **backbone,
        fine_tune=True,
        precision="f32",
        home=tmp_path,
        report=lines.append,
    )
    (record,) = made.about["fine_tuned"]
    (member,) = made.about["members"]
    assert list(made.metrics["fine_tuned"]) == [record]
    assert (record["member"], record["photos"]) == (member["name"], 10)
    assert record["after"]["loss"] <= record["before"]["loss"]
    assert record["after"]["held_out"] >= record["before"]["held_out"]
    assert any("epoch 0" in line for line in lines)
    folder = made.folder / "members" / member["name"]
    files = {"model.keras", "network.bin", "network.xml"}
    # What untuned networks saw in the photos says nothing of what a tuned one sees.
    known = set() if record["kept"] else {"taught.npz"}
    assert {path.name for path in folder.iterdir()} == files | known
    equals_its_keras_model(keras, folder, zoo.find(member["name"]).recipe)
    assert not list(made.folder.parent.glob(".*"))
