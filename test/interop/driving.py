"""The simulated arm and `vla_node` in this process, for what shows that a policy drives them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from std_msgs.msg import String

from vla_ros.datatypes import Status
from vla_ros.robot_config import load_robot
from vla_ros.ros.node_process import prepare_environment

ROOT = Path(__file__).parents[2]
WITHIN_S = 300.0


def write_robot_file(folder: Path, section: str) -> Path:
    """The Panda's robot file with one more section, in another folder."""
    text = (ROOT / "config/panda.yaml").read_text()
    text = text.replace("../description", str(ROOT / "description"))
    path = folder / "panda.yaml"
    path.write_text(text + section)
    return path


def drive(robot_file: Path, policy: dict[str, object]) -> tuple[np.ndarray, np.ndarray]:
    """Joints before the first words, and three seconds later.

    Args:
        robot_file: Of the simulated Panda.
        policy: Parameters of `vla_node` that say where the policy is.
    """
    from vla_ros.ros.sim_node import SimNode
    from vla_ros.ros.vla_node import VlaNode

    prepare_environment()
    context = Context()
    rclpy.init(context=context)
    options = {"robot_file": str(robot_file), "publish_clock": True, "camera_rate_hz": 10.0}
    options["real_time_factor"] = 0.3
    sim = SimNode(context=context, parameter_overrides=_parameters(options))
    wanted = {"robot_file": str(robot_file), "use_sim_time": True, "autostart": True, **policy}
    node = VlaNode(context=context, parameter_overrides=_parameters(wanted))
    words = node.create_publisher(String, load_robot(robot_file).instruction_topic, 1)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(sim)
    executor.add_node(node)

    def until(reached, what: str) -> None:
        end_s = time.monotonic() + WITHIN_S
        while not reached():
            if time.monotonic() > end_s:
                raise SystemExit(f"FAILED  waited {WITHIN_S:g} s in vain: {what}")
            executor.spin_once(timeout_sec=0.05)

    def status() -> Status | None:
        last = node.session.last if node.session else None
        return last.status if last else None

    until(lambda: status() is Status.WAITING_FOR_INSTRUCTION, "vla_node has all but words")
    start = node.session.loop.measured
    words.publish(String(data="reach"))
    until(lambda: status() is Status.RUNNING, "vla_node runs")
    until(lambda: node.session.loop.measured.stamp_s > start.stamp_s + 3.0, "three seconds pass")
    end = node.session.loop.measured
    node.finish()
    sim.close()
    executor.shutdown()
    context.try_shutdown()
    return start.position_rad, end.position_rad


def report(shown: list[tuple[str, bool]]) -> int:
    """Print what was shown; 1 when something was not."""
    for what, is_so in shown:
        print(f"{'ok     ' if is_so else 'FAILED '} {what}")
    return 0 if all(is_so for _, is_so in shown) else 1


def _parameters(values: dict[str, object]) -> list[Parameter]:
    return [Parameter(name, value=value) for name, value in values.items()]
