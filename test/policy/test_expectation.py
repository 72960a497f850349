"""What a robot expects of a policy that it has not met yet, and what it takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vla_ros.errors import CheckpointError, MessageError
from vla_ros.policy.check import check_fits
from vla_ros.policy.expectation import expected_spec, fitting_spec
from vla_ros.policy.meaning import joint_spec
from vla_ros.policy.messages import keys_of
from vla_ros.robot_config import RobotConfig, load_robot
from vla_ros.robot_server import PolicyServerConfig
from vla_ros.share import share_path

ROBOTS = ["panda", "panda_servo_twist", "panda_servo_pose", "so101", "ur5e"]
SERVER = PolicyServerConfig(
    horizon=20, step_s=0.05, height_px=48, width_px=64, images={"front": "image"}, joints="joints"
)


@pytest.fixture
def panda() -> RobotConfig:
    return load_robot(share_path("config/panda.yaml"))


@pytest.mark.parametrize("name", ROBOTS)
def test_what_is_expected_fits_the_robot(name: str):
    robot = load_robot(share_path(f"config/{name}.yaml"))
    spec = expected_spec(robot)
    check_fits(joint_spec(spec, robot), robot)
    assert {camera.name for camera in spec.cameras} == set(robot.cameras)


def test_what_the_server_says_counts_before_the_robot_file(panda: RobotConfig):
    said = replace(expected_spec(panda), horizon=33)
    robot = replace(panda, policy_server=SERVER)
    assert fitting_spec(said, robot) == (said, keys_of(said))


def test_the_robot_file_speaks_for_a_silent_server(panda: RobotConfig):
    spec, keys = fitting_spec(None, replace(panda, policy_server=SERVER))
    assert (spec.horizon, spec.step_s, spec.action_names) == (20, 0.05, panda.action_names)
    assert [(c.name, c.height_px, c.width_px) for c in spec.cameras] == [("front", 48, 64)]
    assert (keys.images, keys.joints, keys.state) == ({"front": "image"}, "joints", None)


def test_nobody_speaking_is_told(panda: RobotConfig):
    with pytest.raises(MessageError, match="panda.yaml, policy_server: horizon, step_s"):
        fitting_spec(None, panda)


def test_what_does_not_fit_is_refused_from_either(panda: RobotConfig):
    with pytest.raises(CheckpointError, match="trained for 'ur5e'"):
        fitting_spec(replace(expected_spec(panda), robot="ur5e"), panda)
    short = replace(panda, policy_server=replace(SERVER, horizon=2))
    with pytest.raises(CheckpointError, match="a chunk of the checkpoint ends after 0.1 s"):
        fitting_spec(None, short)
    with pytest.raises(CheckpointError, match="mean delta_joint_position"):
        fitting_spec(replace(expected_spec(panda), action_meaning="delta_joint_position"), panda)


def test_a_policy_that_cannot_continue_a_plan_is_refused_for_rtc(panda: RobotConfig):
    robot = replace(panda, chunks=replace(panda.chunks, join="rtc"))
    check_fits(expected_spec(robot), robot)  # nobody knows yet
    said = replace(expected_spec(robot), horizon=16, step_s=0.05)
    assert fitting_spec(said, robot)[0].prefix_steps == 1
    with pytest.raises(CheckpointError, match=r"join is rtc.*valid for it: latest, blend, ense"):
        fitting_spec(replace(said, prefix_steps=0), robot)
    with pytest.raises(CheckpointError, match="trained with --rtc-delay-steps or --head diffusion"):
        fitting_spec(None, replace(robot, policy_server=SERVER))


def test_a_prefix_is_for_joint_targets_alone(panda: RobotConfig):
    sink = replace(panda.arm_sink, meaning="delta_joint_position")
    robot = replace(panda, arm_sink=sink, chunks=replace(panda.chunks, join="rtc"))
    spec = joint_spec(expected_spec(robot), robot)
    with pytest.raises(CheckpointError, match="actions mean absolute_joint_position and open_fr"):
        check_fits(spec, robot)
