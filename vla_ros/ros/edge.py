"""The edge between rclpy and our code: an exception in a callback would end the node's `spin`."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger

_REPEAT_S = 5.0


class Throttle:
    """Lets one message through per period, and counts those it kept back."""

    def __init__(self, period_s: float = _REPEAT_S) -> None:
        self._period_s = period_s
        self._next_s = float("-inf")
        self._kept_back = 0

    def admit(self, text: str) -> str:
        """Return the text to log now, with the number kept back; empty when it must wait."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            self._kept_back += 1
            return ""
        more = f" ({self._kept_back} more like it since)" if self._kept_back else ""
        self._next_s, self._kept_back = now_s + self._period_s, 0
        return text + more


def guarded(logger: RcutilsLogger, callback: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a callback of a node: what it raises is logged with the traceback, throttled."""
    throttle = Throttle()

    @wraps(callback)
    def run(*args: Any) -> Any:
        try:
            return callback(*args)
        except Exception:  # the edge: rclpy would end the executor
            text = throttle.admit(f"{callback.__name__} failed:\n{traceback.format_exc()}")
            if text:
                logger.error(text)
            return None

    return run
