"""The shipped arm, policies of a few lines, and a rig that plays sensors and arm to a loop."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from vla_ros.datatypes import ActionChunk, Frame, RobotState
from vla_ros.policy_protocol import CameraSpec, PolicySpec
from vla_ros.robot_config import load_robot
from vla_ros.runtime import ControlLoop, InlineWorker

PANDA = Path(__file__).parents[2] / "config" / "panda.yaml"
STEP_S = 0.05


@pytest.fixture(scope="session")
def robot():
    return load_robot(PANDA)


@pytest.fixture(scope="session")
def middle_rad(robot):
    return (robot.limits.lower_rad + robot.limits.upper_rad) / 2


@pytest.fixture(scope="session")
def spec(robot):
    cameras = tuple(
        CameraSpec(name=name, height_px=8, width_px=8, resize="letterbox") for name in robot.cameras
    )
    return PolicySpec(
        robot=robot.robot,
        cameras=cameras,
        state_names=robot.action_names,
        action_names=robot.action_names,
        horizon=16,
        step_s=STEP_S,
    )


class Policy:
    """Every joint moves on by `speed_rad_s`; `actions` overrides what it plans."""

    def __init__(self, spec, speed_rad_s=0.4):
        self.spec, self.speed_rad_s = spec, speed_rad_s
        self.actions, self.seen, self.resets = None, [], 0

    def reset(self):
        self.resets += 1

    def infer(self, observation, prefix=None):
        self.seen.append(observation)
        actions = self.plan(observation) if self.actions is None else self.actions
        if isinstance(actions, Exception):
            raise actions
        return ActionChunk(
            actions=actions,
            start_s=observation.stamp_s,
            step_s=STEP_S,
            epoch=observation.epoch,
            inference_s=0.01,
        )

    def plan(self, observation):
        ahead_s = STEP_S * np.arange(1, 17)[:, None]
        joints = observation.state.position_rad + self.speed_rad_s * ahead_s
        return np.hstack([joints, np.full((16, 1), 0.25)])


class HangingPolicy(Policy):
    """Plans only after `let_go` is set; `entered` and `left` tell where it is."""

    def __init__(self, spec):
        super().__init__(spec)
        self.entered, self.let_go, self.left = (threading.Event() for _ in range(3))

    def infer(self, observation, prefix=None):
        self.entered.set()
        assert self.let_go.wait(30)
        chunk = super().infer(observation)
        self.left.set()
        return chunk


class Rig:
    """A loop whose arm does at once what it is told; `run` ticks it and checks every command."""

    def __init__(self, robot, spec, policy, position_rad, worker=None, latency_s=0.03):
        self.robot, self.policy = robot, policy
        self.worker = InlineWorker(policy, latency_s) if worker is None else worker
        self.loop = ControlLoop(robot=robot, spec=spec, worker=self.worker)
        self.position_rad, self.velocity_rad_s = position_rad, np.zeros_like(position_rad)
        self.now_s, self.gripper_open = 100.0, 1.0
        self.state_stops, self.cameras = False, set(robot.cameras)
        self.standstill_s, self.shown = 0.0, 0
        self.commands = []
        self.loop.activate(self.now_s)

    def feed(self):
        state = RobotState(
            position_rad=self.position_rad,
            velocity_rad_s=self.velocity_rad_s,
            gripper_open=self.gripper_open,
            stamp_s=self.now_s,
        )
        if not self.state_stops:
            self.loop.put_state(state)
        for name in self.cameras:
            self.loop.put_frame(name, Frame(pixels=self.picture(), stamp_s=self.now_s))

    def picture(self):
        """As a camera's, never twice the same; the scene is grey."""
        self.shown += 1
        pixels = np.full((8, 8, 3), 128, np.uint8)
        pixels[0, 0] = self.shown % 251
        return pixels

    def tick(self):
        self.now_s = round(self.now_s + self.robot.tick_s, 6)
        self.feed()
        tick = self.loop.step(self.now_s, standstill_s=self.standstill_s)
        if tick.command is not None:
            self.position_rad = tick.command.position_rad
            self.velocity_rad_s = tick.command.velocity_rad_s
            self.gripper_open = tick.command.gripper_open
            self.commands.append(tick.command)
        return tick

    def run(self, seconds):
        return [self.tick() for _ in range(round(seconds / self.robot.tick_s))]

    def until(self, status, seconds=3.0, pause_s=0.0):
        """Tick until `status`; the tick that has it. `pause_s` is real time, left to a thread."""
        for _ in range(round(seconds / self.robot.tick_s)):
            if (tick := self.tick()).status is status:
                return tick
            time.sleep(pause_s)
        raise AssertionError(f"no {status} within {seconds} s, but {tick.status}: {tick.reason}")

    @property
    def span_rad(self):
        """Range of what the joint was told that was told most."""
        return np.ptp([command.position_rad for command in self.commands], axis=0).max()

    def start(self, text="pick the red block", seconds=0.5):
        self.loop.set_instruction(text)
        return self.run(seconds)[-1]


@pytest.fixture
def policy(spec):
    return Policy(spec)


@pytest.fixture
def sway(middle_rad):
    """Plans of a policy that knows where to be at each time, wherever it finds the arm."""

    def make(amplitude_rad, period_s):
        def plan(observation):
            due_s = observation.stamp_s + STEP_S * np.arange(1, 17)[:, None]
            turns = 2 * np.pi * (due_s - 100.0) / period_s
            return np.hstack([middle_rad + amplitude_rad * np.sin(turns), np.ones((16, 1))])

        return plan

    return make


@pytest.fixture
def hanging_policy(spec):
    policy = HangingPolicy(spec)
    yield policy
    policy.let_go.set()


@pytest.fixture
def make_rig(robot, spec, middle_rad):
    def make(policy, **options):
        options.setdefault("position_rad", middle_rad)
        return Rig(options.pop("robot", robot), spec, policy, **options)

    return make


@pytest.fixture
def rig(make_rig, policy):
    return make_rig(policy)


@pytest.fixture
def with_limits():
    def change(robot, **limits):
        return dataclasses.replace(robot, limits=dataclasses.replace(robot.limits, **limits))

    return change


@pytest.fixture(scope="session")
def motion_within():
    """Assert that positions (N, J) one tick apart keep all limits of `robot`."""

    def check(robot, positions):
        limits, tick_s = robot.limits, robot.tick_s
        position = np.asarray(positions)
        assert np.isfinite(position).all()
        assert (position >= limits.lower_rad - 1e-8).all()
        assert (position <= limits.upper_rad + 1e-8).all()
        # Differences of sampled motion are means of its derivatives, so the limits bound them.
        velocity = np.diff(position, axis=0) / tick_s
        acceleration = np.diff(velocity, axis=0) / tick_s
        jerk = np.diff(acceleration, axis=0) / tick_s
        for values, limit in (
            (velocity, limits.velocity_rad_s),
            (acceleration, limits.acceleration_rad_s2),
            (jerk, limits.jerk_rad_s3),
        ):
            if len(values):
                assert (np.abs(values) <= limit * 1.0001 + 1e-4).all()

    return check
