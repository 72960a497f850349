"""The robot file: what it gives, and that everything wrong with it is told at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from vla_ros.errors import RobotFileError
from vla_ros.robot_config import load_robot
from vla_ros.share import share_path

PANDA = share_path("config/panda.yaml")


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], object]], Path]:
    """Write a changed copy of the Panda's robot file; returns its path."""

    def change(edit: Callable[[dict[str, Any]], object]) -> Path:
        data = yaml.safe_load(PANDA.read_text())
        data["urdf"] = str(share_path("description/panda.urdf.xacro"))
        edit(data)
        path = tmp_path / "robot.yaml"
        path.write_text(yaml.safe_dump(data))
        return path

    return change


def test_limits_come_from_the_urdf_and_are_scaled() -> None:
    robot = load_robot(PANDA)
    np.testing.assert_allclose(robot.limits.velocity_rad_s[0], 0.7 * 2.175)
    np.testing.assert_allclose(robot.limits.lower_rad[3], -3.0718)
    assert robot.action_names == (*robot.joints, "gripper")


def test_gripper_fraction_and_metres_are_inverse() -> None:
    gripper = load_robot(PANDA).gripper
    assert gripper is not None
    for fraction in (0.0, 0.3, 1.0):
        assert gripper.open_fraction(gripper.position_m(fraction)) == pytest.approx(fraction)


def test_all_problems_are_told_in_one_message(write: Callable[..., Path]) -> None:
    def spoil(data: dict[str, Any]) -> None:
        data["joints"][2] = "elbo"
        data["tick_hz"] = "fast"
        data["speed"] = 3
        del data["limits"]["jerk_rad_s3"]
        data["cameras"]["front"]["max_age_s"] = 500
        data["gripper"]["open_m"] = 40
        data["actions"]["arm"]["sink"] = "telepathy"

    with pytest.raises(RobotFileError) as caught:
        load_robot(write(spoil))
    message = str(caught.value)
    assert len(caught.value.problems) == 7
    for part in (
        "joints.2: joint 'elbo' is not in the URDF; it has: panda_joint1",
        "tick_hz: 'fast' is not of type 'number'",
        "('speed' was unexpected); valid keys: robot, tick_hz",
        "limits: 'jerk_rad_s3' is a required property",
        "cameras.front.max_age_s: 500 is greater than the maximum of 60 (seconds)",
        "gripper.open_m: 40 is outside the URDF's limits 0.0 … 0.04 m",
        "actions.arm.sink: 'telepathy' is not one of ['joint_trajectory']",
        "robot.yaml",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda d: d["limits"].update(acceleration_rad_s2=900),
            "at most 200 .radians, not degrees",
        ),
        (lambda d: d["limits"].update(jerk_rad_s3=[1.0, 2.0]), "has 2 values for 7 joints"),
        (lambda d: d["limits"].update(velocity_scale=50), "50 is greater than the maximum of 1"),
        (lambda d: d.update(tip_link="nose"), "link 'nose' is not in the URDF; it has: panda_"),
        (lambda d: d["joints"].pop(), "moving joints up to the tip are"),
        (lambda d: d["joints"].reverse(), "moving joints up to the tip are"),
        (lambda d: d["actions"].pop("gripper"), "both or neither must be given"),
        (lambda d: d.update(urdf="nowhere.urdf"), "nowhere.urdf does not exist"),
        (lambda d: d.update(cameras={}), "cameras: {} should be non-empty"),
        (lambda d: d["state"].update(topic="no spaces"), "state.topic: 'no spaces' does not match"),
    ],
)
def test_single_problem_is_named(
    write: Callable[..., Path], edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(RobotFileError, match=message):
        load_robot(write(edit))


def test_joint_without_limits_in_the_urdf_is_refused(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    urdf = tmp_path / "arm.urdf"
    urdf.write_text(
        '<robot name="a"><link name="base"/><link name="tip"/><joint name="j1" type="revolute">'
        '<parent link="base"/><child link="tip"/><axis xyz="0 0 1"/>'
        '<limit lower="-1" upper="1" effort="1"/></joint></robot>'
    )

    def edit(data: dict[str, Any]) -> None:
        data.update(urdf=str(urdf), joints=["j1"], tip_link="tip")
        data["limits"].update(acceleration_rad_s2=1.0, jerk_rad_s3=1.0)
        del data["gripper"], data["actions"]["gripper"]

    with pytest.raises(RobotFileError, match="gives joint 'j1' no limit velocity"):
        load_robot(write(edit))


def test_file_that_is_missing_or_no_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RobotFileError, match="cannot be read: No such file"):
        load_robot(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("joints: [a, b")
    with pytest.raises(RobotFileError, match="no valid YAML"):
        load_robot(broken)
