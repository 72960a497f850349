"""A `VlaNode` beside a plain client, and the words to drive both in a test."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_fakes import SPEC, Client, FakePolicy, sway, values
from std_srvs.srv import Trigger

from vla_ros.ros.convert import stamp_from_seconds
from vla_ros.ros.policy_source import PolicySource
from vla_ros.ros.vla_node import VlaNode

CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE
SHUTDOWN = Transition.TRANSITION_ACTIVE_SHUTDOWN


class Spinner:
    """Spins nodes in the test's own thread until something has come true."""

    def __init__(self, context: Context) -> None:
        self.executor = SingleThreadedExecutor(context=context)
        self._nodes: list[Node] = []

    def add(self, node: Node) -> None:
        self._nodes.append(node)
        self.executor.add_node(node)

    def until(self, reached: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
        """Spin until `reached()`, or fail saying that `what` did not happen."""
        end_s = time.monotonic() + timeout_s
        while not reached():
            assert time.monotonic() < end_s, f"not within {timeout_s:g} s: {what}"
            self.executor.spin_once(timeout_sec=0.05)

    def destroy(self, node: Node) -> None:
        self.executor.remove_node(node)
        self._nodes.remove(node)
        node.destroy_node()

    def close(self) -> None:
        self.executor.shutdown()
        for node in self._nodes:
            node.destroy_node()


class Bench:
    """A `VlaNode` and a client, spun together."""

    def __init__(self, context: Context, spinner: Spinner, robot_file: Path) -> None:
        self.client = Client(context)
        self.node: VlaNode | None = None
        self._context = context
        self._spinner = spinner
        self._robot_file = robot_file
        spinner.add(self.client)

    def start(self, act: Callable = sway, load: Callable | None = None, **overrides) -> None:
        source = PolicySource(
            read_spec=lambda folder: SPEC, load=load or (lambda parameters: FakePolicy(act))
        )
        self.start_with(source, **overrides)

    def start_with(self, source: PolicySource | None, **overrides) -> None:
        overrides = {"robot_file": str(self._robot_file), "checkpoint": "none", **overrides}
        parameters = [Parameter(name, value=value) for name, value in overrides.items()]
        self.node = VlaNode(source, context=self._context, parameter_overrides=parameters)
        self._spinner.add(self.node)

    def until(self, reached: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
        self._spinner.until(reached, what, timeout_s)

    def change(self, *transitions: int) -> bool:
        """Ask for transitions one after another; whether the last succeeded."""
        for transition in transitions:
            request = ChangeState.Request(transition=Transition(id=transition))
            answer = self._call(self.client.lifecycle, request)
        return answer.success

    def trigger(self, service) -> Trigger.Response:
        return self._call(service, Trigger.Request())

    def _call(self, service, request):
        self.until(service.service_is_ready, f"service {service.srv_name}")
        future = service.call_async(request)
        self.until(future.done, f"an answer of {service.srv_name}")
        return future.result()

    def connected(self) -> bool:
        """Whether the client's publishers have found the node."""
        publishers = (self.client.images, self.client.states, self.client.texts)
        return all(publisher.get_subscription_count() for publisher in publishers)

    def run(self, text: str = "sway") -> None:
        """Bring the node to follow an instruction."""
        assert self.change(CONFIGURE, ACTIVATE)
        self.client.play()
        self.until(self.connected, "discovery")
        self.client.say(text)
        self.until_status("running")
        self.until(lambda: len(self.client.arm) > 10, "commands")

    def until_status(self, name: str) -> None:
        self.until(lambda: self.client.status() == name, f"status {name}")

    def diagnostics(self, count: int) -> None:
        """Let seconds pass, by the node's diagnostics."""
        seen = len(self.client.diagnostics)
        self.until(lambda: len(self.client.diagnostics) >= seen + count, "diagnostics")

    def silence(self, heard: list, for_s: float = 0.5) -> None:
        """Wait until nothing has been added to `heard` for a while: all that was sent has come."""
        seen, since_s = len(heard), time.monotonic()

        def silent() -> bool:
            nonlocal seen, since_s
            if len(heard) > seen:
                seen, since_s = len(heard), time.monotonic()
            return time.monotonic() - since_s >= for_s

        self.until(silent, f"silence for {for_s:g} s")

    def ticks(self, count: int) -> None:
        """Let the node tick."""
        seen = len(self.client.statuses)
        self.until(lambda: len(self.client.statuses) >= seen + count, f"{count} ticks")

    def set_clock(self, time_s: float) -> None:
        """Set the simulated time, and wait until the node knows it."""

        def arrived() -> bool:
            self.client.tell_time(time_s)
            return self.node.get_clock().now().nanoseconds == round(time_s * 1e9)

        self.until(arrived, f"/clock at {time_s} s")

    def tick_at(self, time_s: float) -> None:
        """Set the simulated time, and wait for the tick of that time."""

        def ticked() -> bool:
            # The clock is best effort: say it again until it was heard.
            self.client.tell_time(time_s)
            statuses = self.client.statuses
            return bool(statuses) and float(values(statuses[-1])["stamp_s"]) == time_s

        self.until(ticked, f"a tick at {time_s} s")

    def taken(self, topic: str) -> int:
        """Number of messages that the node has taken from `topic`."""
        return self.node.session.inputs.counts[topic].taken

    def deliver(self, topic: str, publish: Callable[[], None]) -> None:
        """Publish, and wait until the node has taken it."""
        before = self.taken(topic)
        publish()
        self.until(lambda: self.taken(topic) > before, f"{topic} to arrive")

    def sense(self, time_s: float) -> None:
        """Deliver a picture and a joint state of that time."""
        stamp = stamp_from_seconds(time_s)
        self.deliver("/front/image_raw", lambda: self.client.show(stamp))
        self.deliver("/joint_states", lambda: self.client.report(stamp))


def velocities(client: Client) -> np.ndarray:
    return np.array([msg.points[0].velocities for msg in client.arm])
