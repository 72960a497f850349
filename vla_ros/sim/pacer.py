"""When physics steps are due on a steady clock; called by `sim_node`."""

from __future__ import annotations


class Pacer:
    """Keeps physics at a real-time factor: catches up when late, a few steps at a time.

    Attributes:
        period_s: Real time between two steps.
        skipped_steps: Steps given up because the delay was too long.
    """

    def __init__(
        self,
        *,
        step_s: float,
        real_time_factor: float,
        max_steps: int = 8,
        max_late_s: float = 0.08,
    ) -> None:
        """The first call of `due` starts the pace.

        Args:
            step_s: Simulated time of one step.
            real_time_factor: Simulated seconds in a real one.
            max_steps: Steps in one go, at most, so a delay is caught up without a burst.
            max_late_s: Delay that is caught up; steps that are later are given up. A machine that
                is too slow, or was suspended, then gets slower physics, and its joint states never
                look older than this.
        """
        self.period_s = step_s / real_time_factor
        self.skipped_steps = 0
        self._next_s: float | None = None
        self._max_steps = max_steps
        self._max_late_s = max_late_s

    def due(self, now_s: float) -> list[float]:
        """Return the due time of each step to do now, all at or before `now_s` (steady time)."""
        next_s = now_s if self._next_s is None else self._next_s
        skipped = max(0, int((now_s - next_s - self._max_late_s) / self.period_s))
        next_s += skipped * self.period_s
        self.skipped_steps += skipped
        late = int((now_s - next_s) / self.period_s) + 1 if now_s >= next_s else 0
        count = min(late, self._max_steps)
        self._next_s = next_s + count * self.period_s
        return [next_s + index * self.period_s for index in range(count)]
