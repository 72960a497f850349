"""The loop's dealings with its worker: one request at a time, back-off, what becomes a fault."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from vla_ros.datatypes import ActionChunk, ActionPrefix, Frame, Observation, Status
from vla_ros.errors import InstructionError
from vla_ros.runtime.delay import Delay
from vla_ros.runtime.latest import Obstacle
from vla_ros.runtime.worker import Worker, WorkerError

FAULT_AFTER = 3
HANGS_AFTER_S = 5.0
_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.2, 2.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A chunk, not checked yet, and the observation it came from."""

    chunk: ActionChunk
    observation: Observation


class Inference:
    """Asks the worker, and keeps account of its failures.

    Attributes:
        fault: Latched until `forgive`.
        trouble: The last failure, until a good chunk comes.
        voided: Number of chunks that came back after `void`, and were dropped.
        delay: How long a plan takes.
    """

    def __init__(self, worker: Worker) -> None:
        self.fault: Obstacle | None = None
        self.trouble: Obstacle | None = None
        self.voided = 0
        self.delay, self._asked_s = Delay(), 0.0
        self._worker = worker
        self._asked: Observation | None = None
        # Stamps of the pictures that were planned from last, by camera; none after a failure.
        self._seen_s: dict[str, float] = {}
        self._has_some = False
        self._is_void = False
        # Since when an answer is awaited; refused requests count, so a worker that stays busy is
        # found out too.
        self._waiting_since_s: float | None = None
        # A pause has a beginning, so that a clock that jumps back ends it.
        self._pause_from_s, self._pause_s = -math.inf, 0.0
        self._errors = 0
        self._bad_actions = 0
        self._losses = 0

    def is_free(self, now_s: float) -> bool:
        """Whether nothing is under way and no back-off is running."""
        return self._asked is None and not 0.0 <= now_s - self._pause_from_s < self._pause_s

    def waiting_s(self, now_s: float) -> float:
        """How long an answer has been awaited."""
        return 0.0 if self._waiting_since_s is None else now_s - self._waiting_since_s

    def wait_anew(self, now_s: float) -> None:
        """Count from `now_s` how long an answer is awaited: the clock was set forward."""
        if self._waiting_since_s is not None:
            self._waiting_since_s = now_s

    def has_news(self, frames: Mapping[str, Frame]) -> bool:
        """Whether all pictures are new, or some have been for a tick; to be called in every tick.

        Those of one moment come one after another: a tick in between would plan from old ones.
        """
        waited = self._has_some
        self._has_some = any(self._seen_s.get(name) != f.stamp_s for name, f in frames.items())
        return self._has_some and (waited or self.are_all_new(frames))

    def are_all_new(self, frames: Mapping[str, Frame]) -> bool:
        """Whether none of the pictures has been planned from."""
        return all(self._seen_s.get(name) != frame.stamp_s for name, frame in frames.items())

    def request(
        self, observation: Observation, now_s: float, prefix: ActionPrefix | None = None
    ) -> None:
        """Ask for a plan, one that continues `prefix`; a busy worker is asked at the next tick."""
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        if self._worker.request(observation, now_s, prefix):
            self._asked, self._asked_s, self._is_void = observation, now_s, False
            self._seen_s = {name: frame.stamp_s for name, frame in observation.frames.items()}

    def void(self) -> None:
        """Drop the plan under way when it comes: the arm will not be where it was planned for."""
        self._is_void = True
        self._seen_s = {}
        if self._asked is None:
            self._waiting_since_s = None

    def reset(self) -> None:
        """New epoch: drop what is under way; failures in a row go on counting."""
        self._worker.reset()
        self._asked, self._waiting_since_s, self._seen_s = None, None, {}

    def forgive(self) -> None:
        """Clear a fault, the failures before it and the back-off."""
        self.fault = None
        self.praise()

    def poll(self, now_s: float) -> Plan | None:
        """The plan that has come, once; `None` when there is none to use.

        Raises:
            InstructionError: The policy refuses the instruction; it does not count as a failure.
        """
        result = self._worker.poll(now_s)
        if result is None or self._asked is None:
            self._notice_hang(now_s)
            return None
        observation, self._asked, self._waiting_since_s = self._asked, None, None
        if isinstance(result, WorkerError) and result.refuses_instruction:
            raise InstructionError(result.message)
        if isinstance(result, WorkerError) and result.lost_server:
            self._miss_server(result, now_s)
            return None
        if isinstance(result, WorkerError):
            self._blame_policy(result, now_s)
            return None
        self.delay.add(now_s - self._asked_s)
        if self._is_void:
            self.voided += 1
            return None
        return Plan(chunk=result, observation=observation)

    def praise(self) -> None:
        """A good chunk came: failures are no longer in a row."""
        self.trouble = None
        self._errors = self._bad_actions = self._losses = 0
        self._pause_s = 0.0

    def blame_action(self, reason: str) -> None:
        """A bad chunk came."""
        self._seen_s = {}
        self._bad_actions += 1
        self._fail(
            Status.HOLD_BAD_ACTION,
            Status.FAULT_BAD_ACTION,
            self._bad_actions,
            f"bad action {self._bad_actions} of {FAULT_AFTER} in a row: {reason}",
        )

    def _blame_policy(self, error: WorkerError, now_s: float) -> None:
        self._back_off(self._errors, now_s)
        self._errors += 1
        self._fail(
            Status.HOLD_POLICY_ERROR,
            Status.FAULT_POLICY_ERROR,
            self._errors,
            f"policy error {self._errors} of {FAULT_AFTER} in a row: {error.message}",
        )

    def _miss_server(self, error: WorkerError, now_s: float) -> None:
        """Hold and ask again for as long as it takes: nobody has to help when it is back."""
        self._back_off(self._losses, now_s)
        self._losses += 1
        self.trouble = Obstacle(status=Status.HOLD_POLICY_LOST, reason=error.message)

    def _back_off(self, times: int, now_s: float) -> None:
        self._seen_s = {}
        self._pause_from_s = now_s
        self._pause_s = min(_FIRST_RETRY_S * 2.0 ** min(times, 10), _LONGEST_RETRY_S)

    def _fail(self, hold: Status, fault: Status, times: int, reason: str) -> None:
        self.trouble = Obstacle(status=hold, reason=reason)
        if times >= FAULT_AFTER:
            reason += "; latched until reset or activation"
            self.fault = self.fault or Obstacle(status=fault, reason=reason)

    def _notice_hang(self, now_s: float) -> None:
        waiting_s = self.waiting_s(now_s)
        if waiting_s > HANGS_AFTER_S and self.fault is None:
            reason = (
                f"the policy has not answered for {waiting_s:.1f} s, limit {HANGS_AFTER_S:g} s; "
                "latched until reset or activation"
            )
            self.fault = Obstacle(status=Status.FAULT_POLICY_HANGS, reason=reason)
