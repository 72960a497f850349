"""What the scripted expert wants the gripper to do next, from the simulator's state alone.

Every decision is feedback: no phase counter, so the expert recovers from any disturbance and two
equal states always get the same answer (up to the gripper's own yaw, which a policy sees too).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.sim.goal import SHUT_M
from vla_ros.sim.world import TabletopSim

HOVER_M = 0.13
REST_M = np.array([0.45, 0.0, 0.18])
CARRY_M = 0.12
PUSH_HEIGHT_M = 0.024
PUSH_OPEN = 0.25
DRAWER_GOAL_M = 0.108
# How far off may be gone on with: at the height of the decision, and down where it is carried out,
# where rising again would be worse. A policy sees less well than the expert: with one limit for
# both heights it would be torn between down and up wherever it is about that far off, and stay.
_ALIGNED_M, _ALIGNED_RAD = (0.012, 0.017), (0.14, 0.35)
_PLACED_M = (0.015, 0.025)
_BEHIND_M, _BEHIND_RAD = (0.015, 0.02), (0.25, 0.4)
_DECIDED_AT_M, _DONE_AT_M = 0.08, 0.04
_HOOK_HEIGHT_M = 0.036
_HANDLE_GAP_M = 0.032
_SAFE_M = 0.09


@dataclass(frozen=True, kw_only=True, eq=False)
class Move:
    """Where the gripper should go.

    Attributes:
        tip_m: Position of the tool centre point, shape (3,).
        yaw_rad: Rotation about the vertical; 0 has the fingers open along y.
        gripper_open: In [0, 1].
        speed_m_s: Highest speed of the tip.
    """

    tip_m: FloatArray
    yaw_rad: float
    gripper_open: float
    speed_m_s: float = 0.35


def next_move(world: TabletopSim, tip_m: FloatArray, yaw_rad: float) -> Move:
    """What to do now for the running episode, with the tool at `tip_m` and `yaw_rad`."""
    match world.episode.task:
        case "pick_object":
            return _pick(world, tip_m, yaw_rad)
        case "place_object":
            return _place(world, tip_m, yaw_rad)
        case "push_object":
            return _push(world, tip_m, yaw_rad)
        case "open_drawer":
            return _open(world, tip_m)
        case _:
            return _close(world, tip_m)


def _enough(limits: tuple[float, float], height_m: float) -> float:
    """The limit at a height, of one for where is decided and one for where it is done."""
    return float(np.interp(height_m, (_DONE_AT_M, _DECIDED_AT_M), limits[::-1]))


def _at(xy_m: FloatArray, height_m: float) -> FloatArray:
    return np.array([xy_m[0], xy_m[1], height_m])


def _rise(tip_m: FloatArray, yaw_rad: float, gripper_open: float) -> Move:
    """Straight up, then to a place to rest at: what ends every task."""
    share = float(np.clip((tip_m[2] - 0.09) / 0.05, 0.0, 1.0))
    goal = _at(tip_m[:2] + share * (REST_M[:2] - tip_m[:2]), REST_M[2])
    return Move(tip_m=goal, yaw_rad=yaw_rad, gripper_open=gripper_open, speed_m_s=0.25)


def _half_m(world: TabletopSim) -> float:
    return float(world.layout.block_half_m[world.layout.colors.index(world.episode.color)])


def _holds(world: TabletopSim, tip_m: FloatArray) -> bool:
    """Whether both fingers are closed on the named block."""
    block = world.block_m(world.episode.color)
    width = float(world.finger_m.sum())
    between = np.linalg.norm((block - tip_m)[:2]) < 0.018 and abs(block[2] - tip_m[2]) < 0.02
    half = _half_m(world)
    return bool(between and width < 2 * half + 0.006 and world.is_gripping(world.episode.color))


def _block_yaw_rad(world: TabletopSim, near_rad: float) -> float:
    """Yaw of the block's nearest grasp, a quarter turn being the same grasp, inside ±60°."""
    quaternion = world.data.body(f"block{world.layout.colors.index(world.episode.color)}").xquat
    w, x, y, z = quaternion
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    turn = np.pi / 2
    candidates = yaw + turn * np.arange(-4, 5)
    candidates = candidates[np.abs(candidates) <= np.deg2rad(60)]
    return float(candidates[np.argmin(np.abs(candidates - near_rad))])


