"""Send as many best-effort pictures of 640 x 480 as the argument says; print how many arrived.

The process starts itself again to send, and listens.
"""

from __future__ import annotations

import subprocess
import sys
import time

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

TOPIC = "/big"
QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
FIND_WITHIN_S, PERIOD_S, SETTLE_S = 20.0, 0.05, 0.5


def send(count: int) -> None:
    """Wait for the listener, then publish."""
    node = rclpy.create_node("big_sender")
    publisher = node.create_publisher(Image, TOPIC, QOS)
    end_s = time.monotonic() + FIND_WITHIN_S
    while publisher.get_subscription_count() == 0 and time.monotonic() < end_s:
        time.sleep(PERIOD_S)
    time.sleep(SETTLE_S)
    picture = Image(height=480, width=640, encoding="rgb8", step=1920, data=bytes(480 * 1920))
    for _ in range(count):
        publisher.publish(picture)
        time.sleep(PERIOD_S)


def listen(count: int) -> int:
    """How many pictures came until the sender had ended."""
    node = rclpy.create_node("big_listener")
    arrived: list[Image] = []
    node.create_subscription(Image, TOPIC, arrived.append, QOS)
    sender = subprocess.Popen([sys.executable, __file__, str(count), "send"])
    while sender.poll() is None:
        rclpy.spin_once(node, timeout_sec=PERIOD_S)
    return len(arrived)


if __name__ == "__main__":
    rclpy.init()
    if sys.argv[2:] == ["send"]:
        send(int(sys.argv[1]))
    else:
        print(listen(int(sys.argv[1])))
