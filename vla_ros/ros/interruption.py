"""Ctrl-C and its like as a flag, for a program that has processes of its own to end."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """While this context lasts, signals only set `received`; the program asks `check` for it.

    A signal can then never break into the ending of processes, even when an impatient person sends
    it twice. Outside the main thread, where Python allows no handlers, this does nothing.

    Attributes:
        received: Whether a signal came.
    """

    def __init__(self) -> None:
        self.received = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        """Take the signals; those that are ignored already (`nohup`) stay so."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the signals back; one that nobody has heard of yet is raised now."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if error is None:
            self.check()

    def check(self) -> None:
        """Return when no signal came.

        Raises:
            KeyboardInterrupt: One did.
        """
        if self.received:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.received = True
