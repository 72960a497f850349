"""What the flight recorder keeps, as ROS messages; made when a file is written, not in the tick.

The topics are names of their own: whoever plays such a file back must not move an arm.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_ros.datatypes import ActionChunk, Command, RobotState
from vla_ros.robot_config import RobotConfig
from vla_ros.ros import convert
from vla_ros.ros.mcap_file import Stamped
from vla_ros.runtime import Tick

STATUS, COMMAND = "/vla_flight/status", "/vla_flight/command"
CHUNK, STATE = "/vla_flight/chunk", "/vla_flight/joint_states"
INSTRUCTION = "/vla_flight/instruction"


@dataclass(frozen=True, kw_only=True, eq=False)
class Recorded:
    """A value, and when it was noted, in wall time."""

    at_ns: int
    value: Tick | RobotState | ActionChunk | str


class FlightMessages:
    """Makes messages of a robot's values."""

    def __init__(self, robot: RobotConfig) -> None:
        self._robot = robot

    def of(self, kept: Iterable[Recorded]) -> Iterator[Stamped]:
        """The messages, in order."""
        for recorded in kept:
            for topic, msg in self._messages(recorded.value):
                yield Stamped(topic=topic, at_ns=recorded.at_ns, msg=msg)

    def _messages(self, value: Tick | RobotState | ActionChunk | str) -> Iterator[tuple[str, Any]]:
        match value:
            case Tick():
                yield STATUS, _status(value)
                if value.command is not None:
                    yield COMMAND, self._command(value.command)
            case RobotState():
                yield STATE, self._state(value)
            case ActionChunk():
                yield CHUNK, self._chunk(value)
            case _:
                yield INSTRUCTION, String(data=value)

    def _command(self, command: Command) -> JointTrajectory:
        msg = convert.trajectory_from_commands([command], self._robot)
        msg.header.stamp = convert.stamp_from_seconds(command.stamp_s)
        return msg

    def _state(self, state: RobotState) -> JointState:
        names, position = list(self._robot.joints), state.position_rad.tolist()
        velocity = state.velocity_rad_s.tolist()
        gripper = self._robot.gripper
        if gripper is not None and state.gripper_open is not None:
            names.append(gripper.joint)
            position.append(gripper.position_m(state.gripper_open))
            velocity.append(0.0)
        msg = JointState(name=names, position=array("d", position), velocity=array("d", velocity))
        msg.header.stamp = convert.stamp_from_seconds(state.stamp_s)
        return msg

    def _chunk(self, chunk: ActionChunk) -> JointTrajectory:
        msg = JointTrajectory(joint_names=list(self._robot.action_names))
        msg.header.stamp = convert.stamp_from_seconds(chunk.start_s)
        for due_s, action in zip(chunk.due_s(), chunk.actions, strict=True):
            point = JointTrajectoryPoint(positions=array("d", action.tolist()))
            due = convert.stamp_from_seconds(float(due_s) - chunk.start_s)
            point.time_from_start.sec, point.time_from_start.nanosec = due.sec, due.nanosec
            msg.points.append(point)
        return msg


def _status(tick: Tick) -> DiagnosticStatus:
    values = {"status": tick.status.value, "stamp_s": f"{tick.stamp_s:.6f}"}
    values |= {"epoch": str(tick.epoch), "chunk_start_s": str(tick.chunk_start_s)}
    values |= {f"{name}_age_s": f"{age_s:.4f}" for name, age_s in tick.ages_s.items()}
    values |= {f.name: str(getattr(tick.counters, f.name)) for f in fields(tick.counters)}
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    level = DiagnosticStatus.ERROR if tick.status.is_fault else DiagnosticStatus.OK
    message = tick.reason or tick.status.value
    return DiagnosticStatus(name="control loop", level=level, message=message, values=pairs)
