"""Everything a configured node owns: robot, policy, loop, subscriptions and publishers.

Made by `on_configure`, closed by `on_cleanup`; nothing of it outlives either.
"""

from __future__ import annotations

import math
import time
import traceback
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from rclpy.lifecycle import LifecycleNode

from vla_ros.datatypes import Status
from vla_ros.policy.check import check_fits
from vla_ros.policy.meaning import joint_spec, with_joint_actions
from vla_ros.policy_protocol import Policy
from vla_ros.robot_config import RobotConfig, load_robot
from vla_ros.ros.debug_view import DebugView
from vla_ros.ros.edge import Throttle, guarded
from vla_ros.ros.flight_recorder import FlightRecorder, default_folder
from vla_ros.ros.inputs import Inputs
from vla_ros.ros.neighbours import Neighbours
from vla_ros.ros.params import VlaNodeParameters
from vla_ros.ros.plan_view import PlanView
from vla_ros.ros.policy_loading import LoadingWorker
from vla_ros.ros.policy_source import PolicySource
from vla_ros.ros.qos_watch import QosWatch
from vla_ros.ros.remote_source import source_of
from vla_ros.ros.shadow_sink import ShadowSink
from vla_ros.ros.sinks import CommandSink
from vla_ros.ros.ticker import TickTime
from vla_ros.runtime import ControlLoop, Tick
from vla_ros.runtime.divergence import Divergence
from vla_ros.runtime.stopping import stop_duration_s

_REST_WITHIN_S = 0.8


