"""What may differ from the scenes of training: one named disturbance for all of a world's life.

A disturbance draws from a stream of its own, so the scene beneath it is the undisturbed one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import mujoco
import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.errors import SceneError
from vla_ros.sim.appearance import BLOCK_RGB, COLORED, set_color
from vla_ros.sim.layout import Layout, is_free, near_anything
from vla_ros.sim.scene import ARM_JOINTS, DISTRACTOR_HALF_M

DISTURBANCES = ("light", "colors", "cameras", "size", "servo", "distractor", "delay", "kick")
COLOR_SHIFT = 0.12
CAMERA_SHIFT_M, CAMERA_TURN_RAD = 0.015, np.deg2rad(2.6)
SIZE_SHARE = 0.2
SERVO_FACTOR = (0.6, 1.3)
DELAY_S = 0.1
KICK_M_S, KICK_REACH_M, KICK_AFTER_S = 0.6, 0.05, (0.5, 1.2)
# Training's lamp stands up to 40° from the vertical, with a strength of 0.3 to 0.7.
_LAMP_SLOPE = (0.9, 1.5)
_LAMP_FACTOR, _AMBIENT_FACTOR, _TINT = (0.5, 1.5), (0.6, 1.4), 0.15
_DISTRACTOR_RGB = ((0.05, 0.55, 0.55), (0.95, 0.55, 0.70), (0.45, 0.28, 0.15), (0.95, 0.95, 0.92))
_DISTRACTOR_LOW_M, _DISTRACTOR_HIGH_M = np.array([0.33, -0.30]), np.array([0.60, 0.30])
_TRIES = 1000


def check_disturbance(name: str) -> str:
    """Return `name`; empty is none.

    Raises:
        SceneError: There is no such disturbance.
    """
    if name and name not in DISTURBANCES:
        raise SceneError(f"disturbance {name!r} is unknown; valid: {', '.join(DISTURBANCES)}")
    return name


def disturb_layout(name: str, layout: Layout, rng: np.random.Generator) -> Layout:
    """The layout with blocks of other sizes, or as it is."""
    if name != "size":
        return layout
    factor = rng.uniform(1 - SIZE_SHARE, 1 + SIZE_SHARE, len(layout.block_half_m))
    return replace(layout, block_half_m=layout.block_half_m * factor)


def disturb_model(
    name: str,
    model: mujoco.MjModel,
    data: mujoco.MjData,
    layout: Layout,
    rest: mujoco.MjModel,
    rng: np.random.Generator,
) -> None:
    """Change the scene that was drawn into `model` and `data`; `rest` is the undrawn model."""
    match name:
        case "light":
            _change_light(model, rng)
        case "colors":
            _change_colors(model, layout, rest, rng)
        case "cameras":
            _move_cameras(model, rest, rng)
        case "servo":
            _change_servos(model, rest, rng)
        case "distractor":
            _place_distractor(model, data, layout, rng)


def _change_light(model: mujoco.MjModel, rng: np.random.Generator) -> None:
    """A lamp from low at one side, tinted; stronger or weaker than it was drawn."""
    lamp, angle = model.light("lamp").id, rng.uniform(-np.pi, np.pi)
    slope = rng.uniform(*_LAMP_SLOPE)
    direction = np.array([slope * np.cos(angle), slope * np.sin(angle), -1.0])
    model.light_dir[lamp] = direction / np.linalg.norm(direction)
    model.light_diffuse[lamp] *= rng.uniform(*_LAMP_FACTOR) * (1 + rng.uniform(-_TINT, _TINT, 3))
    model.vis.headlight.ambient[:] = model.vis.headlight.ambient * rng.uniform(*_AMBIENT_FACTOR)


def _change_colors(
    model: mujoco.MjModel, layout: Layout, rest: mujoco.MjModel, rng: np.random.Generator
) -> None:
    for index, color in enumerate(layout.colors):
        shift = rng.uniform(-COLOR_SHIFT, COLOR_SHIFT, 3)
        set_color(model, f"block{index}", np.array(BLOCK_RGB[color]) + shift)
    for name in COLORED:
        shift = rng.uniform(-COLOR_SHIFT, COLOR_SHIFT, 3)
        set_color(model, name, rest.geom_rgba[rest.geom(name).id, :3] + shift)


def _move_cameras(model: mujoco.MjModel, rest: mujoco.MjModel, rng: np.random.Generator) -> None:
    """From where they were drawn, all the way in any direction and about any axis."""
    for name in ("front", "wrist"):
        camera = model.camera(name).id
        start = rest.cam_quat[camera] if name == "wrist" else model.cam_quat[camera]
        turn = np.zeros(4)
        mujoco.mju_axisAngle2Quat(turn, _direction(rng), CAMERA_TURN_RAD)
        turned = np.zeros(4)
        mujoco.mju_mulQuat(turned, start, turn)
        model.cam_pos[camera] += CAMERA_SHIFT_M * _direction(rng)
        model.cam_quat[camera] = turned


def _change_servos(model: mujoco.MjModel, rest: mujoco.MjModel, rng: np.random.Generator) -> None:
    """Another stiffness for each joint; the damping stays."""
    for name in ARM_JOINTS:
        servo, factor = model.actuator(name).id, rng.uniform(*SERVO_FACTOR)
        model.actuator_gainprm[servo, 0] = factor * rest.actuator_gainprm[servo, 0]
        model.actuator_biasprm[servo, 1] = factor * rest.actuator_biasprm[servo, 1]


def _place_distractor(
    model: mujoco.MjModel, data: mujoco.MjData, layout: Layout, rng: np.random.Generator
) -> None:
    """An object that no words name, where it stands in nobody's way."""
    xy_m = rng.uniform(_DISTRACTOR_LOW_M, _DISTRACTOR_HIGH_M)
    for _ in range(_TRIES):
        if not near_anything(layout, xy_m):
            break
        xy_m = rng.uniform(_DISTRACTOR_LOW_M, _DISTRACTOR_HIGH_M)
    start = int(model.joint("distractor").qposadr[0])
    data.qpos[start : start + 7] = (*xy_m, DISTRACTOR_HALF_M, 1, 0, 0, 0)
    rgb = _DISTRACTOR_RGB[rng.integers(len(_DISTRACTOR_RGB))]
    set_color(model, "distractor", np.array(rgb))