def _grasp(world: TabletopSim, tip_m: FloatArray, yaw_rad: float) -> Move:
    """Go above the block, turn, come down around it, close."""
    block = world.block_m(world.episode.color)
    yaw = _block_yaw_rad(world, yaw_rad)
    height = max(float(block[2]) - 0.004, 0.016)
    error_m = float(np.linalg.norm((block - tip_m)[:2]))
    enough_m = _enough(_ALIGNED_M, tip_m[2])
    aligned = error_m < enough_m and abs(yaw - yaw_rad) < _enough(_ALIGNED_RAD, tip_m[2])
    if aligned and tip_m[2] < height + 0.010:
        return Move(tip_m=_at(block, height), yaw_rad=yaw, gripper_open=0.0, speed_m_s=0.15)
    if aligned:
        return Move(tip_m=_at(block, height), yaw_rad=yaw, gripper_open=1.0, speed_m_s=0.25)
    # A funnel: the further off, the higher; never sideways between the blocks.
    funnel = _SAFE_M if tip_m[2] < _SAFE_M + 0.01 else 0.08 + min(2 * error_m, 0.06)
    lift_first = tip_m[2] < 0.065 and error_m > enough_m
    goal = _at(tip_m if lift_first else block, max(funnel, _SAFE_M))
    return Move(tip_m=goal, yaw_rad=yaw, gripper_open=1.0)


def _pick(world: TabletopSim, tip_m: FloatArray, yaw_rad: float) -> Move:
    if _holds(world, tip_m):
        return _rise(tip_m, yaw_rad, 0.0)
    return _grasp(world, tip_m, yaw_rad)


def _place(world: TabletopSim, tip_m: FloatArray, yaw_rad: float) -> Move:
    block, goal = world.block_m(world.episode.color), world.goal_xy_m
    offset = goal - block[:2]
    error_m = float(np.linalg.norm(offset))
    if not _holds(world, tip_m):
        if error_m < 0.03 and block[2] < _half_m(world) + 0.012:
            return _rise(tip_m, yaw_rad, 1.0)
        return _grasp(world, tip_m, yaw_rad)
    xy = tip_m[:2] + offset
    bottom_m = float(block[2]) - _half_m(world)
    placed = error_m < _enough(_PLACED_M, bottom_m)
    if placed and bottom_m < 0.009:
        return Move(tip_m=tip_m.copy(), yaw_rad=yaw_rad, gripper_open=1.0)
    if placed:
        low = _at(xy, tip_m[2] - bottom_m + 0.002)
        return Move(tip_m=low, yaw_rad=0.0, gripper_open=0.0, speed_m_s=0.2)
    if tip_m[2] < CARRY_M - 0.03 and error_m > 0.03:
        return Move(tip_m=_at(tip_m, CARRY_M), yaw_rad=yaw_rad, gripper_open=0.0, speed_m_s=0.25)
    return Move(tip_m=_at(xy, CARRY_M), yaw_rad=0.0, gripper_open=0.0)


