"""Lets a real `vla_node` go through a recording again, tick by tick, and notes what it commands."""

from __future__ import annotations

import gc
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby, pairwise
from pathlib import Path

import rclpy
import yaml
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from vla_ros.errors import NodeError
from vla_ros.robot_config import RobotConfig, load_robot
from vla_ros.robot_outputs import GRIPPER_ACTIONS, SERVO_SINKS
from vla_ros.ros.policy_source import PolicySource
from vla_ros.ros.replay_bag import Commands, Recording, by_tick
from vla_ros.ros.replay_node import (
    Player,
    create_node,
    nanoseconds,
    remappings,
    servo_parameters,
)
from vla_ros.ros.replay_topics import command_topics, stamped_topics, unstamped_topics
from vla_ros.ros.replay_worker import ReplayWorker
from vla_ros.ros.vla_node import VlaNode

_SPIN_S = 0.02
_WITHIN_S = 120.0
_SAY_AGAIN_S = 1.0
_FLUSH_S = 5.0
_PHASES = 100
# More than there are subscriptions and timers: each turn calls one of them.
_ROUND = 20
_NOT_REPLAYED = "/gripper_action"


def replay(
    recording: Recording, robot: RobotConfig, checkpoint: Path, cameras: tuple[str, ...]
) -> Commands:
    """What the node commands when it hears, sees and is told what was recorded.

    Args:
        recording: Of a run.
        robot: The arm.
        checkpoint: Folder of the policy.
        cameras: Those that the policy looks through.

    Raises:
        NodeError: The node refuses, or does not tick.
        VlaError: The checkpoint cannot be used.
    """
    with _stage(recording, robot, checkpoint, cameras) as stage:
        stage.begin()
        for number in range(len(recording.ticks)):
            stage.play(number)
        return stage.finish()


@contextmanager
def _stage(
    recording: Recording, robot: RobotConfig, checkpoint: Path, cameras: tuple[str, ...]
) -> Iterator[_Stage]:
    stamped, others = stamped_topics(robot, cameras), unstamped_topics(robot, cameras)
    inputs = {**dict(stamped.values()), **others}
    source = PolicySource(make_worker=lambda policy: ReplayWorker(policy, recording.plans))
    with ExitStack() as stack:
        # What a node owns holds the node; Ruckig complains about what is left at the exit.
        stack.callback(gc.collect)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = _write_robot(robot, folder)
        robot = load_robot(file)
        context = Context()
        rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
        stack.callback(context.try_shutdown)
        executor = SingleThreadedExecutor(context=context)
        arguments = remappings({*inputs, *command_topics(robot), servo_parameters(robot)})
        player = Player(robot, arguments, context)
        stack.callback(player.destroy_node)
        player.offer(inputs)
        node = create_node(file, checkpoint, folder, source, arguments, context)
        stack.callback(node.destroy_node)
        stack.callback(executor.shutdown)
        for one in (player, node):
            executor.add_node(one)
        yield _Stage(recording, robot, node, player, executor)


