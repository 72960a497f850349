"""Temporal ensembling: every plan made for a moment has a say in it (ACT, 2304.13705)."""

from __future__ import annotations

import math
from bisect import bisect_left

from vla_ros.datatypes import FloatArray

# ACT's m: the oldest plan counts most, each newer one a hundredth less.
_DECAY = 0.01


class Votes:
    """How many plans had a say in each point of the running one.

    ACT keeps all chunks and averages with w_i = exp(-m i), i = 0 the oldest. The same comes out of
    the running average and the sum of the weights so far, which their number tells.
    """

    def __init__(self) -> None:
        self._times_s: list[float] = []
        self._counts: list[int] = []

    def clear(self) -> None:
        """No plan is running."""
        self._times_s, self._counts = [], []

    def at(self, time_s: float) -> int:
        """Number of plans that reach as far as `time_s`."""
        after = bisect_left(self._times_s, time_s - 1e-9)
        return self._counts[after] if after < len(self._counts) else 0

    def replace(self, times_s: list[float]) -> list[int]:
        """Let one more plan vote at `times_s`; how many had voted there before."""
        before = [self.at(time_s) for time_s in times_s]
        self._times_s, self._counts = times_s, [count + 1 for count in before]
        return before


def average(running: FloatArray, new: FloatArray, count: int) -> FloatArray:
    """The mean of `count` plans, `running`, with one more: all of the same shape."""
    weight = math.exp(-_DECAY * count)
    before = sum(math.exp(-_DECAY * older) for older in range(count))
    return (before * running + weight * new) / (before + weight)
