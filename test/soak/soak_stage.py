"""The simulated robot and `vla_node` as processes, and between them a relay that can go wrong.

`sim_node` speaks on topics below `/sim`; the relay passes pictures and joint states on to the
topics of the robot file, or does not, as the fault under way has it. Commands go straight.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticStatus
from motion_audit import MotionAudit
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vla_ros.robot_config import load_robot
from vla_ros.ros.interruption import Interruption
from vla_ros.ros.node_process import NodeProcess
from vla_ros.share import share_path

EMERGENCY_STOP = "/emergency_stop"
_SENSOR_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
_LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_BUTTON_PERIOD_S = 0.1


class Relay(Node):
    """A driver between the simulated robot and the node, a person, and a listener.

    Attributes:
        silent: Topics on which nothing is passed on.
        frozen: Cameras' topics whose last message is said again and again.
        is_nan: Joint positions are not a number.
        is_pressed: What the emergency stop says.
        heard: Time on the steady clock, status and reason of every tick, oldest first.
        counts: Ticks by status.
    """

    def __init__(self, robot_file: Path, context: Context) -> None:
        super().__init__("soak", context=context)
        self.silent: set[str] = set()
        self.frozen: set[str] = set()
        self.is_nan, self.is_pressed = False, False
        self.heard: list[tuple[float, str, str]] = []
        self.counts: dict[str, int] = {}
        self._last: dict[str, Any] = {}
        robot = load_robot(robot_file)
        self.robot = robot
        self.audit = MotionAudit(robot)
        self.cameras = tuple(camera.topic for camera in robot.cameras.values())
        for topic in self.cameras:
            self._pass_on(Image, topic)
        self._pass_on(JointState, robot.state.topic)
        deep = QoSProfile(depth=1000)
        self.create_subscription(JointTrajectory, robot.arm_sink.topic, self.audit.take, deep)
        self.create_subscription(DiagnosticStatus, "/vla_node/status", self._on_status, deep)
        self._words = self.create_publisher(String, robot.instruction_topic, 1)
        self._button = self.create_publisher(Bool, EMERGENCY_STOP, _LATCHED_QOS)
        self._reset = self.create_client(Trigger, "/vla_node/reset")
        self.create_timer(_BUTTON_PERIOD_S, self.tell_button)

    @property
    def status(self) -> str:
        """Name of the newest status; empty before the first."""
        return self.heard[-1][1] if self.heard else ""

    def say(self, text: str) -> None:
        """Publish an instruction."""
        self._words.publish(String(data=text))

    def tell_button(self) -> None:
        """Publish the state of the emergency stop."""
        self._button.publish(Bool(data=self.is_pressed))

    def reset(self) -> None:
        """Ask the node to clear a fault."""
        self._reset.call_async(Trigger.Request())

    def _pass_on(self, kind: type, topic: str) -> None:
        publisher = self.create_publisher(kind, topic, 1)

        def take(msg: Any) -> None:
            if topic in self.silent:
                return
            if topic in self.frozen:
                msg = self._last.get(topic, msg)
            self._last[topic] = msg
            if kind is JointState:
                self._note_or_break(msg)
            publisher.publish(msg)

        self.create_subscription(kind, f"/sim{topic}", take, _SENSOR_QOS)

    def _note_or_break(self, msg: JointState) -> None:
        if self.is_nan:
            msg.position = [float("nan")] * len(msg.position)
            return
        joints = [msg.name.index(joint) for joint in self.robot.joints]
        self.audit.measure(np.array(msg.position)[joints], np.array(msg.velocity)[joints])

    def _on_status(self, msg: DiagnosticStatus) -> None:
        status = next(pair.value for pair in msg.values if pair.key == "status")
        self.heard.append((time.monotonic(), status, msg.message))
        self.counts[status] = self.counts.get(status, 0) + 1


class SoakStage:
    """Everything that runs; a context manager.

    Attributes:
        relay: The node in between.
        sim, vla: The processes.
        rivals: Other nodes in this process, by name.
    """

    def __init__(self, folder: Path, camera_rate_hz: float, **parameters: object) -> None:
        """Start nothing yet.

        Args:
            folder: For robot files, logs and recordings.
            camera_rate_hz: Pictures a second of each camera, which cost most of the time.
            parameters: Of `vla_node`, those of its policy.
        """
        self._folder = folder
        self._camera_rate_hz = camera_rate_hz
        self._parameters = parameters
        self._stack = ExitStack()
        self.rivals: dict[str, Node] = {}

    def __enter__(self) -> SoakStage:
        with self._stack:
            self._open()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _open(self) -> None:
        enter = self._stack.callback
        self.interruption = self._stack.enter_context(Interruption())
        ours, sims = _robot_files(self._folder)
        sim = {"robot_file": str(sims), "camera_rate_hz": self._camera_rate_hz}
        self.sim = self._start("sim_node", sim)
        vla = {"robot_file": str(ours), "device": "cpu", "threads": 1, "autostart": True}
        vla["recordings"] = str(self._folder / "recordings")
        self.vla = self._start("vla_node", vla | self._parameters)
        self.context = Context()
        rclpy.init(context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        enter(self.context.try_shutdown)
        self.relay = Relay(ours, self.context)
        enter(self.relay.destroy_node)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.relay)
        enter(self._executor.shutdown)

    def _start(self, name: str, parameters: dict[str, object]) -> NodeProcess:
        process = NodeProcess(name, f"vla_ros.ros.{name}", parameters, self.log_of(name))
        self._stack.callback(process.end)
        return process

    def log_of(self, name: str) -> Path:
        """File with what a node has said."""
        return self._folder / f"{name}.log"

    def server_pid(self) -> int | None:
        """The policy server, a child of `vla_node`; `None` between two."""
        for task in Path(f"/proc/{self.vla.pid}/task").iterdir():
            for pid in (task / "children").read_text().split():
                if b"--end-with-stdin" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
        return None

    def listen(self, duration_s: float) -> None:
        """Let time pass."""
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            self.turn()

    def turn(self) -> None:
        """Handle what has arrived.

        Raises:
            NodeError: A node has ended.
            KeyboardInterrupt: Ctrl-C came.
        """
        self.interruption.check()
        for process in (self.sim, self.vla):
            process.check()
        self._executor.spin_once(timeout_sec=0.05)


def _robot_files(folder: Path) -> tuple[Path, Path]:
    """The Panda's robot file with an emergency stop, and the same with inputs below `/sim`."""
    shipped = share_path("config/panda.yaml")
    data = yaml.safe_load(shipped.read_text())
    data["urdf"] = str((shipped.parent / data["urdf"]).resolve())
    data["safety"] = {"emergency_stop": {"topic": EMERGENCY_STOP}}
    ours, sims = folder / "panda.yaml", folder / "panda_sim.yaml"
    ours.write_text(yaml.safe_dump(data))
    for source in (*data["cameras"].values(), data["state"]):
        source["topic"] = f"/sim{source['topic']}"
    sims.write_text(yaml.safe_dump(data))
    return ours, sims
