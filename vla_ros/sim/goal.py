"""Reward and success of each task, from the simulator's state. No policy may read this."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.sim.layout import DRAWER_TRAVEL_M
from vla_ros.sim.tasks import Request

LIFT_M = 0.06
PLACE_RADIUS_M = 0.04
TRAY_RADIUS_M = 0.05
PUSH_RADIUS_M = 0.04
OPEN_M = 0.08
SHUT_M = 0.012
HOLD_S = 1.0
_RESTING_M = 0.012
_AT_REST_M_S = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
    """What the goals look at.

    Attributes:
        block_m: Centre of the named block, shape (3,); zeros without one.
        block_half_m: Half its edge.
        block_speed_m_s: Its speed.
        goal_xy_m: Centre of the named mark or tray, shape (2,); zeros without one.
        touched: Whether the gripper touches the named block.
        drawer_m: Opening of the drawer.
    """

    block_m: FloatArray
    block_half_m: float
    block_speed_m_s: float
    goal_xy_m: FloatArray
    touched: bool
    drawer_m: float


def is_reached(request: Request, facts: Facts, *, lifted: bool) -> bool:
    """Whether the goal holds at this moment; success is `HOLD_S` of that without a break.

    Args:
        request: What is asked for.
        facts: How things stand.
        lifted: Whether the block was ever clear of the table, which no push may do.
    """
    height = float(facts.block_m[2]) - facts.block_half_m
    match request.task:
        case "pick_object":
            return height > LIFT_M and facts.block_speed_m_s < _AT_REST_M_S
        case "place_object":
            radius = TRAY_RADIUS_M if request.place == "tray" else PLACE_RADIUS_M
            return _distance(facts) < radius and height < _RESTING_M and not facts.touched
        case "push_object":
            rests = height < _RESTING_M and not facts.touched and not lifted
            return _distance(facts) < PUSH_RADIUS_M and rests
        case "open_drawer":
            return facts.drawer_m > OPEN_M
        case _:
            return facts.drawer_m < SHUT_M


def progress(request: Request, facts: Facts, start: Facts) -> float:
    """How far the task has come since `start`, in [0, 1]."""
    match request.task:
        case "pick_object":
            value = (float(facts.block_m[2]) - facts.block_half_m) / LIFT_M
        case "place_object" | "push_object":
            value = 1 - _distance(facts) / max(_distance(start), 1e-6)
        case "open_drawer":
            value = (facts.drawer_m - start.drawer_m) / max(OPEN_M - start.drawer_m, 1e-6)
        case _:
            value = 1 - (facts.drawer_m - SHUT_M) / (DRAWER_TRAVEL_M - SHUT_M)
    return float(np.clip(value, 0.0, 1.0))


def _distance(facts: Facts) -> float:
    return float(np.linalg.norm(facts.block_m[:2] - facts.goal_xy_m))
