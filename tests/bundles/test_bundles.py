"""Bundles: written atomically, each kind of damage is named, hostile archives are refused."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from support.bundles import LITE0
from support.bundles import NETWORK
from support.bundles import about
from support.bundles import fill
from support.bundles import write_with_metrics
from support.images import picture
from triptych import bundles
from triptych import errors
from triptych import images
from triptych.bundles import archive
from triptych.bundles import model_card
from triptych.cli import main
from triptych.engines.conversion import store
from triptych.engines.options import EngineOptions
from triptych.ensemble import rules
from triptych.inference import classifier
from triptych.models import imagenet
from triptych.preprocessing import recipe


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    return tmp_path / "bundles" / "garden"


@pytest.fixture
def garden(tmp_path: Path) -> bundles.Bundle:
    return bundles.write(tmp_path, "garden", fill)


@pytest.fixture(scope="module")
def real(home: Path, tmp_path_factory: pytest.TempPathFactory) -> bundles.Bundle:
    """A bundle that can classify: lite0 with the classes of ImageNet."""
    (network,) = store.prepare([LITE0], home=home)

    def copy(folder: Path) -> dict[str, Any]:
        (folder / NETWORK).parent.mkdir(parents=True)
        for suffix in (".xml", ".bin"):
            shutil.copy(network.with_suffix(suffix), (folder / NETWORK).with_suffix(suffix))
        return {**about([label.id for label in imagenet.imagenet()])}

    return bundles.write(tmp_path_factory.mktemp("real"), "real", copy)


def answer(bundle: bundles.Bundle, home: Path) -> np.ndarray:
    seated = bundle.committee(EngineOptions(home=home, precision="f32"))
    verdict = classifier.Classifier(seated).classify(picture(3), top=len(seated.labels))
    return np.array([guess.prob for guess in sorted(verdict.top, key=lambda g: g.label.index)])


def test_versions_count_up_and_the_highest_is_served(tmp_path: Path) -> None:
    first, second = (bundles.write(tmp_path, "garden", fill) for _ in range(2))
    assert (first.version, second.version) == (1, 2)
    assert bundles.find(tmp_path, "garden").version == 2
    assert bundles.find(tmp_path, "garden@1").folder == first.folder
    assert [bundle.version for bundle in bundles.listed(tmp_path)] == [2]
    assert [label.name for label in second.labels] == ["日本", "Ø"]
    assert [label.index for label in second.labels] == [0, 1]
    assert second.metrics == {}
    with pytest.raises(errors.UnknownName, match="no committee 'garden@3'"):
        bundles.find(tmp_path, "garden@3")


def test_the_name_alone_means_the_active_version(tmp_path: Path, shelf: Path) -> None:
    assert bundles.active(tmp_path, "garden") is None
    for _ in range(3):
        bundles.write(tmp_path, "garden", fill)
    assert bundles.active(tmp_path, "garden") == 3
    bundles.activate(tmp_path, "garden", 2)  # a roll back
    assert bundles.active(tmp_path, "garden") == bundles.find(tmp_path, "garden").version == 2
    assert [bundle.version for bundle in bundles.listed(tmp_path)] == [2]
    assert bundles.find(tmp_path, "garden@3").version == 3
    assert bundles.versions(tmp_path, "garden") == [1, 2, 3]
    assert (
        bundles.write(tmp_path, "garden", fill).version == bundles.active(tmp_path, "garden") == 4
    )
    assert not list(shelf.glob(".writing-*"))


def test_an_unpublished_version_does_not_change_what_is_served(tmp_path: Path) -> None:
    first = bundles.write(tmp_path, "garden", fill, publish=False)
    assert (first.version, bundles.active(tmp_path, "garden")) == (1, None)
    assert bundles.listed(tmp_path) == []
    assert [bundle.version for bundle in bundles.listed(tmp_path, unpublished=True)] == [1]
    with pytest.raises(errors.UnknownName, match=r"garden is published; there are: 1\. .*garden@1"):
        bundles.find(tmp_path, "garden")
    assert bundles.find(tmp_path, "garden@1") == first
    bundles.write(tmp_path, "garden", fill)
    assert bundles.active(tmp_path, "garden") == 2
    bundles.write(tmp_path, "garden", fill, publish=False)
    assert bundles.active(tmp_path, "garden") == 2
    bundles.activate(tmp_path, "garden", 3)
    assert bundles.find(tmp_path, "garden").version == 3


@pytest.mark.parametrize("nothing", [0, None])
def test_an_offline_bundle_is_served_by_version_numbers_only(
    garden: bundles.Bundle, tmp_path: Path, nothing: int | None
) -> None:
    bundles.activate(tmp_path, "garden", nothing)
    assert bundles.active(tmp_path, "garden") is None
    assert bundles.find(tmp_path, "garden@1") == garden
    assert bundles.names(tmp_path) == ["garden"]
    assert bundles.listed(tmp_path) == []


def test_a_version_that_cannot_be_served_is_not_activated(
    garden: bundles.Bundle, tmp_path: Path
) -> None:
    second = bundles.write(tmp_path, "garden", fill, publish=False)
    (second.folder / NETWORK).write_bytes(b"other numbers")
    with pytest.raises(errors.BundleError, match=r"network\.xml is not the file that was written"):
        bundles.activate(tmp_path, "garden", 2)
    with pytest.raises(errors.UnknownName, match="no committee 'garden@9'"):
        bundles.activate(tmp_path, "garden", 9)
    for name in ("pond", "../bundles/garden"):
        with pytest.raises(errors.UnknownName, match=r"expected one of: .*garden"):
            bundles.activate(tmp_path, name, None)
    assert bundles.find(tmp_path, "garden") == garden


@pytest.mark.parametrize("text", ["", "7", "1.0", "x", "-1", "9" * 5000])
def test_a_damaged_pointer_publishes_no_version(
    text: str, garden: bundles.Bundle, shelf: Path, tmp_path: Path
) -> None:
    (shelf / "active").write_text(text)
    assert bundles.active(tmp_path, "garden") is None
    assert bundles.listed(tmp_path, unpublished=True) == [garden]


def test_the_active_version_is_never_unknown_while_others_are_written(tmp_path: Path) -> None:
    bundles.write(tmp_path, "garden", fill)
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(lambda: [bundles.write(tmp_path, "garden", fill) for _ in range(8)])
        drafting = pool.submit(
            lambda: [bundles.write(tmp_path, "garden", fill, publish=False) for _ in range(8)]
        )
        versions = []
        while not (writing.done() and drafting.done()):
            versions.append(bundles.find(tmp_path, "garden").version)
    published = {bundle.version for bundle in writing.result()}
    assert bundles.active(tmp_path, "garden") in published
    assert set(versions) <= {1, *published}


def test_the_card_belongs_to_every_version(tmp_path: Path) -> None:
    bundle = write_with_metrics(tmp_path, "garden", "ant", "bee")
    assert "card" not in bundle.about
    words = {"description": "Insects of *my* garden.\r\n\r\n# Results", "licence": "CC0"}
    bundles.save_card_texts(tmp_path, "garden", {**words, "contact": "  "})
    texts = {"description": "Insects of *my* garden.\n\n# Results", "licence": "CC0"}
    assert (
        bundles.card_texts(tmp_path, "garden")
        == bundles.find(tmp_path, "garden").card_texts
        == texts
    )

    bundles.pack(bundles.find(tmp_path, "garden"), tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip") as packed:
        text = packed.read("README.md").decode()
    assert "Insects of \\*my\\* garden." in text
    assert text.count("\n# ") == 1
    assert text.count("59 to 99 % (9 of 10 photos)") == 1
    assert 'license: other\nlicense_name: "cc0"' in text

    taken = bundles.unpack(tmp_path / "elsewhere", tmp_path / "x.zip", name="meadow")
    assert taken.card_texts == bundles.card_texts(tmp_path / "elsewhere", "meadow") == texts
    bundles.check_files(taken.folder, taken.about)
    again = write_with_metrics(tmp_path, "garden", "ant", "bee", top1=0.8)
    assert "Insects of" in (again.folder / "README.md").read_text()
    assert "49 to 95 % (8 of 10 photos)" in (again.folder / "README.md").read_text()

    bundles.save_card_texts(tmp_path, "garden", {})
    assert bundles.find(tmp_path, "garden@2").card_texts == {}
    bundles.pack(again, tmp_path / "y.zip")
    assert "card" not in bundles.unpack(tmp_path / "third", tmp_path / "y.zip").about


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"accuracy": "100 %"}, "card.accuracy is unknown; expected only: description, use"),
        ({"use": 3}, "card.use is 3; expected a text"),
        ({"contact": "x" * 201}, "expected at most 200 characters instead of 201"),
    ],
)
def test_texts_of_a_card_that_are_refused(
    words: dict[str, object], message: str, garden: bundles.Bundle, tmp_path: Path
) -> None:
    with pytest.raises(errors.SettingError, match=message):
        bundles.save_card_texts(tmp_path, "garden", words)
    with pytest.raises(errors.UnknownName):
        bundles.save_card_texts(tmp_path, "pond", {})
    assert garden.card_texts == {}


@given(st.text(max_size=200))
def test_texts_cannot_forge_parts_of_the_card(text: str) -> None:
    words = model_card.check_texts({"limits": text})
    about = {"name": "garden", "labels": [], "members": [], "rule": "mean", "doubt": None}
    plain, provenance = (model_card.render(about, {}, each).split("\n") for each in ({}, words))
    added = [line for line in provenance if line not in plain]
    assert not [line for line in added if re.match(r"[#=+>|-]|\d+[.)]|```|    ", line)]
    assert not re.search(r"(?<!\\)(\\\\)*[`*_<\[]", "\n".join(added))


def test_version_10_follows_version_9(tmp_path: Path, shelf: Path) -> None:
    bundle = bundles.write(tmp_path, "garden", fill)
    bundle.folder.rename(shelf / "10")
    assert bundles.write(tmp_path, "garden", fill).version == 11
    assert bundles.find(tmp_path, "garden").version == 11


def test_several_writers_at_once_get_a_version_each(tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        written = list(pool.map(lambda _: bundles.write(tmp_path, "garden", fill), range(6)))
    assert sorted(one.version for one in written) == [1, 2, 3, 4, 5, 6]


def test_a_failed_fill_leaves_nothing(tmp_path: Path, shelf: Path) -> None:
    def half(folder: Path) -> dict[str, Any]:
        fill(folder)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        bundles.write(tmp_path, "garden", half)
    assert not shelf.exists()
    bundle = bundles.write(tmp_path, "garden", fill)
    with pytest.raises(RuntimeError, match="no more"):
        bundles.write(tmp_path, "garden", half)
    assert list(shelf.iterdir()) == [bundle.folder]


def test_a_process_killed_while_filling_leaves_no_version(tmp_path: Path, shelf: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from triptych import bundles\n"
        "def fill(folder):\n"
        "    (folder / 'labels.txt').write_text('half')\n"
        "    print('filling', flush=True); time.sleep(600)\n"
        "bundles.write(Path(sys.argv[1]), 'garden', fill)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "filling\n"
        process.send_signal(signal.SIGKILL)
    (left,) = shelf.iterdir()
    assert bundles.listed(tmp_path) == []
    with pytest.raises(errors.UnknownName):
        bundles.find(tmp_path, "garden")
    bundle = bundles.write(tmp_path, "garden", fill)
    assert bundle.version == 1
    assert not left.exists(), "its writer is dead"
    assert [path.name for path in shelf.iterdir()] == ["1"]


@pytest.mark.parametrize(
    "name", ["", "lite", "classic", "auto", "custom", "../up", "a/b", ".hid", "ü", "x" * 65, "a b"]
)
def test_names_that_are_invalid_or_reserved(name: str, tmp_path: Path) -> None:
    with pytest.raises(errors.SettingError, match="A bundle cannot be called"):
        bundles.write(tmp_path, name, fill)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_is_answered_with_the_known_ones(
    garden: bundles.Bundle, tmp_path: Path
) -> None:
    for name in ("jury", "../bundles/garden", "garden/1", ""):
        with pytest.raises(errors.UnknownName, match=r"expected one of: auto, .*lite.*, garden"):
            bundles.find(tmp_path, name)
        with pytest.raises(errors.UnknownName):
            bundles.remove(tmp_path, name)
    assert garden.folder.is_dir()


def test_remove_takes_all_versions_and_leaves_the_others(tmp_path: Path) -> None:
    for name in ("garden", "garden", "zoo"):
        bundles.write(tmp_path, name, fill)
    bundles.remove(tmp_path, "garden")
    assert [bundle.name for bundle in bundles.listed(tmp_path)] == ["zoo"]
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == ["zoo"]
    assert bundles.write(tmp_path, "garden", fill).version == 1


def test_a_version_is_removed_and_its_number_is_not_used_again(tmp_path: Path) -> None:
    for _ in range(3):
        bundles.write(tmp_path, "garden", fill)
    with pytest.raises(errors.SettingError, match="Version 3 of garden is active"):
        bundles.remove_version(tmp_path, "garden", 3)
    bundles.activate(tmp_path, "garden", 1)
    for version in (3, 2):
        bundles.remove_version(tmp_path, "garden", version)
        with pytest.raises(errors.UnknownName):
            bundles.remove_version(tmp_path, "garden", version)
    assert bundles.versions(tmp_path, "garden") == [1]
    assert bundles.active(tmp_path, "garden") == 1
    assert bundles.write(tmp_path, "garden", fill, publish=False).version == 4


def test_removing_a_version_never_publishes_another(tmp_path: Path) -> None:
    for _ in range(2):
        bundles.write(tmp_path, "garden", fill)
    bundles.remove_version(tmp_path, "garden", 1)
    assert bundles.active(tmp_path, "garden") == 2
    bundles.activate(tmp_path, "garden", None)
    bundles.remove_version(tmp_path, "garden", 2)
    assert bundles.active(tmp_path, "garden") is None


def edit(folder: Path, **fields: Any) -> None:
    path = folder / "bundle.json"
    updated = {**json.loads(path.read_text(encoding="utf-8")), **fields}
    path.write_text(json.dumps({key: value for key, value in updated.items() if value is not None}))


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no bundle.json": (lambda f: (f / "bundle.json").unlink(), "it has no bundle.json"),
    "not JSON": (lambda f: (f / "bundle.json").write_text("{"), "cannot be read: Expecting"),
    "not text": (lambda f: (f / "bundle.json").write_bytes(b"\xff"), "cannot be read: 'utf-8'"),
    "a list": (
        lambda f: (f / "bundle.json").write_text("[]"),
        r"bundle is \[\]; expected an object",
    ),
    "newer": (lambda f: edit(f, schema=4), "schema 4; this Triptych reads schema 2 and 3"),
    "other task": (
        lambda f: edit(f, schema=3),
        "schema 3 for the task None; expected .multi-label",
    ),
    "no rule": (lambda f: edit(f, rule=None), "bundle.rule is missing; expected one of"),
    "odd rule": (lambda f: edit(f, rule="dice"), "the rule 'dice', and this Triptych has"),
    "list for a rule": (
        lambda f: edit(f, rule=["mean"]),
        r"bundle.rule is \['mean'\]; expected",
    ),
    "odd labels": (lambda f: edit(f, labels=["a", "b"]), r"bundle.labels\[0\] is no object"),
    "odd files": (lambda f: edit(f, files=[1]), r"bundle.files is \[1\]; expected an object"),
    "outside": (lambda f: edit(f, files={"../../x": "0"}), "expected a path inside the bundle"),
    "odd member": (
        lambda f: edit(f, members=[{**about([])["members"][0], "cost": 0}]),
        r"bundle.members\[0\].cost is 0; expected a number above 0",
    ),
    "odd card": (lambda f: edit(f, card={"use": 1}), "bundle.card.use is 1; expected a text"),
    "no doubt": (lambda f: edit(f, doubt=None), "bundle.doubt is missing"),
    "odd doubt": (
        lambda f: edit(f, doubt={"weights": [1]}),
        "bundle.doubt.temperatures is missing",
    ),
    "unlisted network": (
        lambda f: edit(f, files={"labels.txt": "0"}),
        "expected the hash of members/",
    ),
    "missing file": (lambda f: (f / "labels.txt").unlink(), "incomplete: labels.txt missing"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_each_damage_is_named(kind: str, garden: bundles.Bundle, tmp_path: Path) -> None:
    damage, message = DAMAGES[kind]
    damage(garden.folder)
    with pytest.raises(errors.BundleError, match=message):
        bundles.find(tmp_path, "garden")
    assert bundles.listed(tmp_path) == []


def test_a_flipped_byte_in_a_network_is_found_before_it_answers(
    real: bundles.Bundle, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "1"
    shutil.copytree(real.folder, folder)
    network = (folder / NETWORK).with_suffix(".bin")
    data = bytearray(network.read_bytes())
    data[len(data) // 2] ^= 1
    network.write_bytes(data)
    damaged = bundles.read(folder)
    with pytest.raises(errors.BundleError, match=r"network\.bin is not the file that was written"):
        damaged.committee(EngineOptions(home=home))
    with pytest.raises(errors.BundleError, match=r"network\.bin is not the file that was written"):
        bundles.pack(damaged, tmp_path / "out.zip")
    assert not list(tmp_path.glob("out*"))


def test_an_exported_and_imported_bundle_gives_the_same_answers(
    real: bundles.Bundle, home: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "real.zip"
    bundles.pack(real, packed)
    assert [path.name for path in tmp_path.iterdir()] == ["real.zip"]
    taken = bundles.unpack(tmp_path / "elsewhere", packed)
    renamed = bundles.unpack(tmp_path / "elsewhere", packed, name="other")
    assert (taken.name, taken.version, renamed.name) == ("real", 1, "other")
    assert bundles.unpack(tmp_path / "elsewhere", packed).version == 2
    assert (
        {**taken.about, "name": ""} == {**renamed.about, "name": ""} == {**real.about, "name": ""}
    )
    expected = answer(real, home)
    assert expected.max() > expected.min()
    np.testing.assert_array_equal(answer(taken, home), expected)


def test_an_export_that_cannot_be_written_is_one_clear_message(
    garden: bundles.Bundle, tmp_path: Path
) -> None:
    with pytest.raises(errors.BundleError, match=r"x\.zip cannot be written: No such file"):
        bundles.pack(garden, tmp_path / "nowhere" / "x.zip")
    (tmp_path / "folder.zip").mkdir()
    with pytest.raises(errors.BundleError, match="cannot be written"):
        bundles.pack(garden, tmp_path / "folder.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundles", "folder.zip"]


def test_the_temperature_of_a_member_is_used(real: bundles.Bundle, home: Path) -> None:
    seated = real.committee(EngineOptions(home=home, precision="f32"))
    (member,) = seated.members
    batch = recipe.apply(member.recipe, images.decode(picture(3)))[None]
    raw = member.engine.run(batch).probs
    np.testing.assert_allclose(answer(real, home), rules.temper(raw[0], 1.3), atol=1e-6)


def test_a_refitted_bundle_is_the_next_version_with_only_the_fit_changed(
    garden: bundles.Bundle, tmp_path: Path
) -> None:
    fitted = dataclasses.replace(
        garden.params, temperatures=(2.0,), provenance={"data": "other photos"}
    )
    refitted = bundles.with_params(garden, tmp_path, fitted)
    assert (refitted.name, refitted.version) == ("garden", garden.version + 1)
    assert refitted.params == fitted != garden.params
    assert refitted.about["files"] == garden.about["files"]
    assert {**refitted.about, "doubt": 0} == {**garden.about, "doubt": 0}
    assert bundles.find(tmp_path, "garden") == refitted


def hostile(path: Path, source: bundles.Bundle, change: Callable[[zipfile.ZipFile], None]) -> Path:
    """An exported bundle with an additional member."""
    bundles.pack(source, path)
    with zipfile.ZipFile(path, "a") as packed:
        change(packed)
    return path


@pytest.mark.parametrize(
    "name", ["../escaped", "members/../../escaped", "/tmp/triptych-escaped", "..\\escaped"]
)
def test_archives_that_write_elsewhere_are_refused(
    name: str, garden: bundles.Bundle, tmp_path: Path
) -> None:
    path = hostile(tmp_path / "x.zip", garden, lambda archive: archive.writestr(name, "x"))
    with pytest.raises(errors.BundleError, match="is refused: it writes to"):
        bundles.unpack(tmp_path / "home", path)
    assert not (tmp_path / "home").exists()
    assert not list(tmp_path.rglob("*escaped*"))
    assert not Path("/tmp/triptych-escaped").exists()


def test_a_link_in_an_archive_leads_nowhere(garden: bundles.Bundle, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    link = zipfile.ZipInfo("members/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = hostile(tmp_path / "x.zip", garden, lambda a: a.writestr(link, str(tmp_path / "secret")))
    with pytest.raises(errors.BundleError, match="'members/link' is a link"):
        bundles.unpack(tmp_path / "home", path)
    assert not (tmp_path / "home").exists()


def test_a_member_that_grows_too_large_is_refused(
    garden: bundles.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_FILE_BYTES", 1_000_000)

    def bomb(archive: zipfile.ZipFile) -> None:
        archive.writestr("zeros", bytes(1_000_001), zipfile.ZIP_DEFLATED)

    path = hostile(tmp_path / "x.zip", garden, bomb)
    assert path.stat().st_size < 100_000
    with pytest.raises(errors.BundleError, match="'zeros' is too large"):
        bundles.unpack(tmp_path / "home", path)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "kind", ["missing", "text", "truncated", "flipped", "deflated", "no bundle"]
)
def test_files_that_are_not_bundles_are_refused(
    kind: str, garden: bundles.Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "x.zip"
    bundles.pack(garden, path)
    data = bytearray(path.read_bytes())
    if kind == "missing":
        path.unlink()
    elif kind == "text":
        path.write_text("no archive")
    elif kind == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "flipped":
        with zipfile.ZipFile(path) as packed:
            data[packed.getinfo(NETWORK[:-4] + ".bin").header_offset + 500] ^= 1
        path.write_bytes(data)
    elif kind == "deflated":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("bundle.json", b"{}" * 500)
        packed = bytearray(path.read_bytes())
        packed[41:45] = b"\xff" * 4
        path.write_bytes(packed)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("photo.jpg", picture())
    with pytest.raises(errors.BundleError, match=r"x\.zip|no bundle"):
        bundles.unpack(tmp_path / "home", path)
    assert not (tmp_path / "home").exists()


def test_a_name_inside_an_archive_is_checked_like_any_other(
    garden: bundles.Bundle, tmp_path: Path
) -> None:
    edit(garden.folder, name="../../escaped")
    bundles.pack(garden, tmp_path / "x.zip")
    with pytest.raises(errors.SettingError, match="cannot be called"):
        bundles.unpack(tmp_path / "home", tmp_path / "x.zip")
    assert not (tmp_path / "home").exists()


def test_unlisted_files_of_an_archive_are_not_kept(garden: bundles.Bundle, tmp_path: Path) -> None:
    path = hostile(tmp_path / "x.zip", garden, lambda a: a.writestr("extra.py", "print()"))
    taken = bundles.unpack(tmp_path / "home", path)
    assert not (taken.folder / "extra.py").exists()
    assert (taken.folder / "labels.txt").exists()


def test_the_command_line_chooses_which_version_is_served(tmp_path: Path) -> None:
    def run(*words: str) -> str:
        ran = CliRunner().invoke(main, ["bundles", *words, "--home", str(tmp_path)])
        return f"{ran.exit_code} {ran.output}"

    for _ in range(2):
        write_with_metrics(tmp_path, "garden", "ant", "bee")
    assert run("activate", "garden@1") == "0 garden is now version 1.\n"
    assert bundles.active(tmp_path, "garden") == 1
    (facts,) = [json.loads(line) for line in run("list", "--json")[2:].splitlines()]
    assert (facts["version"], facts["active"], facts["versions"]) == (1, 1, [1, 2])
    assert re.search(r"garden +1 +1, 2 +2 +EfficientNetLite0 +59 to 99 % \(9 of 10", run("list"))
    assert run("activate", "garden").startswith("0 garden is now version 2")
    assert run("deactivate", "garden").startswith("0 garden is offline.")
    assert re.search(r"garden +none +1, 2 ", run("list"))
    assert run("show", "garden").startswith("2 Error: No version of garden is published")
    assert run("activate", "pond").startswith("2 Error: There is no committee 'pond'")
    assert run("activate", "garden@3").startswith("2 Error: There is no committee 'garden@3'")


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_bundle_with_invalid_json_is_damaged(
    word: str, real: bundles.Bundle, tmp_path: Path
) -> None:
    folder = tmp_path / "1"
    shutil.copytree(real.folder, folder)
    text = (folder / "bundle.json").read_text()
    (folder / "bundle.json").write_text(text.replace("{", f'{{"created": {word}, ', 1))
    with pytest.raises(errors.BundleError, match=f"{word} is no number of JSON"):
        bundles.read(folder)


def test_a_bundle_nested_too_deeply_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text("[" * 100_000)
    with pytest.raises(errors.BundleError, match="nested too deeply"):
        bundles.read(tmp_path)
