"""Every shipped robot file is valid against the schema and its URDF, and says where it is from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from vla_ros.inverse_kinematics import solve_pose
from vla_ros.robot_config import load_robot
from vla_ros.runtime.shaper import Shaper
from vla_ros.share import share_path
from vla_ros.urdf import expand, read_joints

CONFIG = share_path("config")
FILES = sorted(
    path for path in CONFIG.glob("*.yaml") if "joints" in (yaml.safe_load(path.read_text()) or {})
)
PUBLISHED = {
    "fr3": ("fr3_arm_controller", 7, 2.62, "frankarobotics/franka_description"),
    "ur5e": ("scaled_joint_trajectory_controller", 6, np.pi, "Universal_Robots_ROS2_Description"),
    "so101": ("arm_controller", 5, 10.0, "TheRobotStudio/SO-ARM100"),
    "xarm7": ("xarm7_traj_controller", 7, 3.14, "xArm-Developer/xarm_ros2"),
    "kinova_gen3": ("joint_trajectory_controller", 7, 1.3963, "Kinovarobotics/ros2_kortex"),
}


def test_the_arms_of_the_list_are_there():
    assert {"panda", *PUBLISHED} <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_fits_its_urdf(path: Path):
    robot = load_robot(path)
    urdf = read_joints(expand(robot.urdf_path))
    for index, name in enumerate(robot.joints):
        joint = urdf[name]
        assert robot.limits.velocity_rad_s[index] <= joint.velocity_rad_s
        if joint.lower_rad is not None:
            assert robot.limits.lower_rad[index] >= joint.lower_rad
            assert robot.limits.upper_rad[index] <= joint.upper_rad
    if robot.gripper is not None:
        assert robot.gripper.joint in urdf
        assert robot.gripper.joint not in robot.joints


def test_the_gripper_of_the_so101_keeps_to_its_share_of_the_urdfs_velocity():
    gripper = load_robot(CONFIG / "so101.yaml").gripper
    assert gripper.velocity_m_s == pytest.approx(0.2 * 10.0)  # rad/s, 1.91 rad in about a second


@pytest.mark.parametrize("name", PUBLISHED)
def test_names_and_limits_are_the_published_ones(name: str):
    path = CONFIG / f"{name}.yaml"
    controller, joints, first_rad_s, source = PUBLISHED[name]
    robot = load_robot(path)
    assert robot.robot == name
    assert robot.arm_sink.topic.startswith(f"/{controller}/")
    assert len(robot.joints) == joints
    scale = yaml.safe_load(path.read_text())["limits"]["velocity_scale"]
    assert robot.limits.velocity_rad_s[0] == pytest.approx(scale * first_rad_s)
    assert "https://github.com/" in path.read_text()
    assert source in path.read_text()
    assert source in robot.urdf_path.read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_arm_can_be_shaped_and_its_kinematics_are_invertible(path: Path):
    robot = load_robot(path)
    limits = robot.limits
    middle = (limits.lower_rad + limits.upper_rad) / 2 + 0.2
    shaper = Shaper(limits, robot.tick_s)
    shaper.seed(middle, np.zeros_like(middle))
    for _ in range(200):
        state = shaper.step(middle + 0.1, np.zeros_like(middle))
    np.testing.assert_allclose(state.position, middle + 0.1, atol=0.03)
    pose = robot.chain.forward(middle + 0.1)
    found = solve_pose(robot.chain, pose, middle, (limits.lower_rad, limits.upper_rad))
    np.testing.assert_allclose(robot.chain.forward(found), pose, atol=5e-3)
