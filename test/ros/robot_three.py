"""A small robot: three hinges, a finger, one camera."""

from __future__ import annotations

_JOINTS = ("shoulder", "elbow", "wrist")
_LINKS = ("base", "upper", "lower", "hand")

ROBOT_YAML = """
robot: three
tick_hz: 100
urdf: three.urdf
tip_link: hand
joints: [shoulder, elbow, wrist]
limits: {from: urdf, velocity_scale: 1.0, acceleration_rad_s2: 10.0, jerk_rad_s3: 200.0}
gripper: {joint: finger, closed_m: 0.0, open_m: 0.04}
cameras:
  front: {topic: /front/image_raw, max_age_s: 0.5}
state: {topic: /joint_states, max_age_s: 0.2}
instruction: {topic: /vla/instruction}
actions:
  arm: {meaning: absolute_joint_position, sink: joint_trajectory, topic: /arm/joint_trajectory}
  gripper: {meaning: open_fraction, sink: joint_trajectory, topic: /hand/joint_trajectory}
chunks: {execute_s: 0.3, blend_s: 0.1, expire_after_s: 0.8}
"""


def three_urdf() -> str:
    """An arm of three hinges and a finger."""
    arm = "".join(
        f'<link name="{child}"/><joint name="{joint}" type="revolute"><parent link="{parent}"/>'
        f'<child link="{child}"/><origin xyz="0 0 0.3"/><axis xyz="0 1 0"/>'
        '<limit lower="-2" upper="2" velocity="1.5" effort="10"/></joint>'
        for joint, parent, child in zip(_JOINTS, _LINKS[:-1], _LINKS[1:], strict=True)
    )
    finger = (
        '<link name="tip"/><joint name="finger" type="prismatic"><parent link="hand"/>'
        '<child link="tip"/><limit lower="0" upper="0.04" velocity="0.2" effort="10"/></joint>'
    )
    return f'<robot name="three"><link name="base"/>{arm}{finger}</robot>'
