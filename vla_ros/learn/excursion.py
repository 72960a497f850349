"""Take the arm somewhere else before a demonstration begins.

When every demonstration begins at the same place, the gripper's own pose soon tells where the
object is, and a policy may learn that instead of the words and the pictures. It would also never
see a closed, empty gripper low over the table, which is where a missed grasp leaves it. Nor an open
one over the object that is not turned to it yet: an expert turns on its way there.
"""

from __future__ import annotations

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.sim.expert import Expert
from vla_ros.sim.layout import HOME_RAD
from vla_ros.sim.world import TabletopSim

_CHANCE = 0.7
_LOW_M, _HIGH_M = np.array([0.33, -0.24, 0.10]), np.array([0.62, 0.24, 0.26])
_OVER_CHANCE, _OVER_M, _OVER_HEIGHT_M = 0.35, 0.005, (0.06, 0.15)
_NEAR_CHANCE, _NEAR_M, _NEAR_HEIGHT_M = 0.4, 0.05, (0.03, 0.14)
_YAW_RAD = 1.0
# Where a driver follows the tip alone (MoveIt Servo), the other joints come to stand elsewhere than
# the expert has them; a policy that has never seen that moves to and fro.
_POSTURE_RAD = 0.06
_STEP_S, _TICK_S, _LIMIT_S = 0.05, 0.01, 2.5
_SPEED_M_S, _ARRIVED_M = 0.5, 0.015


def draw_posture(rng: np.random.Generator) -> FloatArray:
    """Joint positions (7,) [rad] that an expert keeps near throughout an episode."""
    return HOME_RAD + rng.normal(0, _POSTURE_RAD, len(HOME_RAD))


def wander(world: TabletopSim, expert: Expert, rng: np.random.Generator) -> None:
    """In some episodes, move the gripper to a random pose; what it touches on its way moves.

    Args:
        world: The simulation, just reset.
        expert: For the inverse kinematics.
        rng: Draws whether, where to, and how open.
    """
    if rng.random() > _CHANCE:
        return
    yaw_rad = rng.uniform(-_YAW_RAD, _YAW_RAD)
    gripper_open = float(rng.choice([0.0, 1.0, rng.random()]))
    if rng.random() < _OVER_CHANCE:
        goal_m, gripper_open = _beside_target(world, rng, _OVER_M, _OVER_HEIGHT_M), 1.0
    elif rng.random() < _NEAR_CHANCE:
        goal_m = _beside_target(world, rng, _NEAR_M, _NEAR_HEIGHT_M)
    else:
        goal_m = rng.uniform(_LOW_M, _HIGH_M)
    while world.time_s < _LIMIT_S:
        tip_m = world.data.body("panda_hand_tcp").xpos
        way = goal_m - tip_m
        length = float(np.linalg.norm(way))
        if length < _ARRIVED_M:
            break
        step_m = tip_m + way * min(1.0, _SPEED_M_S * 2 * _STEP_S / length)
        _move(world, np.append(expert.solve(step_m, yaw_rad), gripper_open))


def _beside_target(
    world: TabletopSim, rng: np.random.Generator, off_m: float, height_m: tuple[float, float]
) -> FloatArray:
    """A place about `off_m` from what the episode names, at a height in `height_m`."""
    return np.append(world.target_m[:2] + rng.normal(0, off_m, 2), rng.uniform(*height_m))


def _move(world: TabletopSim, target: np.ndarray) -> None:
    """Move the servos' targets linearly to `target` (8,) over one step."""
    start = world.data.ctrl[:7].copy()
    ticks = round(_STEP_S / _TICK_S)
    for tick in range(1, ticks + 1):
        world.set_target(start + (target[:7] - start) * tick / ticks, float(target[7]))
        world.advance(_TICK_S)
