"""Put the things of a layout where it says, and the arm in its pose."""

from __future__ import annotations

import mujoco
import numpy as np

from vla_ros.sim.layout import Layout
from vla_ros.sim.scene import ARM_JOINTS, FINGER_JOINTS, FINGER_OPEN_M


def place_things(model: mujoco.MjModel, data: mujoco.MjData, layout: Layout) -> None:
    """Move marks, tray and cabinet, size the blocks, and set the positions of all joints.

    Args:
        model: The scene, as `build_model` makes it; changed.
        data: Its state; changed, without `mj_forward`.
        layout: Where everything is, and how large.
    """
    for name, xy in layout.mark_xy_m.items():
        model.body_pos[model.body(f"mark_{name}").id, :2] = xy
    model.body_pos[model.body("tray").id, :2] = layout.tray_xy_m
    model.body_pos[model.body("cabinet").id, :2] = layout.cabinet_xy_m
    for index in range(len(layout.block_half_m)):
        _place_block(model, data, layout, index)
    data.joint("drawer").qpos[0] = layout.drawer_m
    for joint, position_rad in zip(ARM_JOINTS, layout.arm_rad, strict=True):
        data.joint(joint).qpos[0] = position_rad
    for joint in FINGER_JOINTS:
        data.joint(joint).qpos[0] = FINGER_OPEN_M


def _place_block(model: mujoco.MjModel, data: mujoco.MjData, layout: Layout, index: int) -> None:
    half = layout.block_half_m[index]
    geom = model.geom(f"block{index}").id
    model.geom_size[geom] = half
    model.geom_rbound[geom] = half * np.sqrt(3)
    model.geom_aabb[geom, 3:] = half
    yaw = layout.block_yaw_rad[index]
    start = int(model.joint(f"block{index}").qposadr[0])
    data.qpos[start : start + 3] = (*layout.block_xy_m[index], half)
    data.qpos[start + 3 : start + 7] = (np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))
