"""Crafted bundles: each is refused with a reason, and does not affect others."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.bundles import write_runnable
from triptych import bundles
from triptych import errors
from triptych.bundles import model_card
from triptych.bundles import proof
from triptych.utils import files

NETWORK = "members/small/network.xml"
Change = Callable[[Path, dict[str, Any]], None]


def crafted(tmp_path: Path, change: Change) -> Path:
    """The folder of a manipulated bundle with correct hashes."""
    bundle = write_runnable(tmp_path / "made")
    about = json.loads((bundle.folder / "bundle.json").read_text())
    change(bundle.folder, about)
    for path in bundle.folder.rglob("*"):
        if path.is_file() and path.name != "bundle.json":
            about["files"][path.relative_to(bundle.folder).as_posix()] = files.digest(path)
    (bundle.folder / "bundle.json").write_text(json.dumps(about))
    return bundle.folder


def zipped(folder: Path) -> Path:
    path = folder.parent.parent / "crafted.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    return path


def save_network(path: Path, build: Callable[[Any, Any], Any]) -> None:
    """Write a network of 5 classes and 64 features; `build` makes the probabilities' logits."""
    import openvino
    from openvino import opset13 as op

    image = op.parameter([-1, 32, 32, 3], np.float32)
    mean = op.reduce_mean(image, op.constant([1, 2, 3]), keep_dims=True)  # (N, 1, 1, 1)
    features = op.multiply(op.reshape(mean, op.constant([-1, 1]), False), np.ones((1, 64), "f"))
    logits = build(op, features)
    openvino.save_model(openvino.Model([op.softmax(logits, 1), features], [image]), path)


def reads_foreign_memory(folder: Path, about: dict[str, Any]) -> None:
    def build(op: Any, features: Any) -> Any:
        far = op.constant(np.full((1, 5, 2), [0, 10_000_000], np.int64))
        return op.gather_nd(features, op.constant(np.repeat(far.data, 1, 0)))

    save_network(folder / NETWORK, build)


def gathers_outside(folder: Path, about: dict[str, Any]) -> None:
    save_network(folder / NETWORK, lambda op, x: op.gather(x, np.array([0, 1, 2, 3, 64]), 1))


def answers_nan(folder: Path, about: dict[str, Any]) -> None:
    save_network(
        folder / NETWORK, lambda op, x: op.matmul(x, np.full((64, 5), np.nan, "f"), False, False)
    )


def has_more_labels(folder: Path, about: dict[str, Any]) -> None:
    about["labels"].append({"name": "fly", "id": "fly"})


def takes_other_sizes(folder: Path, about: dict[str, Any]) -> None:
    about["members"][0]["recipe"]["size"] = [31, 31]


def is_no_network(folder: Path, about: dict[str, Any]) -> None:
    (folder / NETWORK).write_bytes(b"<net/>")


def reference(**arrays: Any) -> Change:
    """A bundle whose OOD reference has unexpected arrays."""

    def change(folder: Path, about: dict[str, Any]) -> None:
        valid = {
            "features": np.ones((20, 64), np.float16),
            "distances": np.zeros(20, np.float32),
            "neighbours": np.array(3),
            "digests": np.zeros((20, 32), np.uint8),
            "labels": np.zeros(20, np.int32),
        }
        with (folder / "members/small/taught.npz").open("wb") as file:
            np.savez(file, allow_pickle=True, **{**valid, **arrays})

    return change


