"""The node: a ROS 2 lifecycle around `ControlLoop`.

Cameras, joint states, the instruction and the command topics are those of the robot file. Beside
them, under the node's name:

- topic `~/status` (diagnostic_msgs/DiagnosticStatus): every tick while active; `message` is the
  reason, the values are the status by name, epoch, ages, times and counters.
- topic `/diagnostics` (diagnostic_msgs/DiagnosticArray): once a second, in every state.
- topics `~/plan/markers`, `~/plan/joint_trajectory` and `~/plan/joint_states`: the running plan,
  for those who listen.
- topic `~/debug/image` (sensor_msgs/Image): what the policy sees, for those who listen, 2 Hz.
- services `~/stop` (hold until reset), `~/reset` (clear a fault or stop) and `~/dump` (write the
  last 30 s to a file): std_srvs/Trigger.

Every callback is small and caught at its edge, because rclpy ends the executor on an exception and
swallows those of lifecycle transitions. The policy computes in a process of its own, or in a
thread of this one.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.timer import Timer
from std_srvs.srv import Trigger

from vla_ros.datatypes import Status
from vla_ros.errors import CheckpointError, ParameterError, VlaError
from vla_ros.ros import shutdown, status
from vla_ros.ros.edge import guarded
from vla_ros.ros.params import (
    VLA_NODE_PARAMETERS,
    check_parameters,
    declare_parameters,
    read_parameters,
    refuse_changes,
)
from vla_ros.ros.policy_source import PolicySource
from vla_ros.ros.realtime import raise_priority
from vla_ros.ros.session import Session
from vla_ros.ros.ticker import Ticker, TickTime
from vla_ros.runtime import Tick

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE

_DIAGNOSTICS_PERIOD_S = 1.0
_FLUSH_S = 0.1
# How long another thread, one that plans, may keep the interpreter from a tick; 5 ms by default.
_SWITCH_S = 0.0005
_SPEED_SCALE, _REALTIME = "speed_scale", "realtime_priority"


class VlaNode(LifecycleNode):
    """Runs a policy on the arm of a robot file while it is active."""

    def __init__(self, source: PolicySource | None = None, **kwargs: Any) -> None:
        """Declare parameters, services and reports.

        Args:
            source: Where the policy comes from; `None` is where the parameters say.
            kwargs: For rclpy's `Node`.

        Raises:
            ParameterError: A parameter override is unknown, of a wrong type or out of range.
        """
        super().__init__("vla_node", **kwargs)
        self._source = source
        self._session: Session | None = None
        self._ticker: Ticker | None = None
        self._status: Status | None = None
        declare_parameters(self, VLA_NODE_PARAMETERS)
        refuse_changes(self, VLA_NODE_PARAMETERS, self._why_fixed)
        self.add_post_set_parameters_callback(guarded(self.get_logger(), self._on_parameters))
        self._status_publisher = self.create_publisher(
            DiagnosticStatus, "~/status", QoSProfile(depth=10)
        )
        self._diagnostics = self.create_publisher(
            DiagnosticArray, "/diagnostics", QoSProfile(depth=1)
        )
        self.create_service(Trigger, "~/stop", self._on_stop)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self.create_service(Trigger, "~/dump", self._on_dump)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        report = guarded(self.get_logger(), self._on_report)
        self.create_timer(_DIAGNOSTICS_PERIOD_S, report, clock=self._steady)
        self._start_timer: Timer | None = None
        if read_parameters(self).autostart:
            start = guarded(self.get_logger(), self._on_autostart)
            self._start_timer = self.create_timer(0.0, start, clock=self._steady)

    @property
    def session(self) -> Session | None:
        """What is configured; `None` otherwise."""
        return self._session

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the robot file and the checkpoint, connect the topics, begin to load the policy."""
        return self._transition("configure", self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start ticking; a policy that is still being loaded is waited for while ticking."""
        return self._transition("activate", lambda: self._activate(state))

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Bring the arm to rest, send the last hold, and be silent from then on."""
        return self._transition("deactivate", lambda: self._deactivate(state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything that was configured."""
        return self._transition("clean up", self._release)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Bring the arm to rest when it moves, then let go of everything."""
        return self._transition("shut down", lambda: self._end(state))

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything; the node can be configured again."""
        return self._transition("recover", self._release)

    def finish(self) -> None:
        """End in order when the process is asked to: at rest, last hold, acknowledged."""
        self._end(LifecycleState(state_id=0, label="active"))

    def finish_within_s(self) -> float:
        """How long `finish` may take: a stop that the driver cannot be left alone with is ended."""
        if self._ticker is None or self._session is None:
            return shutdown.EXIT_WITHIN_S
        return shutdown.EXIT_WITHIN_S + self._session.longest_stop_s

    def destroy_node(self) -> None:
        """Let go of what is configured, too, whose threads would keep the node alive."""
        if self._ticker is not None:
            self._ticker.close()
        self._release()
        super().destroy_node()

    def _transition(self, what: str, act: Callable[[], None]) -> TransitionCallbackReturn:
        """Act; tell the reason of a failure, which rclpy would swallow."""
        try:
            act()
        except VlaError as error:
            self.get_logger().error(f"cannot {what}: {error}")
            return FAILURE
        except Exception:  # the edge of a lifecycle transition
            self.get_logger().error(f"cannot {what}:\n{traceback.format_exc()}")
            return FAILURE
        return SUCCESS

    def _configure(self) -> None:
        parameters = read_parameters(self)
        check_parameters(parameters)
        self._session = Session(self, parameters, self._source)
        robot = self._session.robot
        mode = ", shadow mode: nothing is commanded" if parameters.is_shadow else ""
        self.get_logger().info(f"configured for {robot.robot} at {robot.tick_hz:g} Hz{mode}")

    def _activate(self, state: LifecycleState) -> None:
        session = self._configured()
        if session.worker.error:
            raise CheckpointError(f"the policy could not be loaded: {session.worker.error}")
        super().on_activate(state)
        parameters = session.parameters
        self._ticker = Ticker(self, session.robot.tick_s, parameters.clock_timeout_s, self._on_tick)
        try:
            session.activate(self._ticker.now_s())
        except Exception:
            ticker, self._ticker = self._ticker, None
            ticker.close()
            super().on_deactivate(state)
            raise
        self.get_logger().info("active")

    def _deactivate(self, state: LifecycleState) -> None:
        ticker, self._ticker = self._ticker, None
        if ticker is None:
            return
        session = self._configured()
        try:
            now_s = ticker.now_s()
            ticker.close()
            if not session.come_to_rest(now_s):
                self.get_logger().error(
                    "still moving when the time to come to rest was over; the driver has been sent "
                    "the rest of the stop as one trajectory"
                )
            session.sink.flush(_FLUSH_S)
        finally:
            super().on_deactivate(state)
            self._status = None
        self.get_logger().info("inactive: the arm is at rest, no more commands")

    def _release(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _end(self, state: LifecycleState) -> None:
        try:
            self._deactivate(state)
        finally:
            self._release()

    def _configured(self) -> Session:
        if self._session is None:
            raise ParameterError("vla_node", ["is not configured; configure it first"])
        return self._session

    def _on_tick(self, when: TickTime) -> None:
        session = self._configured()
        tick = session.step(when)
        self._status_publisher.publish(status.tick_status(self.get_name(), session, tick, when))
        self._log_change(tick)

    def _log_change(self, tick: Tick) -> None:
        before, self._status = self._status, tick.status
        if tick.status is before:
            return
        text = f"{tick.status.value}: {tick.reason}" if tick.reason else tick.status.value
        if tick.status.is_fault:
            self.get_logger().error(text)
        elif status.level_of(tick.status) == status.OK or tick.status.is_waiting:
            self.get_logger().info(text)
        else:
            self.get_logger().warning(text)

    def _on_report(self) -> None:
        """Publish `/diagnostics`, in every state of the node."""
        session, ticker, name = self._session, self._ticker, self.get_name()
        report = DiagnosticArray()
        report.header.stamp = self.get_clock().now().to_msg()
        if session is None:
            report.status = [status.idle_status(name, "unconfigured")]
        else:
            report.status = self._session_reports(name, session, ticker)
        self._diagnostics.publish(report)

    def _session_reports(
        self, name: str, session: Session, ticker: Ticker | None
    ) -> list[DiagnosticStatus]:
        reports = [
            status.policy_status(name, session),
            status.topics_status(name, session, _DIAGNOSTICS_PERIOD_S),
        ]
        if ticker is None or session.last is None:
            return [status.idle_status(name, "inactive"), *reports]
        when = TickTime(now_s=ticker.now_s())
        late_s, step_s = ticker.take_worst_late_s(), session.take_worst_step_s()
        return [
            status.tick_status(name, session, session.last, when),
            *reports,
            status.timing_status(name, session, late_s, step_s),
        ]

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._when_active(response, lambda s, t: s.stop(), "holding until reset")

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._when_active(response, lambda s, t: s.reset(t.now_s()), "a new epoch has begun")

    def _on_parameters(self, parameters: list[Parameter]) -> None:
        for parameter in parameters:
            if parameter.name == _SPEED_SCALE and self._session is not None:
                self._session.loop.slow_down(parameter.value)

    def _on_dump(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        path = None if self._session is None else self._session.recorder.dump("asked")
        response.success = path is not None
        response.message = str(path or "nothing is configured, or an earlier file is being written")
        return response

    def _when_active(
        self, response: Trigger.Response, act: Callable[[Session, Ticker], None], done: str
    ) -> Trigger.Response:
        if self._session is None or self._ticker is None:
            response.message = "vla_node is not active"
            return response
        try:
            act(self._session, self._ticker)
        except Exception:  # the edge of a service callback
            self.get_logger().error(f"service failed:\n{traceback.format_exc()}")
            response.message = "failed; the node's log has the traceback"
            return response
        self.get_logger().info(done)
        response.success, response.message = True, done
        return response

    def _on_autostart(self) -> None:
        timer, self._start_timer = self._start_timer, None
        if timer is None:
            return
        self.destroy_timer(timer)
        if self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def _why_fixed(self, parameter: Parameter) -> str:
        if parameter.name == _REALTIME:
            return "counts at the start of the process; start it anew"
        if self._session is None:
            return ""
        if parameter.name == _SPEED_SCALE:
            present = read_parameters(self).speed_scale
            raised = self._ticker is not None and parameter.value > present
            lower = f"can only be lowered while vla_node is active; it is {present:g}"
            return lower if raised else ""
        return "cannot change while vla_node is configured; deactivate and clean up first"


def main(args: list[str] | None = None) -> None:
    """Run the node until SIGINT or SIGTERM."""
    sys.setswitchinterval(_SWITCH_S)
    shutdown.exit_process(run(_make_node, args))


def run(make_node: Callable[[], VlaNode], args: list[str] | None = None) -> int:
    """Run a node until SIGINT or SIGTERM; returns the exit status."""
    return shutdown.run(make_node, VlaNode.finish, args, finish_within_s=VlaNode.finish_within_s)


def _make_node() -> VlaNode:
    node = VlaNode()
    raise_priority(node, read_parameters(node).realtime_priority)
    return node


if __name__ == "__main__":
    main()
