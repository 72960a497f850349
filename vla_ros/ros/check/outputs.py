"""Judges the drivers: listening, of the right type and joints, and nobody else commanding them."""

from __future__ import annotations

from typing import Any

from rclpy.action import get_action_names_and_types
from rclpy.duration import Infinite
from rclpy.qos import LivelinessPolicy, QoSCompatibility, QoSProfile, qos_check_compatible

from vla_ros.robot_config import RobotConfig
from vla_ros.ros.check.finding import Finding, error, ok, or_ok, warning
from vla_ros.ros.check.listening import Listener, node_of
from vla_ros.ros.gripper_sinks import ACTION_TYPES

_TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
_FORWARD = "std_msgs/msg/Float64MultiArray"
_TYPES = {
    "joint_trajectory": _TRAJECTORY,
    "joint_trajectory_chunk": _TRAJECTORY,
    "forward_command": _FORWARD,
    "servo_twist": "geometry_msgs/msg/TwistStamped",
    "servo_pose": "geometry_msgs/msg/PoseStamped",
}
# As discovery tells it: a profile that leaves these open would not match one that names infinity.
_OUR_QOS = QoSProfile(
    depth=1,
    liveliness=LivelinessPolicy.AUTOMATIC,
    deadline=Infinite,
    lifespan=Infinite,
    liveliness_lease_duration=Infinite,
)
_OURS = "vla_node"
# They listen to commands and move nothing; `ros2 topic echo` is a node of ros2cli.
_EARS = ("rosbag2_recorder", "vla_recorder", "foxglove_bridge", "_ros2cli")
_ASKED = (
    "joints",
    "interpolate_from_desired_state",
    "allow_nonzero_velocity_at_trajectory_end",
    "cmd_timeout",
    "constraints.goal_time",
)


def check_outputs(listener: Listener, robot: RobotConfig) -> list[Finding]:
    """The drivers of the arm and of the gripper."""
    arm, gripper = robot.arm_sink, robot.gripper_sink
    findings = _topic(listener, "arm output", arm.topic, arm.sink, arm.joints)
    if gripper is None or not gripper.topic:
        return findings
    if gripper.sink in ACTION_TYPES:
        return findings + _action(listener, gripper.topic, ACTION_TYPES[gripper.sink])
    joints = () if robot.gripper is None else (robot.gripper.joint,)
    return findings + _topic(listener, "gripper output", gripper.topic, gripper.sink, joints)


def check_instruction(listener: Listener, robot: RobotConfig) -> list[Finding]:
    """Whoever speaks on the instruction's topic."""
    item, topic = "instruction", robot.instruction_topic
    infos = listener.publishers_of(topic)
    findings = []
    for info in infos:
        who = node_of(info)
        if info.topic_type != "std_msgs/msg/String":
            text = f"{who} publishes {info.topic_type} on {topic}; valid: std_msgs/msg/String"
            findings.append(error(item, text))
        elif not _matches(info.qos_profile, _OUR_QOS):
            text = f"{who} publishes on {topic} best-effort, which vla_node, reliable, never hears"
            findings.append(error(item, f"{text}; publish reliable"))
    speakers = ", ".join(map(node_of, infos)) or "nobody yet"
    return or_ok(findings, item, f"{topic}: {speakers}")


def _topic(
    listener: Listener, item: str, topic: str, sink: str, joints: tuple[str, ...]
) -> list[Finding]:
    wanted, name = _TYPES[sink], listener.resolve_topic_name(topic)
    infos = [
        info
        for info in listener.get_subscriptions_info_by_topic(name)
        if not info.node_name.startswith(_EARS)
    ]
    if not infos:
        return [error(item, _nobody_listens(listener, topic, wanted))]
    findings = _rivals(listener, item, name)
    for info in infos:
        who = node_of(info)
        if info.topic_type != wanted:
            text = f"{who} takes {info.topic_type} on {topic}, sink {sink} sends {wanted}"
            findings.append(error(item, f"{text}; choose the sink that fits the controller"))
        elif not _matches(_OUR_QOS, info.qos_profile):
            text = f"the QoS of {who} on {topic} cannot hear our reliable, volatile commands"
            findings.append(error(item, f"{text}; correct it"))
        else:
            findings += _controller(listener, item, who, sink, joints)
    listeners = ", ".join(map(node_of, infos))
    return or_ok(findings, item, f"{listeners} listens on {topic}, sink {sink}")


