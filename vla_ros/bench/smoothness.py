"""How smoothly an arm was moved in an episode: seams between plans, jerk, standing still."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vla_ros.datatypes import FloatArray, Status
from vla_ros.runtime import ControlLoop, Tick


@dataclass(frozen=True, kw_only=True)
class Smoothness:
    """Of one episode, or of several.

    Attributes:
        jump_rad: Largest jump at a seam: how far a joint's target is, at the tick that a new plan
            joins, from where the plan before had it at that same tick.
        kink_rad_s: Largest difference of a joint's target speed there.
        jerk2_rad2_s6: Mean square of the jerk of the commanded joints.
        hold_share: Share of the time in which the target stands still, or there is none.
    """

    jump_rad: float
    kink_rad_s: float
    jerk2_rad2_s6: float
    hold_share: float


@dataclass
class SmoothnessMeter:
    """Looks at every tick of an episode, from the first command on.

    Args:
        tick_s: Time between two ticks.
        joints: Number J of arm joints; the gripper is not looked at.
    """

    tick_s: float
    joints: int
    _positions: list[FloatArray] = field(default_factory=list)
    _jumps: list[float] = field(default_factory=list)
    _kinks: list[float] = field(default_factory=list)
    _holds: list[bool] = field(default_factory=list)
    # Where the plan of the last tick has the target at this one, and its slope there.
    _expected: tuple[FloatArray, FloatArray] | None = None
    _chunk_s: float | None = None

    def look(self, loop: ControlLoop, tick: Tick) -> None:
        """Take in the tick that `loop` has just made."""
        if tick.command is None:
            return
        self._positions.append(tick.command.position_rad)
        runs = tick.status is Status.RUNNING
        planned = self._planned(loop, tick.stamp_s) if runs else None
        self._holds.append(planned is None or not planned[1].any())
        if planned is not None and self._expected and tick.chunk_start_s != self._chunk_s:
            (target, slope), (expected, expected_slope) = planned, self._expected
            self._jumps.append(float(np.abs(target - expected).max()))
            self._kinks.append(float(np.abs(slope - expected_slope).max()))
        if planned is not None:
            self._chunk_s = tick.chunk_start_s
            self._expected = self._planned(loop, tick.stamp_s + self.tick_s)
        elif self._expected is not None:  # the arm is brought to rest: a plan sets out from there
            self._expected = tick.command.position_rad, np.zeros(self.joints)

    def result(self) -> Smoothness:
        """What was seen; zeros where nothing was."""
        jerk = np.diff(np.array(self._positions), n=3, axis=0) / self.tick_s**3
        return Smoothness(
            jump_rad=max(self._jumps, default=0.0),
            kink_rad_s=max(self._kinks, default=0.0),
            jerk2_rad2_s6=float(np.square(jerk).mean()) if jerk.size else 0.0,
            hold_share=float(np.mean(self._holds)) if self._holds else 0.0,
        )

    def _planned(self, loop: ControlLoop, time_s: float) -> tuple[FloatArray, FloatArray] | None:
        planned = loop.planned(time_s)
        return None if planned is None else (planned[0][: self.joints], planned[1][: self.joints])


def together(episodes: Sequence[Smoothness]) -> Smoothness:
    """The largest jump and kink of all, and the mean of the rest."""
    return Smoothness(
        jump_rad=max(one.jump_rad for one in episodes),
        kink_rad_s=max(one.kink_rad_s for one in episodes),
        jerk2_rad2_s6=float(np.mean([one.jerk2_rad2_s6 for one in episodes])),
        hold_share=float(np.mean([one.hold_share for one in episodes])),
    )
