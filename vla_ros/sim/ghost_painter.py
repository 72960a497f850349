"""Draws the arm, a transparent one somewhere else, and a path; no table, nothing on it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import mujoco
import numpy as np

from vla_ros.datatypes import FloatArray, ImageArray, RobotState
from vla_ros.sim.scene import ARM_JOINTS, FINGER_JOINTS, FINGER_OPEN_M, urdf_for_mujoco

_SIZE_PX = 480
# From in front, a little aside: the path is before the arm.
_FOCUS_M, _DISTANCE_M, _YAW_RAD, _PITCH_RAD = (0.4, 0.0, 0.25), 1.5, 0.3, 0.4
_GHOST_RGBA = (1.0, 0.6, 0.2, 0.15)
# Links that both arms have at the same place would flicker.
_GHOST_SCALE = 1.02
_PATH_WIDTH_M, _STEP_WIDTH_M, _END_WIDTH_M = 0.008, 0.014, 0.03
_BLUE, _ORANGE = (0.1, 0.5, 1.0, 1.0), (1.0, 0.5, 0.1, 1.0)


class GhostPainter:
    """A MuJoCo renderer of the simulated arm alone; to be closed."""

    def __init__(self) -> None:
        self._model = _arm_alone()
        self._renderer = mujoco.Renderer(self._model, _SIZE_PX, _SIZE_PX)

    def draw(self, arm: RobotState, ghost: RobotState, path_m: FloatArray) -> ImageArray:
        """Draw two poses of the arm and a path in the base frame, shape (N, 3).

        Returns:
            uint8 (480, 480, 3) RGB.
        """
        view = mujoco.MjvCamera()
        view.lookat, view.distance = _FOCUS_M, _DISTANCE_M
        view.azimuth, view.elevation = np.rad2deg(_YAW_RAD) + 180, -np.rad2deg(_PITCH_RAD)
        self._renderer.update_scene(_posed(self._model, arm), view)
        scene = self._renderer.scene
        scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        _add_ghost(scene, self._model, _posed(self._model, ghost))
        _add_path(scene, path_m)
        return np.asarray(self._renderer.render(), np.uint8)

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()


def _arm_alone() -> mujoco.MjModel:
    spec = mujoco.MjSpec.from_string(urdf_for_mujoco())
    spec.visual.global_.offwidth = spec.visual.global_.offheight = _SIZE_PX
    spec.worldbody.add_light(pos=[1, 1, 2], dir=[-1, -1, -2])
    gradient = mujoco.mjtBuiltin.mjBUILTIN_GRADIENT
    sky = mujoco.mjtTexture.mjTEXTURE_SKYBOX
    spec.add_texture(
        name="sky", type=sky, builtin=gradient, rgb1=[0.9] * 3, rgb2=[0.7] * 3, width=64, height=384
    )
    checker = mujoco.mjtBuiltin.mjBUILTIN_CHECKER
    flat = mujoco.mjtTexture.mjTEXTURE_2D
    spec.add_texture(
        name="grid",
        type=flat,
        builtin=checker,
        rgb1=[0.75] * 3,
        rgb2=[0.8] * 3,
        width=64,
        height=64,
    )
    floor = spec.add_material(name="floor", texrepeat=[10, 10])
    floor.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "grid"
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 0.01], material="floor")
    return spec.compile()


def _posed(model: mujoco.MjModel, state: RobotState) -> mujoco.MjData:
    data = mujoco.MjData(model)
    for name, position_rad in zip(ARM_JOINTS, state.position_rad, strict=True):
        data.joint(name).qpos = position_rad
    for name in FINGER_JOINTS:
        data.joint(name).qpos = FINGER_OPEN_M * (state.gripper_open or 0.0)
    mujoco.mj_forward(model, data)
    return data


def _add_ghost(scene: mujoco.MjvScene, model: mujoco.MjModel, data: mujoco.MjData) -> None:
    first = scene.ngeom
    mujoco.mjv_addGeoms(
        model, data, mujoco.MjvOption(), mujoco.MjvPerturb(), mujoco.mjtCatBit.mjCAT_DYNAMIC, scene
    )
    for geom in scene.geoms[first : scene.ngeom]:
        geom.rgba = _GHOST_RGBA
        geom.size = geom.size * _GHOST_SCALE


def _add_path(scene: mujoco.MjvScene, path_m: FloatArray) -> None:
    for start_m, end_m in pairwise(path_m):
        geom = _added(scene, _BLUE)
        capsule = mujoco.mjtGeom.mjGEOM_CAPSULE
        mujoco.mjv_connector(geom, capsule, _PATH_WIDTH_M / 2, start_m, end_m)
    widths_m = [*[_STEP_WIDTH_M] * (len(path_m) - 1), _END_WIDTH_M]
    for place_m, width_m in zip(path_m, widths_m, strict=True):
        geom = _added(scene, _ORANGE if width_m == _END_WIDTH_M else _BLUE)
        geom.type, geom.size, geom.pos = mujoco.mjtGeom.mjGEOM_SPHERE, [width_m / 2] * 3, place_m


def _added(scene: mujoco.MjvScene, rgba: Sequence[float]) -> mujoco.MjvGeom:
    geom = scene.geoms[scene.ngeom]
    mujoco.mjv_initGeom(
        geom, mujoco.mjtGeom.mjGEOM_SPHERE, np.ones(3), np.zeros(3), np.eye(3).ravel(), rgba
    )
    scene.ngeom += 1
    return geom
