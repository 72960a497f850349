"""Action chunks on a time axis: every step has an absolute due time, none is played by index."""

from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np

from vla_ros.datatypes import ActionChunk, ActionPrefix, FloatArray
from vla_ros.robot_config import ChunkConfig
from vla_ros.runtime.averaging import Votes, average

# The slope is a mean over one step, from a quarter before to three quarters after now. Looking
# slightly ahead makes up for the time a jerk-limited joint needs to change its speed: measured at
# 1 rad/s and 20 Hz steps, it cut the tracking error from 1.7 mrad to 1.0 and the jerk to a quarter.
_SLOPE_BEHIND, _SLOPE_AHEAD = 0.25, 0.75
_ROUNDING_S = 1e-6


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
        self._votes = Votes()
        fades = chunks.join in ("blend", "rtc") and chunks.blend_s > 0
        self._fade_s = chunks.blend_s if fades else 0.0
        self._is_smooth = fades or chunks.join in ("ensemble", "rtc")

    def clear(self) -> None:
        """Drop the running plan."""
        self.chunk = None
        self._due_s, self._points = [], []
        self._votes.clear()

    def ask_s(self, delay_s: float, *, has_news: bool = True) -> float:
        """When to ask for the next plan: it shall be there when the running one is `execute_s` old.

        And before it ends. An older plan was made of older pictures: where it misses a block by a
        few millimetres, it goes on missing it.

        Args:
            delay_s: How long a plan takes from being asked for.
            has_news: Whether there are other pictures than those that were planned from last. If
                not, the policy is kept free for the next ones while the running plan lasts.
        """
        if self.chunk is None:
            return -math.inf
        start_s = self.chunk.start_s
        # The slope looks ahead, so it falls before the last step is due. A chunk of one step is
        # asked for step by step all the same: nothing else follows it.
        spare_s = _SLOPE_AHEAD * self.chunk.step_s if len(self.chunk.actions) > 1 else 0.0
        ends_s = min(self._due_s[-1] - spare_s, start_s + self._chunks.expire_after_s)
        if has_news:
            ends_s = min(ends_s, start_s + self._chunks.execute_s)
        return ends_s - delay_s

    def merge(self, chunk: ActionChunk, now_s: float, origin: FloatArray | None = None) -> bool:
        """Replace everything after now by the steps of `chunk` that are not late yet.

        How the new plan joins the running one is the robot file's `chunks.join`. It concerns the
        joint columns; the gripper column always switches.

        - `latest`: it is followed at once.
        - `blend`: offset-align-and-fade,
          a'(t) = a(t) + (running(now) - a(now)) * max(0, 1 - (t - now) / blend_s).
        - `ensemble`: the mean of all plans for a moment, see `averaging.py`.
        - `rtc`: the policy made it to continue the running plan; what is left is faded out.

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
        times_s, points = [now_s, *plan_s[first + 1 :]], [here, *plan[first + 1 :]]
        if self._chunks.join == "ensemble":
            points = self._averaged(times_s, points)
        elif running is not None:
            points = self._faded(times_s, points, running - here)
        past_s, past = self._past(now_s) if self._is_smooth else ([], [])
        self._due_s, self._points, self.chunk = past_s + times_s, past + points, chunk
        return True

    def prefix(self, start_s: float, there_s: float) -> ActionPrefix | None:
        """What is planned for the steps of a chunk that is about to be asked for.

        The policy's steps are taken to be as long, and as many, as those of its last chunk.

        Args:
            start_s: Stamp of the observation that it will be computed from.
            there_s: When it is expected; what is due by then is frozen, with the step that is under
                way at that moment.

        Returns:
            `None` when nothing is planned, or chunks join another way.
        """
        if self.chunk is None or self._chunks.join != "rtc":
            return None
        step_s = self.chunk.step_s
        due_s = start_s + step_s * np.arange(1, len(self.chunk.actions) + 1)
        ends_s = min(self._due_s[-1], self.chunk.start_s + self._chunks.expire_after_s)
        due_s = due_s[due_s <= ends_s + _ROUNDING_S]
        if not len(due_s):
            return None
        frozen = math.ceil((there_s - start_s - _ROUNDING_S) / step_s)
        return ActionPrefix(
            actions=np.array([self._at(time_s) for time_s in due_s]),
            frozen=min(max(frozen, 0), len(due_s)),
        )

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

    def why_expired(self, now_s: float) -> str:
        """How old the chunk is that has expired, and the limit; empty without a chunk."""
        if self.chunk is None:
            return ""
        return (
            f"the chunk of {now_s - self.chunk.start_s:.2f} s ago has expired, limit "
            f"{self._chunks.expire_after_s:g} s"
        )

    def _start(self, chunk: ActionChunk, origin: FloatArray | None) -> FloatArray:
        """The new plan's action (A,) at the chunk's start, which the chunk does not tell.

        It is what was the target then, so that a chunk of one step is reached on a straight line.
        Joints that join smoothly take the first two steps extended backwards instead: the policy
        plans from the measured pose, which lags behind the target, and a line from the target to
        the first step would have another slope than the plan. A plan that was made to continue the
        running one is of no other slope.
        """
        start = self._at(chunk.start_s) if self._due_s else origin
        start = chunk.actions[0].copy() if start is None else start.copy()
        continues = self._chunks.join == "rtc" and bool(self._due_s)
        if self._is_smooth and not continues and len(chunk.actions) > 1:
            start[: self._joints] = (2 * chunk.actions[0] - chunk.actions[1])[: self._joints]
        return start

    def _at(self, time_s: float) -> FloatArray:
        return _interpolate(self._due_s, self._points, time_s)

    def _faded(
        self, times_s: list[float], points: list[FloatArray], gap: FloatArray
    ) -> list[FloatArray]:
        """The points, moved by a part of the `gap` (A,) at the first of them that falls to zero."""
        offset = np.zeros_like(gap)
        offset[: self._joints] = gap[: self._joints]

        def fade(ahead_s: float) -> float:
            return max(0.0, 1.0 - ahead_s / self._fade_s) if self._fade_s > 0 else 0.0

        return [
            point + offset * fade(time_s - times_s[0])
            for time_s, point in zip(times_s, points, strict=True)
        ]

    def _averaged(self, times_s: list[float], points: list[FloatArray]) -> list[FloatArray]:
        """The mean of each point with what is planned for its time already."""
        counts = self._votes.replace(times_s)
        joints, means = self._joints, []
        for time_s, point, count in zip(times_s, points, counts, strict=True):
            mean = point.copy()
            if count:
                mean[:joints] = average(self._at(time_s)[:joints], point[:joints], count)
            means.append(mean)
        return means

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