def _nobody_listens(listener: Listener, topic: str, wanted: str) -> str:
    others = [
        name
        for name, types in listener.get_topic_names_and_types()
        if wanted in types and listener.count_subscribers(name)
    ]
    others = [name for name in others if name != listener.resolve_topic_name(topic)]
    text = f"no controller listens on {topic}; {wanted} is listened to on: "
    return (
        f"{text}{', '.join(others) or 'no topic'}. Load and activate the controller (ros2 control "
        "list_controllers), or correct actions in the robot file"
    )


def _rivals(listener: Listener, item: str, name: str) -> list[Finding]:
    nodes = {node_of(info) for info in listener.publishers_of(name)}
    rivals = sorted(node for node in nodes if not node.endswith(f"/{_OURS}"))
    if not rivals:
        return []
    text = f"{', '.join(rivals)} commands on {name} too; the arm must have one commander"
    return [error(item, f"{text}: end it")]


def _controller(
    listener: Listener, item: str, node: str, sink: str, joints: tuple[str, ...]
) -> list[Finding]:
    """A ros2_control controller's parameters; other drivers have none of these."""
    values = {name: listener.parameter(node, name) for name in _ASKED}
    findings = _joints(item, node, sink, joints, values["joints"])
    if not sink.startswith("joint_trajectory"):
        return findings
    if values["interpolate_from_desired_state"] is False:
        text = f"{node}: interpolate_from_desired_state is false: streamed points give a sawtooth"
        findings.append(warning(item, f"{text}; set it to true"))
    if values["allow_nonzero_velocity_at_trajectory_end"] is False and sink == "joint_trajectory":
        text = f"{node}: allow_nonzero_velocity_at_trajectory_end is false: every command in "
        text += "motion is refused; set it to true, or sink: joint_trajectory_chunk"
        findings.append(error(item, text))
    if values["cmd_timeout"] == 0.0 and sink == "joint_trajectory":
        text = f"{node}: cmd_timeout is 0: the last command is kept for ever when vla_node dies"
        findings.append(warning(item, f"{text}; set 0.2 to 0.5 s"))
    timeout_s, goal_time_s = values["cmd_timeout"], values["constraints.goal_time"]
    if timeout_s and goal_time_s and timeout_s <= goal_time_s and sink == "joint_trajectory":
        text = f"{node}: cmd_timeout is {timeout_s:g} s and constraints.goal_time {goal_time_s:g} s"
        text += ": the controller ignores a timeout that is not longer, and keeps the last command"
        findings.append(error(item, f"{text} for ever; set goal_time to 0, or below cmd_timeout"))
    return findings


def _joints(item: str, node: str, sink: str, joints: tuple[str, ...], theirs: Any) -> list[Finding]:
    if not theirs or tuple(theirs) == joints:
        return []
    if set(theirs) != set(joints):
        text = f"{node} drives {', '.join(theirs)}; the robot file sends {', '.join(joints)}"
        return [error(item, f"{text}: another controller, or correct joints")]
    if sink == "forward_command":
        text = f"{node} takes its values in the order {', '.join(theirs)}; the robot file sends "
        text += f"{', '.join(joints)}: joints would be mixed up"
        return [error(item, f"{text}; set actions.*.joints to the controller's order")]
    return []


def _action(listener: Listener, name: str, wanted: str) -> list[Finding]:
    item, offered = "gripper output", dict(get_action_names_and_types(listener))
    types = offered.get(listener.resolve_topic_name(name))
    if types is None:
        others = ", ".join(offered) or "none"
        return [error(item, f"action {name} is not offered; actions there: {others}")]
    if wanted not in types:
        text = f"action {name} has type {', '.join(types)}, the robot file's sink sends {wanted}"
        return [error(item, f"{text}; choose the other gripper sink")]
    return [ok(item, f"action {name} is offered")]


def _matches(publisher: QoSProfile, subscription: QoSProfile) -> bool:
    return qos_check_compatible(publisher, subscription)[0] != QoSCompatibility.ERROR
