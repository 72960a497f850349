"""Draw where everything stands in an episode, by seed and within stated bounds.

Base frame: x away from the robot, y to its left, z up, the table's top at z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.errors import SceneError
from vla_ros.sim.tasks import COLORS, TASKS, Request, draw_request, is_allowed

BLOCKS = 3
DRAWER_TRAVEL_M = 0.12
HOME_RAD = np.array([0.0, -0.25, 0.0, -2.35, 0.0, 2.1, 0.785])
_MARK_CENTERS_M = {"left": (0.40, 0.26), "right": (0.40, -0.26), "front": (0.63, -0.02)}
_BLOCK_LOW_M, _BLOCK_HIGH_M = np.array([0.35, -0.15]), np.array([0.52, 0.15])
_BLOCK_DISTANCE_M = 0.11
_CORRIDOR_M = 0.085
_BEHIND_M = 0.09
_PUSH_CONE_RAD = np.deg2rad(42)
_PUSH_AXIS_RAD = {"left": np.pi / 2, "right": -np.pi / 2, "front": 0.0}
_TRIES = 4000


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """One drawn scene. Positions in the base frame [m], angles [rad].

    Attributes:
        colors: Colour names of the three blocks, all different.
        block_xy_m: Shape (3, 2).
        block_yaw_rad: Shape (3,).
        block_half_m: Half edge of each block, shape (3,), in 0.021 … 0.026.
        mark_xy_m: Centre of each mark by direction.
        tray_xy_m: Centre of the tray.
        cabinet_xy_m: Centre of the cabinet.
        drawer_m: Opening of the drawer at the start, in 0 … 0.12.
        arm_rad: Joint positions at the start, shape (7,).
        request: What the episode asks for.
    """

    colors: tuple[str, ...]
    block_xy_m: FloatArray
    block_yaw_rad: FloatArray
    block_half_m: FloatArray
    mark_xy_m: dict[str, FloatArray]
    tray_xy_m: FloatArray
    cabinet_xy_m: FloatArray
    drawer_m: float
    arm_rad: FloatArray
    request: Request


def draw_layout(rng: np.random.Generator, task: str, combinations: str) -> Layout:
    """Draw a scene in which the task can be done.

    Raises:
        SceneError: No such scene was found (bounds that contradict each other).
    """
    for _ in range(_TRIES):
        layout = _draw(rng, task, combinations)
        if layout is not None:
            return layout
    raise SceneError(f"no scene for {task} with {combinations} combinations in {_TRIES} tries")


def _draw(rng: np.random.Generator, task: str, combinations: str) -> Layout | None:
    colors = tuple(str(c) for c in rng.choice(COLORS, BLOCKS, replace=False))
    if task in TASKS[:3] and not any(is_allowed(task, c, combinations) for c in colors):
        return None
    blocks = rng.uniform(_BLOCK_LOW_M, _BLOCK_HIGH_M, (BLOCKS, 2))
    if _smallest_distance(blocks) < _BLOCK_DISTANCE_M:
        return None
    request = draw_request(rng, task, colors, combinations)
    marks = {
        name: np.array(center) + rng.uniform(-0.02, 0.02, 2)
        for name, center in _MARK_CENTERS_M.items()
    }
    if task == "push_object" and not _can_push(
        blocks, colors.index(request.color), marks[request.direction], request.direction
    ):
        return None
    return Layout(
        colors=colors,
        block_xy_m=blocks,
        block_yaw_rad=rng.uniform(-np.pi, np.pi, BLOCKS),
        block_half_m=rng.uniform(0.021, 0.026, BLOCKS),
        mark_xy_m=marks,
        tray_xy_m=np.array([0.63, -0.22]) + rng.uniform(-0.025, 0.025, 2),
        cabinet_xy_m=np.array([0.76, 0.19]) + rng.uniform(-0.02, 0.02, 2),
        drawer_m=_draw_drawer(rng, task),
        arm_rad=HOME_RAD + rng.uniform(-1, 1, 7) * np.array([0.2, 0.12, 0.1, 0.15, 0.1, 0.15, 0.3]),
        request=request,
    )


def _draw_drawer(rng: np.random.Generator, task: str) -> float:
    is_open = task == "close_drawer" or (task != "open_drawer" and rng.random() < 0.3)
    return float(rng.uniform(0.07, 0.115) if is_open else rng.uniform(0.0, 0.012))


def _smallest_distance(points: FloatArray) -> float:
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return float(distances[~np.eye(len(points), dtype=bool)].min())


def _can_push(blocks: FloatArray, index: int, mark: FloatArray, direction: str) -> bool:
    """Whether the way from behind the block to the mark is free and near the named direction."""
    start, way = blocks[index], mark - blocks[index]
    turn = np.arctan2(way[1], way[0]) - _PUSH_AXIS_RAD[direction]
    if abs((turn + np.pi) % (2 * np.pi) - np.pi) > _PUSH_CONE_RAD:
        return False
    length = float(np.linalg.norm(way))
    if length < 0.08:
        return False
    unit = way / length
    others = np.delete(blocks, index, axis=0) - (start - _BEHIND_M * unit)
    along = np.clip(others @ unit, 0, length + _BEHIND_M)
    gaps = np.linalg.norm(others - along[:, None] * unit, axis=1)
    return bool(gaps.min() > _CORRIDOR_M)
