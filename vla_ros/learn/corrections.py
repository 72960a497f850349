"""A policy and the expert take turns, and what the expert does from there is a demonstration.

An expert alone never gets to where a policy's own errors lead, so a policy trained on it does not
know the way back (DAgger, arXiv:1011.0686). Here the policy drives for a while, then the expert,
who keeps the controls long enough that the steps of a chunk are its own motion (HG-DAgger,
arXiv:1810.02890).
"""

from __future__ import annotations

import numpy as np

from vla_ros.datatypes import ActionChunk, ActionPrefix, Observation
from vla_ros.learn.expert_policy import STEP_S, ExpertPolicy, Row
from vla_ros.policy_protocol import Policy

_POLICY_S, _EXPERT_S = (0.5, 4.0), (1.2, 2.2)
# From here on the expert drives, so that the episode comes to its end.
_LAST_TURN_S = 9.0


class TakeTurns:
    """The policy first, then the expert, and so on, each for a drawn time.

    Attributes:
        turns: The rows of each turn of the expert.
    """

    def __init__(
        self,
        policy: Policy,
        expert: ExpertPolicy,
        execute_s: float,
        rng: np.random.Generator,
        *,
        late_s: float = 0.0,
    ) -> None:
        """Begin with the policy.

        Args:
            policy: Its steps are `STEP_S` long.
            expert: Acts in the same world.
            execute_s: How long the policy follows a plan before it makes the next.
            rng: Draws how long each turn lasts.
            late_s: How long a plan is under way; the one before is followed until then, as on a
                robot whose inference is slow.
        """
        self.spec = expert.spec
        self.turns: list[list[Row]] = []
        self._policy, self._expert, self._rng = policy, expert, rng
        self._steps, self._late = max(1, round(execute_s / STEP_S)), round(late_s / STEP_S)
        self.reset()

    def reset(self) -> None:
        """Let the policy begin; the turns recorded so far stay."""
        self._policy.reset()
        self._expert_drives = False
        self._end_s = self._rng.uniform(*_POLICY_S)
        self._plan: list[ActionChunk] = []

    def infer(self, observation: Observation, prefix: ActionPrefix | None = None) -> ActionChunk:
        """The next step of whoever's turn it is."""
        now_s = observation.stamp_s
        if now_s >= self._end_s or now_s >= _LAST_TURN_S:
            self._change(now_s)
        if self._expert_drives:
            return self._expert.infer(observation)
        if len(self._plan) <= self._late:
            steps = self._steps_of(self._policy.infer(observation))
            self._plan += steps[len(self._plan) :]
        return self._plan.pop(0)

    def _change(self, now_s: float) -> None:
        """Hand over; the last turn is the expert's and does not end."""
        is_last = now_s >= _LAST_TURN_S
        begins = is_last or not self._expert_drives
        if begins and not self._expert_drives:
            self.turns.append([])
            self._expert.rows = self.turns[-1]
        self._expert_drives, self._plan = begins, []
        duration_s = self._rng.uniform(*(_EXPERT_S if begins else _POLICY_S))
        self._end_s = np.inf if is_last else now_s + duration_s

    def _steps_of(self, chunk: ActionChunk) -> list[ActionChunk]:
        """What is executed of a plan, a step at a time."""
        return [
            ActionChunk(
                actions=chunk.actions[i : i + 1],
                start_s=chunk.start_s + i * STEP_S,
                step_s=STEP_S,
                epoch=chunk.epoch,
                inference_s=chunk.inference_s,
            )
            for i in range(min(self._steps + self._late, len(chunk.actions)))
        ]
