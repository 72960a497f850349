"""Judges the emergency stop and the deadman: somebody is there, and the node can hear them."""

from __future__ import annotations

from rclpy.qos import ReliabilityPolicy

from vla_ros.robot_config import RobotConfig
from vla_ros.ros.check.finding import Finding, error, or_ok, warning
from vla_ros.ros.check.listening import Listener, node_of
from vla_ros.ros.neighbours import BOOL


def check_buttons(listener: Listener, robot: RobotConfig) -> list[Finding]:
    """Those that the robot file names in `safety`."""
    stop_topic, deadman = robot.safety.emergency_stop_topic, robot.safety.deadman
    findings = []
    if stop_topic is not None:
        lossy = _lossy(listener, stop_topic)
        findings += _button(listener, "emergency stop", stop_topic, lossy)
    if deadman is not None:
        # It speaks all the time: a lost message does no harm, so best effort will do.
        findings += _button(listener, "deadman", deadman.topic, [])
    return findings


def _button(listener: Listener, item: str, topic: str, findings: list[Finding]) -> list[Finding]:
    """`findings` and what else is wrong, or that all is well."""
    infos = listener.publishers_of(topic)
    if not infos:
        key = f"safety.{item.replace(' ', '_')}.topic"
        text = f"nobody publishes on {topic}, so the arm would hold; start its driver, or correct "
        return [error(item, f"{text}{key} in the robot file")]
    deaf = [
        error(
            item,
            f"{node_of(info)} publishes {info.topic_type} on {topic}, which vla_node cannot hear; "
            f"valid: {BOOL}",
        )
        for info in infos
        if info.topic_type != BOOL
    ]
    return or_ok(deaf + findings, item, f"{', '.join(map(node_of, infos))} on {topic}")


def _lossy(listener: Listener, topic: str) -> list[Finding]:
    """Publishers whose only message of a press may get lost."""
    return [
        warning(
            "emergency stop",
            f"{node_of(info)} publishes on {topic} best-effort: a press may get lost on the way; "
            "publish reliable",
        )
        for info in listener.publishers_of(topic)
        if info.topic_type == BOOL and info.qos_profile.reliability != ReliabilityPolicy.RELIABLE
    ]
