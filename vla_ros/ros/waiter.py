"""Waits for what other nodes say, and for the answers of their services."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from vla_ros.errors import NodeError
from vla_ros.ros.interruption import Interruption
from vla_ros.ros.node_process import NodeProcess

_SPIN_S = 0.05
# Importing torch from a cold disk and compiling nothing: seconds; a machine at its limit: a minute.
READY_WITHIN_S = 120.0
_ANSWER_WITHIN_S = 60.0
# While nodes still find each other, DDS loses a request or its answer (rmw_fastrtps pull 418).
_ASK_AGAIN_S = 10.0


class Waiter:
    """Spins a node while it waits, as long as all processes live and nobody interrupts.

    Every method raises `NodeError` when a process ended or the time is over, and
    `KeyboardInterrupt` when the user wants to stop.
    """

    def __init__(
        self,
        node: Node,
        context: Context,
        processes: Sequence[NodeProcess],
        interruption: Interruption,
    ) -> None:
        self._processes, self._interruption = processes, interruption
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(node)

    def close(self) -> None:
        """Stop listening."""
        self._executor.shutdown()

    def call(self, service: Client, request: Any) -> Any:
        """The answer to a request that may be made more than once."""
        self.wait_for(service)
        for _ in self.attempts(f"{service.srv_name} answers"):
            if (answer := self.ask(service, request)) is not None:
                return answer

    def wait_for(self, service: Client) -> None:
        """Return when `service` is offered."""
        self.until(service.service_is_ready, f"{service.srv_name} is offered", READY_WITHIN_S)

    def ask(self, service: Client, request: Any) -> Any | None:
        """The answer; `None` when there is none in `_ASK_AGAIN_S`."""
        future, end_s = service.call_async(request), time.monotonic() + _ASK_AGAIN_S
        self.until(lambda: future.done() or time.monotonic() > end_s, f"{service.srv_name} answers")
        return future.result() if future.done() else None

    def attempts(self, what: str) -> Iterator[None]:
        """Times to try in `_ANSWER_WITHIN_S`; an error after them."""
        end_s = time.monotonic() + _ANSWER_WITHIN_S
        while time.monotonic() < end_s:
            yield
        raise self._in_vain(what, _ANSWER_WITHIN_S)

    def until(
        self, reached: Callable[[], object], what: str, within_s: float = _ANSWER_WITHIN_S
    ) -> None:
        """Listen until `reached()`, as long as both processes live and nobody interrupts."""
        end_s = time.monotonic() + within_s
        while not reached():
            self._interruption.check()
            for process in self._processes:
                process.check()
            if time.monotonic() > end_s:
                raise self._in_vain(what, within_s)
            self._executor.spin_once(timeout_sec=_SPIN_S)

    def _in_vain(self, what: str, within_s: float) -> NodeError:
        words = "\n".join(f"{p.name}: {p.last_words()}" for p in self._processes)
        return NodeError(f"waited {within_s:g} s in vain until {what}\n{words}")
