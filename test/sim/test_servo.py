"""The simulated MoveIt Servo keeps Servo's documented rules."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.robot_config import load_robot
from vla_ros.share import share_path
from vla_ros.sim.forward_controller import ForwardController
from vla_ros.sim.servo import ServoController

ROBOT = load_robot(share_path("config/panda_servo_twist.yaml"))
HOME = np.array([0.0, 0.2, 0.0, -2.4, 0.0, 2.6, 0.5])
FRAME = ROBOT.base_link
FORWARD = [0.1, 0.0, 0.0, 0.0, 0.0, 0.0]


@pytest.fixture
def servo():
    servo = ServoController(ROBOT, HOME)
    servo.reset(HOME, 10.0)
    return servo


def tip(position):
    return ROBOT.chain.forward(position)[:3, 3]


def drive(servo, start_s, duration_s, send=lambda now_s: None):
    for step in range(round(duration_s / 0.01)):
        send(start_s + step * 0.01)
        knot = servo.update(start_s + (step + 1) * 0.01, HOME, HOME)
    return knot.position


def test_nothing_is_accepted_before_a_command_type_was_chosen(servo):
    assert "none yet; choose 1" in servo.accept_twist(FORWARD, FRAME, 10.0, 10.0)
    assert servo.choose(7).startswith("command type 7 is unknown")
    assert servo.choose(1) is None
    assert servo.accept_twist(FORWARD, FRAME, 10.0, 10.0) is None
    assert "the command type is twist" in servo.accept_pose(np.eye(4), FRAME, 10.0, 10.0)


@pytest.mark.parametrize(
    ("frame", "stamp_s", "values", "reason"),
    [
        (FRAME, 0.0, FORWARD, "stamp is zero"),
        (FRAME, 9.89, FORWARD, "0.110 s old, stale after 0.1 s"),
        ("", 10.0, FORWARD, "frame_id is ''; valid: 'panda_link0'"),
        (FRAME, 10.0, [np.nan, *FORWARD[1:]], "not finite"),
    ],
)
def test_command_that_breaks_a_rule_is_refused(servo, frame, stamp_s, values, reason):
    servo.choose(1)
    assert reason in servo.accept_twist(values, frame, stamp_s, 10.0)
    assert servo.refused_count == 1
    np.testing.assert_array_equal(drive(servo, 10.0, 0.3), HOME)


def test_twist_moves_the_tip_until_it_is_stale(servo):
    servo.choose(1)
    position = drive(servo, 10.0, 1.0, lambda t: servo.accept_twist(FORWARD, FRAME, t, t))
    np.testing.assert_allclose(tip(position) - tip(HOME), [0.1, 0, 0], atol=3e-3)
    halted = drive(servo, 11.0, 0.5)
    assert servo.is_holding
    assert servo.timeout_count == 1
    # 0.1 s until it is stale, and what the halt takes.
    assert 0.005 < (tip(halted) - tip(position))[0] < 0.02
    np.testing.assert_allclose(drive(servo, 11.5, 0.5), halted, atol=1e-6)


def test_pose_is_reached(servo):
    servo.choose(2)
    pose = ROBOT.chain.forward(HOME)
    pose[:3, 3] += [0.05, 0.02, -0.03]
    position = drive(servo, 10.0, 1.5, lambda t: servo.accept_pose(pose, FRAME, t, t))
    np.testing.assert_allclose(ROBOT.chain.forward(position), pose, atol=2e-3)


def test_joints_keep_their_speed_limits(servo):
    servo.choose(1)
    servo.accept_twist([5.0, 0, 0, 0, 0, 0], FRAME, 10.0, 10.0)
    servo.update(10.01, HOME, HOME)
    before = servo.update(10.02, HOME, HOME).position
    after = servo.update(10.03, HOME, HOME).position
    assert (np.abs(after - before) / 0.01 <= ROBOT.limits.velocity_rad_s + 1e-9).all()


def test_forward_controller_takes_its_own_order_and_is_deactivated_by_a_wrong_length():
    controller = ForwardController(2, np.zeros(2), [1, 0])
    assert controller.accept([0.1, 0.2], 0.0) is None
    np.testing.assert_array_equal(controller.update(9.0, HOME, HOME).position, [0.2, 0.1])
    assert "not finite" in controller.accept([0.1, np.inf], 0.0)
    assert controller.accept([0.3, 0.4], 0.0) is None
    assert "3 values for 2 joints" in controller.accept([1.0, 2.0, 3.0], 0.0)
    assert "deactivated" in controller.accept([0.5, 0.5], 0.0)
    np.testing.assert_array_equal(controller.update(9.0, HOME, HOME).position, [0.4, 0.3])
    controller.reset(np.zeros(2), 0.0)
    assert controller.accept([0.5, 0.5], 0.0) is None
