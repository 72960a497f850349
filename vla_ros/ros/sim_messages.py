"""Messages of the simulated robot: what only `sim_node` needs beside `convert`."""

from __future__ import annotations

import math
from array import array

from builtin_interfaces.msg import Duration
from sensor_msgs.msg import CameraInfo, JointState
from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMsg
from trajectory_msgs.msg import JointTrajectoryPoint as JointTrajectoryPointMsg

from vla_ros.datatypes import FloatArray
from vla_ros.ros.convert import seconds_from_stamp, stamp_from_seconds
from vla_ros.sim.joint_trajectory import JointTrajectory, TrajectoryPoint


def trajectory_from_msg(msg: JointTrajectoryMsg) -> JointTrajectory:
    """A trajectory message as it is; the controller judges it."""
    return JointTrajectory(
        joint_names=tuple(msg.joint_names),
        points=tuple(_point(point) for point in msg.points),
        stamp_s=seconds_from_stamp(msg.header.stamp),
    )


def _point(point: JointTrajectoryPointMsg) -> TrajectoryPoint:
    return TrajectoryPoint(
        time_from_start_s=_seconds(point.time_from_start),
        positions=tuple(point.positions),
        velocities=tuple(point.velocities),
        accelerations=tuple(point.accelerations),
        effort=tuple(point.effort),
    )


def _seconds(duration: Duration) -> float:
    return float(duration.sec + duration.nanosec * 1e-9)


def joint_state_msg(
    names: tuple[str, ...], position: FloatArray, velocity: FloatArray, stamp_s: float
) -> JointState:
    """Positions and velocities by name, as joint_state_broadcaster publishes them."""
    msg = JointState(name=list(names), position=array("d", position), velocity=array("d", velocity))
    msg.header.stamp = stamp_from_seconds(stamp_s)
    return msg


def camera_info_msg(edge_px: int, fovy_deg: float, frame_id: str, stamp_s: float) -> CameraInfo:
    """An ideal pinhole camera with square pixels and no distortion.

    Args:
        edge_px: Height and width of the picture.
        fovy_deg: Vertical field of view.
        frame_id: Optical frame (REP 103: z forward, x right, y down).
        stamp_s: Stamp of the picture it belongs to.
    """
    focal_px = edge_px / 2 / math.tan(math.radians(fovy_deg) / 2)
    # The centre of the picture lies between its two middle pixels, which count from 0.
    center_px = (edge_px - 1) / 2
    msg = CameraInfo(height=edge_px, width=edge_px, distortion_model="plumb_bob", d=[0.0] * 5)
    msg.k = [focal_px, 0.0, center_px, 0.0, focal_px, center_px, 0.0, 0.0, 1.0]
    msg.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    msg.p = [focal_px, 0.0, center_px, 0.0, 0.0, focal_px, center_px, 0.0, 0.0, 0.0, 1.0, 0.0]
    msg.header.stamp = stamp_from_seconds(stamp_s)
    msg.header.frame_id = frame_id
    return msg
