"""The robot file: what it gives, and that everything wrong with it is told at once."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from vla_ros.errors import RobotFileError, UrdfError
from vla_ros.robot_config import JOINS, JointLimits, load_robot
from vla_ros.share import share_path
from vla_ros.urdf import chain_to, expand, read_joints

PANDA = share_path("config/panda.yaml")
SERVER = {
    "horizon": 16,
    "step_s": 0.05,
    "height_px": 224,
    "width_px": 224,
    "images": {"front": "observation/image"},
}


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


def test_limits_may_be_narrowed(write: Callable[..., Path]) -> None:
    robot = load_robot(write(lambda d: d["limits"].update(upper_rad=[1, 1, 1, -1, 1, 2, 1])))
    np.testing.assert_array_equal(robot.limits.upper_rad, [1, 1, 1, -1, 1, 2, 1])
    np.testing.assert_allclose(robot.limits.lower_rad[3], -3.0718)


def test_outputs_are_filled_in(write: Callable[..., Path]) -> None:
    def choose(data: dict[str, Any]) -> None:
        servo = {"sink": "servo_twist", "topic": "/servo_node/delta_twist_cmds"}
        data["actions"]["arm"].update(servo)
        data["actions"]["gripper"].update(sink="gripper_command", topic="/hand/gripper_cmd")

    robot = load_robot(write(choose))
    assert robot.arm_sink.switch == "/servo_node/switch_command_type"
    assert robot.arm_sink.joints == robot.joints
    assert robot.gripper_sink is not None
    assert robot.gripper_sink.hysteresis is not None
    assert (robot.base_link, robot.tip_link) == ("panda_link0", "panda_hand_tcp")


def test_a_finger_may_be_a_joint_of_the_arms_controller(write: Callable[..., Path]) -> None:
    def choose(data: dict[str, Any]) -> None:
        data["actions"]["gripper"].update(sink="with_arm")
        del data["actions"]["gripper"]["topic"]

    robot = load_robot(write(choose))
    assert robot.arm_sink.joints == (*robot.joints, "panda_finger_joint1")


def test_safety_is_optional_and_read(write: Callable[..., Path]) -> None:
    robot = load_robot(write(lambda data: data.pop("safety", None)))
    assert robot.safety.emergency_stop_topic is robot.safety.deadman is None
    assert robot.safety.workspace is None
    box = {"lower_m": [0.1, -0.5, 0], "upper_m": [0.7, 0.5, 0.8]}
    safety = {"emergency_stop": {"topic": "/stop"}, "deadman": {"topic": "/d"}, "workspace": box}
    robot = load_robot(write(lambda d: d.update(safety={**safety, "following": {"within_s": 1}})))
    assert robot.safety.emergency_stop_topic == "/stop"
    assert robot.safety.deadman is not None
    assert robot.safety.deadman.max_age_s == 0.3
    assert robot.safety.workspace is not None
    np.testing.assert_array_equal(robot.safety.workspace.upper_m, [0.7, 0.5, 0.8])
    assert robot.safety.following.within_s == 1


@pytest.mark.parametrize("join", JOINS)
def test_how_chunks_join_may_be_chosen(write: Callable[..., Path], join: str) -> None:
    assert load_robot(write(lambda data: data["chunks"].update(join=join))).chunks.join == join
    assert load_robot(PANDA).chunks.join == "blend"


def test_an_unknown_join_is_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(RobotFileError, match=r"chunks.join: 'glue' is not one of \['latest', "):
        load_robot(write(lambda data: data["chunks"].update(join="glue")))


def test_chunks_may_be_left_out(write: Callable[..., Path]) -> None:
    robot = load_robot(write(lambda data: data.pop("chunks")))
    assert robot.chunks.blend_s <= robot.chunks.execute_s < robot.chunks.expire_after_s


def test_a_gripper_in_the_arms_trajectory_is_limited_and_others_where_the_file_says_so(
    write: Callable,
) -> None:
    def with_arm(data: dict) -> None:
        data["actions"]["gripper"] = {"meaning": "open_fraction", "sink": "with_arm"}

    def velocity(edit: Callable[[dict], object]) -> float | None:
        gripper = load_robot(write(edit)).gripper
        assert gripper is not None
        return gripper.velocity_m_s

    assert velocity(lambda d: None) is None
    assert velocity(lambda d: d["gripper"].update(velocity_m_s=0.1)) == 0.1
    assert velocity(with_arm) == pytest.approx(0.7 * 0.2)  # velocity_scale of the URDF's
    assert velocity(lambda d: (with_arm(d), d["gripper"].update(velocity_m_s=0.05))) == 0.05


def test_a_gripper_in_the_arms_trajectory_without_a_velocity_takes_a_second(
    write: Callable, tmp_path: Path
) -> None:
    def edit(data: dict) -> None:
        text = expand(share_path("description/panda.urdf.xacro"))
        (tmp_path / "no_velocity.urdf").write_text(text.replace('velocity="0.2"', ""))
        data["urdf"] = str(tmp_path / "no_velocity.urdf")
        data["actions"]["gripper"] = {"meaning": "open_fraction", "sink": "with_arm"}

    gripper = load_robot(write(edit)).gripper
    assert gripper is not None
    assert gripper.velocity_m_s == pytest.approx(0.04)
    assert gripper.opening_change(0.5, 1.0) == pytest.approx(0.5)
    assert gripper.opening_change(0.5, 0.1) == pytest.approx(0.05)


def test_gripper_fraction_and_metres_are_inverse() -> None:
    gripper = load_robot(PANDA).gripper
    assert gripper is not None
    for fraction in (0.0, 0.3, 1.0):
        assert gripper.open_fraction(gripper.position_m(fraction)) == pytest.approx(fraction)


def test_all_problems_are_told_in_one_message(write: Callable[..., Path]) -> None:
    def spoil_some(data: dict[str, Any]) -> None:
        data["joints"][2] = "elbo"
        data["tick_hz"] = "fast"
        data["speed"] = 3
        del data["limits"]["jerk_rad_s3"]
        data["cameras"]["front"]["max_age_s"] = 500
        data["gripper"]["open_m"] = 40
        data["actions"]["arm"]["sink"] = "telepathy"

    with pytest.raises(RobotFileError) as caught:
        load_robot(write(spoil_some))
    message = str(caught.value)
    assert len(caught.value.problems) == 7
    for part in (
        "joints.2: joint 'elbo' is not in the URDF; it has: panda_joint1",
        "tick_hz: 'fast' is not of type 'number'",
        "('speed' was unexpected); valid keys: robot, tick_hz",
        "limits: 'jerk_rad_s3' is a required property",
        "cameras.front.max_age_s: 500 is greater than the maximum of 60 (seconds)",
        "gripper.open_m: 40 is outside the URDF's limits 0.0 … 0.04 m",
        "actions.arm.sink: 'telepathy' is not one of ['joint_trajectory', ",
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
        (
            lambda d: d.update(chunks={"execute_s": 50, "expire_after_s": 1.0}),
            "execute_s 50, expire_after_s 1.0; valid: .* execute_s below expire_after_s",
        ),
        (
            lambda d: d.update(safety={"workspace": {"lower_m": [0, 0, 1], "upper_m": [1, 1, 1]}}),
            "safety.workspace: lower_m is .0, 0, 1., upper_m .1, 1, 1.; valid: each number of low",
        ),
        (lambda d: d.update(safety={"workspace": {"lower_m": [0, 0, 1]}}), "'upper_m' is a requir"),
        (lambda d: d.update(chunks={"execute_s": 0.8}), "execute_s 0.8, expire_after_s 0.8; valid"),
        (lambda d: d.update(chunks={"blend_s": 0.4}), "chunks: blend_s is 0.4, execute_s 0.3"),
        (lambda d: d.update(cameras={}), "cameras: {} should be non-empty"),
        (
            lambda d: d["cameras"]["front"].update(rectify=True),
            "cameras.front: rectify and camera_info .* go together; got rectify True, .* None",
        ),
        (
            lambda d: d["cameras"]["front"].update(camera_info="/camera_info"),
            "cameras.front: rectify and camera_info .* go together; got rectify False",
        ),
        (
            lambda d: d["limits"].update(lower_rad=[-3.0, -2, -2, -3, -2, 0, -2]),
            "limits.lower_rad: -3.0 is wider than the URDF's -2.8973 of 'panda_joint1'",
        ),
        (lambda d: d["limits"].update(upper_rad=[1.0]), "limits.upper_rad: has 1 values for 7"),
        (
            lambda d: (d.update(tick_hz=20), d["actions"]["arm"].update(sink="servo_twist")),
            "tick_hz: 20 with sink servo_twist; valid: 30 or more",
        ),
        (lambda d: d["actions"]["arm"].update(frame="tip"), "arm.frame: has no meaning with abs"),
        (lambda d: d["actions"]["arm"].update(switch="/x"), "arm.switch: .* the sink is joint_tra"),
        (lambda d: d["actions"]["arm"].update(joints=["a"]), "arm.joints: a; valid: all of panda_"),
        (lambda d: d["actions"]["gripper"].pop("topic"), "gripper.topic: got None; valid: the dri"),
        (lambda d: d["actions"]["gripper"].update(sink="with_arm"), "valid: none with with_arm"),
        (
            lambda d: d["gripper"].update(velocity_m_s=0.3),
            "gripper.velocity_m_s: 0.3 is above the URDF's 0.2 of 'panda_finger_joint1'",
        ),
        (
            lambda d: (
                d["gripper"].update(velocity_m_s=0.1),
                d["actions"]["gripper"].update(hysteresis={}),
            ),
            "gripper.velocity_m_s: has no effect on a gripper action or with hysteresis",
        ),
        (
            lambda d: d["actions"]["gripper"].update(hysteresis={"close_below": 0.9}),
            "close_below 0.9 is above open_above 0.6",
        ),
        (
            lambda d: d.update(policy_server=SERVER | {"images": {"top": "observation/image"}}),
            "policy_server.images.top: there is no such camera; valid: front, wrist",
        ),
        (
            lambda d: d.update(policy_server=SERVER | {"prompt": "observation/image"}),
            "policy_server: the key 'observation/image' is used twice",
        ),
        (
            lambda d: d.update(policy_server=SERVER | {"step_s": math.nan}),
            "policy_server.step_s: got nan; valid: a finite number",
        ),
        (
            lambda d: (
                d.update(policy_server=SERVER | {"gripper": "observation/gripper"}),
                d.pop("gripper"),
                d["actions"].pop("gripper"),
            ),
            "policy_server.gripper: the robot has no gripper",
        ),
        (lambda d: d["state"].update(topic="no spaces"), "state.topic: 'no spaces' does not match"),
        (lambda d: d["state"].update(topic="/states/"), "state.topic: '/states/' does not match"),
        (lambda d: d["state"].update(topic="/a//b"), "state.topic: '/a//b' does not match"),
        (lambda d: d["state"].update(topic="/arm/2"), "state.topic: '/arm/2' does not match"),
        (
            lambda d: d["cameras"].update({0: d["cameras"].pop("front")}),
            "cameras: 0 is not of type 'string' .a camera's name; put a number in quotes.",
        ),
        (
            lambda d: d["actions"]["gripper"].update(topic=d["actions"]["arm"]["topic"]),
            "actions.gripper.topic: .* is the arm's, too; valid: the gripper's own",
        ),
        (
            lambda d: d["gripper"].update(joint="panda_joint1"),
            "gripper.joint: 'panda_joint1' is one of the arm's joints, too",
        ),
    ],
)
def test_single_problem_is_named(
    write: Callable[..., Path], edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(RobotFileError, match=message):
        load_robot(write(edit))


def spoil(data: Any, bad: float, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Put `bad` in the place of every number of a robot file; tells the keys of each."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        here = (*path, key) if isinstance(key, str) else path
        if isinstance(value, int | float):
            data[key] = bad
            yield ".".join(here)
        elif isinstance(value, dict | list):
            yield from spoil(value, bad, here)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_every_number_must_be_finite(write: Callable[..., Path], bad: float) -> None:
    keys: set[str] = set()

    def spoil_all(data: dict[str, Any]) -> None:
        del data["mirror"]  # a list is told entry by entry there: test/learn/test_mirror.py
        keys.update(spoil(data, bad))

    with pytest.raises(RobotFileError) as caught:
        load_robot(write(spoil_all))
    assert len(keys) == 14
    told = [problem.partition(": got ") for problem in caught.value.problems]
    assert sorted(key for key, _, _ in told) == sorted(keys)
    assert all(re.search(rf"{bad}.*; valid: (a finite|above 0)", text) for *_, text in told)


@pytest.mark.parametrize("name", [field.name for field in fields(JointLimits)])
def test_joint_limits_must_be_finite(name: str) -> None:
    limits = {field.name: np.ones(7) for field in fields(JointLimits)}
    with pytest.raises(RobotFileError, match=rf"{name} is \[nan, .*; valid: finite numbers"):
        JointLimits(**{**limits, name: np.full(7, math.nan)})


@pytest.fixture
def write_with_urdf(
    write: Callable[[Callable[[dict[str, Any]], object]], Path], tmp_path: Path
) -> Callable[[str, str], Path]:
    """Write a robot file of one joint whose `<axis>` and `<limit>` are given."""

    def arm(axis: str, limit: str) -> Path:
        urdf = tmp_path / "arm.urdf"
        urdf.write_text(
            '<robot name="a"><link name="base"/><link name="tip"/><joint name="j1" type="revolute">'
            f'<parent link="base"/><child link="tip"/><axis xyz="{axis}"/><limit {limit}/>'
            "</joint></robot>"
        )

        def edit(data: dict[str, Any]) -> None:
            data.update(urdf=str(urdf), joints=["j1"], tip_link="tip")
            data["limits"].update(acceleration_rad_s2=1.0, jerk_rad_s3=1.0)
            del data["gripper"], data["actions"]["gripper"]

        return write(edit)

    return arm


@pytest.mark.parametrize(
    ("axis", "limit", "message"),
    [
        ("0 0 1", 'lower="-1" upper="1"', "gives joint 'j1' no limit velocity"),
        (
            "0 0 1",
            'lower="abc" upper="1" velocity="1"',
            "joint 'j1', limit lower: got 'abc'; valid: 1 number",
        ),
        ("0 0 1", 'lower="-1" upper="1" velocity="inf"', "empty or not finite.*velocity inf"),
        ("0 0 1", 'lower="nan" upper="1" velocity="1"', "empty or not finite: lower nan"),
        ("0 0 1", 'lower="1" upper="-1" velocity="1"', "empty or not finite: lower 1.0, upper -1"),
        ("0 0", 'lower="-1" upper="1" velocity="1"', "axis xyz: got '0 0'; valid: 3 numbers"),
        ("0 0 nan", 'lower="-1" upper="1" velocity="1"', "axis xyz: .*nan.* is not finite"),
        ("0 0 0", 'lower="-1" upper="1" velocity="1"', "'j1' turns about axis .*no direction"),
    ],
)
def test_urdf_that_does_not_describe_the_joint_is_refused(
    write_with_urdf: Callable[[str, str], Path], axis: str, limit: str, message: str
) -> None:
    with pytest.raises(RobotFileError, match=message):
        load_robot(write_with_urdf(axis, limit))


@pytest.mark.parametrize("suffix", [".urdf", ".urdf.xacro"])
def test_urdf_that_is_no_text_is_refused(
    write: Callable[..., Path], tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"arm{suffix}"
    path.write_bytes(b"<robot name='\xff'/>")
    with pytest.raises(RobotFileError, match=f"urdf: .*{suffix}"):
        load_robot(write(lambda data: data.update(urdf=str(path))))


def test_xacro_that_is_no_xml_is_refused(write: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / "arm.urdf.xacro"
    path.write_text("<robot><link></robot>")
    with pytest.raises(RobotFileError, match="urdf: xacro refuses .*mismatched tag"):
        load_robot(write(lambda data: data.update(urdf=str(path))))


def test_file_that_is_missing_or_no_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RobotFileError, match="cannot be read: No such file"):
        load_robot(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("joints: [a, b")
    with pytest.raises(RobotFileError, match="no valid YAML"):
        load_robot(broken)
    broken.write_bytes(b"robot: caf\xe9")
    with pytest.raises(RobotFileError, match="no UTF-8 text"):
        load_robot(broken)


def test_links_that_form_a_circle_are_refused() -> None:
    joint = '<joint name="{}" type="fixed"><parent link="{}"/><child link="{}"/></joint>'
    circle = joint.format("j1", "a", "b") + joint.format("j2", "b", "a")
    joints = read_joints(f'<robot name="r"><link name="a"/><link name="b"/>{circle}</robot>')
    with pytest.raises(UrdfError, match="form a circle through"):
        chain_to(joints, "b")
