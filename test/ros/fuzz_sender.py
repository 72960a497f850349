"""Sound drivers on all topics of the three-joint robot with three cameras, and malformed messages.

Of `fuzz.py`.
"""

from __future__ import annotations

import re
from array import array

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from malformed import camera_info, compressed, image, joint_state, text
from motion_audit import MotionAudit
from rclpy.context import Context
from rclpy.qos import QoSProfile
from ros_fakes import Client, values
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vla_ros.ros.convert import seconds_from_stamp
from vla_ros.ros.sim_messages import camera_info_msg

_REPEAT_S = 0.2
# Topic, type, who makes a malformed message of it, and in every how-manieth round it is sent: one
# refused instruction or calibration holds the arm until a sound one comes, and it is to move.
TARGETS = (
    ("/front/image_raw", Image, image, 1),
    ("/wrist/compressed", CompressedImage, compressed, 1),
    ("/side/image_raw", Image, image, 1),
    ("/side/camera_info", CameraInfo, camera_info, 60),
    ("/joint_states", JointState, joint_state, 1),
    ("/vla/instruction", String, text, 150),
)


class Sender(Client):
    """Says what sound drivers say on all topics, and malformed messages beside them."""

    def __init__(self, context: Context, audit: MotionAudit, seed: int) -> None:
        super().__init__(context)
        self.sent = dict.fromkeys((topic for topic, *_ in TARGETS), 0)
        self._rounds = 0
        self._rng = np.random.default_rng(seed)
        self._targets = [
            (topic, self.create_publisher(kind, topic, 1), make, every)
            for topic, kind, make, every in TARGETS
        ]
        self._wrist = self.create_publisher(CompressedImage, "/wrist/compressed", 1)
        self._side = self.create_publisher(Image, "/side/image_raw", 1)
        self._info = self.create_publisher(CameraInfo, "/side/camera_info", 1)
        deep = QoSProfile(depth=1000)
        self.create_subscription(JointTrajectory, "/arm/joint_trajectory", audit.take, deep)
        self.create_timer(_REPEAT_S, self._encourage)

    def show(self, stamp: Time) -> None:
        """All three cameras."""
        super().show(stamp)
        picture = np.roll(np.arange(32 * 32 * 3, dtype=np.uint8), self.shown).reshape(32, 32, 3)
        jpeg = array("B", cv2.imencode(".jpg", picture)[1].tobytes())
        wrist = CompressedImage(format="jpeg", data=jpeg)
        side = Image(height=32, width=32, encoding="rgb8", step=96)
        side.data = array("B", picture.tobytes())
        info = camera_info_msg(32, 60.0, "side", seconds_from_stamp(stamp))
        for msg, publisher in ((info, self._info), (wrist, self._wrist), (side, self._side)):
            msg.header.stamp = stamp
            publisher.publish(msg)

    def attack(self) -> None:
        """One malformed message on every topic whose turn it is."""
        now = self.get_clock().now().to_msg()
        for topic, publisher, make, every in self._targets:
            if self._rounds % every == 0:
                publisher.publish(make(self._rng, now))
                self.sent[topic] += 1
        self._rounds += 1

    def refused(self) -> dict[str, int]:
        """Messages that the node has refused, by topic."""
        report = self.diagnostic("topics")
        told = {} if report is None else values(report)
        found = {topic: re.search(r"(\d+) refused", told.get(topic, "")) for topic in self.sent}
        return {topic: int(match[1]) for topic, match in found.items() if match}

    def _encourage(self) -> None:
        """A person who says it again, and clears a fault."""
        if self.status().startswith("fault_"):
            self.reset.call_async(Trigger.Request())
        self.say("sway")
