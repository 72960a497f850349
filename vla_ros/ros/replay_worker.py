"""A worker that plans when the recorded one did, from the same observation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vla_ros.datatypes import ActionPrefix, Observation
from vla_ros.policy_protocol import Policy
from vla_ros.ros.replay_bag import ROUNDING_S, RecordedPlan
from vla_ros.runtime.worker import InlineWorker, Result


class ReplayWorker:
    """Takes the time that planning took in the recording, however long it takes now."""

    def __init__(self, policy: Policy, plans: Sequence[RecordedPlan]) -> None:
        self._worker = InlineWorker(policy)
        self._plans = plans
        self._used_s = 0.0
        self._start_s = self._given_s = -math.inf

    def request(
        self, observation: Observation, now_s: float, prefix: ActionPrefix | None = None
    ) -> bool:
        """Plan, unless the recorded plan came from a later observation, or there is none."""
        to_come = (one for one in self._plans if one.used_s >= now_s - ROUNDING_S)
        # A slow policy is asked again in the tick that got its plan.
        plan = next((one for one in to_come if one.start_s > self._given_s), None)
        if plan is None or observation.stamp_s < plan.start_s - ROUNDING_S:
            return False
        self._start_s, self._used_s = plan.start_s, plan.used_s
        return self._worker.request(observation, now_s, prefix)

    def poll(self, now_s: float) -> Result | None:
        """The plan, from the tick on that followed the recorded one."""
        if now_s < self._used_s - ROUNDING_S:
            return None
        result = self._worker.poll(now_s)
        if result is not None:
            self._given_s = self._start_s
        return result

    def reset(self) -> None:
        """Drop what is planned."""
        self._worker.reset()

    def close(self) -> None:
        """Drop what is planned."""
        self._worker.close()
