"""One episode of a policy in the simulator, through the same control loop as on a robot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from vla_ros.datatypes import Frame, Observation
from vla_ros.policy_protocol import Policy
from vla_ros.robot_config import ChunkConfig, RobotConfig
from vla_ros.runtime.loop import ControlLoop
from vla_ros.runtime.tick import Tick
from vla_ros.runtime.worker import InlineWorker, Worker
from vla_ros.sim.scene import CAMERAS
from vla_ros.sim.tasks import Request
from vla_ros.sim.world import TabletopSim

TIME_LIMIT_S = 15.0
_FRAME_PERIOD_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an episode ended.

    Attributes:
        success: Whether the goal held for a second within the time limit.
        reward: Sum of the rewards: progress in [0, 1] plus 1 on success.
        time_s: Simulated time it took.
        first_touched: Colour of the block touched first; empty when none was. After a switch of
            words, what is touched at that moment does not count until it is let go.
    """

    success: bool
    reward: float
    time_s: float
    first_touched: str


@dataclass(frozen=True, kw_only=True)
class Switch:
    """New words in an episode that runs.

    Attributes:
        at_s: Simulated time of the change; the episode's outcome counts from there.
        request: What is asked for then.
        instruction: The new words.
    """

    at_s: float
    request: Request
    instruction: str


def run_episode(
    world: TabletopSim,
    policy: Policy,
    robot: RobotConfig,
    *,
    latency_s: float = 0.0,
    after_success_s: float = 0.0,
    on_tick: Callable[[], None] | None = None,
    on_step: Callable[[ControlLoop, Tick], None] | None = None,
    switch: Switch | None = None,
    make_worker: Callable[[Policy, float], Worker] = InlineWorker,
) -> Outcome:
    """Run the episode that `world` was reset to.

    Pictures are rendered when the loop is about to use them, and often enough to stay fresh.

    Args:
        world: The simulation, just reset.
        policy: What acts; it is reset first.
        robot: The robot file; its loop runs at `tick_hz`.
        latency_s: Simulated time an inference takes.
        after_success_s: How long to go on after success.
        on_tick: Called after every control tick, for making films.
        on_step: Called with the loop and each tick that it made, before the arm moves.
        switch: New words in mid-motion; `None` when the first ones stay.
        make_worker: Puts the policy to work, with the latency.
    """
    policy.reset()
    worker = make_worker(policy, latency_s)
    loop = ControlLoop(robot=robot, spec=policy.spec, worker=worker)
    loop.activate(world.time_s)
    loop.set_instruction(world.episode.instruction)
    tally, frame_s = _Tally(world, 0.0, set()), -1.0
    while switch is not None or world.time_s < tally.end_s(after_success_s):
        now_s = world.time_s
        if switch is not None and now_s >= switch.at_s:
            loop.set_instruction(world.ask(switch.request, switch.instruction).instruction)
            tally, switch = _Tally(world, now_s, world.touched_blocks()), None
        loop.put_state(world.state())
        if loop.wants_observation(now_s) or now_s - frame_s >= _FRAME_PERIOD_S:
            frame_s = now_s
            for name in CAMERAS:
                loop.put_frame(name, Frame(pixels=world.render(name), stamp_s=now_s))
        tick = loop.step(now_s)
        if on_step is not None:
            on_step(loop, tick)
        if tick.command is not None:
            world.set_target(tick.command.position_rad, tick.command.gripper_open)
        world.advance(robot.tick_s)
        tally.update()
        if on_tick is not None:
            on_tick()
    worker.close()
    return tally.outcome()


class _Tally:
    """What counts of an episode from `begin_s` on; blocks `in_hand` count once they are let go."""

    def __init__(self, world: TabletopSim, begin_s: float, in_hand: set[str]) -> None:
        self._world, self._begin_s, self._in_hand = world, begin_s, in_hand
        self._reward, self._touched = 0.0, ""
        self._success_s: float | None = None

    def end_s(self, after_success_s: float) -> float:
        """Simulated time to stop at."""
        if self._success_s is None:
            return self._begin_s + TIME_LIMIT_S
        return self._success_s + after_success_s

    def update(self) -> None:
        """Take in a tick."""
        touched = self._world.touched_blocks()
        self._in_hand &= touched
        self._touched = self._touched or min(touched - self._in_hand, default="")
        self._reward += self._world.reward()
        if self._world.success and self._success_s is None:
            self._success_s = self._world.time_s

    def outcome(self) -> Outcome:
        """How it ended."""
        end_s = self._world.time_s if self._success_s is None else self._success_s
        return Outcome(
            success=self._success_s is not None,
            reward=self._reward,
            time_s=end_s - self._begin_s,
            first_touched=self._touched,
        )


def look(world: TabletopSim, instruction: str) -> Observation:
    """What a policy would see now."""
    now_s = world.time_s
    frames = {name: Frame(pixels=world.render(name), stamp_s=now_s) for name in CAMERAS}
    return Observation(
        frames=frames, state=world.state(), instruction=instruction, epoch=0, stamp_s=now_s
    )


def step_by_step(robot: RobotConfig, step_s: float) -> RobotConfig:
    """The robot with a loop that asks for a new chunk every step, as the expert needs."""
    chunks = ChunkConfig(execute_s=step_s, blend_s=0.0, expire_after_s=robot.chunks.expire_after_s)
    return replace(robot, chunks=chunks)
