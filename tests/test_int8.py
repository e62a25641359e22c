"""int8 networks: made once, found again, refused where missing, and as good as the f32 ones."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import triptych
from pictures import picture
from triptych import committee
from triptych import errors
from triptych import zoo
from triptych.engine import int8
from triptych.engine import quantize
from triptych.engine import store
from triptych.engine.openvino import resolve_precision

pytestmark = pytest.mark.timeout(600)
needs_nncf = pytest.mark.skipif(
    importlib.util.find_spec("nncf") is None, reason='needs NNCF: pip install "triptych[int8]"'
)

LITE0 = zoo.find("lite0")


def load(home: Path, **options: object) -> tuple[triptych.Classifier, list[str]]:
    said: list[str] = []
    given = {"precision": "int8", "rule": "mean", "home": home, "report": said.append, **options}
    return triptych.load(members=["lite0"], **given), said  # type: ignore[arg-type]


@pytest.mark.slow
@needs_nncf
def test_random_weights_are_quantized_at_the_first_start_and_found_at_the_second(
    home: Path,
) -> None:
    first, said = load(home, weights="random")
    assert said[-1] == "Quantizing EfficientNetLite0 ..."
    second, said = load(home, weights="random")
    assert said == []
    assert first.committee.warning
    assert first.classify(picture(1)).top == second.classify(picture(1)).top
    (network,) = store.prepare([LITE0], home=home, random=True)
    made = int8.beside(network)
    assert "FakeQuantize" in made.read_text()
    assert made.with_suffix(".bin").stat().st_size < network.with_suffix(".bin").stat().st_size / 3
    assert sorted(path.name for path in network.parent.iterdir()) == [
        int8.FOLDER,
        "network.bin",
        "network.xml",
    ]


def test_int8_networks_that_were_not_made_are_missing_with_the_command_that_makes_them(
    home: Path,
) -> None:
    build = committee.Build(home=home, precision="int8")
    lite = r"EfficientNetLite0, .*has no int8 networks yet.*triptych optimize lite --images photos/"
    with pytest.raises(errors.SettingError, match=lite):
        committee.from_zoo("lite", build)
    with pytest.raises(errors.SettingError, match="optimize lite --members EfficientNetLite0 --im"):
        committee.from_zoo("lite", build, members=["lite0"])


def test_no_network_is_run_at_int8_that_was_not_made_for_it() -> None:
    with pytest.raises(errors.SettingError, match="after `triptych optimize`"):
        resolve_precision("int8")


@pytest.mark.skipif(bool(importlib.util.find_spec("nncf")), reason="NNCF is installed")
def test_without_nncf_it_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(errors.SettingError, match=r'pip install "triptych\[int8\]"'):
        quantize.run(tmp_path / "network.xml", [], tmp_path / "made.xml")


@needs_nncf
def test_what_cannot_be_quantized_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    network = tmp_path / "network.xml"
    network.write_text("<net>")
    with pytest.raises(errors.EngineError, match=r"Quantizing the network .*network.xml failed: ."):
        int8.make(network, int8.generated(LITE0.recipe))
    assert list(tmp_path.iterdir()) == [network]


@needs_nncf
def test_quantizing_can_be_stopped(tmp_path: Path) -> None:
    with pytest.raises(errors.Stopped):
        quantize.run(tmp_path / "none.xml", [], tmp_path / "made.xml", stop=lambda: True)
