"""From what an arm's topics say, in the order it was said, to an episode of a dataset.

Rows come at a fixed rate of the joint states' stamps, so that a running robot and a file of its
messages give the same episode. Called by `vla_ros/ros/record_*.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros.datatypes import FloatArray, Frame, ImageArray, RobotState
from vla_ros.errors import DatasetError
from vla_ros.image import resize
from vla_ros.learn.episode import EpisodeData
from vla_ros.robot_config import RobotConfig

TASK = "demonstration"
# A command counts from so long before it is due until so long after.
_COMMAND_ROOM_S = 0.5
_FEWEST_ROWS = 2
_EARLY_S = 1e-6


@dataclass(kw_only=True, eq=False)
class _Row:
    frames: dict[str, ImageArray]
    state: FloatArray
    command: FloatArray  # NaN where nothing was commanded


class Demonstration:
    """Collects one episode at a time.

    Attributes:
        trouble: Why the running episode cannot be used; empty while it can.
    """

    def __init__(self, robot: RobotConfig, fps: int, size_px: int) -> None:
        """Start with no episode.

        Args:
            robot: The arm.
            fps: Rows a second.
            size_px: Height and width of the pictures, letterboxed.
        """
        self.trouble = ""
        self._robot, self._period_s, self._size_px = robot, 1 / fps, size_px
        self._instruction: str | None = None
        self._rows: list[_Row] = []
        self._frames: dict[str, Frame] = {}
        self._commands: dict[int, tuple[FloatArray, FloatArray]] = {}
        self._next_s: float | None = None
        self._before: RobotState | None = None
        # Joint states of the running episode, and the stamp of the first.
        self._heard, self._first_s = 0, 0.0
        self._last_s = 0.0

    @property
    def is_running(self) -> bool:
        """Whether an episode is being collected."""
        return self._instruction is not None

    @property
    def unseen(self) -> str:
        """A camera that has shown nothing yet, in words; empty when all have."""
        for name, camera in self._robot.cameras.items():
            if name not in self._frames:
                return f"camera {name}: nothing has come on {camera.topic}"
        return ""

    def __len__(self) -> int:
        """Rows of the running episode."""
        return len(self._rows)

    def begin(self, instruction: str) -> None:
        """Start an episode that follows `instruction`; one that runs is dropped."""
        self._instruction, self.trouble = instruction, ""
        self._rows, self._next_s, self._before, self._heard = [], None, None, 0

    def discard(self) -> None:
        """Drop the running episode."""
        self._instruction, self._rows = None, []

    def put_frame(self, name: str, frame: Frame) -> None:
        """Take a picture of camera `name`."""
        self._frames[name] = frame

    def put_command(self, index: int, due_s: FloatArray, values: FloatArray) -> None:
        """Take what the arm was told: where a joint shall be, and when.

        Args:
            index: Of the joint in the action.
            due_s: Times in the clock of the joint states, increasing, shape (N,).
            values: Joint positions [rad], or the gripper's opening in [0, 1], shape (N,).
        """
        self._commands[index] = due_s, values

    def put_state(self, state: RobotState) -> None:
        """Take a joint state; the rows that are due by now are made, in between the last two."""
        back_s = self._last_s - state.stamp_s
        self._last_s = state.stamp_s
        if back_s > self._robot.state.max_age_s:
            self._on_back(state.stamp_s, back_s)
        if not self.is_running or self.trouble:
            return
        before, self._before = self._before, state
        self._heard += 1
        if self._next_s is None:
            self._next_s = self._first_s = state.stamp_s
        while state.stamp_s >= self._next_s - _EARLY_S and not self.trouble:
            self.trouble = self._too_slow() or self._stale(state.stamp_s, -back_s)
            if not self.trouble:
                self._rows.append(self._row(_at(self._next_s, before, state)))
                self._next_s += self._period_s

    @property
    def now_s(self) -> float:
        """Stamp of the newest joint state; 0 before the first."""
        return self._last_s

    def finish(self, number: int) -> EpisodeData:
        """End the running episode.

        Args:
            number: Of the episode in the dataset; stands where a simulation has its seed.

        Raises:
            DatasetError: There is none, an input was silent, or it has too few rows; it is dropped.
        """
        instruction, rows = self._instruction, self._rows
        trouble = self.trouble or self._ended_early()
        self.discard()
        if instruction is None:
            raise DatasetError("no episode is being recorded; call start first")
        if trouble:
            raise DatasetError(f"the episode is dropped: {trouble}")
        if len(rows) < _FEWEST_ROWS:
            raise DatasetError(
                f"the episode is dropped: it has {len(rows)} row(s), {_FEWEST_ROWS} are needed; "
                f"does {self._robot.state.topic} speak?"
            )
        return self._episode(instruction, rows, number)

    def _on_back(self, now_s: float, back_s: float) -> None:
        """Forget what was seen at times that are still to come, and what was commanded."""
        limit_s = now_s + self._robot.state.max_age_s
        self._frames = {n: frame for n, frame in self._frames.items() if frame.stamp_s <= limit_s}
        self._commands.clear()
        self._next_s = self._before = None
        if self._rows and not self.trouble:
            self.trouble = (
                f"the stamps of {self._robot.state.topic} went back by {back_s:.2f} s: a clock was "
                "set, a simulation was reset, or a bag is played again"
            )

    def _ended_early(self) -> str:
        """Whether the arm fell silent before the end, by the cameras that went on."""
        state = self._robot.state
        for name, frame in self._frames.items():
            behind_s = frame.stamp_s - self._last_s
            if self._rows and behind_s > state.max_age_s:
                return (
                    f"at its end {state.topic} was {behind_s:.2f} s behind the pictures of camera "
                    f"{name}, limit {state.max_age_s:g} s: it fell silent, or the clocks differ"
                )
        return ""

    def _too_slow(self) -> str:
        """Whether more rows were made between joint states than one gap explains."""
        state = self._robot.state
        if len(self._rows) - self._heard <= 1 + state.max_age_s / self._period_s:
            return ""
        rate_hz = (self._heard - 1) / (self._last_s - self._first_s)
        return (
            f"{state.topic} comes about {rate_hz:.1f} times a second, fewer than the "
            f"{1 / self._period_s:g} rows that are wanted of it: choose a lower --fps"
        )

    def _stale(self, now_s: float, gap_s: float) -> str:
        """Which input was silent for too long."""
        state = self._robot.state
        if self._rows and gap_s > state.max_age_s:
            return f"{state.topic} was silent for {gap_s:.2f} s, limit {state.max_age_s:g} s"
        if unseen := self.unseen:
            return unseen
        for name, camera in self._robot.cameras.items():
            frame = self._frames[name]
            if now_s - frame.stamp_s > camera.max_age_s:
                return (
                    f"camera {name}: its picture was {now_s - frame.stamp_s:.2f} s old in row "
                    f"{len(self._rows)}, limit {camera.max_age_s:g} s (robot file "
                    f"{self._robot.path.name}, cameras.{name}.max_age_s)"
                )
        return ""

    def _row(self, state: RobotState) -> _Row:
        size_px = self._size_px
        frames = {
            name: resize(self._frames[name].pixels, size_px, size_px, "letterbox")
            for name in self._robot.cameras
        }
        gripper = [] if state.gripper_open is None else [state.gripper_open]
        indices = range(len(self._robot.action_names))
        return _Row(
            frames=frames,
            state=np.concatenate([state.position_rad, gripper]),
            command=np.array([self._commanded(index, state.stamp_s) for index in indices]),
        )

    def _commanded(self, index: int, now_s: float) -> float:
        """Where a joint shall be at a time; NaN when nothing tells."""
        if index not in self._commands:
            return np.nan
        due_s, values = self._commands[index]
        is_due = due_s[0] - _COMMAND_ROOM_S <= now_s <= due_s[-1] + _COMMAND_ROOM_S
        return float(np.interp(now_s, due_s, values)) if is_due else np.nan

    def _episode(self, instruction: str, rows: list[_Row], number: int) -> EpisodeData:
        """The action of a row is the command of the next row, or where the arm was then."""
        states = np.stack([row.state for row in rows])
        commands = np.stack([row.command for row in rows])
        targets = np.where(np.isfinite(commands), commands, states)
        frames = {
            name: np.stack([row.frames[name] for row in rows[:-1]]) for name in self._robot.cameras
        }
        return EpisodeData(
            frames=frames,
            state=states[:-1].astype(np.float32),
            action=targets[1:].astype(np.float32),
            instruction=instruction,
            task=TASK,
            seed=number,
        )


def _at(time_s: float, before: RobotState | None, after: RobotState) -> RobotState:
    """The state at `time_s`, on the straight line from the one `before` it to the one `after`."""
    if before is None or after.stamp_s <= before.stamp_s:
        return after
    share = min(1.0, max(0.0, (time_s - before.stamp_s) / (after.stamp_s - before.stamp_s)))
    gripper_open = after.gripper_open
    if gripper_open is not None and before.gripper_open is not None:
        gripper_open = before.gripper_open + share * (gripper_open - before.gripper_open)
    return RobotState(
        position_rad=before.position_rad + share * (after.position_rad - before.position_rad),
        velocity_rad_s=after.velocity_rad_s,
        gripper_open=gripper_open,
        stamp_s=time_s,
    )