class Session:
    """A configured control loop, connected to its topics.

    Attributes:
        last: What the latest step gave; `None` before the first.
        worst_step_s: Longest step since `take_worst_step_s`.
        weights_sha256: Gives the digest of the policy's weights; empty while it is not known.
    """

    def __init__(
        self, node: LifecycleNode, parameters: VlaNodeParameters, source: PolicySource | None
    ) -> None:
        """Connect everything.

        Args:
            node: The node.
            parameters: Its parameters.
            source: Where the policy comes from; `None` is where the parameters say.

        Raises:
            VlaError: The robot file or the checkpoint cannot be used.
        """
        self.parameters = parameters
        self.robot: RobotConfig = load_robot(parameters.robot_file)
        source = source or source_of(parameters, self.robot, node.get_logger())
        spec = joint_spec(source.read_spec(parameters.checkpoint_dir), self.robot)
        check_fits(spec, self.robot)
        self._progress = source.progress
        self.weights_sha256 = source.weights_sha256
        self.last: Tick | None = None
        self._worst_step_s = 0.0
        self._is_starting = False
        self._logger = node.get_logger()
        self.divergence = Divergence(self.robot)
        self._divergence_throttle, self._failure_throttle = Throttle(), Throttle()
        self._show = guarded(self._logger, self._show_plan)
        self._record = guarded(self._logger, self._note)
        self._send_if_possible = guarded(self._logger, self._send)
        self.qos = QosWatch(self._logger)
        with ExitStack() as stack:
            self._debug_view = DebugView(node, spec.cameras)
            stack.callback(self._debug_view.close)
            self.worker = LoadingWorker(
                lambda: with_joint_actions(self._shown(source.load(parameters)), self.robot),
                source.make_worker,
                lambda error: _log_loaded(node, error),
            )
            stack.callback(self.worker.close)
            # Before the worker, which waits for a plan that is under way.
            stack.callback(source.close)
            watched = _unfollowed(self.robot) if parameters.is_shadow else self.robot
            self.loop = ControlLoop(robot=watched, spec=spec, worker=self.worker)
            self.loop.slow_down(parameters.speed_scale)
            self.sink: CommandSink | ShadowSink = (
                ShadowSink()
                if parameters.is_shadow
                else CommandSink(node, self.robot, self.qos, self.loop)
            )
            stack.callback(self.sink.close)
            self._plan_view = PlanView(node, self.robot)
            stack.callback(self._plan_view.close)
            cameras = [camera.name for camera in spec.cameras]
            self.inputs = Inputs(node, self.robot, cameras, self.loop, self.qos)
            stack.callback(self.inputs.close)
            recordings = parameters.recordings
            folder = Path(recordings) if recordings else default_folder()
            self.recorder = FlightRecorder(self.robot, folder, node.get_logger().info)
            stack.callback(self.recorder.close)
            self._neighbours = Neighbours(node, self.robot, self.sink, self.inputs, self.loop)
            stack.callback(self._neighbours.close)
            self._closing = stack.pop_all()

    def close(self) -> None:
        """Disconnect everything and end the policy."""
        self._closing.close()

    def activate(self, now_s: float) -> None:
        """Start anew as soon as the policy is loaded; nothing of an earlier activation is used."""
        self.last = None
        self.sink.forget()
        self.divergence.clear()
        self.inputs.start_listening()
        self._neighbours.look()
        self.loop.activate(now_s)
        # A loop that runs before its policy is there would take it for a hanging one.
        self.loop.stop()
        self._is_starting = True
        self._start_when_ready(now_s)

    def stop(self) -> None:
        """Hold until `reset` or the next activation."""
        self._is_starting = False
        self.loop.stop()

    def reset(self, now_s: float) -> None:
        """Clear a fault or a stop, as soon as the arm's driver and the policy are ready."""
        self.sink.reconnect()
        self._is_starting = True
        self._start_when_ready(now_s)
        if self._is_starting:  # what is latched from here on counts
            self.loop.reset(now_s)
            self.loop.stop()

    def step(self, when: TickTime) -> Tick:
        """Take one step of the loop and send its command; what they raise becomes a fault."""
        started_s = time.perf_counter()
        try:
            tick = self._silenced(self._advance(when))
            self._send(tick)
        except Exception as error:  # the edge: the arm must not be left in motion
            text = self._failure_throttle.admit(f"a tick failed:\n{traceback.format_exc()}")
            if text:
                self._logger.error(text)
            reason = f"internal error: {type(error).__name__}: {error}"
            tick = self._silenced(self.loop.fail(reason, when.now_s))
            self._is_starting = False
            self._send_if_possible(tick)
        self._record(tick)
        self.last = tick
        self._show(tick)
        self._worst_step_s = max(self._worst_step_s, time.perf_counter() - started_s)
        return tick

    @property
    def longest_stop_s(self) -> float:
        """How long a stop from full speed takes; 0 where the driver can be sent it as a whole."""
        if self.sink.takes_path:
            return 0.0
        limits = self.robot.limits
        each = zip(
            limits.velocity_rad_s, limits.acceleration_rad_s2, limits.jerk_rad_s3, strict=True
        )
        return max(stop_duration_s(velocity, 0.0, a, jerk) for velocity, a, jerk in each)

    def come_to_rest(self, now_s: float) -> bool:
        """Decelerate inside the limits and send the last hold.

        Blocks for less than a second, unless the stop takes longer and the driver takes no path.

        Returns:
            Whether the arm was at rest before the time was over. If not, the rest of its stop was
            sent as one trajectory, which the driver follows by itself.
        """
        self.inputs.stop_listening()
        self._is_starting = False
        self.loop.begin_deactivation()
        started_s = time.monotonic()
        elapsed_s = 0.0
        paced = not self.sink.takes_path
        while not self.loop.is_stopped and (paced or elapsed_s < _REST_WITHIN_S):
            self.step(TickTime(now_s=now_s + elapsed_s))
            # Nobody turns the executor meanwhile, and with it /clock: pace by the steady clock.
            time.sleep(self.robot.tick_s)
            elapsed_s = time.monotonic() - started_s
        remaining = self.loop.remaining_stop(now_s + elapsed_s)
        if remaining:
            self.sink.publish(*remaining)
        else:
            self.sink.hold()
        return not remaining

    def image_age_s(self, now_s: float) -> float | None:
        """Age of the oldest picture behind the chunk that is being played."""
        if self.last is None or self.last.chunk_start_s is None:
            return None
        stamp_s = self.worker.image_stamp_s(self.last.chunk_start_s)
        return None if stamp_s is None else now_s - stamp_s

    def take_worst_step_s(self) -> float:
        """Longest step since the last call."""
        worst_s, self._worst_step_s = self._worst_step_s, 0.0
        return worst_s

    def _silenced(self, tick: Tick) -> Tick:
        """The tick; in shadow mode without its command, and the next begins where the arm is."""
        if not self.parameters.is_shadow:
            return tick
        self.loop.let_go()
        return replace(tick, command=None)

    def _send(self, tick: Tick) -> None:
        if tick.command is None:
            self.sink.pause()
        else:
            self.sink.publish(tick.command)

    def _note(self, tick: Tick) -> None:
        """Keep the tick for the recorder, which writes when a fault begins."""
        self.recorder.note(tick, self.loop)
        before = None if self.last is None else self.last.status
        if tick.status.is_fault and tick.status is not before:
            self.recorder.dump(tick.status.value)

    def _shown(self, policy: Policy) -> Policy:
        """The same policy, known to the debug image; called in the loading thread."""
        self._debug_view.policy = policy
        return policy

    def _show_plan(self, tick: Tick) -> None:
        """Publish plan and debug image, and say how far the motion was from an earlier plan."""
        chunk = self.loop.chunk
        self._plan_view.show(chunk, tick.stamp_s)
        self._debug_view.show(tick, self.loop)
        if self.divergence.watch(chunk, self.loop.measured) and self.parameters.is_shadow:
            apart = self.divergence.last
            text = self._divergence_throttle.admit(
                f"plan and motion are {apart.joint_rad:.3f} rad and {apart.tip_m * 1e3:.0f} mm of "
                f"the tip apart after {apart.after_s:.2f} s"
            )
            if text:
                self._logger.info(text)

    def _advance(self, when: TickTime) -> Tick:
        # To begin forgives what is latched, and nobody has asked for that.
        if not self.loop.interlocks.is_latched:
            self._start_when_ready(when.now_s)
        self.inputs.is_paused = when.standstill_s > 0
        tick = self.loop.step(when.now_s, standstill_s=when.standstill_s)
        if tick.status.is_fault:
            self._is_starting = False
        return self._explained(tick)

    def _start_when_ready(self, now_s: float) -> None:
        if self._is_starting and self.worker.is_ready and not self.sink.obstacle():
            self._is_starting = False
            self._begin(now_s)

    def _begin(self, now_s: float) -> None:
        self.loop.look_through(self.worker.cameras)
        self.loop.reset(now_s)

    def _explained(self, tick: Tick) -> Tick:
        """Name what the loop cannot know: there is no policy yet."""
        if self._is_starting and self.worker.error:
            reason = f"the policy could not be loaded: {self.worker.error}"
            return replace(tick, status=Status.FAULT_POLICY_ERROR, reason=reason)
        if self._is_starting:
            reason = self.sink.obstacle() if self.worker.is_ready else self._progress()
            return replace(tick, status=Status.WAITING_FOR_POLICY, reason=reason)
        return tick


def _unfollowed(robot: RobotConfig) -> RobotConfig:
    """The robot in shadow mode: somebody else moves it, so that it does not follow is no fault."""
    following = replace(robot.safety.following, max_error_rad=math.inf, max_error_m=math.inf)
    return replace(robot, safety=replace(robot.safety, following=following))


def _log_loaded(node: LifecycleNode, error: str) -> None:
    """Tell how loading went; called in the loading thread, where rclpy's logger is safe."""
    if error:
        node.get_logger().error(f"the policy could not be loaded:\n{error}")
    else:
        node.get_logger().info("the policy is loaded")
