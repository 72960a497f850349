"""One episode of a policy in the simulator, through the same control loop as on a robot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from vla_ros.datatypes import Frame, Observation
from vla_ros.policy_protocol import Policy
from vla_ros.robot_config import ChunkConfig, RobotConfig
from vla_ros.runtime.loop import ControlLoop
from vla_ros.runtime.worker import InlineWorker
from vla_ros.sim.scene import CAMERAS
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
        first_touched: Colour of the block touched first; empty when none was.
    """

    success: bool
    reward: float
    time_s: float
    first_touched: str


def run_episode(
    world: TabletopSim,
    policy: Policy,
    robot: RobotConfig,
    *,
    latency_s: float = 0.0,
    after_success_s: float = 0.0,
    on_tick: Callable[[], None] | None = None,
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
    """
    policy.reset()
    worker = InlineWorker(policy, latency_s)
    loop = ControlLoop(robot=robot, spec=policy.spec, worker=worker)
    loop.activate(world.time_s)
    loop.set_instruction(world.episode.instruction)
    reward, frame_s, touched = 0.0, -1.0, ""
    success_s = None
    while world.time_s < (TIME_LIMIT_S if success_s is None else success_s + after_success_s):
        now_s = world.time_s
        loop.put_state(world.state())
        if loop.wants_observation(now_s) or now_s - frame_s >= _FRAME_PERIOD_S:
            frame_s = now_s
            for name in CAMERAS:
                loop.put_frame(name, Frame(pixels=world.render(name), stamp_s=now_s))
        command = loop.step(now_s).command
        if command is not None:
            world.set_target(command.position_rad, command.gripper_open)
        world.advance(robot.tick_s)
        reward += world.reward()
        touched = touched or min(world.touched_blocks(), default="")
        if on_tick is not None:
            on_tick()
        if world.success and success_s is None:
            success_s = world.time_s
    worker.close()
    return Outcome(
        success=success_s is not None,
        reward=reward,
        time_s=world.time_s if success_s is None else success_s,
        first_touched=touched,
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
