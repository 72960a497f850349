"""A node whose arm MoveIt Servo moves: after a reset nothing goes out before Servo has agreed."""

from __future__ import annotations

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from ros_bench import ACTIVATE, CONFIGURE

# The arm of these tests stands still, whatever it is told.
SAFETY = "safety: {following: {max_error_m: 10.0}}\n"


class Servo:
    """Notes the poses it hears, and agrees to a type of command or not."""

    def __init__(self, node: Node) -> None:
        self.agrees, self.asked = True, 0
        self.poses: list[PoseStamped] = []
        node.create_service(SetParameters, "/servo/set_parameters", self._on_request)
        node.create_subscription(PoseStamped, "/servo/pose", self.poses.append, 100)

    def _on_request(self, request, response):
        self.asked += 1
        response.results = [SetParametersResult(successful=self.agrees)]
        return response

    def steps_m(self, begin: int = 0) -> list[float]:
        """How far each pose since `begin` is from the one before."""
        places = (msg.pose.position for msg in self.poses[begin:])
        path_m = np.array([[place.x, place.y, place.z] for place in places]).reshape(-1, 3)
        return [float(step) for step in np.linalg.norm(np.diff(path_m, axis=0), axis=1)]


@pytest.fixture
def servo(context, spinner, robot_file) -> Servo:
    """MoveIt Servo, as far as the node can tell, which the robot file names."""
    text = robot_file.read_text()
    arm = "sink: servo_pose, topic: /servo/pose, switch: /servo/switch, switch_by: parameter"
    text = text.replace("sink: joint_trajectory, topic: /arm/joint_trajectory", arm)
    robot_file.write_text(text + SAFETY)
    node = Node("moveit", context=context)
    spinner.add(node)
    return Servo(node)


def test_after_a_reset_nothing_is_sent_before_servo_agrees_again(bench, servo):
    bench.start()
    assert bench.change(CONFIGURE, ACTIVATE)
    bench.client.play()
    bench.until(bench.connected, "discovery")
    bench.client.say("sway")
    bench.until(lambda: max(servo.steps_m(), default=0.0) > 1e-3, "motion")
    assert servo.asked == 1
    assert bench.trigger(bench.client.stop).success
    bench.until(lambda: not any(servo.steps_m(-5)), "rest")

    servo.agrees = False
    assert bench.trigger(bench.client.reset).success
    bench.until(lambda: servo.asked >= 3, "asked again and again")
    assert "has not confirmed command type 2" in bench.client.statuses[-1].message
    assert bench.client.status() == "waiting_for_policy"
    begin = len(servo.poses)
    bench.ticks(30)
    assert not any(servo.steps_m(begin))

    servo.agrees = True
    bench.until_status("running")
    bench.until(lambda: servo.steps_m()[-1] > 1e-3, "motion")
