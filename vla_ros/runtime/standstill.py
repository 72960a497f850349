"""Whether the arm stands still while it is told to move, however slowly.

`Following` asks once a tick. A brake that is on, or a driver that takes commands and does nothing,
need not take the arm far from where it is told to be.
"""

from __future__ import annotations

import numpy as np

from vla_ros.datatypes import FloatArray

# Share of the motion that must be answered below which motion is none: noise, a brake's play.
_STILL = 0.1


class Standstill:
    """Compares how far the arm was told to go with how far it went, since it last moved.

    No window ends the comparison, so that a slow policy's arm is found, too. One that lags by up to
    `within_s` has gone by then as far as it was told, and one with stiction or backlash has but for
    these, which must therefore be less than nine tenths of `answered`. Motion of one joint is
    enough: an arm that is pressed against something is not still.

    Attributes:
        is_found: It stands still; until it moves.

    Args:
        position: Where the arm is, shape (J,) [rad], or where its tip is, (3,) [m].
        answered: Commands that range this far, in any joint or coordinate, must move the arm.
        within_s: How much it may lag behind.
    """

    def __init__(self, position: FloatArray, *, answered: float, within_s: float) -> None:
        self._answered = answered
        self._within_s = within_s
        self.is_found = False
        self._since_s: float | None = None
        self._told_last = position
        self._told = self._went = _Range(position)

    def begin(self, position: FloatArray) -> None:
        """The arm is measured at `position`, and nothing else was commanded."""
        self._begin(position, position)

    def note(self, position: FloatArray) -> None:
        """Remember a command."""
        self._told_last = position
        self._told.take(position)

    def look(self, position: FloatArray, now_s: float) -> None:
        """See where the arm is."""
        self._went.take(position)
        if self.went > _STILL * self._answered:
            self._begin(position, self._told_last)
        elif self.told.max() > self._answered:
            self._since_s = now_s if self._since_s is None else min(self._since_s, now_s)
            self.is_found = self.is_found or now_s - self._since_s > self._within_s

    @property
    def told(self) -> FloatArray:
        """Range of what each joint or coordinate was told since the arm last moved."""
        return self._told.widths

    @property
    def went(self) -> float:
        """How far the one went that went farthest in that time."""
        return float(self._went.widths.max())

    def _begin(self, position: FloatArray, told: FloatArray) -> None:
        self.is_found, self._since_s = False, None
        self._told_last = told
        self._told, self._went = _Range(told), _Range(position)


class _Range:
    """Lowest and highest of positions seen."""

    def __init__(self, position: FloatArray) -> None:
        self._low = self._high = position

    def take(self, position: FloatArray) -> None:
        self._low = np.minimum(self._low, position)
        self._high = np.maximum(self._high, position)

    @property
    def widths(self) -> FloatArray:
        return self._high - self._low
