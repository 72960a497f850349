"""The commanded motion: shaper and safety filter, seeded once from the measured state.

`ControlLoop` says where to; every command comes from here. Nothing in here knows of policies, so
that the arm can be brought to rest whatever has become of them.
"""

from __future__ import annotations

import numpy as np

from vla_ros.datatypes import Command, FloatArray, RobotState, Status
from vla_ros.robot_config import RobotConfig
from vla_ros.runtime.following import Following
from vla_ros.runtime.latest import Obstacle
from vla_ros.runtime.lookahead import Lookahead
from vla_ros.runtime.safety import SafetyFilter
from vla_ros.runtime.scheduler import ChunkScheduler
from vla_ros.runtime.shaper import MotionState, Shaper
from vla_ros.runtime.workspace import Workspace

# A reset in motion goes on from the commanded motion, so that the arm is not jerked, unless the
# arm is elsewhere (a simulator that put it back).
_ELSEWHERE_RAD = 0.1
# An arm a little outside its limits is brought back; further outside, the reading is not believed.
_FAR_OUTSIDE_RAD = 0.2
# Fingers that have not opened by more than this since they were told to close still hold.
_STILL_HELD = 0.05


class Motion:
    """Moves the arm inside its limits, tick by tick.

    Attributes:
        is_seeded: It has taken over a measured state; before, nothing is commanded.
        speed_scale: Share of the velocity limits.
        safety: The last gate.
    """

    def __init__(self, robot: RobotConfig) -> None:
        self.is_seeded = False
        self.speed_scale = 1.0
        self.safety = SafetyFilter(robot)
        self._robot = robot
        self._shaper = Shaper(robot.limits, robot.tick_s, Workspace.of(robot))
        self._following = Following(robot)
        self._lookahead = Lookahead(robot)
        # Opening measured when the latest one was commanded.
        self._seen_open: float | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether the commanded motion has ended, or never began."""
        return not self.is_seeded or self._shaper.is_at_rest

    @property
    def clamped(self) -> int:
        """Number of targets and setpoints that had to be moved inside the limits."""
        return self._shaper.clamped + self.safety.clamped

    def forget(self) -> None:
        """Seed anew before the next command; where the arm was told to be counts no more."""
        self.is_seeded = False
        self._following.forget()

    def let_go_of_grip(self) -> None:
        """Begin with the opening that is measured, whatever was commanded before."""
        self._seen_open = None

    def wait_anew(self, now_s: float) -> None:
        """Count from `now_s` how long the arm has been astray: the clock was set forward."""
        self._following.wait_anew(now_s)

    def begin_anew(self, measured: RobotState | None) -> None:
        """Seed anew, unless the arm moves and is measured about where it is commanded to be."""
        if self.is_stopped or self._is_elsewhere(measured):
            self.forget()

    def slow_down(self, speed_scale: float) -> None:
        """Move at most at this share in [0, 1] of the velocity limits from now on."""
        self.speed_scale = speed_scale
        self._shaper.slow_down(speed_scale)
        self._lookahead.slow_down(speed_scale)
        self.safety.slow_down(speed_scale)

    def obstacle(self, measured: RobotState, now_s: float) -> Obstacle | None:
        """Why the arm may not begin, or does not do what it is told; else `None`."""
        astray = self._following.obstacle(measured, now_s)
        if astray is not None or self.is_seeded:
            return astray
        limits, position = self._robot.limits, measured.position_rad
        beyond = np.maximum(limits.lower_rad - position, position - limits.upper_rad)
        joint = int(beyond.argmax())
        if beyond[joint] <= _FAR_OUTSIDE_RAD:
            return None
        reason = (
            f"{self._robot.joints[joint]} is measured {beyond[joint]:.2f} rad outside its limits "
            f"{limits.lower_rad[joint]:g} … {limits.upper_rad[joint]:g} rad; motion begins "
            f"at most {_FAR_OUTSIDE_RAD:g} rad outside, and inward: move the arm, or set its zero"
        )
        return Obstacle(status=Status.WAITING_OUTSIDE_LIMITS, reason=reason)

    def follow(
        self, target: FloatArray, velocity: FloatArray, measured: RobotState, now_s: float
    ) -> Command | None:
        """One tick towards `target` (A,), which itself moves at `velocity` (A,)."""
        if not self.is_seeded:
            self._shaper.seed(measured.position_rad, measured.velocity_rad_s)
            self.safety.seed(measured.position_rad, self._opening(measured.gripper_open))
            self._following.begin(measured.position_rad)
            self.is_seeded = True
        joints = len(self._robot.joints)
        motion = self._shaper.step(target[:joints], velocity[:joints])
        gripper_open = float(target[joints]) if self._robot.gripper is not None else None
        self._seen_open = measured.gripper_open
        return self._command(motion, gripper_open, now_s)

    def hold(self, now_s: float) -> Command | None:
        """Decelerate one tick; once at rest, keep the pose."""
        return self._command(self._shaper.stop(), None, now_s) if self.is_seeded else None

    def release(self, now_s: float) -> Command | None:
        """Decelerate one tick; once at rest, command nothing and seed anew before the next one.

        Whether the arm follows goes on to be judged, by where it was told to be last.
        """
        if self.is_seeded and self.is_stopped:
            self.is_seeded = False
            self._following.settle()
        return self.hold(now_s)

    def is_lost(self, measured: RobotState) -> bool:
        """Whether the arm is too far from where it is commanded to be to keep that pose."""
        return self._following.is_lost(measured)

    def remaining_stop(self, now_s: float) -> list[Command]:
        """The commands until rest, one a tick from `now_s` on; none when the arm is at rest."""
        commands: list[Command] = []
        while not self.is_stopped:
            command = self.hold(now_s + len(commands) * self._robot.tick_s)
            commands += [] if command is None else [command]
        return commands

    def ahead(self, scheduler: ChunkScheduler, now_s: float) -> list[Command]:
        """The commands that would follow if nothing new came, until rest."""
        if not self.is_seeded:
            return []
        state, gripper_open = self._shaper.state, self.safety.gripper_open
        return self._lookahead.commands(scheduler, state, gripper_open, now_s)

    def origin(self, measured: RobotState) -> FloatArray:
        """The action (A,) the arm is at: commanded, or measured before the first command."""
        position = self._shaper.state.position if self.is_seeded else measured.position_rad
        before = self._opening(measured.gripper_open)
        gripper = self.safety.gripper_open if self.is_seeded else before
        return np.asarray(position if gripper is None else [*position, gripper], np.float64)

    def _opening(self, measured: float | None) -> float | None:
        """Where the gripper begins: with the force it had.

        An object keeps fingers more open than they are commanded to be; the opening that is
        measured would not press on it.
        """
        commanded, seen = self.safety.gripper_open, self._seen_open
        if measured is None or seen is None or commanded is None or measured > seen + _STILL_HELD:
            return measured
        return min(commanded, measured)

    def _command(
        self, motion: MotionState, gripper_open: float | None, now_s: float
    ) -> Command | None:
        position, velocity = np.array(motion.position), np.array(motion.velocity)
        command = self.safety.apply(position, velocity, gripper_open, now_s)
        if command is not None:
            self._following.note(command.position_rad)
        return command

    def _is_elsewhere(self, measured: RobotState | None) -> bool:
        if measured is None:
            return False
        away_rad = np.abs(measured.position_rad - self._shaper.state.position)
        return bool((away_rad > _ELSEWHERE_RAD).any())
