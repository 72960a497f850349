"""Shows the running plan: the tip's path as markers, the joints' path, and where it ends.

Topics `~/plan/markers` (visualization_msgs/MarkerArray), `~/plan/joint_trajectory`
(trajectory_msgs/JointTrajectory) and `~/plan/joint_states` (sensor_msgs/JointState), one message a
plan, and only when somebody listens. A second robot_state_publisher on the joint states, with a
`frame_prefix`, gives RViz a transparent robot.
"""

from __future__ import annotations

from array import array

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import ColorRGBA
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from visualization_msgs.msg import Marker, MarkerArray

from vla_ros.datatypes import ActionChunk, FloatArray
from vla_ros.robot_config import RobotConfig
from vla_ros.ros.convert import stamp_from_seconds

_PATH_WIDTH_M, _STEP_WIDTH_M, _END_WIDTH_M = 0.004, 0.008, 0.02
_BLUE, _ORANGE = (0.1, 0.5, 1.0, 0.9), (1.0, 0.5, 0.1, 0.9)


class PlanView:
    """Publishers of the plan, made with the session and closed with it."""

    def __init__(self, node: Node, robot: RobotConfig) -> None:
        self._node, self._robot = node, robot
        self._markers = node.create_publisher(MarkerArray, "~/plan/markers", 1)
        self._path = node.create_publisher(JointTrajectory, "~/plan/joint_trajectory", 1)
        self._joints = node.create_publisher(JointState, "~/plan/joint_states", 1)
        self._shown: ActionChunk | None = None

    def show(self, chunk: ActionChunk | None, now_s: float) -> None:
        """Publish a plan that is new; take the markers away when there is none any more."""
        if chunk is self._shown:
            return
        self._shown, stamp = chunk, stamp_from_seconds(now_s)
        if self._markers.get_subscription_count():
            self._markers.publish(plan_markers(chunk, self._robot, stamp))
        if chunk is not None and self._path.get_subscription_count():
            self._path.publish(plan_path(chunk, self._robot))
        if chunk is not None and self._joints.get_subscription_count():
            self._joints.publish(plan_end(chunk, self._robot, stamp))

    def close(self) -> None:
        """Remove the publishers."""
        self._node.destroy_publisher(self._markers)
        self._node.destroy_publisher(self._path)
        self._node.destroy_publisher(self._joints)


def plan_markers(chunk: ActionChunk | None, robot: RobotConfig, stamp: Time) -> MarkerArray:
    """Path of the tip, a dot for each step, and one at the end; `None` deletes them."""
    if chunk is None:
        return MarkerArray(markers=[Marker(action=Marker.DELETEALL)])
    position_rad = np.asarray(chunk.actions, np.float64)[:, : len(robot.joints)]
    points = [_point(place) for place in robot.chain.forward(position_rad)[:, :3, 3]]
    path = _marker(Marker.LINE_STRIP, points, _PATH_WIDTH_M, _BLUE)
    steps = _marker(Marker.SPHERE_LIST, points, _STEP_WIDTH_M, _BLUE)
    end = _marker(Marker.SPHERE_LIST, points[-1:], _END_WIDTH_M, _ORANGE)
    for number, marker in enumerate((path, steps, end)):
        marker.header.stamp, marker.header.frame_id = stamp, robot.base_link
        marker.ns, marker.id = "plan", number
    return MarkerArray(markers=[path, steps, end])


def plan_path(chunk: ActionChunk, robot: RobotConfig) -> JointTrajectory:
    """Joints, the finger's among them, at each step; its stamp is that of the observation."""
    msg = JointTrajectory(joint_names=_joint_names(robot))
    msg.header.stamp = stamp_from_seconds(chunk.start_s)
    for action, due_s in zip(chunk.actions, chunk.due_s(), strict=True):
        due = Duration(seconds=float(due_s - chunk.start_s)).to_msg()
        point = JointTrajectoryPoint(positions=_positions(action, robot), time_from_start=due)
        msg.points.append(point)
    return msg


def plan_end(chunk: ActionChunk, robot: RobotConfig, stamp: Time) -> JointState:
    """Joints, the finger's among them, as the plan's last step wants them."""
    msg = JointState(name=_joint_names(robot), position=_positions(chunk.actions[-1], robot))
    msg.header.stamp = stamp
    return msg


def _joint_names(robot: RobotConfig) -> list[str]:
    return [*robot.joints, *([] if robot.gripper is None else [robot.gripper.joint])]


def _positions(action: FloatArray, robot: RobotConfig) -> array[float]:
    values = np.asarray(action, np.float64).tolist()
    count = len(robot.joints)
    finger_m = [] if robot.gripper is None else [robot.gripper.position_m(values[count])]
    return array("d", values[:count] + finger_m)


def _point(place: FloatArray) -> Point:
    x, y, z = place.tolist()
    return Point(x=x, y=y, z=z)


def _marker(
    kind: int, points: list[Point], width_m: float, color: tuple[float, float, float, float]
) -> Marker:
    marker = Marker(type=kind, action=Marker.ADD, points=points)
    marker.scale.x = marker.scale.y = marker.scale.z = width_m
    marker.color = ColorRGBA(**dict(zip("rgba", color, strict=True)))
    marker.pose.orientation.w = 1.0
    return marker
