"""The live graph against the robot file and the checkpoint: listens, then judges."""

from __future__ import annotations

from collections.abc import Iterator

from rclpy.context import Context

from vla_ros.policy.checkpoint import Checkpoint
from vla_ros.robot_config import RobotConfig
from vla_ros.robot_outputs import SERVO_SINKS
from vla_ros.ros.check.arm import check_clock, check_description, check_state
from vla_ros.ros.check.buttons import check_buttons
from vla_ros.ros.check.cameras import check_cameras
from vla_ros.ros.check.finding import Finding
from vla_ros.ros.check.listening import Listener
from vla_ros.ros.check.outputs import check_instruction, check_outputs
from vla_ros.ros.check.servo import check_servo


def check_graph(
    robot: RobotConfig, checkpoint: Checkpoint | None, seconds: float, context: Context
) -> Iterator[Finding]:
    """Listen for `seconds`, then tell what was found."""
    listener = Listener(robot, context)
    try:
        heard = listener.listen(seconds)
        yield from check_clock(listener, heard)
        cameras = () if checkpoint is None else checkpoint.spec.cameras
        yield from check_cameras(listener, robot, heard, cameras)
        yield from check_state(listener, robot, heard)
        yield from check_description(robot, heard)
        yield from check_buttons(listener, robot)
        yield from check_instruction(listener, robot)
        yield from check_outputs(listener, robot)
        if robot.arm_sink.sink in SERVO_SINKS:
            yield from check_servo(listener, robot, heard)
    finally:
        listener.close()
