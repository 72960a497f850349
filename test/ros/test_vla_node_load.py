"""What is thrown at the node, and who does not listen, leave the tick alone."""

from __future__ import annotations

import time
from array import array

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile
from ros_bench import Bench
from ros_fakes import values
from sensor_msgs.msg import Image

from vla_ros.errors import ImageError
from vla_ros.ros.image_messages import frame_from_msg


def period_s(bench: Bench, count: int) -> float:
    """From tick to tick, over `count` ticks; a low quantile, for a busy machine delays most."""
    bench.client.statuses.clear()
    bench.ticks(count)
    stamps_s = [float(values(status)["stamp_s"]) for status in bench.client.statuses]
    return float(np.quantile(np.diff(stamps_s), 0.05))


def assert_as_quick(bench: Bench, before_s: float) -> None:
    """Half a period is what a tick may be late by, beside what the machine's load costs."""
    assert period_s(bench, 100) < 2 * before_s + 0.005
    bench.until_status("running")


@pytest.mark.fault(18, bound_s=0.005)
def test_enormous_images_are_refused_before_any_copy_and_the_tick_goes_on(bench: Bench, reaction):
    enormous = Image(height=2**31, width=2**31, encoding="rgb8", step=96)
    enormous.header.stamp.sec = 1
    enormous.data = array("B", bytes(96 * 32))
    started_s = time.thread_time()
    for _ in range(100):
        with pytest.raises(ImageError, match="too large"):
            frame_from_msg(enormous)
    reaction((time.thread_time() - started_s) / 100)
    bench.start()
    bench.run()
    before_s = period_s(bench, 100)
    other = bench.client.create_publisher(Image, "/front/image_raw", 1)
    timer = bench.client.create_timer(0.02, lambda: other.publish(enormous))
    count = bench.node.session.inputs.counts["/front/image_raw"]
    bench.until(lambda: count.refused > 20, "refusals")
    assert "too large" in count.last_reason
    assert_as_quick(bench, before_s)
    bench.client.destroy_timer(timer)


@pytest.mark.fault(30)
def test_a_subscriber_that_never_takes_its_messages_leaves_the_tick_alone(
    bench: Bench, context: Context
):
    bench.start()
    bench.run()
    before_s = period_s(bench, 100)
    # Never spun: its reliable queues fill up and stay full.
    slow = Node("slow", context=context)
    deep = QoSProfile(depth=1000)
    slow.create_subscription(DiagnosticStatus, "/vla_node/status", lambda msg: None, deep)
    slow.create_subscription(DiagnosticArray, "/diagnostics", lambda msg: None, 1)
    topic = "/vla_node/status"
    bench.until(lambda: bench.node.count_subscribers(topic) == 2, "the slow subscriber")
    assert_as_quick(bench, before_s)
    slow.destroy_node()
    bench.until(lambda: bench.node.count_subscribers(topic) == 1, "its end")
    assert_as_quick(bench, before_s)
