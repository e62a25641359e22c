"""An engine in other processes, called over Ray; calls are repeated when a process dies."""

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

# Between two tries; a replica that died is replaced within seconds.
RETRY_PAUSE_S = 0.1
Batch: TypeAlias = "Float32Array | UInt8Array"


class RemoteEngine:
    """Runs a network in the replicas of its member's deployment.

    Args:
        replicas: The member's deployment.
        committee: The committee that the network belongs to: replicas can hold several.
        limit_s: Deadline of a call, including retries, in seconds.
    """

    # The weights are in the replicas.
    size_bytes = 0

    def __init__(self, replicas: DeploymentHandle[Any], committee: str, limit_s: float) -> None:
        # Pixels are sent directly, not through Ray's object store (measured with lite at f32:
        # processor time of a photo 136 ms directly, proxy included, and 174 ms through the store).
        self._replicas = replicas.options(_by_reference=False)
        self._committee = committee
        self._limit_s = limit_s

    def run(self, batch: Float32Array) -> Output:
        """Answer a batch; see `triptych.engines.Engine.run`.

        Raises:
            errors.Overloaded: Too many photos wait for this member.
            errors.DeadlinePassed: No replica answered in time.
        """
        return self._call(self._replicas.run, batch)

    def run_pixels(self, pixels: UInt8Array) -> Output:
        """Answer a batch; see `triptych.engines.PixelEngine.run_pixels`.

        Raises:
            errors.Overloaded: As `run`.
            errors.DeadlinePassed: As `run`.
        """
        return self._call(self._replicas.run_pixels, pixels)

    def _call(self, method: DeploymentHandle[Any], batch: Batch) -> Output:
        deadline = Deadline(self._limit_s)
        while True:
            try:
                return self._try(method, batch, deadline.left_s)
            except (exceptions.RayError, RayServeException, grpc.RpcError):
                # The replica, its node or its response is lost; a call can safely be repeated.
                if deadline.left_s <= RETRY_PAUSE_S:
                    raise self._deadline_passed() from None
                time.sleep(RETRY_PAUSE_S)

    def _try(self, method: DeploymentHandle[Any], batch: Batch, left_s: float) -> Output:
        response: Any = method.remote(self._committee, batch)
        try:
            answer: Output = response.result(timeout_s=left_s)
        except TimeoutError:
            response.cancel()
            raise self._deadline_passed() from None
        except BackPressureError as error:
            raise errors.Overloaded(
                f"{error.args[0]} photos already wait for {self._replicas.deployment_name}. "
                "Try again later."
            ) from None
        except exceptions.RayTaskError as error:
            # What was raised in the replica, without Ray's wrapper.
            cause = error.cause
            if isinstance(cause, errors.TriptychError | exceptions.RayError | RayServeException):
                raise cause from error
            raise errors.EngineError(f"A replica failed: {cause}") from error
        return answer

    def _deadline_passed(self) -> errors.DeadlinePassed:
        return errors.DeadlinePassed(
            f"No replica of {self._replicas.deployment_name} answered within {self._limit_s:g} "
            "seconds. Try again when the server is less busy."
        )
