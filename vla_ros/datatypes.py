"""The values that travel from the sensors to the arm driver.

Units: metres, radians, seconds. Joint arrays are in the robot file's order. `J` is the number of
arm joints, `A` the length of an action (`J`, plus one when the robot has a gripper), `T` the
number of steps in a chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
ImageArray = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One camera picture.

    Attributes:
        pixels: uint8 (H, W, 3), RGB.
        stamp_s: Capture time in the node's clock.
    """

    pixels: ImageArray
    stamp_s: float


@dataclass(frozen=True, kw_only=True, eq=False)
class RobotState:
    """Measured state of the arm.

    Attributes:
        position_rad: Joint positions, shape (J,).
        velocity_rad_s: Joint velocities, shape (J,); zeros where the driver reports none.
        gripper_open: Gripper opening in [0, 1], 1 is open; `None` for a robot without a gripper.
        stamp_s: Measurement time in the node's clock.
    """

    position_rad: FloatArray
    velocity_rad_s: FloatArray
    gripper_open: float | None
    stamp_s: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Observation:
    """What a policy sees.

    Attributes:
        frames: Newest frame of each camera, by the robot file's camera name.
        state: Newest robot state.
        instruction: The text to follow; never empty.
        epoch: Rises on reset, new instruction and activation.
        stamp_s: Reference time of the actions: the stamp of the state they are relative to.
    """

    frames: Mapping[str, Frame]
    state: RobotState
    instruction: str
    epoch: int
    stamp_s: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ActionChunk:
    """A plan: T actions with absolute due times.

    Step `i` is due at `start_s + (i + 1) * step_s`.

    Attributes:
        actions: Shape (T, A): J absolute joint positions [rad], then the gripper opening in
            [0, 1] when the robot has a gripper.
        start_s: Stamp of the observation the chunk was computed from.
        step_s: Time between two steps.
        epoch: Epoch of that observation.
        inference_s: Time the policy took.
    """

    actions: FloatArray
    start_s: float
    step_s: float
    epoch: int
    inference_s: float

    def due_s(self) -> FloatArray:
        """Due time of each step, shape (T,)."""
        steps = np.arange(1, len(self.actions) + 1, dtype=np.float64)
        return self.start_s + steps * self.step_s


@dataclass(frozen=True, kw_only=True, eq=False)
class ActionPrefix:
    """What the running plan does at the due times of a new chunk's first steps.

    Attributes:
        actions: Shape (n, A); step `i` is for `observation.stamp_s + (i + 1) * step_s`.
        frozen: The first so many will have been played when the new chunk is there, 0 to n.
    """

    actions: FloatArray
    frozen: int

    def first(self, steps: int) -> ActionPrefix | None:
        """At most the first `steps` of it; `None` when that is none."""
        if not steps:
            return None
        return ActionPrefix(actions=self.actions[:steps], frozen=min(self.frozen, steps))


class Status(Enum):
    """What the control loop is doing, published every tick."""

    RUNNING = "running"
    WAITING_FOR_STATE = "waiting_for_state"
    WAITING_FOR_CAMERA = "waiting_for_camera"
    WAITING_FOR_INSTRUCTION = "waiting_for_instruction"
    WAITING_FOR_POLICY = "waiting_for_policy"
    WAITING_FOR_DRIVER = "waiting_for_driver"
    WAITING_OUTSIDE_LIMITS = "waiting_outside_limits"
    HOLD_STALE_STATE = "hold_stale_state"
    HOLD_STALE_CAMERA = "hold_stale_camera"
    HOLD_NO_INSTRUCTION = "hold_no_instruction"
    HOLD_BAD_INSTRUCTION = "hold_bad_instruction"
    HOLD_FOR_POLICY = "hold_for_policy"
    HOLD_CHUNK_EXPIRED = "hold_chunk_expired"
    HOLD_BAD_ACTION = "hold_bad_action"
    HOLD_POLICY_ERROR = "hold_policy_error"
    HOLD_POLICY_LOST = "hold_policy_lost"
    HOLD_CLOCK_JUMP = "hold_clock_jump"
    HOLD_CLOCK_STOPPED = "hold_clock_stopped"
    HOLD_STOPPED = "hold_stopped"
    HOLD_OTHER_COMMANDER = "hold_other_commander"
    HOLD_NO_DRIVER = "hold_no_driver"
    HOLD_NOT_FOLLOWING = "hold_not_following"
    HOLD_DEADMAN = "hold_deadman"
    HOLD_NO_EMERGENCY_STOP = "hold_no_emergency_stop"
    FAULT_BAD_ACTION = "fault_bad_action"
    FAULT_POLICY_ERROR = "fault_policy_error"
    FAULT_POLICY_HANGS = "fault_policy_hangs"
    FAULT_WILD_ACTIONS = "fault_wild_actions"
    FAULT_NO_DRIVER = "fault_no_driver"
    FAULT_NOT_FOLLOWING = "fault_not_following"
    FAULT_EMERGENCY_STOP = "fault_emergency_stop"
    FAULT_INTERNAL = "fault_internal"

    @property
    def is_fault(self) -> bool:
        """Latched until reset or re-activation."""
        return self.value.startswith("fault_")

    @property
    def is_waiting(self) -> bool:
        """Nothing was commanded yet and nothing will be."""
        return self.value.startswith("waiting_")


@dataclass(frozen=True, kw_only=True, eq=False)
class Command:
    """What the arm driver is told for one tick; made by the safety filter alone.

    Attributes:
        position_rad: Shape (J,), inside the limits, finite.
        velocity_rad_s: Shape (J,), inside the limits, finite.
        gripper_open: In [0, 1]; `None` for a robot without a gripper or to leave it as it is.
        stamp_s: Time of the tick that made it.
    """

    position_rad: FloatArray
    velocity_rad_s: FloatArray
    gripper_open: float | None
    stamp_s: float
