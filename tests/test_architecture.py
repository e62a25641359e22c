"""The rooms of DESIGN, as tests: who may import whom, and which library lives where."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent.parent / "src" / "triptych"

# A module imports only lower ranks; modules of one package may import each other.
RANKS = {
    "errors": 0,
    "clients": 1,
    "combine": 1,
    "disk": 1,
    "hashing": 1,
    "queueing": 1,
    "results": 1,
    "settings": 1,
    "streams": 1,
    "cascade": 2,
    "conformal": 2,
    "images": 2,
    "labels": 2,
    "novelty": 2,
    "occlusion": 2,
    "recipe": 2,
    "views": 2,
    "storage": 2,
    "tensors": 2,
    "card": 3,
    "placing": 3,
    "dataset": 3,
    "doubt": 3,
    "zoo": 3,
    "calibration": 4,
    "fits": 4,
    "weights": 4,
    "head": 5,
    "engine": 6,
    "evaluation": 7,
    "features": 7,
    "finetune_child": 7,
    "choosing": 8,
    "committee": 8,
    "asking": 9,
    "bundle": 9,
    "answers": 10,
    "explaining": 10,
    "judging": 10,
    "classifier": 11,
    "extractors": 11,
    "importing": 11,
    "lesson": 11,
    "suspects": 11,
    "finetune": 12,
    "projects": 12,
    "scoring": 12,
    "seating": 12,
    "audition": 13,
    "bulk": 13,
    "benchmarking": 13,
    "fitting": 13,
    "learning_curve": 13,
    "optimizing": 13,
    "pages": 13,
    "teaching": 13,
    "training": 14,
    "reviewing": 14,
    "jobs": 15,
    "": 15,  # the package's own door: triptych.load, triptych.train
    "web": 16,
    "scale": 17,
    "cli": 18,
    "__main__": 19,
}

# Each library lives in few rooms, so that a change of library is a change of few rooms.
FENCES = {
    "keras": {"zoo", "weights", "engine", "head", "finetune_child"},
    "PIL": {"images", "recipe"},
    "pillow_heif": {"images"},
    "nncf": {"engine"},
    "openvino": {"engine"},
    "fsspec": {"storage"},
    "pyarrow": {"bulk"},
    "ray": {"scale"},
    "a2wsgi": {"scale"},
    "pydantic": {"scale"},
    "starlette": {"scale"},
    "flask": {"web"},
    "flask_smorest": {"web"},
    "marshmallow": {"web"},
    "gevent": {"web"},
    "prometheus_client": {"web"},
    "werkzeug": {"web"},
    "click": {"cli"},
    "jinja2": {"evaluation"},
    "matplotlib": {"evaluation"},
    "h5py": {"weights"},
    "tensorflow": set(),
    "torch": set(),
    "urllib": {"weights", "web"},
    "pickle": {"tensors"},
}


# What may be used of a library, where not all of it may.
PARTS = {("web", "urllib"): {"urllib.parse"}}


def room_of(path: Path) -> str:
    parts = path.relative_to(SOURCES).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def imports_of(path: Path) -> set[str]:
    """Every module that a source file imports, `from a import b` as a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = sorted(SOURCES.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCES)))
def test_a_module_imports_only_lower_ranks(path: Path) -> None:
    room = room_of(path)
    for name in imports_of(path):
        if name.split(".")[0] != "triptych":
            continue
        rest = name.removeprefix("triptych").lstrip(".").split(".")[0]
        other = rest if rest in RANKS else ""
        if room == "" and other in ("results", "errors"):
            continue
        assert other == room or RANKS[other] < RANKS[room], f"{room or 'triptych'} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCES)))
def test_each_library_stays_in_its_rooms(path: Path) -> None:
    for name in imports_of(path):
        library = name.split(".")[0]
        if library in FENCES:
            assert room_of(path) in FENCES[library], f"{path} imports {name}"
        parts = PARTS.get((room_of(path), library), {library})
        assert library not in FENCES or any(f"{name}.".startswith(f"{part}.") for part in parts)


def test_every_room_has_a_rank() -> None:
    assert {room_of(path) for path in FILES} == set(RANKS)


def test_keras_files_are_opened_in_safe_mode_only() -> None:
    calls = [
        node
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("load_model")
    ]
    assert calls
    for call in calls:
        given = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert given.get("safe_mode") == "True", ast.unparse(call)


HEAVY = {"keras", "tensorflow", "openvino", "torch", "jax", "h5py", "matplotlib", "sklearn"}


@pytest.mark.parametrize(
    "code",
    [
        "import triptych",
        "import triptych.cli",
        "from click.testing import CliRunner; from triptych.cli import main; "
        "assert CliRunner().invoke(main, ['classify', '--help']).exit_code == 0",
        "from triptych import zoo; zoo.find('ResNet50')",
        "from triptych import evaluation; from triptych.evaluation import report",
    ],
)
def test_looking_around_loads_nothing_heavy(code: str) -> None:
    probe = f"{code}; import sys; print(sorted(set(sys.modules) & {HEAVY}))"
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
