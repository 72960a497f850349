"""Keeps score of an episode: reward as the task comes on, success when the goal has held."""

from __future__ import annotations

from vla_ros.sim.goal import HOLD_S, Facts, is_reached, progress
from vla_ros.sim.tasks import Request

_LIFTED_M = 0.02


class Score:
    """Score of one request from the moment it is made."""

    def __init__(self, request: Request, start: Facts, now_s: float) -> None:
        """Begin.

        Args:
            request: What is asked for.
            start: The facts at this moment.
            now_s: Simulated time.
        """
        self._request, self._start, self._facts = request, start, start
        self._last_s, self._held_s = now_s, 0.0
        self._lifted, self._rewarded = False, False
        self._progress = progress(request, start, start)

    @property
    def success(self) -> bool:
        """Whether the goal has held for a whole second."""
        return self._held_s >= HOLD_S

    def update(self, facts: Facts, now_s: float) -> None:
        """Take in the facts of a later moment."""
        height_m = float(facts.block_m[2]) - facts.block_half_m
        self._lifted = self._lifted or height_m > _LIFTED_M
        passed_s, self._last_s, self._facts = now_s - self._last_s, now_s, facts
        reached = is_reached(self._request, facts, lifted=self._lifted)
        self._held_s = self._held_s + passed_s if reached else 0.0

    def reward(self) -> float:
        """Reward since the last call: change of progress, plus 1 at the moment of success."""
        value = progress(self._request, self._facts, self._start)
        bonus = float(self.success and not self._rewarded)
        self._rewarded = self._rewarded or self.success
        change, self._progress = value - self._progress, value
        return change + bonus
