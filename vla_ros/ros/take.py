"""One episode as a client saw it over topics: what was said, what moved, how it ended.

Filled by `stage_client.py`; read by the demo and by the evaluation through ROS. No ROS in here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from vla_ros.datatypes import FloatArray, Frame, ImageArray, RobotState, Status
from vla_ros.sim.tasks import Request

_SILENT = ("waiting_for_instruction", "hold_no_instruction")
_ROUNDING_S = 1e-3


@dataclass(frozen=True, kw_only=True)
class EpisodeReport:
    """What `sim_node` says in `~/episode`; unused parts of the request are empty.

    Attributes:
        episode: Number of the episode since `sim_node` started.
        time_s: Simulated time since the reset.
        success_s: The same at the moment of success; `None` before it.
        reward: Sum of the rewards.
        first_touched: Colour of the block touched first; empty before it.
        stamp_s: When it was said, in the clock of the messages' stamps.
    """

    seed: int
    task: str
    color: str
    direction: str
    place: str
    instruction: str
    episode: int
    time_s: float
    success_s: float | None
    reward: float
    first_touched: str
    stamp_s: float

    @staticmethod
    def from_json(text: str) -> EpisodeReport:
        """Read it; what else it tells is left."""
        data = json.loads(text)
        return EpisodeReport(**{f.name: data[f.name] for f in fields(EpisodeReport)})

    @property
    def request(self) -> Request:
        """What the episode asks for."""
        return Request(task=self.task, color=self.color, direction=self.direction, place=self.place)


@dataclass(frozen=True, kw_only=True)
class LoopStatus:
    """What `vla_node` says in `~/status` every tick.

    Attributes:
        status: As of `Status`.
        reason: In words.
        stamp_s: Time of the tick.
        policy: `loading`, `ready` or `failed`.
        image_to_command_ms: Age of the pictures that the arm acts on; `None` without a plan.
        ages_s: Age of each input by name.
    """

    status: str
    reason: str
    stamp_s: float
    policy: str
    image_to_command_ms: float | None
    ages_s: Mapping[str, float]

    @staticmethod
    def from_values(reason: str, values: Mapping[str, str]) -> LoopStatus:
        """Read the values of a status message."""
        age_ms = values.get("image_to_command_ms", "")
        ages = {
            key.removesuffix("_age_ms"): float(value) / 1e3
            for key, value in values.items()
            if key.endswith("_age_ms") and key != "chunk_age_ms"
        }
        return LoopStatus(
            status=values.get("status", ""),
            reason=reason,
            stamp_s=float(values.get("stamp_s", "nan")),
            policy=values.get("policy", ""),
            image_to_command_ms=float(age_ms) if age_ms else None,
            ages_s=ages,
        )

    @property
    def is_running(self) -> bool:
        """Whether the arm follows the policy."""
        return self.status == Status.RUNNING.value

    @property
    def is_fault(self) -> bool:
        """Whether nothing more will happen until a reset."""
        return self.status.startswith("fault_")

    def awaits_words_since(self, stamp_s: float) -> bool:
        """Whether only an instruction is missing, and every input is newer than `stamp_s`."""
        oldest_s = self.stamp_s - max(self.ages_s.values(), default=np.inf)
        return self.status in _SILENT and oldest_s > stamp_s + _ROUNDING_S


@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """One moment in pictures, by camera, and what `vla_node` was doing."""

    pictures: Mapping[str, ImageArray]
    stamp_s: float
    status: str


@dataclass(frozen=True, kw_only=True, eq=False)
class PlanShot:
    """A plan as `vla_node` shows it.

    Attributes:
        start: Where the arm was.
        end: Where it would be at the plan's end.
        path_m: The tip's path between the two, in the base frame, shape (N, 3).
    """

    start: RobotState
    end: RobotState
    path_m: FloatArray


@dataclass(kw_only=True, eq=False)
class Take:
    """What was seen of one episode so far.

    Attributes:
        instruction: The words that were published.
        began: How the episode stood just before.
        limit_s: When it is over without success, as the episode's time.
        cameras: Cameras to keep pictures of.
        report: Latest of the simulated robot.
        status: Latest of the policy's node; `None` before the first.
        ages_ms: Image-to-command age of every tick that followed the policy.
        moved_rad: Furthest that a joint went from where it was when the policy took over.
        shots: Pictures, in order of time.
        plans: Plans that were shown, in order of time.
        first_s, latest_s: Stamp of the first and of the latest joint state.
        wall_s: Real time between the two, roughly.
    """

    instruction: str
    began: EpisodeReport
    limit_s: float
    cameras: tuple[str, ...] = ()
    report: EpisodeReport = field(init=False)
    status: LoopStatus | None = None
    ages_ms: list[float] = field(default_factory=list)
    moved_rad: float = 0.0
    shots: list[Shot] = field(default_factory=list)
    plans: list[PlanShot] = field(default_factory=list)
    first_s: float | None = None
    latest_s: float = 0.0
    wall_s: float = 0.0
    _origin_rad: FloatArray | None = None
    _state: RobotState | None = None
    _path: tuple[float, FloatArray] | None = None
    _end: RobotState | None = None
    _frames: dict[str, Frame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.report = self.began

    @property
    def is_success(self) -> bool:
        """Whether the goal held for a second within the limit."""
        return self.report.success_s is not None and self.report.success_s <= self.limit_s

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to wait for any more."""
        faulty = self.status is not None and self.status.is_fault
        return self.is_success or faulty or self.report.time_s >= self.limit_s

    @property
    def time_s(self) -> float:
        """Simulated time from the reset to success, or to the end."""
        success_s = self.report.success_s
        return self.report.time_s if success_s is None else success_s

    @property
    def elapsed_s(self) -> float:
        """Simulated time since the reset, by the joint states; smoother than the reports'."""
        return max(0.0, self.latest_s - self.began.stamp_s)

    @property
    def real_time_factor(self) -> float:
        """Simulated seconds in a real one; 0 when nothing was seen."""
        if self.first_s is None or self.wall_s <= 0:
            return 0.0
        return (self.latest_s - self.first_s) / self.wall_s

    def on_report(self, report: EpisodeReport) -> None:
        """Take what the simulated robot says, unless it is of the episode before."""
        if report.episode == self.began.episode:
            self.report = report

    def on_status(self, status: LoopStatus) -> None:
        """Take what the policy's node says."""
        self.status = status
        if status.is_running and status.image_to_command_ms is not None:
            self.ages_ms.append(status.image_to_command_ms)

    def on_state(self, state: RobotState) -> None:
        """Measure how far the joints go while the policy is followed."""
        self.first_s = state.stamp_s if self.first_s is None else self.first_s
        self.latest_s = state.stamp_s
        self._state = state
        if self.status is None or not self.status.is_running:
            self._origin_rad = None
            return
        if self._origin_rad is None:
            self._origin_rad = state.position_rad
        away_rad = float(np.abs(state.position_rad - self._origin_rad).max())
        self.moved_rad = max(self.moved_rad, away_rad)

    def on_frame(self, camera: str, frame: Frame) -> None:
        """Keep the pictures of a moment as soon as every camera has shown it."""
        self._frames[camera] = frame
        stamps = {self._frames[name].stamp_s for name in self.cameras if name in self._frames}
        if len(self._frames) == len(self.cameras) and len(stamps) == 1:
            pictures = {name: self._frames[name].pixels for name in self.cameras}
            status = self.status.status if self.status else ""
            self.shots.append(Shot(pictures=pictures, stamp_s=frame.stamp_s, status=status))

    def on_plan_path(self, path_m: FloatArray, stamp_s: float) -> None:
        """Take the tip's path of a plan, shape (N, 3)."""
        self._path = (stamp_s, path_m)
        self._join_plan()

    def on_plan_end(self, end: RobotState) -> None:
        """Take where the arm would be at the end of a plan."""
        self._end = end
        self._join_plan()

    def _join_plan(self) -> None:
        """Keep a plan as soon as both parts of it have come."""
        if self._path is None or self._end is None or self._state is None:
            return
        stamp_s, path_m = self._path
        if stamp_s == self._end.stamp_s:
            self.plans.append(PlanShot(start=self._state, end=self._end, path_m=path_m))
            self._path = self._end = None


OnProgress = Callable[[Take], Any]
"""Called very often while an episode runs."""
