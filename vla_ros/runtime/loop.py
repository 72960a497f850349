"""The control loop: from the newest values to one safe command, at a fixed rate.

`vla_ros/ros/vla_node.py` and `vla_ros/learn/evaluate.py` call the same `ControlLoop.step`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vla_ros.datatypes import (
    ActionChunk,
    Command,
    FloatArray,
    Frame,
    Observation,
    RobotState,
    Status,
)
from vla_ros.errors import ActionError, InstructionError
from vla_ros.policy_protocol import PolicySpec
from vla_ros.robot_config import RobotConfig
from vla_ros.runtime.inference import Inference
from vla_ros.runtime.latest import Latest, Obstacle, check_instruction
from vla_ros.runtime.motion import Motion
from vla_ros.runtime.names import check_names
from vla_ros.runtime.readiness import Readiness
from vla_ros.runtime.scheduler import ChunkScheduler
from vla_ros.runtime.tick import Counters, Tick
from vla_ros.runtime.wild import WildActions
from vla_ros.runtime.worker import Worker

_RUNNING = Obstacle(status=Status.RUNNING, reason="")
_ROUNDING_S = 1e-6


class ControlLoop:
    """Runs a policy on an arm; made by its owner, who also owns the clock and the worker's end.

    Attributes:
        interlocks: Where the owner tells what else forbids to move.

    Args:
        robot: The arm.
        spec: What the policy needs; its cameras and actions must be the robot's.
        worker: Where the policy computes.

    Raises:
        CheckpointError: The policy is for other cameras or joints.
    """

    def __init__(self, *, robot: RobotConfig, spec: PolicySpec, worker: Worker) -> None:
        check_names(robot, spec)
        self._robot = robot
        self._latest = Latest(robot, tuple(camera.name for camera in spec.cameras))
        self._inference = Inference(worker)
        self._scheduler = ChunkScheduler(robot.chunks, joints=len(robot.joints))
        self._motion = Motion(robot)
        self._wild = WildActions(robot)
        self._readiness = Readiness(robot, self._latest, self._motion, self._inference, self._wild)
        self._gate, self.interlocks = self._readiness.gate, self._readiness.interlocks
        # Time and joints of the tick before, while the policy is followed.
        self._followed: tuple[float, RobotState] | None = None
        self._epoch = 0
        self._dropped = 0
        self._overruns = 0

    def look_through(self, cameras: Sequence[str]) -> None:
        """Wait for `cameras` alone from now on, some of those that the loop was made with."""
        self._latest.look_through(cameras)

    def put_frame(self, name: str, frame: Frame) -> None:
        """Keep the newest picture of camera `name`."""
        self._latest.put_frame(name, frame)

    def put_state(self, state: RobotState) -> None:
        """Keep the newest joint state."""
        self._latest.put_state(state)

    def ask_between_ticks(self) -> None:
        """Ask for a plan that is due as soon as every picture is new; to be called after one came.

        It saves them the wait for the next tick. The joints, and the time that counts as that of
        the request, are those of the tick before, so that what is known of the ticks tells what was
        asked: a recording can be replayed.
        """
        if self._followed is not None:
            now_s, state = self._followed
            if self._may_ask_at_once(now_s):
                self._request(now_s, state)

    def set_instruction(self, text: str) -> None:
        """Follow `text` from now on, as a new epoch; `""` holds, the same text changes nothing.

        Raises:
            InstructionError: The text is refused; the loop holds until a valid one comes.
        """
        try:
            instruction = check_instruction(text)
        except InstructionError as error:
            self._refuse_instruction(error)
            raise
        if self._gate.instruct(instruction):
            self._begin_epoch()

    def activate(self, now_s: float) -> None:
        """Start: new epoch, no fault, the first command will be seeded from the measured state.

        An instruction of before is forgotten: an arm must not set off for a sentence of yesterday.
        """
        self._motion.forget()
        self._motion.let_go_of_grip()
        self._gate.instruct(None)
        self.interlocks.begin()
        self.reset(now_s)

    def reset(self, now_s: float) -> None:
        """Clear a fault or stop: new epoch; an arm at rest starts from its measured state."""
        self._motion.begin_anew(self._latest.state)
        self._readiness.begin_anew(now_s)
        self._begin_epoch()

    def reseed(self) -> None:
        """Go on from the measured state if the arm rests: somebody else may have moved it."""
        self._motion.begin_anew(self._latest.state)

    def stop(self) -> None:
        """Hold until `reset` or `activate`."""
        self._gate.halted = "stopped; it goes on after a reset"

    def begin_deactivation(self) -> None:
        """Decelerate in the steps to come, until `is_stopped`."""
        self._gate.halted = "deactivated"

    def slow_down(self, speed_scale: float) -> None:
        """Move at most at this share in (0, 1] of the robot file's velocity limits from now on."""
        self._motion.slow_down(speed_scale)

    @property
    def speed_scale(self) -> float:
        """Share of the robot file's velocity limits."""
        return self._motion.speed_scale

    @property
    def is_stopped(self) -> bool:
        """Whether the commanded motion has ended, or never began."""
        return self._motion.is_stopped

    def remaining_stop(self, now_s: float) -> list[Command]:
        """The commands until rest, one a tick from `now_s` on; none when the arm is at rest."""
        return self._motion.remaining_stop(now_s)

    @property
    def instruction(self) -> str | None:
        """The text to follow; empty after one that was emptied or refused, `None` before any."""
        return self._gate.instruction

    @property
    def chunk(self) -> ActionChunk | None:
        """The plan that is being played, inside the limits; `None` when there is none."""
        return self._scheduler.chunk

    def let_go(self) -> None:
        """Start from the measured state at the next tick: this one's command was not sent."""
        self._motion.forget()
        self._motion.let_go_of_grip()
        self._readiness.has_commanded = False

    @property
    def measured(self) -> RobotState | None:
        """Newest joint state; `None` before the first."""
        return self._latest.state

    @property
    def frames(self) -> Mapping[str, Frame]:
        """Newest picture of each camera that has sent one."""
        return self._latest.frames

    def planned(self, time_s: float) -> tuple[FloatArray, FloatArray] | None:
        """Target (A,) and its slope (A,) in the running plan, before shaping; `None` without."""
        return self._scheduler.sample(time_s)

    def plan_ahead(self, now_s: float) -> list[Command]:
        """The commands that would follow this tick's if nothing new came, until rest."""
        return self._motion.ahead(self._scheduler, now_s)

    def wants_observation(self, now_s: float) -> bool:
        """Whether `step(now_s)` would send an observation, if pictures and joints are fresh."""
        may_follow = self._readiness.forbidden(now_s) is None and bool(self.instruction)
        return may_follow and self._is_due(now_s)

    def step(self, now_s: float, *, standstill_s: float = 0.0) -> Tick:
        """One tick: never blocks, never raises on bad data.

        Args:
            now_s: Time in the clock of the stamps; the ticks come every `robot.tick_s`.
            standstill_s: For how long that clock has stood still, `now_s` being carried on by
                another one; 0 while it runs. The arm holds meanwhile, however young its data seem.
        """
        if self._gate.broken is not None:
            return self._tick(self._gate.broken, self._motion.release(now_s), now_s)
        has_jumped_back = self._readiness.note_time(now_s)
        if has_jumped_back:
            self._latest.clear()
            self._begin_epoch()
        obstacle = self._readiness.obstacle(now_s, standstill_s)
        has_news = self._inference.has_news(self._latest.frames)
        if obstacle is not None:
            self._inference.void()
        elif self._is_due(now_s, has_news=has_news):
            self._request(now_s, self._latest.fresh_state)
        self._receive(now_s)
        forbidden = self._readiness.forbidden(now_s, standstill_s)
        obstacle = forbidden or obstacle or self._inference.trouble
        if obstacle is not None:
            self._scheduler.clear()
            return self._tick(obstacle, self._hold(now_s), now_s)
        if self._may_ask_at_once(now_s):
            self._request(now_s, self._latest.fresh_state)
        planned = self._scheduler.sample(now_s)
        if planned is None:
            obstacle = self._readiness.planless(now_s, self._scheduler.why_expired(now_s))
            return self._tick(obstacle, self._hold(now_s), now_s)
        command = self._motion.follow(*planned, self._latest.fresh_state, now_s)
        return self._tick(_RUNNING, command, now_s)

    def fail(self, reason: str, now_s: float) -> Tick:
        """The tick in place of one that raised: a fault, latched until `reset` or `activate`.

        From here on only the shaper and the safety filter are used, which bring the arm to rest;
        whatever broke is not touched again. Then nothing is commanded any more.
        """
        return self._tick(self._gate.shut_for_good(reason), self._motion.release(now_s), now_s)

    def _hold(self, now_s: float) -> Command | None:
        """Decelerate; at rest keep the pose, or say nothing where it must not be kept.

        An arm that is elsewhere would jump to it as soon as it can move again, one that another
        commands would be torn between the two, and a driver that comes back may find it anywhere.
        """
        measured = self._latest.young_state(now_s)
        is_lost = measured is not None and self._motion.is_lost(measured)
        if is_lost or self.interlocks.rivals or self.interlocks.unheard:
            return self._motion.release(now_s)
        return self._motion.hold(now_s)

    def _is_due(self, now_s: float, *, has_news: bool = True) -> bool:
        """Whether it is time to ask: no plan, or the share of it that is to be played is over."""
        ask_s = self._scheduler.ask_s(self._inference.delay.expected_s, has_news=has_news)
        return now_s >= ask_s - _ROUNDING_S and self._inference.is_free(now_s)

    def _may_ask_at_once(self, now_s: float) -> bool:
        """Whether the policy is free, its next plan is due, and every picture is new."""
        return self._inference.are_all_new(self._latest.frames) and self._is_due(now_s)

    def _request(self, now_s: float, state: RobotState) -> None:
        """Ask for a plan from the newest pictures, one that continues what is played meanwhile."""
        observation = self._observation(state)
        there_s = now_s + self._inference.delay.expected_s
        prefix = self._scheduler.prefix(observation.stamp_s, there_s)
        self._inference.request(observation, now_s, prefix)

    def _observation(self, state: RobotState) -> Observation:
        return Observation(
            frames=dict(self._latest.frames),
            state=state,
            instruction=self.instruction or "",
            epoch=self._epoch,
            stamp_s=state.stamp_s,
        )

    def _receive(self, now_s: float) -> None:
        try:
            plan = self._inference.poll(now_s)
            if plan is None:
                return
            chunk = self._motion.safety.checked(plan.chunk, plan.observation)
        except InstructionError as error:
            self._refuse_instruction(error)
            return
        except ActionError as error:
            self._dropped += 1
            self._inference.blame_action(str(error))
            return
        self._inference.praise()
        self._wild.look(plan, now_s)
        self._overruns += int(now_s - chunk.start_s > self._robot.chunks.execute_s)
        if not self._scheduler.merge(chunk, now_s, self._motion.origin(self._latest.fresh_state)):
            self._dropped += 1

    def _refuse_instruction(self, error: InstructionError) -> None:
        """Hold until a valid one comes; the same text is asked for anew when it is said again."""
        self._gate.refuse(str(error))
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._epoch += 1
        self._followed = None
        self._scheduler.clear()
        self._scheduler.epoch = self._epoch
        self._inference.reset()

    def _tick(self, outcome: Obstacle, command: Command | None, now_s: float) -> Tick:
        chunk = self._scheduler.chunk
        follows = outcome.status is Status.RUNNING
        self._followed = (now_s, self._latest.fresh_state) if follows else None
        self._readiness.has_commanded = self._readiness.has_commanded or command is not None
        return Tick(
            status=outcome.status,
            reason=outcome.reason,
            command=command,
            epoch=self._epoch,
            chunk_start_s=None if chunk is None else chunk.start_s,
            inference_s=None if chunk is None else chunk.inference_s,
            ages_s=self._latest.ages_s(now_s),
            counters=Counters(
                overruns=self._overruns,
                dropped_chunks=self._dropped + self._inference.voided,
                clamped=self._motion.clamped,
                wild_chunks=self._wild.count,
                ignored_inputs=self._latest.ignored,
            ),
            stamp_s=now_s,
        )
