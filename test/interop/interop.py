"""`make interop`: the public openpi-client against our server, and a server with its codec alone
against our node. Prints what was shown; ends with status 1 when something was not.

    interop.py PYTHON    the Python of an environment with openpi-client, which wants NumPy 1
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rclpy
from openpi_observation import observation
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from std_msgs.msg import String

from vla_ros.datatypes import Status
from vla_ros.policy import codec
from vla_ros.policy.client import Link
from vla_ros.policy.server_process import ServerProcess, clean_environment
from vla_ros.robot_config import load_robot
from vla_ros.ros.node_process import prepare_environment

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OTHER_SIDE = HERE / "openpi_side.py"
_WITHIN_S = 300.0
_SERVER = """
policy_server:
  horizon: 16
  step_s: 0.05
  height_px: 224
  width_px: 224
  images: {front: observation/exterior_image_1_left, wrist: observation/wrist_image_left}
  joints: observation/joint_position
  gripper: observation/gripper_position
"""


def main(python: str) -> int:
    shown = [*their_client_our_server(python), *our_node_their_server(python)]
    for what, is_so in shown:
        print(f"{'ok     ' if is_so else 'FAILED '} {what}")
    return 0 if all(is_so for _, is_so in shown) else 1


def their_client_our_server(python: str) -> list[tuple[str, bool]]:
    """openpi's client drives `python -m vla_ros serve` with the shipped checkpoint."""
    options = ["--checkpoint", str(ROOT / "checkpoints/tabletop"), "--threads", "1"]
    server = ServerProcess(sys.executable, [*options, "--device", "cpu"])
    try:
        server.wait_until_ready(_WITHIN_S)
        address = server.locate()
        command = [python, str(OTHER_SIDE), "client", address.uri, address.api_key or ""]
        said = json.loads(subprocess.check_output(command, env=clean_environment({}), text=True))
        link = Link(address)
        ours = codec.unpack(link.ask(codec.pack(observation())))["actions"]
        link.close()
    finally:
        server.close()
    theirs = np.array(said["actions"])
    return [
        (f"openpi-client with NumPy {said['numpy']} is greeted: {said['metadata']}", True),
        (f"it gets actions {theirs.shape}, the same as our client", np.array_equal(theirs, ours)),
        (f"server_timing {said['timing']}", said["timing"]["infer_ms"] > 0),
        (f"its wrong observation raises there: {said['refused']}", "state" in said["refused"]),
        ("and its next one is answered as before", said["again"]),
    ]


def our_node_their_server(python: str) -> list[tuple[str, bool]]:
    """A server with openpi's codec drives the simulated arm through `vla_node`."""
    command = [python, "-u", str(OTHER_SIDE), "server"]
    server = subprocess.Popen(command, env=clean_environment({}), stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline())
        with tempfile.TemporaryDirectory() as folder:
            start, end = _drive(_robot_file(Path(folder)), port)
        seen = json.loads(server.stdout.readline())
    finally:
        server.terminate()
        server.wait()
    way = (end - start).round(2)
    wanted = [0.3, 0.0, 0.0, 0.2, 0.0, 0.0, 0.2]
    return [
        (f"vla_node asks the server with {seen}", len(seen) == 5),
        (f"the arm went {way.tolist()} rad, as it planned", np.abs(way - wanted).max() < 0.03),
    ]


def _robot_file(folder: Path) -> Path:
    text = (ROOT / "config/panda.yaml").read_text()
    text = text.replace("../description", str(ROOT / "description"))
    path = folder / "panda.yaml"
    path.write_text(text + _SERVER)
    return path


def _drive(robot_file: Path, port: int) -> tuple[np.ndarray, np.ndarray]:
    """Joints before, and when the arm has come to rest or the time is over."""
    from vla_ros.ros.sim_node import SimNode
    from vla_ros.ros.vla_node import VlaNode

    prepare_environment()
    context = Context()
    rclpy.init(context=context)
    options = {"robot_file": str(robot_file), "publish_clock": True, "camera_rate_hz": 10.0}
    options["real_time_factor"] = 0.3
    sim = SimNode(context=context, parameter_overrides=_parameters(options))
    wanted = {"robot_file": str(robot_file), "policy": f"ws://127.0.0.1:{port}"}
    wanted |= {"use_sim_time": True, "autostart": True}
    node = VlaNode(context=context, parameter_overrides=_parameters(wanted))
    words = node.create_publisher(String, load_robot(robot_file).instruction_topic, 1)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(sim)
    executor.add_node(node)

    def until(reached, what: str) -> None:
        end_s = time.monotonic() + _WITHIN_S
        while not reached():
            if time.monotonic() > end_s:
                raise SystemExit(f"FAILED  waited {_WITHIN_S:g} s in vain: {what}")
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


def _parameters(values: dict[str, object]) -> list[Parameter]:
    return [Parameter(name, value=value) for name, value in values.items()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
