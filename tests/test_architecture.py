"""The rules of docs/design.md: ranks of rooms, and which library is used where."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

from rooms import RANKS

SOURCES = Path(__file__).parent.parent / "src" / "triptych"

# Each library lives in few places, by dotted prefix, so that a change of library changes few files.
FENCES = {
    "PIL": {
        "exports.programs",
        "benchmark.synthetic",
        "images",
        "preprocessing.recipe",
        "studio.sample_images",
    },
    "a2wsgi": {"scale"},
    "click": {"cli"},
    "flask": {"web"},
    "flask_smorest": {"web"},
    "fsspec": {"utils.storage"},
    "gevent": {"web"},
    "h5py": {"models.keras_h5", "models.weights"},
    "huggingface_hub": {"bundles.hub"},
    "jinja2": {"evaluation.report", "web.languages"},
    "babel": {"web.languages"},
    "keras": {
        "engines.backends",
        "engines.conversion",
        "engines.keras_engine",
        "engines.keras_graph",
        "exports.keras_committee",
        "exports.keras_layers",
        "exports.keras_worker",
        "exports.programs",
        "models.head",
        "models.weights",
        "models.zoo",
        "training.finetune.network",
        "training.finetune.training_loop",
    },
    "authlib": {"web.oidc"},
    "joserfc": {"web.oidc"},
    "requests": {"web.oidc"},
    "chardet": {"data.zip_names"},
    "marshmallow": {"batch.tables", "inference.answer_schemas", "utils.validation", "web"},
    "matplotlib": {
        "benchmark.plots",
        "evaluation.fit_plots",
        "evaluation.plot_style",
    },
    "mlflow": {"mlflow"},
    "nncf": {"engines.conversion.quantize"},
    "openvino": {"engines", "exports"},
    "pandas": {"mlflow"},
    "pickle": {"models.torch_checkpoint"},
    "pillow_heif": {"images"},
    "prometheus_client": {"web"},
    "pyarrow": {"batch.tables", "data.imagefolder"},
    "pydantic": {"scale"},
    "ray": {"scale"},
    "scipy": {"ensemble.fit"},
    "sklearn": set[str](),
    "starlette": {"scale"},
    "tensorflow": {"exports.keras_worker", "exports.programs", "training.finetune.network"},
    "torch": set[str](),
    "urllib": {"client", "data.label_studio", "models.weights", "utils.storage", "web"},
    "urllib3": {"client"},
    "werkzeug": {"web"},
}

# What may be used of a library, where not all of it may.
PARTS = {
    ("client", "urllib"): "urllib.parse",
    ("data", "urllib"): "urllib.parse",
    ("utils", "urllib"): "urllib.parse",
    ("web", "urllib"): "urllib.parse",
}

FILES = sorted(SOURCES.rglob("*.py"))


def module_of(path: Path) -> str:
    """The module of a file without the package's name; "" for the package itself."""
    parts = path.relative_to(SOURCES).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@functools.cache
def imports_of(path: Path) -> set[str]:
    """Every module that a source file imports, `from a import b` as a.b."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    return imported


def is_below(name: str, prefix: str) -> bool:
    return f"{name}.".startswith(f"{prefix}.")


def test_a_module_imports_only_lower_ranks() -> None:
    wrong = []
    for path in FILES:
        room = module_of(path).split(".")[0]
        for name in imports_of(path):
            if not is_below(name, "triptych"):
                continue
            second = name.split(".")[1] if "." in name else ""
            other = second if second in RANKS else ""  # a name of the package's own door
            if other != room and RANKS[other] >= RANKS[room]:
                wrong.append(f"{module_of(path)} imports {name}")
    assert not wrong


# The core takes plain arguments: two classifiers set up differently can live in one process.
SETTINGS_READERS = {"", "cli", "scale", "web"}


def test_only_the_edges_read_settings() -> None:
    readers = {
        module_of(path)
        for path in FILES
        if any(is_below(name, "triptych.settings") for name in imports_of(path))
    }
    assert {module.split(".")[0] for module in readers} == SETTINGS_READERS


def test_each_library_is_used_in_its_rooms_only() -> None:
    wrong = []
    for path in FILES:
        module = module_of(path)
        for name in imports_of(path):
            library = name.split(".")[0]
            if library not in FENCES:
                continue
            part = PARTS.get((module.split(".")[0], library), library)
            is_inside = any(is_below(module, fence) for fence in FENCES[library])
            if not is_inside or not is_below(name, part):
                wrong.append(f"{module} imports {name}")
    assert not wrong


def test_every_fence_guards_a_used_library() -> None:
    """A rule for a library that nobody imports would be out of date."""
    used = {(name.split(".")[0], module_of(path)) for path in FILES for name in imports_of(path)}
    idle = [
        f"{fence} imports no {library}"
        for library, fences in FENCES.items()
        for fence in fences
        if not any(lib == library and is_below(module, fence) for lib, module in used)
    ]
    assert not idle


def test_every_room_has_a_rank() -> None:
    assert {module_of(path).split(".")[0] for path in FILES} == set(RANKS)


def test_keras_files_are_opened_in_safe_mode_only() -> None:
    calls = [
        node
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("load_model")
    ]
    assert calls
    for call in calls:
        keywords = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert keywords.get("safe_mode") == "True", ast.unparse(call)


HEAVY = {"keras", "tensorflow", "openvino", "torch", "jax", "h5py", "matplotlib", "sklearn"}


@pytest.mark.parametrize(
    "code",
    [
        "import triptych",
        "import triptych.cli",
        "import triptych.client; assert not {'flask', 'urllib3', 'PIL'} & set(sys.modules)",
        "from click.testing import CliRunner; from triptych.cli import main; "
        "assert CliRunner().invoke(main, ['classify', '--help']).exit_code == 0",
        "from triptych.models import zoo; zoo.find('ResNet50')",
        "import triptych.cli; assert 'numpy' not in sys.modules; assert 'PIL' not in sys.modules",
        "from triptych import evaluation; from triptych.evaluation import report",
    ],
)
def test_importing_and_help_load_nothing_heavy(code: str) -> None:
    probe = f"import sys; {code}; print(sorted(set(sys.modules) & {HEAVY}))"
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_json_is_written_strictly() -> None:
    # NaN, which Python writes for JSON unless told otherwise, is read by no other language.
    lax = [
        f"{path}:{node.lineno}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("json.dumps", "json.dump", "json.JSONEncoder")
        and not any(
            word.arg == "allow_nan" and ast.unparse(word.value) == "False" for word in node.keywords
        )
    ]
    assert not lax, "expected allow_nan=False"
