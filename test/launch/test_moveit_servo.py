"""MoveIt Servo's parts agree with the URDF, the robot file and the simulated arm.

MoveIt itself cannot run here.
"""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest
import yaml

from vla_ros.robot_config import load_robot
from vla_ros.sim.layout import HOME_RAD
from vla_ros.sim.scene import urdf_for_mujoco
from vla_ros.urdf import expand, read_joints

ROOT = Path(__file__).parents[2]
ROBOT = load_robot(ROOT / "config/panda_moveit_servo.yaml")
SIMULATED = load_robot(ROOT / "config/panda.yaml")
SRDF = ElementTree.parse(ROOT / "config/moveit/panda.srdf").getroot()
JOINTS = read_joints(expand(ROBOT.urdf_path))


def parameters(name: str) -> dict:
    text = (ROOT / f"config/moveit/{name}.yaml").read_text()
    return yaml.safe_load(text)["/**"]["ros__parameters"]


def test_group_is_the_chain_of_the_robot_file():
    chain = SRDF.find("group[@name='panda_arm']/chain")
    assert chain.get("base_link") == ROBOT.base_link
    assert chain.get("tip_link") == ROBOT.tip_link
    servo = parameters("servo")
    assert servo["moveit_servo"]["move_group_name"] == "panda_arm"
    assert servo["planning_group_name"] == "panda_arm"
    assert list(parameters("kinematics")["robot_description_kinematics"]) == ["panda_arm"]


def test_every_name_of_the_srdf_is_in_the_urdf():
    links = {joint.child for joint in JOINTS.values()} | {joint.parent for joint in JOINTS.values()}
    for pair in SRDF.findall("disable_collisions"):
        assert {pair.get("link1"), pair.get("link2")} <= links
    assert {joint.get("name") for joint in SRDF.findall("group/joint")} <= JOINTS.keys()
    state = SRDF.findall("group_state[@name='home']/joint")
    assert tuple(joint.get("name") for joint in state) == ROBOT.joints
    np.testing.assert_allclose([float(joint.get("value")) for joint in state], HOME_RAD)


def contacts(poses: np.ndarray) -> Counter[frozenset[str]]:
    """In how many of the poses (N, 9) the collision shapes of two links touch."""
    spec = mujoco.MjSpec.from_string(urdf_for_mujoco())
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_FILTERPARENT
    model = spec.compile()
    data = mujoco.MjData(model)
    found: Counter[frozenset[str]] = Counter()
    for pose in poses:
        data.qpos[:] = pose
        mujoco.mj_forward(model, data)
        touching = {
            frozenset(model.body(int(model.geom_bodyid[geom])).name for geom in pair)
            for pair in data.contact.geom
        }
        found.update(pair for pair in touching if len(pair) == 2)
    return found


@pytest.fixture(scope="module")
def disabled():
    pairs = [(pair.get("link1"), pair.get("link2")) for pair in SRDF.findall("disable_collisions")]
    assert len(pairs) == len({frozenset(pair) for pair in pairs})
    return {frozenset(pair) for pair in pairs}


def test_arm_at_home_does_not_collide_with_itself(disabled):
    home = np.concatenate([HOME_RAD, [0.0, 0.0]])
    offsets = np.random.default_rng(0).uniform(-0.1, 0.1, (50, 9)) * [*[1.0] * 7, 0.0, 0.0]
    touching = contacts(home + offsets)
    assert touching  # neighbours do
    assert touching.keys() <= disabled


def test_pairs_are_left_out_that_never_touch_or_by_design(disabled):
    reasons = {
        frozenset((pair.get("link1"), pair.get("link2"))): pair.get("reason")
        for pair in SRDF.findall("disable_collisions")
    }
    joints = [JOINTS[name] for name in (*ROBOT.joints, *fingers())]
    lower, upper = zip(*((joint.lower_rad, joint.upper_rad) for joint in joints), strict=True)
    touching = contacts(np.random.default_rng(1).uniform(lower, upper, (500, len(joints))))
    assert "Never" not in {reasons.get(pair) for pair in touching}
    # Shapes that overlap in a third of all poses are no collision; others must be looked at.
    assert {pair for pair, count in touching.items() if count > 150} <= disabled
    assert frozenset(("panda_hand", "panda_link0")) not in disabled


def fingers() -> list[str]:
    return [joint.get("name") for joint in SRDF.findall("group[@name='hand']/joint")]


def test_limits_are_those_of_the_robot_file():
    limits = parameters("joint_limits")["robot_description_planning"]["joint_limits"]
    assert limits.keys() == {*ROBOT.joints, *fingers()}
    for index, name in enumerate(ROBOT.joints):
        assert limits[name]["max_velocity"] == pytest.approx(ROBOT.limits.velocity_rad_s[index])
        bound = ROBOT.limits.acceleration_rad_s2[index]
        assert limits[name]["max_acceleration"] == pytest.approx(bound)
    for name in limits:
        assert limits[name]["max_velocity"] <= JOINTS[name].velocity_rad_s
        assert (
            limits[name]["has_velocity_limits"] is limits[name]["has_acceleration_limits"] is True
        )


def test_servo_hears_what_the_robot_file_sends_and_commands_what_the_arm_hears(describe):
    (node,) = [e for e in describe("moveit_servo.launch.py") if is_servo(e)]
    servo = parameters("servo")["moveit_servo"]

    def resolved(topic):
        return topic.replace("~", f"/{node.name}")

    assert ROBOT.arm_sink.sink == "servo_twist"
    assert resolved(servo["cartesian_command_in_topic"]) == ROBOT.arm_sink.topic
    assert ROBOT.arm_sink.switch == f"/{node.name}/switch_command_type"
    assert ROBOT.arm_sink.switch_by == "service"
    assert servo["command_in_type"] == "speed_units"
    assert servo["command_out_topic"] == SIMULATED.arm_sink.topic
    assert SIMULATED.arm_sink.sink == "joint_trajectory"
    assert servo["joint_topic"] == ROBOT.state.topic
    # A command of each tick, and more than one within the time after which Servo drops it.
    assert 3 / ROBOT.tick_hz <= servo["incoming_command_timeout"]


def is_servo(entity) -> bool:
    return getattr(entity, "package", "") == "moveit_servo"


def test_servo_is_given_everything_that_moveit_must_know(describe):
    (node,) = [e for e in describe("moveit_servo.launch.py") if is_servo(e)]
    *files, given = node.parameters
    assert [Path(file).stem for file in files] == ["kinematics", "joint_limits", "servo"]
    assert all(Path(file).is_file() for file in files)
    assert given.keys() == {"robot_description", "robot_description_semantic", "use_sim_time"}
    assert ElementTree.fromstring(given["robot_description_semantic"].value).get("name") == "panda"


def test_robot_file_differs_from_the_simulated_servos_in_how_the_type_is_chosen_alone():
    ours = yaml.safe_load((ROOT / "config/panda_moveit_servo.yaml").read_text())
    simulated = yaml.safe_load((ROOT / "config/panda_servo_twist.yaml").read_text())
    assert simulated["actions"]["arm"].pop("switch_by") == "parameter"
    assert ours == simulated


def test_adjacent_links_are_disabled(disabled):
    for pair in itertools.pairwise(f"panda_link{index}" for index in range(8)):
        assert frozenset(pair) in disabled
