"""Whether the loop may follow its policy now, and why not.

`ControlLoop.step` asks before and after it hears the policy. The parts know their own reasons; here
they are put in order of weight.
"""

from __future__ import annotations

from vla_ros.datatypes import Status
from vla_ros.robot_config import RobotConfig
from vla_ros.runtime.gate import Gate
from vla_ros.runtime.inference import Inference
from vla_ros.runtime.interlocks import Interlocks
from vla_ros.runtime.latest import Latest, Obstacle
from vla_ros.runtime.motion import Motion
from vla_ros.runtime.wild import WildActions

# No tick is that late on a machine that can control an arm; the clock was set forward.
_LEAP_S = 1.0


class Readiness:
    """Asks each part of the loop what keeps it from following the policy.

    Attributes:
        gate: What forbids until somebody allows it again.
        interlocks: What forbids from outside.
        has_commanded: Whether the arm has been commanded since the activation.

    Args:
        robot: The arm.
        latest: The inputs.
        motion: The arm's commanded motion.
        inference: The policy's answers.
        wild: What its plans are like.
    """

    def __init__(
        self,
        robot: RobotConfig,
        latest: Latest,
        motion: Motion,
        inference: Inference,
        wild: WildActions,
    ) -> None:
        self.gate, self.interlocks = Gate(), Interlocks(robot.safety)
        self.has_commanded = False
        self._robot = robot
        self._latest, self._motion = latest, motion
        self._inference, self._wild = inference, wild
        self._last_s: float | None = None
        self._jumped = ""

    def begin_anew(self, now_s: float) -> None:
        """Clear all that is latched; an arm in motion counts as commanded."""
        self._jumped, self._last_s = "", now_s
        self.has_commanded = self._motion.is_seeded
        self._inference.forgive()
        self._wild.forgive()
        self.interlocks.forgive()
        self.gate.open()

    def note_time(self, now_s: float) -> bool:
        """Note the time of a tick; whether the clock jumped back since the one before.

        Then inputs are of another time. One that was set forward begins all waiting anew.
        """
        last_s, self._last_s = self._last_s, now_s
        if last_s is not None and now_s > last_s + _LEAP_S:
            self._wait_anew(now_s)
        if last_s is None or now_s >= last_s - self._robot.tick_s:
            return False
        self._jumped = (
            f"the clock jumped back from {last_s:.3f} to {now_s:.3f} s: awaiting fresh data"
        )
        return True

    def _wait_anew(self, now_s: float) -> None:
        """Let nobody seem silent for the time that a clock was set forward by."""
        self._inference.wait_anew(now_s)
        self._motion.wait_anew(now_s)
        self.interlocks.wait_anew(now_s)

    def obstacle(self, now_s: float, standstill_s: float) -> Obstacle | None:
        """The weightiest thing that forbids, is missing or goes wrong, else `None`."""
        return self.forbidden(now_s, standstill_s) or self._unready(now_s)

    def forbidden(self, now_s: float, standstill_s: float = 0.0) -> Obstacle | None:
        """What forbids to follow the policy, whatever the sensors say."""
        # Asked every time, because they keep account of what they hear.
        locked = self.interlocks.obstacle(now_s, has_commanded=self.has_commanded)
        fault = self.gate.latched(locked) or self._inference.fault or self._wild.fault
        return fault or self.gate.hold(standstill_s, locked)

    def planless(self, now_s: float, expired: str) -> Obstacle:
        """Why there is nothing to follow; `expired` says what became of the last plan, if any."""
        waiting = f"awaiting the policy for {self._inference.waiting_s(now_s):.2f} s"
        if expired:
            where = f"robot file {self._robot.path.name}, chunks.expire_after_s"
            reason = f"{expired} ({where}); {waiting}"
            return Obstacle(status=Status.HOLD_CHUNK_EXPIRED, reason=reason)
        status = Status.HOLD_FOR_POLICY if self.has_commanded else Status.WAITING_FOR_POLICY
        return Obstacle(status=status, reason=f"no chunk yet; {waiting}")

    def _unready(self, now_s: float) -> Obstacle | None:
        """Which input is missing or stale, or what the arm does not do."""
        obstacle = self._latest.obstacle(now_s)
        if obstacle is None:
            obstacle = self._motion.obstacle(self._latest.fresh_state, now_s)
            self.gate.latched(obstacle)
        if obstacle is not None and self._jumped:
            return Obstacle(status=Status.HOLD_CLOCK_JUMP, reason=self._jumped)
        if obstacle is None:
            self._jumped = ""
        if obstacle is None and self.gate.instruction is None:
            reason = f"instruction: nothing has arrived on {self._robot.instruction_topic} yet"
            return Obstacle(status=Status.WAITING_FOR_INSTRUCTION, reason=reason)
        return obstacle
