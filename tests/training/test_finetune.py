"""Fine-tuning: the worker with three convolutions, then all of it with a backbone of four."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import triptych
from support import networks
from support import tiny_backbone
from support.tiny_backbone import TINY
from triptych import errors
from triptych.engines.openvino import OpenVINOEngine
from triptych.models import zoo
from triptych.models.head import Head
from triptych.preprocessing.recipe import Recipe
from triptych.preprocessing.recipe import apply
from triptych.training.finetune import decisions
from triptych.training.finetune import losses
from triptych.training.finetune import network
from triptych.training.finetune import process
from triptych.training.finetune import range_test
from triptych.training.finetune import task as files_of
from triptych.training.finetune.batches import AugmentedBatches
from triptych.training.finetune.checkpoints import Checkpoints
from triptych.training.finetune.task import FinetuneConfig
from triptych.training.finetune.task import FinetuneTask
from triptych.training.finetune.training_loop import finetune
from triptych.training.heads import CrossFittedHead

# Keras's TensorFlow backend turns variables into arrays in NumPy 1's way.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_converter"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

LITE0 = zoo.find("lite0")
SIDE = 32
RECIPE = Recipe((SIDE, SIDE), "tf")
CONFIG = FinetuneConfig(epochs=3, patience=3, rate=1e-2)


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


def stripes(count: int, side: int, seed: int, contrast: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Noisy photos, uint8 (N, side, side, 3), of lying (0) or standing (1) stripes."""
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % 2
    waves = np.sin(np.arange(side)[None] / 2 + rng.uniform(0, 6, (count, 1)))
    lying = np.repeat(waves[:, :, None], side, axis=2)
    photos = np.where(targets[:, None, None] == 0, lying, lying.swapaxes(1, 2))[..., None]
    noisy = 128 + contrast * photos + rng.normal(0, 40, (count, side, side, 3))
    return noisy.clip(0, 255).astype(np.uint8), targets


