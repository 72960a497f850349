"""The same policy moves the simulated arm the same way through every kind of output."""

from __future__ import annotations

import numpy as np
import pytest
from rclpy.parameter import Parameter
from std_msgs.msg import String

from vla_ros.datatypes import ActionChunk, Observation, Status
from vla_ros.policy_protocol import CameraSpec, PolicySpec
from vla_ros.robot_config import load_robot
from vla_ros.ros.policy_source import PolicySource
from vla_ros.ros.sim_node import SimNode
from vla_ros.ros.vla_node import SUCCESS, VlaNode
from vla_ros.share import share_path

FIRST = "panda"
OTHERS = ("panda_chunk", "panda_forward", "panda_servo_twist", "panda_servo_pose")
STEP_S, HORIZON, MOVING_S, WATCHED_S = 0.05, 16, 1.0, 1.8
WAY_RAD = np.array([0.3, 0.1, -0.1, 0.2, 0.1, -0.2, 0.3])


class Reach:
    """A smooth reach of a second from where the arm is first seen; closes the hand."""

    def __init__(self, robot):
        cameras = [
            CameraSpec(name=name, height_px=32, width_px=32, resize="letterbox")
            for name in robot.cameras
        ]
        self.spec = PolicySpec(
            robot=robot.robot,
            cameras=tuple(cameras),
            state_names=robot.action_names,
            action_names=robot.action_names,
            horizon=HORIZON,
            step_s=STEP_S,
        )
        self.begin_s, self.start_rad = 0.0, None

    def reset(self):
        pass

    def infer(self, observation: Observation, prefix: object = None) -> ActionChunk:
        if self.start_rad is None:
            self.begin_s, self.start_rad = observation.stamp_s, observation.state.position_rad
        due_s = observation.stamp_s + STEP_S * np.arange(1, HORIZON + 1)
        share = np.clip((due_s - self.begin_s) / MOVING_S, 0, 1)
        smooth = share**2 * (3 - 2 * share)
        joints = self.start_rad + smooth[:, None] * WAY_RAD
        return ActionChunk(
            actions=np.hstack([joints, np.zeros((HORIZON, 1))]),
            start_s=observation.stamp_s,
            step_s=STEP_S,
            epoch=observation.epoch,
            inference_s=0.001,
        )


class TwoSteps:
    """Two physics steps a turn of the executor, so that a busy machine changes nothing."""

    skipped_steps = 0

    def due(self, steady_s: float) -> list[float]:
        return [steady_s, steady_s]


@pytest.fixture
def drive(context, spinner):
    """Reach through the output of a robot file; the joints and the tip's poses on the way."""
    sims = []

    def drive(name):
        path = share_path(f"config/{name}.yaml")
        robot = load_robot(path)
        policy = Reach(robot)
        options = {"robot_file": str(path), "publish_clock": True, "camera_rate_hz": 10.0}
        options["render_px"] = 32
        sim = SimNode(context=context, parameter_overrides=_parameters(options))
        sim._pacer = TwoSteps()
        sims.append(sim)
        source = PolicySource(read_spec=lambda folder: policy.spec, load=lambda given: policy)
        wanted = {"robot_file": str(path), "checkpoint": "none", "use_sim_time": True}
        wanted["clock_timeout_s"] = 30.0
        node = VlaNode(source, context=context, parameter_overrides=_parameters(wanted))
        spinner.add(sim)
        spinner.add(node)
        words = node.create_publisher(String, robot.instruction_topic, 1)
        assert node.trigger_configure() == SUCCESS
        assert node.trigger_activate() == SUCCESS

        def waits_for_words() -> bool:
            last = node.session.last
            return last is not None and last.status is Status.WAITING_FOR_INSTRUCTION

        spinner.until(waits_for_words, "everything is there")
        words.publish(String(data="reach"))
        spinner.until(lambda: policy.start_rad is not None, "the first plan")
        seen = []

        def reached() -> bool:
            state = node.session.loop.measured
            assert state is not None
            seen.append((state.stamp_s - policy.begin_s, state.position_rad, state.gripper_open))
            return seen[-1][0] > WATCHED_S

        spinner.until(reached, "the reach is over")
        assert node.session.last.status is Status.RUNNING
        return _sampled(seen, robot), policy

    yield drive
    for sim in sims:
        sim.close()


def _parameters(values):
    return [Parameter(name, value=value) for name, value in values.items()]


def _sampled(seen, robot):
    """Joints (T, 7), the tip's poses (T, 4, 4) and the gripper's opening ten times a second."""
    time_s, joints, gripper = (np.array(column) for column in zip(*seen, strict=True))
    when_s = np.arange(0.1, WATCHED_S, 0.1)
    joints = np.stack([np.interp(when_s, time_s, joint) for joint in joints.T], axis=1)
    return joints, robot.chain.forward(joints), gripper[-1]


@pytest.fixture(scope="module")
def first():
    """What the first output did, once for all others."""
    return {}


@pytest.mark.parametrize("name", [FIRST, *OTHERS])
def test_the_arm_moves_the_same_way_through(drive, first, name):
    (joints, tips, gripper), policy = drive(name)
    if name == FIRST:
        first["tips"] = tips
    goal_rad = policy.start_rad + WAY_RAD
    goal = load_robot(share_path("config/panda.yaml")).chain.forward(goal_rad)
    assert np.linalg.norm(tips[-1, :3, 3] - goal[:3, 3]) < 0.01, "the tip is where it was sent"
    assert np.trace(tips[-1, :3, :3].T @ goal[:3, :3]) > 1 + 2 * np.cos(0.05)
    moved_m = np.linalg.norm(tips[:, :3, 3] - tips[0, :3, 3], axis=1)
    assert moved_m[-1] > 0.1
    assert np.diff(moved_m).min() > -0.01, "it went there without turning back"
    assert gripper < 0.1
    if "servo" not in name:  # a twist says where the tip goes, not which elbow
        assert np.abs(joints[-1] - goal_rad).max() < 0.03
    reference = first.get("tips")
    if reference is not None:
        apart_m = np.linalg.norm(tips[:, :3, 3] - reference[:, :3, 3], axis=1)
        assert apart_m.max() < 0.03, "on the way too it is where the first output had it"
