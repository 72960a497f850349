"""Build the MuJoCo model of the tabletop: the arm from its URDF, and everything on the table."""

from __future__ import annotations

import mujoco
import numpy as np

from vla_ros.share import share_path
from vla_ros.sim.layout import BLOCKS, DRAWER_TRAVEL_M
from vla_ros.urdf import expand

TIMESTEP_S = 0.005
CAMERAS = ("front", "wrist")
ARM_JOINTS = tuple(f"panda_joint{i}" for i in range(1, 8))
FINGER_JOINTS = ("panda_finger_joint1", "panda_finger_joint2")
FINGER_OPEN_M = 0.04
HANDLE_HEIGHT_M = 0.046
FRONT_CAMERA_M = np.array([1.02, 0.0, 0.74])
FRONT_TARGET_M = np.array([0.51, 0.0, 0.0])
TRAY_HALF_M = 0.075
MARK_RADIUS_M = 0.045
DISTRACTOR_RADIUS_M, DISTRACTOR_HALF_M = 0.024, 0.03

_HIDDEN_GROUP = 3
_ARM_GAIN = (4500.0, 4500.0, 3500.0, 3500.0, 2000.0, 2000.0, 2000.0)
_ARM_DAMPING_S = 0.06
_ARM_FORCE = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)
# A contact takes the larger friction of the two: rubber fingertips grip, blocks slide on the table.
_GRASP_FRICTION = (1.3, 0.02, 0.001)
_SLIDE_FRICTION = (0.4, 0.005, 0.0001)
_TOUCHING_BODIES = ("panda_hand", "panda_finger1", "panda_finger2")


def build_model(render_px: int, *, distractor: bool = False) -> mujoco.MjModel:
    """Compile the scene.

    Args:
        render_px: Edge of the largest picture to render.
        distractor: Whether an object stands on the table that no words name.
    """
    spec = mujoco.MjSpec.from_string(urdf_for_mujoco())
    _set_options(spec, render_px)
    _prepare_arm(spec)
    _add_cameras(spec)
    _add_surroundings(spec)
    for index in range(BLOCKS):
        _add_block(spec, index)
    _add_tray(spec)
    _add_cabinet(spec)
    if distractor:
        _add_distractor(spec)
    return spec.compile()


def urdf_for_mujoco() -> str:
    """Keep what MuJoCo would drop from a URDF: visuals, and links that hang on fixed joints."""
    text = expand(share_path("description/panda.urdf.xacro"))
    start = text.index(">", text.index("<robot")) + 1
    extension = '<mujoco><compiler discardvisual="false" fusestatic="false"/></mujoco>'
    return text[:start] + extension + text[start:]


def _set_options(spec: mujoco.MjSpec, render_px: int) -> None:
    option = spec.option
    option.timestep = TIMESTEP_S
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 10
    spec.visual.global_.offwidth = max(640, render_px)
    spec.visual.global_.offheight = max(480, render_px)
    # Shadow maps and multisampling cost most of a software renderer's time.
    spec.visual.quality.shadowsize = 0
    spec.visual.quality.offsamples = 0
    spec.visual.headlight.ambient = [0.35, 0.35, 0.35]
    spec.visual.headlight.diffuse = [0.25, 0.25, 0.25]
    spec.visual.headlight.specular = [0, 0, 0]
    spec.visual.map.znear = 0.01


def _prepare_arm(spec: mujoco.MjSpec) -> None:
    for body in spec.bodies:
        body.gravcomp = 1 if body.name != "world" else 0
        for geom in body.geoms:
            _prepare_geom(geom, touches=body.name in _TOUCHING_BODIES)
    for name in ARM_JOINTS:
        spec.joint(name).armature = 0.1
    for name, gain, force in zip(ARM_JOINTS, _ARM_GAIN, _ARM_FORCE, strict=True):
        _add_servo(spec, name, gain, gain * _ARM_DAMPING_S, force)
    for name in FINGER_JOINTS:
        spec.joint(name).armature = 0.05
        _add_servo(spec, name, 1500.0, 60.0, 40.0)


def _prepare_geom(geom: mujoco.MjsGeom, *, touches: bool) -> None:
    """Show visuals, hide collision shapes; only the hand and the fingers touch things."""
    if geom.contype == 0:
        return
    geom.group = _HIDDEN_GROUP
    if touches:
        geom.friction = list(_GRASP_FRICTION)
        geom.condim = 4
        # The hand meets the objects and the table, never the rest of the arm.
        geom.contype, geom.conaffinity = 2, 1
    else:
        geom.contype, geom.conaffinity = 0, 0


def _add_servo(spec: mujoco.MjSpec, joint: str, gain: float, damping: float, force: float) -> None:
    actuator = spec.add_actuator(name=joint, target=joint)
    actuator.trntype = mujoco.mjtTrn.mjTRN_JOINT
    actuator.gaintype = mujoco.mjtGain.mjGAIN_FIXED
    actuator.biastype = mujoco.mjtBias.mjBIAS_AFFINE
    actuator.gainprm[0] = gain
    actuator.biasprm[:3] = [0, -gain, -damping]
    actuator.forcelimited = True
    actuator.forcerange = [-force, force]


