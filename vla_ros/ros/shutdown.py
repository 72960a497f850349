"""Run a node until Ctrl-C, and end it in order: at rest, with a last hold, exit status 0.

rclpy's own handlers invalidate the context before anything more can be published, and a launch
system sends a second SIGINT some milliseconds after the first, which ends the usual `main`
in the middle of its clean-up.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from vla_ros.errors import VlaError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SPIN_S = 0.1
EXIT_WITHIN_S = 1.7

NodeT = TypeVar("NodeT", bound=Node)
RCLError = rclpy_implementation.RCLError


class StopSignal:
    """Set by the first SIGINT or SIGTERM; any later one is ignored."""

    def __init__(self, lets_callback_end: bool) -> None:
        self.received: signal.Signals | None = None
        self._lets_callback_end = lets_callback_end
        self._last_resort: threading.Timer | None = None
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        self.received = signal.Signals(number)
        if not self._lets_callback_end:
            self.exit_within(EXIT_WITHIN_S)

    def exit_within(self, time_s: float) -> None:
        """Whatever hangs from here on (a driver of a GPU, a discovery server) must not keep us."""
        if self._last_resort is not None:
            self._last_resort.cancel()
        self._last_resort = threading.Timer(time_s, os._exit, args=(0,))
        self._last_resort.daemon = True
        self._last_resort.start()


def run(
    make_node: Callable[[], NodeT],
    finish: Callable[[NodeT], None],
    args: list[str] | None = None,
    lets_callback_end: bool = False,
    finish_within_s: Callable[[NodeT], float] = lambda node: EXIT_WITHIN_S,
) -> int:
    """Spin a node until a signal comes; return the exit status.

    Args:
        make_node: Builds the node; a `VlaError` from it ends the run with status 1.
        finish: Brings what the node moves to rest.
        args: Command line; `None` takes the process's own.
        lets_callback_end: Give the callback under way all the time that it needs: it saves
            something.
        finish_within_s: How long `finish` and the clean-up may take; then the process ends. By
            default it has ended two seconds after a signal.
    """
    stop = StopSignal(lets_callback_end)
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = make_node()
    except VlaError as error:
        get_logger("vla_ros").fatal(str(error))
        rclpy.try_shutdown()
        return 1
    try:
        _spin(node, stop)
        within_s = finish_within_s(node)
        if lets_callback_end or within_s > EXIT_WITHIN_S:
            stop.exit_within(within_s)
        return 0
    finally:
        _finish(node, finish)
        node.destroy_node()
        rclpy.try_shutdown()


def exit_process(status: int) -> None:
    """End the process without waiting for threads, of which a hanging policy may own one."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _spin(node: Node, stop: StopSignal) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    # The wait cannot be interrupted by a signal, so it is kept short.
    while stop.received is None:
        try:
            executor.spin_once(timeout_sec=_SPIN_S)
        except RCLError as error:
            # rclpy raises in its own callback on a transition that the state does not allow.
            node.get_logger().error(f"a request was not carried out: {error}")
    node.get_logger().info(f"{stop.received.name} received: stopping")
    executor.remove_node(node)


def _finish(node: NodeT, finish: Callable[[NodeT], None]) -> None:
    try:
        finish(node)
    except Exception:  # the edge: the process must end all the same
        node.get_logger().error(f"could not finish in order:\n{traceback.format_exc()}")
