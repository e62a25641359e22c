"""An engine in another process: asked over Ray, again if that process dies meanwhile."""

from __future__ import annotations

import time
from typing import Any
from typing import TypeAlias

import grpc
from ray import exceptions
from ray.serve.exceptions import BackPressureError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from triptych import errors
from triptych.engines import Output
from triptych.typing import Float32Array
from triptych.typing import UInt8Array
from triptych.utils.queueing import Deadline

# Between two tries; a replica that died takes seconds to be replaced.
PAUSE_S = 0.1
Batch: TypeAlias = "Float32Array | UInt8Array"


class RemoteEngine:
    """Runs a network in the replicas of its member's deployment.

    Args:
        replicas: Of the member.
        committee: Whose network of this member is meant: replicas can hold several.
        limit_s: Longest that an answer may take, tries and all, in seconds.
    """

    # It holds no weights itself.
    size_bytes = 0

    def __init__(self, replicas: DeploymentHandle[Any], committee: str, limit_s: float) -> None:
        # Pixels go straight to the replica, and not through the object stores of two nodes
        # (measured: lite f32, processor time of a photo 174 ms; with all calls so, those of the
        # proxy too, 136 ms).
        self._replicas = replicas.options(_by_reference=False)
        self._committee = committee
        self._limit_s = limit_s

    def run(self, batch: Float32Array) -> Output:
        """Answer a batch; see `triptych.engines.Engine.run`.

        Raises:
            errors.Overloaded: Too many photos wait for this member.
            errors.DeadlinePassed: No replica answered in time.
        """
        return self._ask(self._replicas.run, batch)

    def look(self, pixels: UInt8Array) -> Output:
        """Answer a batch; see `triptych.engines.Far.look`.

        Raises:
            errors.Overloaded: As `run`.
            errors.DeadlinePassed: As `run`.
        """
        return self._ask(self._replicas.look, pixels)

    def _ask(self, way: DeploymentHandle[Any], batch: Batch) -> Output:
        deadline = Deadline(self._limit_s)
        while True:
            try:
                return self._asked(way, batch, deadline.left_s)
            except (exceptions.RayError, RayServeException, grpc.RpcError):
                # The replica, its node or its answer is lost. To ask again does no harm.
                if deadline.left_s <= PAUSE_S:
                    raise self._late() from None
                time.sleep(PAUSE_S)

    def _asked(self, way: DeploymentHandle[Any], batch: Batch, left_s: float) -> Output:
        response: Any = way.remote(self._committee, batch)
        try:
            answer: Output = response.result(timeout_s=left_s)
        except TimeoutError:
            response.cancel()
            raise self._late() from None
        except BackPressureError as error:
            raise errors.Overloaded(
                f"{error.args[0]} photos wait for {self._replicas.deployment_name} already. "
                "Try again a little later."
            ) from None
        except exceptions.RayTaskError as error:
            raise _own(error) from error
        return answer

    def _late(self) -> errors.DeadlinePassed:
        return errors.DeadlinePassed(
            f"No replica of {self._replicas.deployment_name} answered within {self._limit_s:g} "
            "seconds, so it was given up. Try again when less is going on."
        )


def _own(error: exceptions.RayTaskError) -> Exception:
    """What was raised in the replica, without what Ray wraps around it."""
    cause = error.cause
    if isinstance(cause, errors.TriptychError | exceptions.RayError | RayServeException):
        return cause
    return errors.EngineError(f"A replica failed: {cause}")