def _add_cameras(spec: mujoco.MjSpec) -> None:
    spec.worldbody.add_camera(name="front", pos=FRONT_CAMERA_M, fovy=45)
    # MuJoCo's cameras look along -z with y up; an optical frame looks along z with y down.
    spec.body("wrist_camera_optical_frame").add_camera(name="wrist", quat=[0, 1, 0, 0], fovy=85)
    spec.worldbody.add_camera(name="demo", pos=[1.35, -0.75, 0.85], fovy=40)
    spec.camera("demo").quat = look_at(np.array([1.35, -0.75, 0.85]), np.array([0.38, 0.0, 0.18]))


def look_at(eye_m: np.ndarray, target_m: np.ndarray) -> np.ndarray:
    """Quaternion (w, x, y, z) of a MuJoCo camera at `eye_m` looking at `target_m`, upright."""
    back = (eye_m - target_m) / np.linalg.norm(eye_m - target_m)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(back, right), back], axis=1)
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, rotation.flatten())
    return quaternion


def _add_surroundings(spec: mujoco.MjSpec) -> None:
    world, box = spec.worldbody, mujoco.mjtGeom.mjGEOM_BOX
    world.add_geom(
        name="table",
        type=box,
        size=[0.5, 0.55, 0.02],
        pos=[0.45, 0, -0.02],
        rgba=[0.6, 0.5, 0.4, 1],
        friction=list(_SLIDE_FRICTION),
        conaffinity=3,
    )
    world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[3, 3, 0.1],
        pos=[0, 0, -0.5],
        rgba=[0.3, 0.3, 0.32, 1],
    )
    world.add_light(
        name="lamp",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[0.5, 0, 2],
        dir=[0, 0, -1],
        diffuse=[0.5, 0.5, 0.5],
        specular=[0.1, 0.1, 0.1],
        castshadow=False,
    )
    for name in ("left", "right", "front"):
        body = world.add_body(name=f"mark_{name}")
        body.add_geom(
            name=f"mark_{name}",
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            size=[MARK_RADIUS_M, 0.0006, 0],
            pos=[0, 0, 0.0006],
            rgba=[0.15, 0.15, 0.17, 1],
            contype=0,
            conaffinity=0,
        )


def _add_block(spec: mujoco.MjSpec, index: int) -> None:
    body = spec.worldbody.add_body(name=f"block{index}")
    body.add_freejoint(name=f"block{index}")
    body.add_geom(
        name=f"block{index}",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[0.024] * 3,
        mass=0.08,
        friction=list(_SLIDE_FRICTION),
        condim=4,
        contype=1,
        conaffinity=7,
    )


def _add_distractor(spec: mujoco.MjSpec) -> None:
    body = spec.worldbody.add_body(name="distractor")
    body.add_freejoint(name="distractor")
    body.add_geom(
        name="distractor",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[DISTRACTOR_RADIUS_M, DISTRACTOR_HALF_M, 0],
        mass=0.15,
        friction=list(_SLIDE_FRICTION),
        condim=4,
        contype=1,
        conaffinity=7,
    )


def _add_tray(spec: mujoco.MjSpec) -> None:
    body = spec.worldbody.add_body(name="tray")
    half, rim, height = TRAY_HALF_M, 0.004, 0.008
    shapes = [([half, half, 0.002], [0, 0, 0.002])]
    for sign in (-1, 1):
        shapes.append(([rim, half, height], [sign * half, 0, height]))
        shapes.append(([half, rim, height], [0, sign * half, height]))
    for number, (size, pos) in enumerate(shapes):
        body.add_geom(
            name=f"tray{number}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=size,
            pos=pos,
            rgba=[0.75, 0.76, 0.78, 1],
            contype=1,
            conaffinity=3,
        )


def _add_cabinet(spec: mujoco.MjSpec) -> None:
    """A box whose drawer slides towards the robot; the handle is a bar across its face."""
    box = mujoco.mjtGeom.mjGEOM_BOX
    body = spec.worldbody.add_body(name="cabinet")
    shell, wood = [0.40, 0.30, 0.22, 1], [0.80, 0.72, 0.55, 1]
    for name, size, pos in (
        ("cabinet_top", [0.07, 0.085, 0.004], [0, 0, 0.066]),
        ("cabinet_left", [0.07, 0.004, 0.035], [0, 0.081, 0.035]),
        ("cabinet_right", [0.07, 0.004, 0.035], [0, -0.081, 0.035]),
        ("cabinet_back", [0.004, 0.085, 0.035], [0.066, 0, 0.035]),
    ):
        body.add_geom(name=name, type=box, size=size, pos=pos, rgba=shell, contype=1, conaffinity=3)
    drawer = body.add_body(name="drawer")
    drawer.add_joint(
        name="drawer",
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=[-1, 0, 0],
        limited=True,
        range=[0, DRAWER_TRAVEL_M],
        damping=8.0,
        frictionloss=1.0,
    )
    handle = [0.006, 0.055, 0.006]
    for name, size, pos in (
        ("drawer_face", [0.004, 0.076, 0.026], [-0.066, 0, 0.032]),
        ("drawer_floor", [0.06, 0.072, 0.003], [-0.005, 0, 0.012]),
        ("handle", handle, [-0.126, 0, HANDLE_HEIGHT_M]),
        ("handle_left", [0.03, 0.005, 0.005], [-0.096, 0.055, HANDLE_HEIGHT_M]),
        ("handle_right", [0.03, 0.005, 0.005], [-0.096, -0.055, HANDLE_HEIGHT_M]),
    ):
        rgba = [0.1, 0.1, 0.12, 1] if name.startswith("handle") else wood
        drawer.add_geom(
            name=name, type=box, size=size, pos=pos, rgba=rgba, mass=0.1, contype=4, conaffinity=2
        )
