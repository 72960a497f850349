"""Draw how an episode looks: colours, light and camera pose, within stated bounds."""

from __future__ import annotations

import mujoco
import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.sim.layout import Layout
from vla_ros.sim.scene import FRONT_CAMERA_M, FRONT_TARGET_M, look_at

BLOCK_RGB = {
    "red": (0.80, 0.08, 0.08),
    "green": (0.10, 0.62, 0.15),
    "blue": (0.10, 0.25, 0.85),
    "yellow": (0.92, 0.85, 0.10),
    "purple": (0.50, 0.12, 0.65),
    "orange": (0.95, 0.45, 0.05),
}
COLORED = ("mark_left", "mark_right", "mark_front", "drawer_face", "cabinet_top", "tray0")
COLOR_JITTER = 0.06
CAMERA_JITTER_M = 0.015
TARGET_JITTER_M = 0.012
WRIST_JITTER_M = 0.003


def apply_appearance(
    model: mujoco.MjModel, rng: np.random.Generator, layout: Layout, rest: mujoco.MjModel
) -> None:
    """Write drawn colours, light and cameras into `model`; `rest` holds the undisturbed values."""
    _draw_colors(model, rng, layout, rest)
    _draw_light(model, rng)
    front = model.camera("front").id
    model.cam_pos[front] = FRONT_CAMERA_M + _uniform(rng, CAMERA_JITTER_M)
    model.cam_quat[front] = look_at(
        model.cam_pos[front], FRONT_TARGET_M + _uniform(rng, TARGET_JITTER_M)
    )
    wrist = model.camera("wrist").id
    model.cam_pos[wrist] = rest.cam_pos[wrist] + _uniform(rng, WRIST_JITTER_M)


def set_color(model: mujoco.MjModel, geom: str, rgb: FloatArray) -> None:
    """Paint a geom; what lies outside [0, 1] is cut off."""
    model.geom_rgba[model.geom(geom).id, :3] = np.clip(rgb, 0, 1)


def _uniform(rng: np.random.Generator, bound: float) -> FloatArray:
    return rng.uniform(-bound, bound, 3)


def _draw_colors(
    model: mujoco.MjModel, rng: np.random.Generator, layout: Layout, rest: mujoco.MjModel
) -> None:
    for index, color in enumerate(layout.colors):
        set_color(model, f"block{index}", np.array(BLOCK_RGB[color]) + _uniform(rng, COLOR_JITTER))
    for name in COLORED:
        rgb = rest.geom_rgba[rest.geom(name).id, :3] + _uniform(rng, COLOR_JITTER)
        set_color(model, name, rgb)
    # The table and the floor carry no meaning: any greyish or woody tone.
    for name in ("table", "floor"):
        grey = rng.uniform(0.35, 0.8)
        tint = np.array([0.06, 0.0, -0.08]) * rng.uniform(-0.5, 1.5)
        set_color(model, name, grey + tint)


def _draw_light(model: mujoco.MjModel, rng: np.random.Generator) -> None:
    lamp = model.light("lamp").id
    direction = np.array([0.0, 0.0, -1.0]) + rng.uniform(-0.6, 0.6, 3) * np.array([1, 1, 0])
    model.light_dir[lamp] = direction / np.linalg.norm(direction)
    model.light_diffuse[lamp] = rng.uniform(0.3, 0.7) * (1 + _uniform(rng, 0.08))
    model.vis.headlight.ambient[:] = rng.uniform(0.25, 0.45)
    model.vis.headlight.diffuse[:] = rng.uniform(0.1, 0.35)
