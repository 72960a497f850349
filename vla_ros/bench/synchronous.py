"""Execute as most do: stop, look, wait for the plan, play some steps of it by index, stop again.

The baseline of `bench chunks`. It runs in the same control loop, whose plans lie on a time axis:
the steps are moved to when the plan is there, and the last one that is played is held.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vla_ros.datatypes import ActionChunk, ActionPrefix, FloatArray, Observation
from vla_ros.policy_protocol import Policy
from vla_ros.robot_config import RobotConfig
from vla_ros.runtime import InlineWorker, WorkerError

# A plan that leads to its first step sooner than this would count as wild.
_SHORTEST_WAIT_S = 0.05
# How long the last step is held at most; longer than anybody waits for a plan.
_HELD_S = 5.0


def synchronous(robot: RobotConfig, latency_s: float) -> RobotConfig:
    """The robot with a loop that asks when `execute_s` of a plan has been played since it came."""
    # A loop asks by as much earlier as a plan takes, which is what this one must not do.
    execute_s = 2 * max(latency_s, _SHORTEST_WAIT_S) + robot.chunks.execute_s
    chunks = replace(
        robot.chunks, join="latest", execute_s=execute_s, expire_after_s=execute_s + _HELD_S
    )
    return replace(robot, chunks=chunks)


class SynchronousWorker:
    """Plans while the arm stands, and gives out what is then played by index."""

    def __init__(self, policy: Policy, latency_s: float, robot: RobotConfig) -> None:
        """Args: robot: As in the robot file: its `execute_s` is how much is played."""
        self._worker = InlineWorker(policy, max(latency_s, _SHORTEST_WAIT_S))
        self._tick_s, self._execute_s = robot.tick_s, robot.chunks.execute_s
        self._from = np.zeros(0)

    def request(
        self, observation: Observation, now_s: float, prefix: ActionPrefix | None = None
    ) -> bool:
        """Start planning."""
        gripper = observation.state.gripper_open
        self._from = np.append(observation.state.position_rad, [] if gripper is None else [gripper])
        return self._worker.request(observation, now_s)

    def poll(self, now_s: float) -> ActionChunk | WorkerError | None:
        """The plan, its first step due now."""
        result = self._worker.poll(now_s)
        if not isinstance(result, ActionChunk):
            return result
        actions = self._by_tick(result, now_s - result.start_s)
        return replace(result, actions=actions, step_s=self._tick_s)

    def reset(self) -> None:
        """Pass it on."""
        self._worker.reset()

    def close(self) -> None:
        """Pass it on."""
        self._worker.close()

    def _by_tick(self, chunk: ActionChunk, waited_s: float) -> FloatArray:
        """An action for each tick from the observation on, `waited_s` of which is over."""
        played = chunk.actions[: max(1, round(self._execute_s / chunk.step_s))]
        # Nothing is played of what is over; it leads to the first step, so that none seems wild.
        values = np.vstack([self._from, played])
        times_s = np.append(0.0, waited_s + chunk.step_s * np.arange(len(played)))
        ticks = round((times_s[-1] + _HELD_S) / self._tick_s)
        at_s = self._tick_s * np.arange(1, ticks + 1)
        return np.stack([np.interp(at_s, times_s, column) for column in values.T], axis=1)
