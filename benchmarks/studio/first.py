"""First steps: how long it is from the click on the sample to a committee that was taught."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from studio.server import Client
from studio.server import running
from triptych.models import zoo

MOST_S = 60.0


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
        lesson = {"backbones": list(zoo.COMMITTEES["lite"]), "head": "linear"}
        client.post(f"/projects/{key}/teach", lesson)
        while (job := json.loads(client.get(f"/projects/{key}/job.json")))["state"] != "done":
            if job["state"] not in ("waiting", "running"):
                raise RuntimeError(f"The teaching ended early: {job}")
            time.sleep(0.1)
        whole_s = time.perf_counter() - began
    print(f"the sample: drawn in {drawn_s:.1f} s, taught after {whole_s:.1f} s; {job['news']}")
    return {"drawn_s": round(drawn_s, 1), "taught_s": round(whole_s, 1), "news": job["news"]}, {
        f"the sample is taught {MOST_S:.0f} s after the click": whole_s <= MOST_S
    }
