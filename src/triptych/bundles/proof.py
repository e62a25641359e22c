"""Trial run of a bundle from elsewhere, in a child process, before it is imported.

Hashes prove that a bundle is unchanged, not that it works. A network may access memory out of
bounds, or a file may lack a class; that only kills the child. It is no sandbox: OpenVINO's loading
of a network's file is trusted, so a bundle is to be trusted like code, as docs/publishing.md says.

Run as a module, this is the child process.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from triptych import errors
from triptych.inference.committee import Member
from triptych.utils import worker
from triptych.utils.worker import Worker

# A committee of large networks is compiled and run within seconds; a slow machine may take a
# hundred times as long.
LONGEST_S = 600


def prove(folder: Path) -> None:
    """Open a bundle and let it classify a drawn photo, in a child process.

    Args:
        folder: A version of a bundle, unpacked.

    Raises:
        errors.BundleError: It cannot classify the photo; the message says why.
    """
    end_s = time.monotonic() + LONGEST_S

    def poll() -> None:
        if time.monotonic() > end_s:
            raise _refused(f"it gave no answer within {LONGEST_S} s")

    with Worker(__name__, str(folder)) as child:
        (problem,) = [message["problem"] for message in child.messages(poll)] or [None]
        code = child.wait()
        if problem is None:
            ended = f"was ended by signal {-code}" if code < 0 else f"failed: {child.reason}"
            problem = f"the process that ran it {ended}"
    if problem:
        raise _refused(problem)


def _refused(problem: str) -> errors.BundleError:
    return errors.BundleError(
        f"The bundle was asked about a drawn photo before it is kept, and does not answer: "
        f"{problem.rstrip('.')}. Nothing was kept; ask whoever made it to export it again."
    )


def find_problem(folder: Path) -> str:
    """Run a bundle in this process, and describe what is wrong with it; empty for nothing.

    Args:
        folder: A version of a bundle, unpacked.
    """
    from triptych.bundles.reading import read
    from triptych.engines.openvino import check_operations
    from triptych.engines.options import EngineOptions
    from triptych.engines.options import open_engine
    from triptych.inference.classifier import Classifier

    try:
        bundle = read(folder)
        for name in bundle.about["files"]:
            if name.endswith(".xml"):
                check_operations(folder / name)
        options = EngineOptions(folder, precision="f32")
        committee = bundle.committee(
            options, lambda name, network, recipe: open_engine(network, options, cache=False)
        )
        bundle.predictions()
        for member in committee.members:
            _check_shapes(member, len(committee.labels))
        photo = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
        Classifier(committee).classify(photo, similar=1)
    except errors.TriptychError as error:
        return error.message
    return ""


def _check_shapes(member: Member, classes: int) -> None:
    """Check a network's outputs against the bundle's classes and the OOD reference."""
    height, width = member.recipe.size
    output = member.engine.run(np.zeros((1, height, width, 3), np.float32))
    if output.probs.shape != (1, classes):
        raise errors.BundleError(
            f"the network of {member.name} has {output.probs.shape[-1]} classes, and the bundle "
            f"{classes} labels"
        )
    if member.ood is None:
        return
    dim = member.ood.features.shape[1]
    if output.features.shape != (1, dim):
        raise errors.BundleError(
            f"the network of {member.name} has {output.features.shape[-1]} features, and its "
            f"training photos have {dim}"
        )
    if len(member.ood.labels) and member.ood.labels.max() >= classes:
        raise errors.BundleError(
            f"{member.name} has training photos of class {member.ood.labels.max()}, and there "
            f"are {classes} classes"
        )


if __name__ == "__main__":
    parent = worker.connect()
    parent.send({"problem": find_problem(Path(sys.argv[1]))})