def _push(world: TabletopSim, tip_m: FloatArray, yaw_rad: float) -> Move:
    """From behind the block, with two fingertips across the way, towards the mark."""
    block, goal = world.block_m(world.episode.color), world.goal_xy_m
    way = goal - block[:2]
    length = float(np.linalg.norm(way))
    if length < 0.012:
        return _rise(tip_m, yaw_rad, PUSH_OPEN)
    unit = way / length
    angle = float(np.arctan2(unit[1], unit[0]))
    yaw = (angle + np.deg2rad(45)) % np.pi - np.deg2rad(45)
    along, across = _split(block[:2] - tip_m[:2], unit)
    turned = abs(yaw - yaw_rad) < _enough(_BEHIND_RAD, tip_m[2])
    low = tip_m[2] < PUSH_HEIGHT_M + 0.022
    if low and 0.0 < along < 0.10 and abs(across) < 0.022 and turned:
        ahead = min(0.05, 0.02 + length)
        sideways = np.array([-unit[1], unit[0]]) * across
        goal_xy = tip_m[:2] + ahead * unit + 1.5 * sideways
        speed = 0.16 if length > 0.04 else 0.09
        return Move(
            tip_m=_at(goal_xy, PUSH_HEIGHT_M), yaw_rad=yaw, gripper_open=PUSH_OPEN, speed_m_s=speed
        )
    behind = block[:2] - unit * (_half_m(world) * 1.42 + 0.028)
    error_m = float(np.linalg.norm(behind - tip_m[:2]))
    if error_m < _enough(_BEHIND_M, tip_m[2]) and turned:
        height = PUSH_HEIGHT_M
    elif tip_m[2] < _SAFE_M - 0.02:
        return Move(tip_m=_at(tip_m, HOVER_M), yaw_rad=yaw, gripper_open=PUSH_OPEN, speed_m_s=0.25)
    else:
        height = _SAFE_M + min(error_m, 0.04)
    return Move(tip_m=_at(behind, height), yaw_rad=yaw, gripper_open=PUSH_OPEN, speed_m_s=0.3)


def _split(offset_m: FloatArray, unit: FloatArray) -> tuple[float, float]:
    """Parts of `offset_m` along `unit` and across it, to its left."""
    return float(offset_m @ unit), float(offset_m @ np.array([-unit[1], unit[0]]))


def _open(world: TabletopSim, tip_m: FloatArray) -> Move:
    """Put the closed fingers behind the handle and pull."""
    handle = world.handle_m
    offset = tip_m - handle
    if world.drawer_m > DRAWER_GOAL_M:
        return _rise(tip_m, yaw_rad=0.0, gripper_open=0.0)
    if 0.008 < offset[0] < 0.058 and abs(offset[1]) < 0.035 and tip_m[2] < 0.058:
        pull = np.array([tip_m[0] - 0.05, handle[1], _HOOK_HEIGHT_M])
        return Move(tip_m=pull, yaw_rad=0.0, gripper_open=0.0, speed_m_s=0.18)
    return _approach(handle[:2] + np.array([_HANDLE_GAP_M, 0.0]), tip_m, _HOOK_HEIGHT_M)


def _close(world: TabletopSim, tip_m: FloatArray) -> Move:
    """Push the handle's bar from the robot's side until the drawer is shut."""
    handle = world.handle_m
    offset = tip_m - handle
    if world.drawer_m < SHUT_M / 3:
        return _rise(tip_m, yaw_rad=0.0, gripper_open=0.0)
    if -0.10 < offset[0] < -0.008 and abs(offset[1]) < 0.035 and tip_m[2] < 0.062:
        push = np.array([tip_m[0] + 0.05, handle[1], _HOOK_HEIGHT_M + 0.006])
        return Move(tip_m=push, yaw_rad=0.0, gripper_open=0.0, speed_m_s=0.18)
    return _approach(handle[:2] - np.array([0.045, 0.0]), tip_m, _HOOK_HEIGHT_M + 0.006)


def _approach(xy_m: FloatArray, tip_m: FloatArray, low_m: float) -> Move:
    """Over the spot first, then straight down, with closed fingers."""
    error_m = float(np.linalg.norm(xy_m - tip_m[:2]))
    if error_m < 0.012:
        return Move(tip_m=_at(xy_m, low_m), yaw_rad=0.0, gripper_open=0.0, speed_m_s=0.25)
    if tip_m[2] < _SAFE_M - 0.015:
        return Move(tip_m=_at(tip_m, HOVER_M), yaw_rad=0.0, gripper_open=0.0, speed_m_s=0.25)
    return Move(tip_m=_at(xy_m, _SAFE_M + min(error_m, 0.04)), yaw_rad=0.0, gripper_open=0.0)
