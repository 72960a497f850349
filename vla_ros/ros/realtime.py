"""The thread that ticks goes before others, as that of ros2_control's controller manager does.

Where other things compute, an ordinary thread waits for a core when its tick is due: for some
milliseconds, however little it has to do. With a real-time priority it is let in at once.
"""

from __future__ import annotations

import os

from rclpy.node import Node

_HOW = (
    "to have one, allow the user `rtprio 99` in /etc/security/limits.conf, or start a container "
    "with --cap-add=sys_nice"
)


def set_realtime_priority(priority: int) -> str:
    """Give the calling thread a real-time priority; threads and processes it starts have none.

    Args:
        priority: Of SCHED_FIFO, 1 to 99.

    Returns:
        Why it could not be given; empty when it was.
    """
    if not hasattr(os, "SCHED_RESET_ON_FORK"):
        return "this system has no SCHED_FIFO"
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        return f"{error.strerror}; {_HOW}"
    return ""


def raise_priority(node: Node, priority: int) -> None:
    """Give the calling thread, which spins `node`, a real-time priority, and log what came of it.

    Args:
        node: Whose log is written to.
        priority: As in `set_realtime_priority`; 0 leaves the thread as it is.
    """
    if not priority:
        return
    trouble = set_realtime_priority(priority)
    if trouble:
        node.get_logger().info(f"ticks without real-time priority: {trouble}")
    else:
        node.get_logger().info(f"ticks with real-time priority {priority}")
