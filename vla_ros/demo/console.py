"""What the demo says while it runs: one line that changes in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from vla_ros.ros.take import Take

_TERMINAL_PERIOD_S = 0.1
_PLAIN_PERIOD_S = 2.0
_BAR_CHARACTERS = 20
_CLEAR_LINE = "\r\x1b[2K"


class Console:
    """Says sentences, and follows a take with a progress line."""

    def __init__(self, stream: TextIO | None = None, period_s: float | None = None) -> None:
        """Choose where to write.

        Args:
            stream: `None` is the standard output.
            period_s: Time between two lines of progress; `None` suits the stream.
        """
        self._stream = sys.stdout if stream is None else stream
        self._is_terminal = self._stream.isatty()
        usual_s = _TERMINAL_PERIOD_S if self._is_terminal else _PLAIN_PERIOD_S
        self._period_s = usual_s if period_s is None else period_s
        self._take: Take | None = None
        self._written_s = 0.0

    def say(self, text: str) -> None:
        """Write a line."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def follow(self, take: Take) -> None:
        """Write how a take stands, not too often."""
        now_s = time.monotonic()
        if take is not self._take:
            self._take, self._written_s = take, now_s
            self.say(f'  /vla/instruction: "{take.instruction}"')
        if now_s - self._written_s < self._period_s:
            return
        self._written_s = now_s
        if self._is_terminal:
            self._stream.write(_CLEAR_LINE + progress_line(take))
            self._stream.flush()
        else:
            self.say(progress_line(take))

    def tell_end(self, take: Take) -> None:
        """Write how a take ended, in place of the progress line."""
        self.say((_CLEAR_LINE if self._is_terminal else "") + end_line(take))


def progress_line(take: Take) -> str:
    """How far a running take is: the task's progress, its time, what vla_node does."""
    done = min(max(take.report.reward, 0.0), 1.0)
    filled = round(done * _BAR_CHARACTERS)
    bar = "#" * filled + "." * (_BAR_CHARACTERS - filled)
    status = take.status.status if take.status else "no status yet"
    return f"  [{bar}] {done:4.0%}  {take.elapsed_s:4.1f} of {take.limit_s:g} s  {status}"


def end_line(take: Take) -> str:
    """How a take ended, in words."""
    if take.is_success:
        return f"  Done after {take.time_s:.1f} s: the goal has held for a second."
    if take.status is not None and take.status.is_fault:
        return f"  Failed after {take.time_s:.1f} s: {take.status.status}: {take.status.reason}"
    return f"  Failed: the goal was not reached within {take.limit_s:g} s."
