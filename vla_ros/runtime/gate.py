"""What forbids to move until somebody allows it again: stops, faults, refused texts."""

from __future__ import annotations

from vla_ros.datatypes import Status
from vla_ros.runtime.latest import Obstacle


class Gate:
    """Shut at first; `open` lets through what nothing else forbids.

    Attributes:
        halted: Why the owner wants no motion; empty when it does.
        instruction: The text to follow; empty after one that was emptied or refused, `None` before
            any.
        broken: The fault of a tick that raised; the loop touches nothing more then.
    """

    def __init__(self) -> None:
        self.halted = "the loop is not active"
        self.instruction: str | None = None
        self.broken: Obstacle | None = None
        self._refused = ""
        self._fault: Obstacle | None = None

    def open(self) -> None:
        """Forget faults and stops."""
        self.halted, self.broken, self._fault = "", None, None

    def instruct(self, instruction: str | None) -> bool:
        """Follow `instruction` from now on; whether it is another one than before."""
        is_new, self.instruction, self._refused = instruction != self.instruction, instruction, ""
        return is_new

    def refuse(self, reason: str) -> None:
        """Follow no instruction until the next one; the one that came was refused."""
        self.instruction, self._refused = "", reason

    def shut_for_good(self, reason: str) -> Obstacle:
        """The fault of a tick that raised, latched until `open`."""
        reason = f"{reason}; latched until reset or activation"
        self.broken = Obstacle(status=Status.FAULT_INTERNAL, reason=reason)
        return self.broken

    def latched(self, obstacle: Obstacle | None) -> Obstacle | None:
        """The first fault since `open`; `obstacle` when it is the first."""
        if self._fault is None and obstacle is not None and obstacle.status.is_fault:
            self._fault = obstacle
        return self.broken or self._fault

    def hold(self, standstill_s: float, locked: Obstacle | None) -> Obstacle | None:
        """What to hold for, the weightiest reason first; `None` when nothing forbids to move.

        Args:
            standstill_s: For how long the clock has stood still.
            locked: What an interlock says.
        """
        if standstill_s > 0:
            reason = f"the clock has stood still for {standstill_s:.1f} s"
            return Obstacle(status=Status.HOLD_CLOCK_STOPPED, reason=reason)
        if self.halted:
            return Obstacle(status=Status.HOLD_STOPPED, reason=self.halted)
        if self._refused:
            return Obstacle(status=Status.HOLD_BAD_INSTRUCTION, reason=self._refused)
        if locked is not None:
            return locked
        if self.instruction == "":
            return Obstacle(status=Status.HOLD_NO_INSTRUCTION, reason="the instruction is empty")
        return None
