"""Action chunks on a time axis: every step has an absolute due time, none is played by index."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from vla_ros.datatypes import ActionChunk, FloatArray
from vla_ros.robot_config import ChunkConfig

# The slope is a mean over one step, from a quarter before to three quarters after now. Looking
# slightly ahead makes up for the time a jerk-limited joint needs to change its speed: measured at
# 1 rad/s and 20 Hz steps, it cut the tracking error from 1.7 mrad to 1.0 and the jerk to a quarter.
_SLOPE_BEHIND, _SLOPE_AHEAD = 0.25, 0.75


class ChunkScheduler:
    """The running plan: points (due time, action), linear in between.

    Attributes:
        epoch: Chunks of any other epoch are dropped.
        chunk: The chunk that was merged last; `None` after `clear`.
    """

    def __init__(self, chunks: ChunkConfig, *, joints: int) -> None:
        self.epoch = 0
        self.chunk: ActionChunk | None = None
        self._chunks = chunks
        self._joints = joints
        self._due_s: list[float] = []
        self._points: list[FloatArray] = []

    def clear(self) -> None:
        """Drop the running plan."""
        self.chunk = None
        self._due_s, self._points = [], []

    def merge(self, chunk: ActionChunk, now_s: float, origin: FloatArray | None = None) -> bool:
        """Replace everything after now by the steps of `chunk` that are not late yet.

        The new plan joins the running one by offset-align-and-fade:
        a'(t) = a(t) + (running(now) - a(now)) * max(0, 1 - (t - now) / blend_s) on the joint
        columns; the gripper column switches. `blend_s` of 0 is a plain switch.

        Args:
            chunk: Actions (T, A).
            now_s: Time of the tick.
            origin: Target (A,) to start from when there is no running plan.

        Returns:
            Whether it was taken: its epoch is the running one and a step is left.
        """
        due_s = chunk.due_s()
        first = int(np.searchsorted(due_s, now_s, side="right"))
        if chunk.epoch != self.epoch or first == len(due_s):
            return False
        running = self._at(now_s) if self._due_s else origin
        plan_s = [chunk.start_s, *due_s.tolist()]
        plan = [self._start(chunk, origin), *chunk.actions]
        here = _interpolate(plan_s, plan, now_s)
        offset = np.zeros_like(here)
        if running is not None:
            offset[: self._joints] = (running - here)[: self._joints]
        times_s, points = [now_s, *plan_s[first + 1 :]], [here, *plan[first + 1 :]]
        points = [
            point + offset * self._fade(t - now_s) for t, point in zip(times_s, points, strict=True)
        ]
        past_s, past = self._past(now_s) if self._chunks.blend_s > 0 else ([], [])
        self._due_s, self._points, self.chunk = past_s + times_s, past + points, chunk
        return True

    def sample(self, now_s: float) -> tuple[FloatArray, FloatArray] | None:
        """Target (A,) and its slope (A,) at `now_s`; `None` without a chunk or when it expired.

        After the last due time it is the last action with zero slope.
        """
        if self.chunk is None or now_s > self.chunk.start_s + self._chunks.expire_after_s:
            return None
        target = self._at(now_s)
        if now_s >= self._due_s[-1]:
            return target, np.zeros_like(target)
        step_s = self.chunk.step_s
        ahead, behind = now_s + _SLOPE_AHEAD * step_s, now_s - _SLOPE_BEHIND * step_s
        return target, (self._at(ahead) - self._at(behind)) / step_s

    def _start(self, chunk: ActionChunk, origin: FloatArray | None) -> FloatArray:
        """The new plan's action (A,) at the chunk's start, which the chunk does not tell.

        It is what was the target then, so that a chunk of one step is reached on a straight line.
        Joints that blend take the first two steps extended backwards instead: the policy plans
        from the measured pose, which lags behind the target, and a line from the target to the
        first step would have another slope than the plan.
        """
        start = self._at(chunk.start_s) if self._due_s else origin
        start = chunk.actions[0].copy() if start is None else start.copy()
        if self._chunks.blend_s > 0 and len(chunk.actions) > 1:
            start[: self._joints] = (2 * chunk.actions[0] - chunk.actions[1])[: self._joints]
        return start

    def _at(self, time_s: float) -> FloatArray:
        return _interpolate(self._due_s, self._points, time_s)

    def _fade(self, ahead_s: float) -> float:
        blend_s = self._chunks.blend_s
        return max(0.0, 1.0 - ahead_s / blend_s) if blend_s > 0 else 0.0

    def _past(self, now_s: float) -> tuple[list[float], list[FloatArray]]:
        """The last two points before now, which the slope looks back at."""
        end = bisect_right(self._due_s, now_s - 1e-9)
        begin = max(0, end - 2)
        return self._due_s[begin:end], self._points[begin:end]


def _interpolate(times_s: list[float], points: list[FloatArray], time_s: float) -> FloatArray:
    """Linear between points, constant outside them."""
    after = bisect_right(times_s, time_s)
    if after == 0 or after == len(times_s):
        return points[after - 1 if after else 0]
    begin_s, end_s = times_s[after - 1], times_s[after]
    weight = (time_s - begin_s) / (end_s - begin_s)
    return points[after - 1] + weight * (points[after] - points[after - 1])
