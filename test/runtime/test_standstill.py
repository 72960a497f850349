"""Arms that follow late, by jerks or not to the end do not seem to stand still.

That one which does is found out is in `test_loop_safety.py` and `test_following.py`.
"""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.datatypes import Status


class LaggingArm:
    """Is where it was told to be 0.3 s ago."""

    def __call__(self, commands, position_rad):
        return commands[max(0, len(commands) - 31)].position_rad


class SluggishArm:
    """Goes each tick a share of the way that is left: a time constant of 0.3 s."""

    def __call__(self, commands, position_rad):
        return position_rad + 0.01 / 0.3 * (commands[-1].position_rad - position_rad)


class StickyArm:
    """Sticks until it is told to be `stiction_rad` elsewhere, and goes there at once.

    Its encoders have steps of half a milliradian.
    """

    def __init__(self, stiction_rad):
        self.stiction_rad = stiction_rad

    def __call__(self, commands, position_rad):
        told_rad = commands[-1].position_rad
        breaks_loose = np.abs(told_rad - position_rad) > self.stiction_rad
        return np.where(breaks_loose, 5e-4 * np.round(told_rad / 5e-4), position_rad)


class LooseArm:
    """Follows at the end of its backlash."""

    def __init__(self, backlash_rad):
        self.backlash_rad = backlash_rad

    def __call__(self, commands, position_rad):
        told_rad, free_rad = commands[-1].position_rad, self.backlash_rad / 2
        return np.clip(position_rad, told_rad - free_rad, told_rad + free_rad)


@pytest.mark.parametrize(
    "arm", [LaggingArm(), SluggishArm(), StickyArm(0.002), StickyArm(0.015), LooseArm(0.03)]
)
@pytest.mark.parametrize(
    ("amplitude_rad", "period_s"),
    [(0.6, 3.0), (0.1, 0.6), (0.04, 0.4), (0.04, 8.0), (0.02, 2.0), (0.001, 1.0), (0.0, 1.0)],
)
def test_an_arm_that_moves_late_or_by_jerks_or_rests_does_not_seem_to_stand_still(
    make_rig, policy, sway, middle_rad, arm, amplitude_rad, period_s
):
    rig = make_rig(policy)
    policy.plan = sway(amplitude_rad, period_s)
    rig.start("sway")
    at_rad, statuses = middle_rad, []
    for _ in range(1000):
        at_rad = rig.position_rad = arm(rig.commands, at_rad)
        statuses.append(rig.tick().status)
    assert set(statuses) == {Status.RUNNING}
    assert rig.span_rad == pytest.approx(2 * amplitude_rad, rel=0.5, abs=1e-6)


@pytest.mark.parametrize("speed_rad_s", [0.02, 0.2, 1.0])
def test_an_arm_that_lags_behind_a_policy_that_stops_and_goes_does_not_seem_to_stand_still(
    make_rig, policy, speed_rad_s
):
    rig, arm = make_rig(policy), LaggingArm()
    rig.start(seconds=0.1)
    statuses = set()
    for index in range(1500):
        policy.speed_rad_s = 0.0 if index // 250 % 2 else speed_rad_s * (-1) ** (index // 500)
        rig.position_rad = arm(rig.commands, rig.position_rad)
        statuses.add(rig.tick().status)
    assert statuses == {Status.RUNNING}
