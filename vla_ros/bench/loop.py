"""Time one step of the control loop: alone, and at its rate beside a policy that computes.

`python -m vla_ros bench loop [--robot FILE] [--seconds S] [--steps N] [--json FILE] [--plot FILE]`
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from vla_ros.bench.report import add_output_arguments, machine, write_report
from vla_ros.datatypes import ActionChunk, FloatArray, Frame, Observation, RobotState
from vla_ros.policy_protocol import CameraSpec, PolicySpec
from vla_ros.robot_config import RobotConfig, load_robot
from vla_ros.runtime import ControlLoop, InlineWorker, ThreadWorker
from vla_ros.share import share_path

_HORIZON, _STEP_S, _SPEED_RAD_S = 16, 0.05, 0.5
# Some tens of milliseconds of a core, as the inference of a small model.
_MULTIPLICATIONS = 8
_MATRIX = np.full((512, 512), 1e-3, np.float32)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--robot", type=Path, help="robot file (default: config/panda.yaml)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to tick at the rate")
    parser.add_argument("--steps", type=int, default=20_000, help="how many steps to time alone")
    add_output_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print and write; returns the exit status."""
    robot = load_robot(arguments.robot or share_path("config/panda.yaml"))
    steps_s, steps_cpu_s = step_times_s(robot, arguments.steps)
    late_s, tick_step_s, inference_s = tick_times_s(robot, arguments.seconds)
    report = {
        **machine(),
        "tick_hz": robot.tick_hz,
        "step_ms": _percentiles_ms(steps_s),
        "step_cpu_ms": _percentiles_ms(steps_cpu_s),
        "jitter_ms": _percentiles_ms(late_s),
        "tick_step_ms": _percentiles_ms(tick_step_s),
        "inference_ms": _percentiles_ms(inference_s),
    }
    print(f"one ControlLoop.step of {robot.robot}, {len(steps_s)} steps: {_line(steps_s)}")
    print(f"  of it on the processor (the rest went to others): {_line(steps_cpu_s)}")
    print(f"jitter of the {robot.tick_hz:g} Hz tick, {len(late_s)} ticks: {_line(late_s)}")
    print(f"  its step beside a policy that computes: {_line(tick_step_s)}")
    print(f"  inference of that policy: {_line(inference_s)}")
    names = [name for name, value in report.items() if isinstance(value, dict)]
    bars = {f"{part} [ms]": {name: report[name][part] for name in names} for part in ("p50", "p99")}
    write_report(arguments, report, bars)
    return 0


def step_times_s(robot: RobotConfig, steps: int) -> tuple[FloatArray, FloatArray]:
    """Time of each of `steps` steps of a moving arm, without inference: wall and CPU, (steps,).

    Steps that ask the policy are left out: the policy computes in the step here, which it never
    does in the node.
    """
    policy = _Sway(robot)
    loop = ControlLoop(robot=robot, spec=policy.spec, worker=InlineWorker(policy, 0.055))
    loop.activate(0.0)
    loop.set_instruction("sway")
    times_s: list[tuple[float, float]] = []
    position_rad, tick = policy.middle_rad, 0
    while len(times_s) < steps:
        tick += 1
        now_s = tick * robot.tick_s
        _feed(loop, robot, position_rad, now_s)
        asks = loop.wants_observation(now_s)
        begin_s = time.perf_counter(), time.thread_time()
        outcome = loop.step(now_s)
        end_s = time.perf_counter(), time.thread_time()
        if outcome.command is not None:
            position_rad = outcome.command.position_rad
            times_s += [] if asks else [(end_s[0] - begin_s[0], end_s[1] - begin_s[1])]
    wall_s, cpu_s = np.array(times_s).T
    return wall_s, cpu_s