def task_in(folder: Path) -> FinetuneTask:
    model = str(folder / "model.keras")
    head = {"kind": "linear", "notes": {"strength": 1e-3}}
    return FinetuneTask(
        folder=str(folder),
        model=model,
        recipe=RECIPE.to_dict(),
        size=(SIDE // 2, SIDE // 2),
        classes=2,
        head=head,
        augment=("flip",),
        seed=3,
        config=CONFIG,
    )


@pytest.fixture
def task(keras: Any, tmp_path: Path) -> FinetuneTask:
    return prepare(keras, tmp_path)


def prepare(keras: Any, folder: Path) -> FinetuneTask:
    """The files of a task."""
    keras.utils.set_random_seed(1)
    small_network(keras).save(folder / "model.keras")
    canvases, train = stripes(48, 36, seed=1)
    inputs, holdout = stripes(16, SIDE, seed=2)
    np.save(folder / files_of.CANVASES, canvases)
    np.save(folder / files_of.INPUTS, inputs)
    np.savez(folder / files_of.LABELS, train=train, holdout=holdout)
    return task_in(folder)


@dataclasses.dataclass(frozen=True)
class Tuned:
    """A finished task and its messages; tests must not change its files."""

    task: FinetuneTask
    path: Path
    messages: list[dict[str, Any]]


@pytest.fixture(scope="module")
def tuned(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    task = prepare(keras, tmp_path_factory.mktemp("tuned"))
    messages: list[dict[str, Any]] = []
    path = finetune(task, messages.append)
    assert path is not None
    return Tuned(task, path, messages)


def epochs(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in messages if "number" in message]


def test_all_layers_learn_except_batch_norms(keras: Any, tuned: Tuned) -> None:
    before, after = map(keras.models.load_model, (tuned.task.model, tuned.path))
    learned = []
    for old, new in zip(before.layers, after.layers, strict=True):
        pairs = list(zip(old.get_weights(), new.get_weights(), strict=True))
        if any((a != b).any() for a, b in pairs):
            learned.append(new.name)
    convolutions = [layer.name for layer in before.layers if "conv" in layer.name]
    assert sorted(learned) == sorted([*convolutions, "predictions"])
    assert tuned.messages[0]["layers"] == len(learned)


def test_folded_batch_norms_give_the_same_outputs_and_training(
    keras: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(1)
    image = x = keras.Input((SIDE, SIDE, 3))
    for layer, norm in (
        (keras.layers.Conv2D(8, 3, strides=2, use_bias=False), {}),
        (keras.layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), {"scale": False}),
        (keras.layers.Conv2D(6, 1, groups=2), {"center": False, "epsilon": 0.1}),
        (keras.layers.Conv2D(6, 3, activation="relu"), {}),  # is not folded
    ):
        x = keras.layers.BatchNormalization(**norm)(layer(x))
        x = keras.layers.ReLU(6.0)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    plain = keras.Model(image, keras.layers.Dense(2, activation="softmax")(x))
    rng = np.random.default_rng(0)
    plain.set_weights(
        [
            rng.uniform(0.5, 1.5, array.shape) - 0.7 * (array.ndim > 1)
            for array in plain.get_weights()
        ]
    )
    folded = network.with_size(plain, (SIDE, SIDE), "float32")
    calls = [layer.call for layer in folded.layers if network.is_norm(layer)]
    assert [call is network.skip_norm for call in calls] == [True, True, True, False]
    monkeypatch.setattr(network, "fold_batch_norms", lambda model: model)
    reference = network.with_size(plain, (SIDE, SIDE), "float32")
    inputs = rng.normal(size=(8, SIDE, SIDE, 3)).astype(np.float32)
    batch = inputs, np.eye(2, dtype=np.float32)[rng.integers(0, 2, 8)], np.ones(8, np.float32)
    for rate in (0.0, 1e-2, 1e-2, 1e-2):
        for model in (folded, reference):
            network.train_step(model, batch, rate)
        np.testing.assert_allclose(
            folded.predict_on_batch(inputs), reference.predict_on_batch(inputs), atol=1e-5
        )
    # It is saved as what it is.
    folded.save(tmp_path / "folded.keras")
    saved = keras.models.load_model(tmp_path / "folded.keras")
    np.testing.assert_allclose(
        saved.predict_on_batch(inputs), folded.predict_on_batch(inputs), atol=1e-5
    )


def test_the_best_epoch_is_what_is_kept(keras: Any, tuned: Tuned) -> None:
    curve = epochs(tuned.messages)
    assert [epoch["full_size"] for epoch in curve] == [False, False, False, True]
    best = curve[-1]
    inputs = np.load(Path(tuned.task.folder) / files_of.INPUTS)
    batch = (inputs.astype(np.float32) - 127.5) / 127.5
    probs = networks.run(keras.models.load_model(tuned.path), batch)
    correct, loss = losses.score(probs, np.arange(16) % 2)
    assert best["number"] > 0
    # Where every photo is right, the best temperature hangs on the last bits of probabilities.
    assert (correct, loss) == (best["right"], pytest.approx(best["loss"], rel=1e-2))


def test_it_begins_with_a_head_that_is_fitted(tuned: Tuned) -> None:
    # Even random convolutions tell the two classes apart a little; a random head does not.
    assert epochs(tuned.messages)[0]["loss"] < 0.95 * np.log(2)


def test_better_frozen_networks_get_lower_learning_rates(keras: Any, task: FinetuneTask) -> None:
    model = network.with_size(keras.models.load_model(task.model), RECIPE.size, "float32")
    before = model.get_weights()
    canvases, targets = stripes(48, 36, seed=1)
    batches = AugmentedBatches(canvases, targets, task)
    rates = [
        range_test.find_rate(model, batches, RECIPE, loss, lambda: False)
        for loss in (2.0, 1.0, 0.25, 1e-9)
    ]
    assert rates[0] == rates[1] <= range_test.MOST_RATE
    assert rates[2] == pytest.approx(max(range_test.LEAST_RATE, rates[1] / 2))
    assert rates[3] == range_test.LEAST_RATE
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_where_no_epoch_is_better_there_is_no_network(task: FinetuneTask) -> None:
    folder = Path(task.folder)
    # The held-out photos have the opposite labels of those it is trained on.
    with np.load(folder / files_of.LABELS) as labels:
        np.savez(folder / files_of.LABELS, train=labels["train"], holdout=1 - labels["holdout"])
    messages: list[dict[str, Any]] = []
    config = dataclasses.replace(CONFIG, epochs=9, patience=2)
    assert finetune(dataclasses.replace(task, config=config), messages.append) is None
    assert [epoch["number"] for epoch in epochs(messages)] == [0, 1, 2]
    assert not (folder / files_of.TUNED).exists()


class KilledError(Exception):
    """Leaves the ``with`` block of the worker, which kills it by SIGKILL."""


# While it starts, in the middle of an epoch, and just after an epoch.
MOMENTS = ("start", "step", "epoch")


@pytest.mark.parametrize(
    "kills", [MOMENTS[1:], pytest.param(3 * MOMENTS, marks=pytest.mark.thorough)]
)
def test_a_worker_that_is_killed_loses_no_epoch_and_ends_as_if_it_had_not_been(
    keras: Any, task: FinetuneTask, tmp_path: Path, kills: tuple[str, ...]
) -> None:
    config = dataclasses.replace(CONFIG, epochs=len(kills), patience=len(kills))
    task = dataclasses.replace(task, config=config)
    folder = Path(task.folder)
    spared = dataclasses.replace(task, folder=str(shutil.copytree(folder, tmp_path / "spared")))
    for moment in kills:
        before = len(Checkpoints(folder).epochs)

        def die(message: dict[str, Any], before: int = before, moment: str = moment) -> None:
            # Epochs that were finished earlier are reported, too.
            now = {
                "start": True,
                "step": "step" in message,
                "epoch": len(Checkpoints(folder).epochs) > before,
            }
            if now[moment]:
                raise KilledError

        with pytest.raises(KilledError):
            process.run(task, die)
        assert len(Checkpoints(folder).epochs) >= before
    curves = []
    for each in (task, spared):
        messages: list[dict[str, Any]] = []
        process.run(each, messages.append)
        curves.append([{**epoch, "seconds": 0} for epoch in epochs(messages)])
    assert len(curves[0]) == config.epochs + 1
    assert curves[0] == curves[1]
    tuned, other = (
        keras.models.load_model(Path(t.folder) / files_of.TUNED) for t in (task, spared)
    )
    for one, two in zip(tuned.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


class Clock:
    """Steps and epochs take a given time, whatever the machine does."""

    def __init__(self, *, step_s: float, epoch_s: float = 0.0) -> None:
        self.now, self._step_s, self._epoch_s = 100.0, step_s, epoch_s
        self.messages: list[dict[str, Any]] = []

    def __call__(self) -> float:
        return self.now

    def hear(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        self.now += self._step_s if "step" in message else self._epoch_s

    @property
    def steps(self) -> int:
        return sum("step" in message for message in self.messages)


BUDGETED = dataclasses.replace(CONFIG, epochs=4, patience=9, batch=8)  # of 6 steps each


@pytest.mark.parametrize(
    ("step_s", "steps"),
    [
        (1.0, 24),  # all that was planned fit into the 40 s
        (2.0, 20),  # behind: shorter epochs
        (4.0, 10),
        (30.0, 2),  # far behind: what it takes to notice
    ],
)
def test_a_budget_is_kept_to_by_shorter_epochs(
    keras: Any, task: FinetuneTask, step_s: float, steps: int
) -> None:
    clock = Clock(step_s=step_s)
    finetune(
        # At one size, since steps of this clock take as long at any.
        dataclasses.replace(task, size=(SIDE, SIDE), config=BUDGETED),
        clock.hear,
        plan=lambda epochs_s: (4, 40.0),
        clock=clock,
    )
    assert steps - 3 <= clock.steps <= steps
    if steps > 4:
        assert clock.now <= 100 + 40
        # However many steps there were, the learning rate came down to the end of the cosine.
        journal = Checkpoints(Path(task.folder))
        assert journal.epochs[-1].share > 0.9
        last = keras.models.load_model(journal.network(journal.epochs[-1]))
        assert float(last.optimizer.learning_rate) < 0.2 * BUDGETED.rate


def test_a_budget_that_is_kept_to_changes_nothing(
    keras: Any, task: FinetuneTask, tmp_path: Path
) -> None:
    curves = []
    for name, plan in (("without", None), ("with", lambda epochs_s: (len(epochs_s), 1000.0))):
        folder = shutil.copytree(task.folder, tmp_path / name)
        clock = Clock(step_s=1.0, epoch_s=2.0)
        other = dataclasses.replace(task, folder=str(folder))
        finetune(other, clock.hear, plan=plan, clock=clock)
        curves.append(epochs(clock.messages))
    assert curves[0] == curves[1]


def test_the_pace_is_measured_before_planning(keras: Any, task: FinetuneTask) -> None:
    measured: list[list[float]] = []

    def nothing(epochs_s: Sequence[float]) -> tuple[int, float]:
        measured.append([*epochs_s])
        return 0, 0.0

    messages: list[dict[str, Any]] = []
    assert finetune(task, messages.append, plan=nothing) is None
    (epochs_s,) = measured
    assert len(epochs_s) == CONFIG.epochs
    assert 0 < epochs_s[0] < epochs_s[1] < epochs_s[2]
    assert epochs(messages) == []
    assert not (Path(task.folder) / files_of.TUNED).exists()


def test_stopping_keeps_the_best_epoch(keras: Any, task: FinetuneTask) -> None:
    endless = dataclasses.replace(
        task, config=dataclasses.replace(CONFIG, epochs=10_000, patience=10_000)
    )
    messages: list[dict[str, Any]] = []
    process.run(endless, messages.append, stop=lambda: len(epochs(messages)) > 2)
    curve = epochs(messages)
    assert 2 < len(curve) < 10_000
    assert (Path(task.folder) / files_of.TUNED).exists() == (curve[-1]["best"] > 0)


def test_a_worker_that_fails_says_why(task: FinetuneTask) -> None:
    (Path(task.folder) / files_of.INPUTS).unlink()
    with pytest.raises(errors.EngineError, match=r"inputs\.npy"):
        process.run(task, lambda message: None)


def test_without_tensorflow_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(errors.SettingError, match=r'pip install "triptych\[tensorflow\]"'):
        triptych.train("no such folder", name="garden", fine_tune=True)


def test_the_last_fold_is_held_out_and_must_be_large_enough() -> None:
    folds, targets = np.array([0, 1, 2, -1] * 12), np.arange(48) // 4 % 2
    assert (np.flatnonzero(decisions.held_out_fold(folds, targets)) == np.arange(2, 48, 4)).all()
    with pytest.raises(errors.SettingError, match="here 9, and needs 10 or more"):
        decisions.held_out_fold(np.array([0, 1] * 9), np.zeros(18, int))
    with pytest.raises(errors.SettingError, match="Train with more photos"):
        decisions.held_out_fold(np.full(20, -1), np.zeros(20, int))


@pytest.mark.parametrize(
    ("per_class", "expected"),
    [
        ([15] * 136, [2] * 136),  # of three a class
        ([60] * 12, [12] * 12),  # fewer than are needed: all of the fold
        ([1000, 1000], [150, 150]),
        ([3000, 500, 20], [256, 43, 2]),  # of 600, 100 and 4: as often as in the fold
        ([5] * 400, [1] * 400),  # of every class, though there are enough without
    ],
)
def test_no_more_photos_are_held_out_than_are_needed(
    per_class: list[int], expected: list[int]
) -> None:
    targets = np.repeat(np.arange(len(per_class)), per_class)
    folds = np.concatenate([np.arange(count) % 5 for count in per_class])
    held_out = decisions.held_out_fold(folds, targets)
    assert (folds[held_out] == 4).all()
    assert np.bincount(targets[held_out]).tolist() == expected


def test_the_head_that_was_trained_with_the_network_must_be_better_to_stay() -> None:
    rng = np.random.default_rng(0)
    targets, held_out = np.arange(200) % 2, np.arange(200) >= 100
    features = np.stack([(2 * targets - 1) + rng.normal(0, 1, 200), rng.normal(0, 1, 200)], axis=1)
    # The second feature says nothing; the first head heeds it.
    noisy, good = (
        Head("linear", (np.array([[-1.0, 1.0], [-noise, noise]]),), (np.zeros(2),), {})
        for noise in (1.0, 0.0)
    )
    of_noisy, of_good = (
        CrossFittedHead(head, np.where(held_out[:, None], head.probs(features), 0.5))
        for head in (noisy, good)
    )
    taken = decisions.better_head(of_noisy, good, features, targets, held_out)
    assert taken.head is good
    # Nothing is known of the photos that the network was trained on.
    np.testing.assert_array_equal(taken.out_of_fold, of_good.out_of_fold)
    assert decisions.better_head(of_good, noisy, features, targets, held_out) is of_good
    assert decisions.better_head(of_good, good, features, targets, held_out) is of_good


def test_a_tuned_member_must_be_better() -> None:
    targets = np.zeros(40, int)
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.6, 0.9, 40)
    frozen = np.stack([sure, 1 - sure], axis=1)
    wrong = frozen.copy()
    wrong[:8] = wrong[:8, ::-1]
    assert decisions.is_better(frozen, wrong, targets)
    assert not decisions.is_better(wrong, frozen, targets)
    assert not decisions.is_better(frozen, frozen, targets)


def test_a_lower_loss_does_not_excuse_clearly_fewer_right_answers() -> None:
    targets = np.zeros(100, int)
    # The tuned member knows which answers to be sure of, but loses 6. SciPy's binomtest(0, 6,
    # alternative="less").pvalue is 0.0156, and with one photo gained binomtest(1, 7) gives 0.0625.
    frozen = np.where(np.arange(100) < 70, 0.6, 0.4)
    tuned = np.where((np.arange(100) >= 6) & (np.arange(100) < 70), 0.95, 0.45)
    assert losses.score(pairs(tuned), targets)[1] < losses.score(pairs(frozen), targets)[1]
    assert not decisions.is_better(pairs(tuned), pairs(frozen), targets)
    tuned[99] = 0.95
    assert decisions.is_better(pairs(tuned), pairs(frozen), targets)


def pairs(first: np.ndarray) -> np.ndarray:
    return np.stack([first, 1 - first], axis=1)


def test_what_only_looks_better_by_luck_is_seldom_kept() -> None:
    rng = np.random.default_rng(0)
    targets = np.zeros(40, int)
    certainties = np.concatenate([rng.uniform(0.6, 0.9, 36), rng.uniform(0.1, 0.4, 4)])
    frozen = pairs(certainties)
    lower_losses, accepted = 0, 0
    for _ in range(300):
        shaken = np.clip(certainties + rng.normal(0, 0.05, 40), 0.01, 0.99)
        tuned = pairs(shaken)
        lower_losses += losses.score(tuned, targets)[1] < losses.score(frozen, targets)[1]
        accepted += decisions.is_better(tuned, frozen, targets)
    assert lower_losses > 50
    assert accepted < lower_losses / 2


def test_only_changes_that_keep_the_class_are_allowed() -> None:
    targets = np.arange(100) % 2
    plain = np.where(targets[:, None] == [0, 1], 0.9, 0.1)
    mirrored = plain.copy()
    mirrored[:2] = 1 - mirrored[:2]
    assert decisions.keeps_class(plain, plain, targets)
    assert not decisions.keeps_class(mirrored, plain, targets)  # surer and wrong: the loss rises
    mirrored[:2] = [[0.49, 0.51], [0.51, 0.49]]
    assert decisions.keeps_class(mirrored, plain, targets)
    mirrored[:4] = np.where(targets[:4, None] == [0, 1], 0.49, 0.51)
    assert not decisions.keeps_class(mirrored, plain, targets)
    # As many are right as before, but not the same.
    other = plain.copy()
    other[4:8] = 1 - other[4:8]
    assert not decisions.keeps_class(mirrored, other, targets)


@pytest.mark.parametrize(
    ("size", "share", "expected"),
    [
        ((224, 224), 0.6, (128, 128)),
        ((299, 299), 0.6, (192, 192)),
        ((48, 48), 0.1, (32, 32)),
        ((24, 24), 0.6, (24, 24)),
        ((224, 224), 1.0, (224, 224)),
    ],
)
def test_networks_are_trained_at_multiples_of_32_pixels(
    size: tuple[int, int], share: float, expected: tuple[int, int]
) -> None:
    assert decisions.tuning_size(size, share) == expected


def equals_its_keras_model(keras: Any, folder: Path, recipe: Recipe) -> None:
    photos, _ = stripes(3, 224, seed=9)
    inputs = np.stack([apply(recipe, photo) for photo in photos])
    plain = networks.run(keras.models.load_model(folder / "model.keras"), inputs)
    ours = OpenVINOEngine(folder / "network.xml", precision="f32").run(inputs).probs
    np.testing.assert_allclose(ours, plain, atol=1e-4)


@pytest.fixture(
    scope="module",
    params=[
        "TinyNet",
        *(pytest.param(name, marks=pytest.mark.thorough) for name in ("MobileNetV3Small", "lite0")),
    ],
)
def backbone(
    request: pytest.FixtureRequest, keras: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """The backbone to train: one with weights drawn by lot, or one that is published."""
    if request.param == "lite0":
        yield {"backbones": ["lite0"]}
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(zoo.BACKBONES, TINY.name, TINY)
        if request.param == TINY.name:
            model = tiny_backbone.drawn()
        else:
            keras.utils.set_random_seed(0)
            model = zoo.find(request.param).build()
            networks.randomize(model)
        path = tmp_path_factory.mktemp("weights") / "drawn.h5"
        networks.save_applications_weights(model, path)
        yield {"backbones": [request.param], "weights": {request.param: path}}


def draw_textures(folder: Path, *, train: int, contrast: int) -> Path:
    """Noisy stripes that lie or stand, as photos in a folder per class."""
    for side, count in (("train", train), ("val", 12)):
        photos, targets = stripes(count, 120, seed=count, contrast=contrast)
        for number, (photo, label) in enumerate(zip(photos, targets, strict=True)):
            target = folder / side / ("lying", "standing")[label] / f"{number}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo).save(target)
    return folder


@pytest.fixture(scope="module")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_textures(tmp_path_factory.mktemp("textures"), train=50, contrast=60)


def test_from_photos_to_a_bundle_and_its_records(
    keras: Any, backbone: dict[str, Any], textures: Path, home: Path
) -> None:
    lines: list[str] = []
    bundle = triptych.train(
        textures,
        name="stripes",
        **backbone,
        fine_tune=True,
        budget_s=1e6,
        precision="f32",
        home=home,
        report=lines.append,
    )
    (record,) = bundle.about["fine_tuned"]
    (member,) = bundle.about["members"]
    (checked,) = bundle.metrics["fine_tuned"]
    assert {**checked, "curve": 0, "augment": 0} == {**record, "curve": 0, "augment": 0}
    assert (record["member"], record["photos"]) == (member["name"], 10)
    assert not record["kept"] or record["after"]["loss"] < record["before"]["loss"]
    assert [epoch["number"] for epoch in record["curve"]] == list(range(record["epochs"] + 1))
    assert "flip" in record["augment"]  # stripes stay stripes; a quarter turn changes their class
    assert "turn" not in record["augment"] or record["before"]["held_out"] < 0.7
    planned = [number for number, line in enumerate(lines) if " epochs, about " in line]
    evaluated = [number for number, line in enumerate(lines) if "epoch 0" in line]
    assert len(planned) == 1
    assert planned[0] < evaluated[0], "the plan was reported after it began"
    folder = bundle.folder / "members" / member["name"]
    files = {"model.keras", "network.bin", "network.xml"}
    assert {path.name for path in folder.iterdir()} == files | {"taught.npz"}
    # Nobody needs the epochs any more.
    assert not [path for path in (home / "tuning").iterdir() if path.is_dir()]
    equals_its_keras_model(keras, folder, zoo.find(member["name"]).recipe)
    assert not list(bundle.folder.parent.glob(".*"))


def test_auto_decides_by_a_short_run_and_says_why(
    backbone: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    # So faint that the tiny backbone is often wrong.
    textures = draw_textures(tmp_path, train=100, contrast=6)
    lines: list[str] = []
    options = {**backbone, "precision": "f32", "home": home, "report": lines.append}
    name = zoo.find(backbone["backbones"][0]).name
    bundle = triptych.train(textures, name="stripes", fine_tune=True, budget_s=0.01, **options)
    assert f"There is no time for an epoch: {name} is left as it is." in lines
    assert "fine_tuned" not in bundle.about

    def has_reported() -> bool:
        return any("goes on" in line or "left out" in line for line in lines)

    triptych.train(textures, name="stripes", fine_tune="auto", stop=has_reported, **options)
    verdict = next(line for line in lines if "goes on" in line or "left out" in line)
    assert "held-out photos right" in verdict or (
        backbone["backbones"] != [TINY.name] and "out of fold" in verdict
    )


@pytest.mark.thorough
def test_the_same_seed_gives_the_same_bundle(
    backbone: dict[str, Any], textures: Path, tmp_path: Path
) -> None:
    networks_of, probs = [], []
    for home in (tmp_path / "one", tmp_path / "two"):
        bundle = triptych.train(textures, name="stripes", **backbone, fine_tune=True, home=home)
        networks_of.append([path.read_bytes() for path in bundle.folder.rglob("network.bin")])
        with np.load(bundle.folder / "answers.npz") as file:
            probs.append({name: file[name] for name in file.files if file[name].dtype.kind == "f"})
    assert networks_of[0] == networks_of[1] != []
    np.testing.assert_equal(probs[0], probs[1])
