"""Calls the control loop at its rate: by ROS time, and by steady time when ROS time stands still.

A ROS-time timer stops with `/clock`. Without a second timer the node would say nothing then, and
leave the arm to the last thing it heard. Whether ROS time stands still is told by looking at it: a
simulation far slower than the ticks' period has a clock that runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.timer import Timer

from vla_ros.ros.edge import guarded

_WATCH_PERIOD_S = 0.1


@dataclass(frozen=True, kw_only=True)
class TickTime:
    """When a tick is.

    Attributes:
        now_s: ROS time; while it stands still, carried on by the steady clock.
        standstill_s: For how long ROS time has stood still; 0 when it runs.
    """

    now_s: float
    standstill_s: float = 0.0


class Ticker:
    """Timers of an active node; `close` ends them.

    Attributes:
        worst_late_s: Largest delay of a tick against its period since `take_worst_late_s`.
    """

    def __init__(
        self,
        node: Node,
        period_s: float,
        clock_timeout_s: float,
        tick: Callable[[TickTime], None],
    ) -> None:
        self._node = node
        self._period_s = period_s
        self._clock_timeout_s = clock_timeout_s
        self._tick = tick
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._is_closed = False
        self._worst_late_s = 0.0
        self._ros_s = self._ros_now_s()
        self._moved_s = self._ticked_s = time.monotonic()
        self._ros_timer: Timer | None = None
        self._stall_timer: Timer | None = None
        self._start_ros_timer()
        watch_s = min(_WATCH_PERIOD_S, clock_timeout_s / 2)
        self._watch_timer = self._create(watch_s, self._on_watch, self._steady)

    def now_s(self) -> float:
        """Time of the loop now, for what happens between two ticks."""
        if self._stall_timer is None:
            return self._ros_now_s()
        return self._ros_s + time.monotonic() - self._moved_s

    def take_worst_late_s(self) -> float:
        """Largest delay of a tick since the last call."""
        worst_s, self._worst_late_s = self._worst_late_s, 0.0
        return worst_s

    def close(self) -> None:
        """End the timers; a tick that is already due does nothing any more."""
        self._is_closed = True
        for timer in (self._ros_timer, self._stall_timer, self._watch_timer):
            self._remove(timer)

    def _ros_now_s(self) -> float:
        return float(self._node.get_clock().now().nanoseconds * 1e-9)

    def _create(self, period_s: float, callback: Callable[[], None], clock: Clock) -> Timer:
        wrapped = guarded(self._node.get_logger(), callback)
        return self._node.create_timer(period_s, wrapped, clock=clock)

    def _remove(self, timer: Timer | None) -> None:
        if timer is not None:
            timer.cancel()
            self._node.destroy_timer(timer)

    def _start_ros_timer(self) -> None:
        self._remove(self._ros_timer)
        self._ros_timer = self._create(self._period_s, self._on_ros_tick, self._node.get_clock())

    def _on_ros_tick(self) -> None:
        if self._is_closed:
            return
        self._look_at_clock()
        ticked_s = time.monotonic()
        self._worst_late_s = max(self._worst_late_s, ticked_s - self._ticked_s - self._period_s)
        self._ticked_s = ticked_s
        self._tick(TickTime(now_s=self._ros_s))

    def _on_watch(self) -> None:
        """Take over when the clock has stood still for too long."""
        if self._is_closed:
            return
        self._look_at_clock()
        standstill_s = time.monotonic() - self._moved_s
        if standstill_s >= self._clock_timeout_s and self._stall_timer is None:
            self._node.get_logger().warning(
                f"the clock has stood still for {standstill_s:.2f} s, limit "
                f"{self._clock_timeout_s:g} s (parameter clock_timeout_s): holding by the steady "
                "clock"
            )
            self._stall_timer = self._create(self._period_s, self._on_stalled_tick, self._steady)

    def _look_at_clock(self) -> None:
        """Notice whether ROS time has moved."""
        before_s, self._ros_s = self._ros_s, self._ros_now_s()
        if self._ros_s == before_s:
            return
        self._moved_s = time.monotonic()
        if self._ros_s < before_s:
            # A timer would sleep until the old time is reached when the system's clock is set back.
            self._start_ros_timer()
        if self._stall_timer is not None:
            self._node.get_logger().info("the clock runs again")
            self._remove(self._stall_timer)
            self._stall_timer = None

    def _on_stalled_tick(self) -> None:
        if self._is_closed or self._stall_timer is None:
            return
        standstill_s = time.monotonic() - self._moved_s
        self._tick(TickTime(now_s=self._ros_s + standstill_s, standstill_s=standstill_s))
