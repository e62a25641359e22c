"""First steps: the time from the click on the sample to a trained committee."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from studio.server import Client
from studio.server import running
from triptych.models import zoo

LIMIT_S = 60.0


def run(home: Path) -> tuple[dict[str, Any], dict[str, bool]]:
    """Click on the sample, click on start, wait.

    Args:
        home: Where the networks are.

    Returns:
        Figures, and claims.
    """
    with running(home, "--committee", "lite") as server:
        client = Client(server.port)
        began = time.perf_counter()
        key = client.post("/projects/sample")["key"]
        drawn_s = time.perf_counter() - began
        options = {"backbones": list(zoo.COMMITTEES["lite"]), "head": "linear"}
        client.post(f"/projects/{key}/teach", options)
        while (job := json.loads(client.get(f"/projects/{key}/job.json")))["state"] != "done":
            if job["state"] not in ("waiting", "running"):
                raise RuntimeError(f"The training ended early: {job}")
            time.sleep(0.1)
        whole_s = time.perf_counter() - began
    print(f"the sample: drawn in {drawn_s:.1f} s, trained after {whole_s:.1f} s; {job['news']}")
    return {"drawn_s": round(drawn_s, 1), "trained_s": round(whole_s, 1), "news": job["news"]}, {
        f"the sample is trained {LIMIT_S:.0f} s after the click": whole_s <= LIMIT_S
    }
