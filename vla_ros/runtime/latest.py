"""The newest value of every input, and why the loop may not act on them now.

The loop's owner puts values in as they arrive; the loop asks once a tick for an `Obstacle`.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vla_ros.datatypes import Frame, RobotState, Status
from vla_ros.errors import InstructionError, StateError
from vla_ros.robot_config import InputConfig, RobotConfig
from vla_ros.runtime.pictures import PictureWatch

MAX_INSTRUCTION_LENGTH = 500
# Clocks of drivers on other machines differ by milliseconds; more would prolong a chunk's life.
MAX_AHEAD_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """What keeps the loop from following the policy, and the reason in words."""

    status: Status
    reason: str


def check_instruction(text: str) -> str:
    """Return `text` without space around it; the empty string means: no instruction.

    Raises:
        InstructionError: It is no text, is too long or holds control characters.
    """
    if not isinstance(text, str):
        raise InstructionError(f"the instruction is a {type(text).__name__}; valid: text")
    text = text.strip()
    if len(text) > MAX_INSTRUCTION_LENGTH:
        raise InstructionError(
            f"the instruction has {len(text)} characters; valid: at most {MAX_INSTRUCTION_LENGTH}"
        )
    for index, character in enumerate(text):
        if unicodedata.category(character).startswith("C"):
            raise InstructionError(
                f"the instruction holds the control character {character!r} at index {index}; "
                "valid: one line of printable text"
            )
    return text


class Latest:
    """Newest frame of each camera the policy looks through, and newest robot state.

    Newest by stamp: a sample that was overtaken on its way is ignored and counted.
    """

    def __init__(self, robot: RobotConfig, cameras: Sequence[str]) -> None:
        self.frames: dict[str, Frame] = {}
        self.state: RobotState | None = None
        self.ignored = 0
        self._asked_s = -math.inf
        self._robot = robot
        self._limits = {name: robot.cameras[name] for name in cameras}
        self._watch = self._new_watch()

    def look_through(self, cameras: Sequence[str]) -> None:
        """Wait for `cameras` alone, some of those so far; what the others sent is forgotten."""
        self._limits = {name: self._limits[name] for name in cameras}
        self.frames = {name: frame for name, frame in self.frames.items() if name in cameras}

    @property
    def fresh_state(self) -> RobotState:
        """The robot state; only to be asked for when `obstacle` found nothing."""
        if self.state is None:
            raise StateError("no joint state has arrived; ask `obstacle` first")
        return self.state

    def young_state(self, now_s: float) -> RobotState | None:
        """The robot state; `None` when it is missing or stale."""
        if self.state is None:
            return None
        age_s = now_s - self.state.stamp_s
        return self.state if -MAX_AHEAD_S <= age_s <= self._robot.state.max_age_s else None

    def put_frame(self, name: str, frame: Frame) -> None:
        """Keep `frame`; a camera nobody looks through, or a broken picture, is ignored.

        A black picture is ignored too. A frozen one is taken for the first that was the same.
        """
        if name not in self._limits:
            return
        sound = _is_picture(frame) and not self._is_overtaken(frame, self.frames.get(name))
        position_rad = None if self.state is None else self.state.position_rad
        admitted = self._watch[name].admit(frame, position_rad) if sound else None
        if admitted is None:
            self.ignored += 1
        else:
            self.frames[name] = admitted

    def put_state(self, state: RobotState) -> None:
        """Keep `state`; one of a wrong shape or that is not finite is ignored and counted.

        Velocities that are not finite become zero: some drivers report none.
        """
        sound = _is_state(state, len(self._robot.joints), self._robot.gripper is not None)
        if not sound or self._is_overtaken(state, self.state):
            self.ignored += 1
            return
        if not np.isfinite(state.velocity_rad_s).all():
            state = replace(
                state, velocity_rad_s=np.nan_to_num(state.velocity_rad_s, posinf=0.0, neginf=0.0)
            )
        self.state = state

    def clear(self) -> None:
        """Forget everything that arrived."""
        self.frames.clear()
        self.state = None
        self._watch = self._new_watch()

    def _new_watch(self) -> dict[str, PictureWatch]:
        return {name: PictureWatch(c.frozen_after_rad) for name, c in self._limits.items()}

    def obstacle(self, now_s: float) -> Obstacle | None:
        """The first input that is missing or stale, else `None`."""
        self._asked_s = now_s
        if self.state is None:
            return _waiting(Status.WAITING_FOR_STATE, "joint states", self._robot.state)
        for name, limit in self._limits.items():
            if name not in self.frames:
                return _waiting(
                    Status.WAITING_FOR_CAMERA, f"camera {name}", limit, self._watch[name].trouble
                )
        reason = self._stale(
            "joint states: newest sample", "state", self.state.stamp_s, now_s, self._robot.state
        )
        if reason:
            return Obstacle(status=Status.HOLD_STALE_STATE, reason=reason)
        for name, limit in self._limits.items():
            what, key = f"camera {name}: newest picture", f"cameras.{name}"
            reason = self._stale(what, key, self.frames[name].stamp_s, now_s, limit)
            if reason:
                trouble = self._watch[name].trouble
                reason += f"; {trouble}" if trouble else ""
                return Obstacle(status=Status.HOLD_STALE_CAMERA, reason=reason)
        return None

    def ages_s(self, now_s: float) -> Mapping[str, float]:
        """Age of each input that has arrived: `state`, and each camera by name."""
        ages = {name: now_s - frame.stamp_s for name, frame in self.frames.items()}
        if self.state is not None:
            ages["state"] = now_s - self.state.stamp_s
        return ages

    def _stale(self, what: str, key: str, stamp_s: float, now_s: float, limit: InputConfig) -> str:
        age_s = now_s - stamp_s
        if age_s < -MAX_AHEAD_S:
            clocks = "(the clock of its driver differs from this node's)"
            return f"{what} is {-age_s:.2f} s in the future, limit {MAX_AHEAD_S:g} s {clocks}"
        if age_s <= limit.max_age_s:
            return ""
        where = f"(robot file {self._robot.path.name}, {key}.max_age_s)"
        return f"{what} is {age_s:.2f} s old, limit {limit.max_age_s:g} s {where}"

    def _is_overtaken(self, sample: Frame | RobotState, held: Frame | RobotState | None) -> bool:
        """Whether a newer one is held; one from the future gives way to any other."""
        if held is None or held.stamp_s > self._asked_s + self._robot.tick_s + MAX_AHEAD_S:
            return False
        return sample.stamp_s < held.stamp_s


def _waiting(status: Status, what: str, limit: InputConfig, trouble: str = "") -> Obstacle:
    what_came = "no usable picture" if trouble else "nothing"
    reason = f"{what}: {what_came} has arrived on {limit.topic} yet"
    return Obstacle(status=status, reason=f"{reason}; {trouble}" if trouble else reason)


def _is_picture(frame: Frame) -> bool:
    pixels = frame.pixels
    shaped = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size > 0
    return shaped and pixels.dtype == np.uint8 and math.isfinite(frame.stamp_s)


def _is_state(state: RobotState, joints: int, has_gripper: bool) -> bool:
    shaped = np.shape(state.position_rad) == np.shape(state.velocity_rad_s) == (joints,)
    if not shaped or not math.isfinite(state.stamp_s):
        return False
    if has_gripper and (state.gripper_open is None or not math.isfinite(state.gripper_open)):
        return False
    return bool(np.isfinite(state.position_rad).all())
