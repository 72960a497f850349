"""Where the policy computes: one observation in, one chunk out, never blocking the tick."""

from __future__ import annotations

import logging
import queue
import threading
import time
import traceback
from dataclasses import dataclass
from typing import Protocol

from vla_ros.datatypes import ActionChunk, ActionPrefix, Observation
from vla_ros.errors import ActionError, InstructionError, PolicyServerError
from vla_ros.policy_protocol import Policy

_log = logging.getLogger(__name__)
_CLOSE_WITHIN_S = 0.4


@dataclass(frozen=True, kw_only=True)
class WorkerError:
    """The policy failed to plan.

    Attributes:
        message: Kind and text of the exception.
        traceback: Where it was raised.
        inference_s: Time until it was raised.
        refuses_instruction: The policy is sound; it takes no such instruction.
        lost_server: The policy was not asked: the process that has it is gone, or out of reach.
    """

    message: str
    traceback: str
    inference_s: float
    refuses_instruction: bool = False
    lost_server: bool = False


Result = ActionChunk | WorkerError
# Generation, whether the policy forgets the episode first, and what it plans from.
_Job = tuple[int, bool, Observation, ActionPrefix | None]


class Worker(Protocol):
    """Runs a policy beside the loop; holds one observation at a time."""

    def request(
        self, observation: Observation, now_s: float, prefix: ActionPrefix | None = None
    ) -> bool:
        """Start planning from `observation`; `False` when still busy with an earlier one.

        Args:
            observation: What the policy sees.
            now_s: Time of the tick.
            prefix: The running plan, for a policy that continues it.
        """

    def poll(self, now_s: float) -> Result | None:
        """The finished plan, once; `None` when there is none. Never blocks."""

    def reset(self) -> None:
        """Drop what is under way and make the policy forget the episode. Never blocks."""

    def close(self) -> None:
        """End the worker, within half a second even when the policy hangs."""


class InlineWorker:
    """Plans inside `request` and gives the result out `latency_s` later: deterministic."""

    def __init__(self, policy: Policy, latency_s: float = 0.0) -> None:
        self._policy = policy
        self._latency_s = latency_s
        self._reset = False
        self._result: Result | None = None
        self._ready_s = 0.0

    def request(
        self, observation: Observation, now_s: float, prefix: ActionPrefix | None = None
    ) -> bool:
        """Plan at once, unless a result is still to be given out."""
        if self._result is not None:
            return False
        self._result = _infer(self._policy, observation, prefix, reset=self._reset)
        self._reset = False
        self._ready_s = now_s + self._latency_s
        return True

    def poll(self, now_s: float) -> Result | None:
        """The result, once its latency is over."""
        # The tolerance keeps a latency of whole ticks from depending on rounding.
        if self._result is None or now_s < self._ready_s - 1e-6:
            return None
        result, self._result = self._result, None
        return result

    def reset(self) -> None:
        """Drop the result; the policy forgets the episode before it plans again."""
        self._result = None
        self._reset = True

    def close(self) -> None:
        """Drop the result."""
        self._result = None


class ThreadWorker:
    """Plans in one daemon thread, which alone touches the policy.

    A hanging policy cannot be interrupted: after `reset` the worker stays busy until the old
    inference ends, and its result is dropped.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[int, Result]] = queue.SimpleQueue()
        self._generation = 0
        self._reset = False
        self._computing = False
        self._result: Result | None = None
        self._thread = threading.Thread(target=self._run, name="vla-policy", daemon=True)
        self._thread.start()

    def request(
        self, observation: Observation, now_s: float, prefix: ActionPrefix | None = None
    ) -> bool:
        """Hand `observation` to the thread, unless it is still computing."""
        self._collect()
        if self._computing or self._result is not None:
            return False
        self._jobs.put((self._generation, self._reset, observation, prefix))
        self._reset = False
        self._computing = True
        return True

    def poll(self, now_s: float) -> Result | None:
        """The result, once it has come."""
        self._collect()
        result, self._result = self._result, None
        return result

    def reset(self) -> None:
        """Drop what is under way; the policy forgets the episode before it plans again."""
        self._generation += 1
        self._reset = True
        self._result = None

    def close(self) -> None:
        """End the thread; one that hangs is left behind and dies with the process."""
        self._jobs.put(None)
        self._thread.join(_CLOSE_WITHIN_S)

    def _collect(self) -> None:
        """Take over what the thread has finished; at most one job is ever under way."""
        if self._done.empty():
            return
        generation, result = self._done.get()
        self._computing = False
        if generation == self._generation:
            self._result = result

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            generation, reset, observation, prefix = job
            self._done.put((generation, _infer(self._policy, observation, prefix, reset=reset)))


def _infer(
    policy: Policy, observation: Observation, prefix: ActionPrefix | None, *, reset: bool
) -> Result:
    started_s = time.perf_counter()
    try:
        if reset:
            policy.reset()
        return _chunk(policy.infer(observation, prefix))
    except InstructionError as error:
        return WorkerError(
            message=str(error),
            traceback=traceback.format_exc(),
            inference_s=time.perf_counter() - started_s,
            refuses_instruction=True,
        )
    except PolicyServerError as error:
        return WorkerError(
            message=str(error),
            traceback=traceback.format_exc(),
            inference_s=time.perf_counter() - started_s,
            lost_server=True,
        )
    except Exception as error:  # the edge: a policy may raise anything
        text = traceback.format_exc()
        _log.error("the policy raised\n%s", text)
        message = f"{type(error).__name__}: {error}"
        elapsed_s = time.perf_counter() - started_s
        return WorkerError(message=message, traceback=text, inference_s=elapsed_s)


def _chunk(answer: object) -> ActionChunk:
    """Check the kind alone; shape and values are the safety filter's business."""
    if not isinstance(answer, ActionChunk):
        raise ActionError(f"the policy gave a {type(answer).__name__}; valid: an ActionChunk")
    return answer
