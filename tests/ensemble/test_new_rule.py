"""The recipe "A new rule" of CONTRIBUTING.md, and files that know other rules."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from triptych import bundles
from triptych import errors
from triptych.ensemble import fit
from triptych.ensemble import rules
from triptych.inference import params_store
from triptych.models import zoo

ROOT = Path(__file__).parent.parent.parent
LITE = zoo.COMMITTEES["lite"]

# In the changed program: reads what was written before, shows the rule, answers by it, and fits.
CHECKS = """
import sys
from pathlib import Path

import numpy as np

home, shown = Path(sys.argv[1]), {}

from support import images, studios
from triptych import bundles, settings
from triptych.ensemble import fit
from triptych.inference import params_store
from triptych.models import zoo
from triptych.web import create_app
from triptych.web.registry import Registry

lite = zoo.COMMITTEES["lite"]
for folder in (home, Path("nowhere")):  # a person's own fit, and the one that is shipped
    found = params_store.find(folder, "lite", lite)
    assert found.rule("mean").is_fitted and not found.rule("median").is_fitted
assert not bundles.find(home, "shapes").params.rule("median").is_fitted

assert "median" in next(row for row in settings.SETTINGS if row.name == "rule").choices
registry = Registry(studios.fake_classifier, studios.catalogue("garden"), "garden")
client = create_app(settings.load({}, home=home), registry).test_client()
assert "the median of the probabilities of all members" in client.get("/").text
assert '"median"' in client.get("/openapi.json").text
photo = images.plain_image(studios.SURE)
old, new = (
    client.post(f"/api/v1/classify?rule={rule}", data=photo, content_type="image/png").json
    for rule in ("mean", "median")
)
(old,), (new,) = old["results"], new["results"]
assert new["verdict"]["rule"] == "median"
# The fit of this committee knows every rule of the table, so both have a status and a set.
assert old["verdict"]["status"] == new["verdict"]["status"] == "sure"

probs = np.random.default_rng(0).dirichlet(np.ones(4), (3, 60))
fitted = fit.fit(probs, np.zeros(60, int), costs=[1, 2, 3])
assert fitted.rule("median").is_fitted
params_store.save(home, "lite", lite, fitted)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that this program wrote, then a fit by the program with the new rule."""
    folder = tmp_path_factory.mktemp("new-rule")
    home = Path(shutil.copytree(ROOT / "tests" / "written_by_0_1_0" / "home", folder / "home"))
    probs = np.random.default_rng(0).dirichlet(np.ones(4), (3, 60))
    params_store.save(home, "lite", LITE, fit.fit(probs, np.zeros(60, int), costs=[1, 2, 3]))

    source = Path(shutil.copytree(ROOT / "src", folder / "src"))
    recipe = (ROOT / "CONTRIBUTING.md").read_text().split("## A new rule")[1].split("\n## ")[0]
    function, row = re.findall(r"```python\n(.*?)```", recipe, re.S)
    path = source / "triptych" / "ensemble" / "rules.py"
    above, table = "@dataclass(frozen=True)\nclass Rule:", "RULES: dict[str, Rule] = {\n"
    text = path.read_text().replace(above, f"{function}\n\n{above}").replace(table, table + row)
    path.write_text(text)

    ran = subprocess.run(
        [sys.executable, "-c", CHECKS, str(home)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": f"{source}:{ROOT / 'tests'}", "PATH": "", "HOME": str(folder)},
        cwd=folder,
    )
    assert ran.returncode == 0, ran.stderr
    return home


def test_a_fit_with_an_additional_rule_is_read(home: Path) -> None:
    text = (home / "fits" / "lite.json").read_text()
    assert set(json.loads(text)["doubt"]["rules"]) == {*rules.RULES, "median"}
    params = params_store.find(home, "lite", LITE)
    assert params is not None
    assert params.rules.keys() == rules.RULES.keys()


def test_a_bundle_with_an_additional_rule_is_read(home: Path) -> None:
    about = home / "bundles" / "shapes" / "1" / "bundle.json"
    changed = json.loads(about.read_text())
    changed["doubt"]["rules"]["median"] = changed["doubt"]["rules"]["mean"]
    about.write_text(json.dumps(changed))
    assert bundles.find(home, "shapes@1").params.rule("mean").is_fitted
    changed["rule"] = "median"
    about.write_text(json.dumps(changed))
    with pytest.raises(errors.BundleError, match=r"'median'.* has only: mean,"):
        bundles.find(home, "shapes@1")
