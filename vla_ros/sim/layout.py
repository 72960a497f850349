"""Draw where everything stands in an episode, by seed and within stated bounds.

Base frame: x away from the robot, y to its left, z up, the table's top at z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.errors import SceneError
from vla_ros.sim.tasks import (
    COLORS,
    DIRECTIONS,
    PLACES,
    TASKS,
    Request,
    draw_request,
    is_allowed,
)

BLOCKS = 3
DRAWER_TRAVEL_M = 0.12
HOME_RAD = np.array([0.0, -0.25, 0.0, -2.35, 0.0, 2.1, 0.785])
_MARK_CENTERS_M = {"left": (0.40, 0.26), "right": (0.40, -0.26), "front": (0.63, -0.02)}
_BLOCK_LOW_M, _BLOCK_HIGH_M = np.array([0.35, -0.15]), np.array([0.52, 0.15])
_BLOCK_DISTANCE_M = 0.11
_CORRIDOR_M = 0.085
_GOAL_ROOM_M, _DRAWER_ROOM_M = 0.12, 0.16
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


def is_free(xy_m: FloatArray, others_m: FloatArray) -> bool:
    """Whether a block may stand at `xy_m`: where blocks are drawn, clear of `others_m` (N, 2)."""
    is_inside = bool(np.all((xy_m >= _BLOCK_LOW_M) & (xy_m <= _BLOCK_HIGH_M)))
    return is_inside and float(np.linalg.norm(others_m - xy_m, axis=1).min()) >= _CORRIDOR_M


def near_anything(layout: Layout, xy_m: FloatArray) -> bool:
    """Whether a small object at `xy_m` would be near a block, a goal, the drawer or a push."""
    goals = np.stack([*layout.mark_xy_m.values(), layout.tray_xy_m])
    drawer = layout.cabinet_xy_m - np.array([_DRAWER_ROOM_M, 0.0])
    if np.linalg.norm(layout.block_xy_m - xy_m, axis=1).min() < _BLOCK_DISTANCE_M:
        return True
    if np.linalg.norm(goals - xy_m, axis=1).min() < _GOAL_ROOM_M:
        return True
    if np.abs(xy_m - drawer).max() < _DRAWER_ROOM_M:
        return True
    request = layout.request
    if request.task != "push_object":
        return False
    block = layout.block_xy_m[layout.colors.index(request.color)]
    return _corridor_gap_m(block, layout.mark_xy_m[request.direction], xy_m[None]) < _CORRIDOR_M


def draw_other_request(rng: np.random.Generator, layout: Layout, combinations: str) -> Request:
    """Draw what else could be asked for in a scene: something with another object.

    Args:
        rng: Source of randomness.
        layout: The scene, with what it was drawn for.
        combinations: `seen`, `heldout` or `all` pairs of verb and colour.
    """
    requests = _other_requests(layout, combinations)
    task = str(rng.choice(sorted({request.task for request in requests})))
    requests = [request for request in requests if request.task == task]
    return requests[rng.integers(len(requests))]


def _other_requests(layout: Layout, combinations: str) -> list[Request]:
    """All that the scene allows to ask for; the drawer's task follows from how it stands."""
    first = layout.request.color
    requests = []
    if first:
        is_open = layout.drawer_m > DRAWER_TRAVEL_M / 2
        requests.append(Request(task="close_drawer" if is_open else "open_drawer"))
    for index, color in enumerate(layout.colors):
        if color == first:
            continue
        allowed = {task for task in TASKS[:3] if is_allowed(task, color, combinations)}
        if "pick_object" in allowed:
            requests.append(Request(task="pick_object", color=color))
        if "place_object" in allowed:
            requests += [Request(task="place_object", color=color, place=p) for p in PLACES]
        if "push_object" in allowed:
            requests += [
                Request(task="push_object", color=color, direction=direction)
                for direction in DIRECTIONS
                if _can_push(layout.block_xy_m, index, layout.mark_xy_m[direction], direction)
            ]
    return requests


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
    if float(np.linalg.norm(way)) < 0.08:
        return False
    others = np.delete(blocks, index, axis=0)
    return _corridor_gap_m(start, mark, others) > _CORRIDOR_M


def _corridor_gap_m(start: FloatArray, mark: FloatArray, others: FloatArray) -> float:
    """Distance of the nearest of `others` (N, 2) from the way that begins behind `start`."""
    way = mark - start
    length = float(np.linalg.norm(way))
    unit = way / length
    others = others - (start - _BEHIND_M * unit)
    along = np.clip(others @ unit, 0, length + _BEHIND_M)
    return float(np.linalg.norm(others - along[:, None] * unit, axis=1).min())