HOSTILE: dict[str, tuple[Change, str]] = {
    "foreign memory": (reads_foreign_memory, "has the operation GatherND"),
    "gathers outside": (gathers_outside, "has the operation Gather"),
    "nan": (answers_nan, "no probabilities"),
    "more labels": (has_more_labels, "has 5 classes, and the bundle 6 labels"),
    "other size": (takes_other_sizes, "31"),
    "no network": (is_no_network, "cannot be read as a network"),
    "pickle": (reference(features=np.array([{}])), r"taught\.npz cannot be read"),
    "no features": (reference(features=np.ones((20, 0), np.float16)), "have 0"),
    "few features": (reference(features=np.ones((20, 7), np.float16)), "have 7"),
    "many distances": (reference(distances=np.zeros(30, np.float32)), r"distances has the shape"),
    "no distances": (reference(distances=np.zeros(0, np.float32)), r"distances has the shape"),
    "labels that are not": (reference(labels=np.full(20, 99, np.int32)), "class 99"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_bundle_that_cannot_classify_is_refused(kind: str, tmp_path: Path) -> None:
    change, message = HOSTILE[kind]
    assert re.search(message, proof.find_problem(crafted(tmp_path, change)))


def test_a_sound_bundle_has_no_problem(tmp_path: Path) -> None:
    assert proof.find_problem(crafted(tmp_path, reference())) == ""


def test_a_bundle_is_tested_in_a_child_process_before_it_is_kept(tmp_path: Path) -> None:
    path = zipped(crafted(tmp_path, reads_foreign_memory))
    with pytest.raises(errors.BundleError, match=r"GatherND.*Nothing was kept"):
        bundles.unpack(tmp_path / "home", path)
    assert not (tmp_path / "home").exists()


ODD: dict[str, tuple[str, str]] = {
    "infinite size": ('"size": [32, 32]', '"size": [1e999, 32]'),
    "large size": ('"size": [32, 32]', '"size": [12000, 12000]'),
    "large cost": ('"cost": 1.0', '"cost": 1' + 400 * "0"),
    "deep": ('"cost": 1.0', '"x": ' + 5000 * "[" + 5000 * "]" + ', "cost": 1.0'),
    "surrogate": ('"name": "ant"', '"name": "\\ud800"'),
    "long label": ('"name": "ant"', '"name": "' + 5000 * "a" + '"'),
    "long member": ('"name": "small"', '"name": "' + 300 * "a" + '"'),
    "member elsewhere": ('"name": "small"', '"name": "a/../small"'),
    "member of ESC": ('"name": "small"', '"name": "\\u001b[2J"'),
    "no labels": ('"labels": [', '"labels": [], "others": ['),
    "no text": ('"name": "ant"', '"name": 7'),
    "nan": ('"cost": 1.0', '"cost": NaN'),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_malicious_bundle_does_not_affect_others(kind: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    write_runnable(home, "good")
    about = write_runnable(home, "odd").folder / "bundle.json"
    text = json.dumps(json.loads(about.read_text()))
    before, after = ODD[kind]
    assert before in text
    about.write_text(text.replace(before, after, 1))
    with pytest.raises(errors.BundleError, match=r"odd"):
        bundles.find(home, "odd")
    assert [bundle.name for bundle in bundles.listed(home)] == ["good"]


def test_the_size_of_an_archive_is_checked_before_writing(tmp_path: Path) -> None:
    bombs = {"zeros": {"zeros": bytes(80 << 20)}, "many": {f"{n}": b"" for n in range(2000)}}
    for name, members in bombs.items():
        path = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in members.items():
                archive.writestr(member, data)
        with pytest.raises(errors.BundleError, match=r"would unpack to|no bundle has more"):
            bundles.unpack(tmp_path / "home", path)
    assert not (tmp_path / "home").exists()


def test_labels_cannot_forge_terminal_or_model_card_output(tmp_path: Path) -> None:
    def change(folder: Path, about: dict[str, Any]) -> None:
        about["labels"][0]["name"] = "\n# Verified: 100 % right\n![x](http://a.example/x.png)"
        about["labels"][1]["name"] = "a\x1b[2J\u202eb"

    bundle = bundles.read(crafted(tmp_path, change))
    assert all(label.name.isprintable() for label in bundle.labels)
    assert bundle.labels[1].name == "a%1B[2J%E2%80%AEb"
    card = model_card.render(bundle.about, {})
    assert "\n# Verified" not in card
    assert "![x](" not in card