def _direction(rng: np.random.Generator) -> FloatArray:
    vector = rng.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector))


class Kick:
    """Pushes the named block once, at a drawn moment, to where the task can still be done."""

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        self._velocity_m_s = KICK_M_S * _free_way(layout, rng)
        self._due_s = float(rng.uniform(*KICK_AFTER_S))
        self._is_done = False

    def update(self, now_s: float, velocity: FloatArray) -> None:
        """Kick when it is time; `velocity` (6,) is the block's in the simulation, written to."""
        if not self._is_done and now_s >= self._due_s:
            velocity[:2] = self._velocity_m_s
            self._is_done = True


def _free_way(layout: Layout, rng: np.random.Generator) -> FloatArray:
    """Unit vector (2,) to a free place for the named block, `KICK_REACH_M` away."""
    color = layout.request.color
    start_m = layout.block_xy_m[layout.colors.index(color)] if color else np.zeros(2)
    others_m = layout.block_xy_m[[other != color for other in layout.colors]]
    way = np.zeros(2)
    for _ in range(_TRIES):
        angle = rng.uniform(-np.pi, np.pi)
        way = np.array([np.cos(angle), np.sin(angle)])
        if is_free(start_m + KICK_REACH_M * way, others_m):
            break
    return way


class LateCommands:
    """Servo targets on their way, due `delay_s` after they were given."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._waiting: deque[tuple[float, FloatArray]] = deque()

    def put(self, now_s: float, target: FloatArray) -> None:
        """Send a target."""
        self._waiting.append((now_s + self._delay_s, target))

    def due(self, now_s: float) -> FloatArray | None:
        """The newest target that has arrived by now; `None` when none has since the last call."""
        arrived = None
        while self._waiting and self._waiting[0][0] <= now_s + 1e-9:
            arrived = self._waiting.popleft()[1]
        return arrived
