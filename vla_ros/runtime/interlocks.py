"""What forbids motion from outside: the emergency stop, the deadman, and who is on the topics.

The loop's owner tells what it hears; nothing here knows of topics but their names.
"""

from __future__ import annotations

import math

from vla_ros.datatypes import Status
from vla_ros.robot_safety import SafetyConfig
from vla_ros.runtime.latest import Obstacle

DRIVER_GONE_AFTER_S = 5.0


class Interlocks:
    """Asked once a tick for what forbids to move.

    Attributes:
        rivals: Who else commands the arm, in words; empty when nobody does.
        unheard: Which of our commands nobody listens to, in words.
        no_button: Why the emergency stop cannot be heard, in words.
    """

    def __init__(self, safety: SafetyConfig) -> None:
        self.rivals = ""
        self.unheard = ""
        self.no_button = ""
        self._safety = safety
        self._is_pressed = False
        self._was_pressed = False
        self._deadman: bool | None = None
        self._is_held = False
        self._held_s: float | None = None
        self._unheard_since_s: float | None = None

    @property
    def is_latched(self) -> bool:
        """Whether the emergency stop was pressed since it was forgiven."""
        return self._was_pressed

    def put_emergency_stop(self, pressed: bool) -> None:
        """What the emergency stop says; pressing it is latched."""
        self._is_pressed = pressed
        self._was_pressed = self._was_pressed or pressed

    def put_deadman(self, held: bool) -> None:
        """What the deadman says; its age counts from the next tick."""
        self._deadman = held

    def begin(self) -> None:
        """Start anew: who held the deadman before may have let go of it long ago."""
        self._deadman, self._is_held, self._held_s = None, False, None

    def wait_anew(self, now_s: float) -> None:
        """Count from `now_s` how long there has been no driver: the clock was set forward."""
        if self._unheard_since_s is not None:
            self._unheard_since_s = now_s

    def forgive(self) -> None:
        """Clear what is latched; a button that is still pressed stays."""
        self._was_pressed = self._is_pressed
        self._unheard_since_s = None

    def obstacle(self, now_s: float, *, has_commanded: bool) -> Obstacle | None:
        """The first thing that forbids to move, else `None`.

        Args:
            now_s: Time of the tick.
            has_commanded: Whether the arm has been commanded since the activation. Before, a driver
                that is not there yet is waited for.
        """
        self._hear_deadman(now_s)
        if self._was_pressed:
            state = "is pressed" if self._is_pressed else "was pressed"
            topic = self._safety.emergency_stop_topic
            reason = f"the emergency stop on {topic} {state}; latched until reset or activation"
            return Obstacle(status=Status.FAULT_EMERGENCY_STOP, reason=reason)
        if self.rivals:
            return Obstacle(status=Status.HOLD_OTHER_COMMANDER, reason=self.rivals)
        unheard = self._without_driver(now_s, has_commanded)
        if unheard is not None:
            return unheard
        if self.no_button:
            return Obstacle(status=Status.HOLD_NO_EMERGENCY_STOP, reason=self.no_button)
        return self._released(now_s)

    def _without_driver(self, now_s: float, has_commanded: bool) -> Obstacle | None:
        if not self.unheard:
            self._unheard_since_s = None
            return None
        if not has_commanded:
            return Obstacle(status=Status.WAITING_FOR_DRIVER, reason=self.unheard)
        if self._unheard_since_s is None:
            self._unheard_since_s = now_s
        if now_s - self._unheard_since_s <= DRIVER_GONE_AFTER_S:
            return Obstacle(status=Status.HOLD_NO_DRIVER, reason=self.unheard)
        reason = f"{self.unheard} for {DRIVER_GONE_AFTER_S:g} s; latched until reset or activation"
        return Obstacle(status=Status.FAULT_NO_DRIVER, reason=reason)

    def _hear_deadman(self, now_s: float) -> None:
        if self._deadman is not None:
            self._is_held, self._held_s, self._deadman = self._deadman, now_s, None

    def _released(self, now_s: float) -> Obstacle | None:
        deadman = self._safety.deadman
        if deadman is None:
            return None
        age_s = math.inf if self._held_s is None else now_s - self._held_s
        if self._is_held and 0 <= age_s <= deadman.max_age_s:
            return None
        told = f"last heard {age_s:.2f} s ago, limit {deadman.max_age_s:g} s"
        why = told if self._is_held else "it says so" if age_s < math.inf else "nothing was heard"
        reason = f"the deadman on {deadman.topic} is released: {why}"
        return Obstacle(status=Status.HOLD_DEADMAN, reason=reason)