class _Stage:
    """A node and its player, turned in one thread, so that nothing happens by chance."""

    def __init__(
        self,
        recording: Recording,
        robot: RobotConfig,
        node: VlaNode,
        player: Player,
        executor: SingleThreadedExecutor,
    ) -> None:
        self._recording = recording
        self._tick_s = robot.tick_s
        self._node = node
        self._player = player
        self._executor = executor
        self._said_s = -math.inf

    def begin(self) -> None:
        """Activate the node one period before its first tick."""
        if self._node.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            raise NodeError("vla_node refuses to be configured; its log above tells why")
        session = self._node.session
        self._until(lambda: session.worker.is_ready or session.worker.error, "the policy is loaded")
        if session.worker.error:
            raise NodeError(f"the policy could not be loaded: {session.worker.error}")
        self._until(
            lambda: self._player.is_heard and all(session.sink.listeners().values()),
            "node and player find each other",
        )
        self._until(lambda: not session.sink.obstacle(), "the driver is ready")
        stamps_s = [tick.stamp_s for tick in self._recording.ticks]
        self._set_clock(first_period_s(stamps_s, self._tick_s) - self._tick_s)
        if self._node.trigger_activate() != TransitionCallbackReturn.SUCCESS:
            raise NodeError("vla_node refuses to be activated; its log above tells why")
        self._until(lambda: not session.sink.obstacle(), "the driver is ready")

    def play(self, number: int) -> None:
        """Deliver what was heard before a tick, let the node tick, and wait for its commands."""
        stamp_s = self._recording.ticks[number].stamp_s
        for topic, content in self._recording.due(number):
            self._deliver(topic, content)
        self._said_s = -math.inf
        self._until(lambda: self._has_ticked(stamp_s), f"a tick at {stamp_s:.6f} s")
        self._node.session.sink.flush(_FLUSH_S)
        self._until(lambda: len(self._player.status_ns) > number, "the status of a tick")
        if len(self._player.status_ns) > number + 1:
            raise NodeError(
                f"vla_node ticked twice at {stamp_s:.6f} s; this is a bug of the replay"
            )

    def finish(self) -> Commands:
        """End the node in order; returns what it commanded up to the last tick."""
        self._drain()
        commands = by_tick(self._player.sent, self._player.status_ns)
        self._node.trigger_deactivate()
        self._node.trigger_cleanup()
        return commands

    def _drain(self) -> None:
        """Take what has been delivered already: every tick's commands were acknowledged."""
        before = -1
        while len(self._player.sent) > before:
            before = len(self._player.sent)
            for _ in range(_ROUND):
                self._executor.spin_once(timeout_sec=0.0)

    def _has_ticked(self, stamp_s: float) -> bool:
        # The clock is best effort: say it again until it was heard.
        last = self._node.session.last
        if last is not None and last.stamp_s == nanoseconds(stamp_s) * 1e-9:
            return True
        self._again(lambda: self._player.set_clock(stamp_s))
        return False

    def _set_clock(self, time_s: float) -> None:
        def arrived() -> bool:
            self._again(lambda: self._player.set_clock(time_s))
            return self._node.get_clock().now().nanoseconds == nanoseconds(time_s)

        self._said_s = -math.inf
        self._until(arrived, "the clock is heard")

    def _deliver(self, topic: str, content: bytes) -> None:
        inputs = self._node.session.inputs
        count = inputs.counts[topic]
        before = count.taken + count.refused

        def arrived() -> bool:
            self._again(lambda: self._player.say(topic, content))
            return count.taken + count.refused > before and inputs.is_settled

        self._said_s = -math.inf
        self._until(arrived, f"a message arrives on {topic}")

    def _again(self, say: Callable[[], None]) -> None:
        """Say it now, and once more when it seems to be lost."""
        now_s = time.monotonic()
        if now_s > self._said_s + _SAY_AGAIN_S:
            self._said_s = now_s
            say()

    def _until(self, reached: Callable[[], object], what: str) -> None:
        end_s = time.monotonic() + _WITHIN_S
        while not reached():
            if time.monotonic() > end_s:
                raise NodeError(f"waited {_WITHIN_S:g} s in vain until {what}")
            self._executor.spin_once(timeout_sec=_SPIN_S)


def first_period_s(stamps_s: Sequence[float], period_s: float) -> float:
    """Begin of the first of the periods of which each has at most one of the ticks.

    A timer ticks once a period, at its begin or a little late. When the periods of the recorded
    timer began is not recorded, but its ticks tell it well enough for a timer to do the same.

    Raises:
        NodeError: There are no such periods.
    """

    def suits(step: int) -> bool:
        begin_s = stamps_s[0] - step / _PHASES * period_s
        numbers = [math.floor((stamp_s - begin_s) / period_s) for stamp_s in stamps_s]
        return all(one < other for one, other in pairwise(numbers))

    runs = [list(steps) for fits, steps in groupby(range(_PHASES), suits) if fits]
    if runs:
        # The middle of the widest choice, so that no tick falls on an edge by rounding.
        widest = max(runs, key=len)
        return stamps_s[0] - widest[len(widest) // 2] / _PHASES * period_s
    raise NodeError(
        f"the recorded ticks are not those of a timer of {period_s * 1e3:g} ms, which is what "
        "tick_hz of the robot file says; was another one used?"
    )


def _write_robot(robot: RobotConfig, folder: Path) -> Path:
    """The robot file for a graph without drivers of other kinds than topics."""
    data = yaml.safe_load(robot.path.read_text(encoding="utf-8"))
    data["urdf"] = str(robot.urdf_path.resolve())
    actions = data["actions"]
    if actions["arm"]["sink"] in SERVO_SINKS:
        actions["arm"]["switch_by"] = "parameter"
    if actions.get("gripper", {}).get("sink") in GRIPPER_ACTIONS:
        sink = {"sink": "joint_trajectory", "topic": _NOT_REPLAYED}
        actions["gripper"] = {"meaning": actions["gripper"]["meaning"], **sink}
    path = folder / robot.path.name
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path