def tick_times_s(robot: RobotConfig, duration_s: float) -> tuple[FloatArray, ...]:
    """Step the loop at its rate, as `vla_node` does, while a policy computes in a thread.

    Returns:
        How late each tick was, how long its step took, and how long its plan's inference, (N,).
    """
    policy = _Sway(robot, multiplications=_MULTIPLICATIONS)
    worker = ThreadWorker(policy)
    loop = ControlLoop(robot=robot, spec=policy.spec, worker=worker)
    begin_s, position_rad = time.perf_counter(), policy.middle_rad
    loop.activate(begin_s)
    loop.set_instruction("sway")
    times_s: list[tuple[float, float, float]] = []
    for index in range(1, int(duration_s / robot.tick_s) + 1):
        due_s = begin_s + index * robot.tick_s
        time.sleep(max(0.0, due_s - time.perf_counter()))
        now_s = time.perf_counter()
        _feed(loop, robot, position_rad, now_s)
        started_s = time.perf_counter()
        tick = loop.step(now_s)
        step_s = time.perf_counter() - started_s
        if tick.command is not None:
            position_rad = tick.command.position_rad
        times_s.append((now_s - due_s, step_s, tick.inference_s or np.nan))
    worker.close()
    return tuple(np.array(times_s).T)


class _Sway:
    """A policy without a model: every joint swings about the middle of its range."""

    def __init__(self, robot: RobotConfig, multiplications: int = 0) -> None:
        """Args: multiplications: How many matrices to multiply for a chunk, as a model would."""
        self._multiplications = multiplications
        self.middle_rad = (robot.limits.lower_rad + robot.limits.upper_rad) / 2
        self._gripper = [0.5] if robot.gripper is not None else []
        self.spec = PolicySpec(
            robot=robot.robot,
            cameras=tuple(
                CameraSpec(name=name, height_px=96, width_px=96, resize="letterbox")
                for name in robot.cameras
            ),
            state_names=robot.action_names,
            action_names=robot.action_names,
            horizon=_HORIZON,
            step_s=_STEP_S,
        )

    def reset(self) -> None:
        """Nothing to forget."""

    def infer(self, observation: Observation, prefix: object = None) -> ActionChunk:
        """Swing at 0.5 rad/s, once in 2 π seconds."""
        begin_s = time.perf_counter()
        for _ in range(self._multiplications):
            _MATRIX @ _MATRIX
        due_s = observation.stamp_s + _STEP_S * np.arange(1, _HORIZON + 1)
        targets = [[*(self.middle_rad + _SPEED_RAD_S * np.sin(t)), *self._gripper] for t in due_s]
        return ActionChunk(
            actions=np.array(targets),
            start_s=observation.stamp_s,
            step_s=_STEP_S,
            epoch=observation.epoch,
            inference_s=time.perf_counter() - begin_s,
        )


def _feed(loop: ControlLoop, robot: RobotConfig, position_rad: FloatArray, now_s: float) -> None:
    velocity_rad_s = np.zeros_like(position_rad)
    gripper_open = 0.5 if robot.gripper is not None else None
    loop.put_state(
        RobotState(
            position_rad=position_rad,
            velocity_rad_s=velocity_rad_s,
            gripper_open=gripper_open,
            stamp_s=now_s,
        )
    )
    # A camera never shows the same picture twice.
    pixels = np.full((96, 96, 3), 128, np.uint8)
    pixels[0, 0] = round(now_s / robot.tick_s) % 251
    for name in robot.cameras:
        loop.put_frame(name, Frame(pixels=pixels, stamp_s=now_s))


def _percentiles_ms(times_s: FloatArray) -> dict[str, float]:
    p50, p99 = np.nanpercentile(times_s, [50, 99]) * 1e3
    return {"p50": round(float(p50), 4), "p99": round(float(p99), 4)}


def _line(times_s: FloatArray) -> str:
    values = _percentiles_ms(times_s)
    return f"p50 {values['p50']:.3f} ms, p99 {values['p99']:.3f} ms"
