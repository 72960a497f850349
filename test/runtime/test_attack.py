"""Hypothesis attacks the shaper and the safety filter, on arms that it makes up too.

`make attack` runs it with 100,000 targets, the suite with some thousand.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from vla_ros.robot_config import RobotConfig
from vla_ros.runtime import SafetyFilter, Shaper
from vla_ros.runtime.stopping import stopping_range

TICK_S = 0.01
TARGETS_AN_EPISODE = 50
LIMITS = ("lower_rad", "upper_rad", "velocity_rad_s", "acceleration_rad_s2", "jerk_rad_s3")
NOT_FINITE = (np.nan, np.inf, -np.inf)
ABSURD = (1e300, -1e300, 1e18, -1e9, 0.0, 5e-324)
SEED = st.integers(0, 2**32 - 1)
KINDS = ("inside", "edge", "beyond", "far", "absurd", "not finite", "still", "stop", "slower")
TARGETS = st.lists(
    st.tuples(st.sampled_from(KINDS), SEED, st.sampled_from((1, 1, 1, 2, 8))),
    min_size=TARGETS_AN_EPISODE,
    max_size=TARGETS_AN_EPISODE,
)


@pytest.fixture
def attacks(request: pytest.FixtureRequest) -> int:
    """How many targets."""
    return request.config.getoption("--attacks")


def made_up(robot: RobotConfig, seed: int) -> RobotConfig:
    """The robot, with limits of another arm in two of three cases."""
    rng = np.random.default_rng(seed)
    if rng.random() < 0.33:
        return robot
    lower = rng.uniform(-3, 0, 7)
    values = {
        "lower_rad": lower,
        "upper_rad": lower + rng.uniform(0.1, 6, 7),
        "velocity_rad_s": rng.uniform(0.1, 5, 7),
        "acceleration_rad_s2": rng.uniform(0.5, 30, 7),
        "jerk_rad_s3": rng.uniform(20, 2000, 7),
    }
    return dataclasses.replace(robot, limits=dataclasses.replace(robot.limits, **values))


def permuted(robot: RobotConfig, order: np.ndarray) -> RobotConfig:
    values = {name: getattr(robot.limits, name)[order] for name in LIMITS}
    return dataclasses.replace(robot, limits=dataclasses.replace(robot.limits, **values))


def target_of(kind: str, rng: np.random.Generator, robot: RobotConfig):
    """Target and its velocity, shapes (J,)."""
    lower, upper = robot.limits.lower_rad, robot.limits.upper_rad
    target, velocity = rng.uniform(lower, upper), rng.normal(0, 3, 7)
    match kind:
        case "edge":
            target = np.where(rng.random(7) < 0.5, lower, upper) + rng.choice([0, 1e-12, -1e-12])
        case "beyond":
            target = rng.uniform(lower - 1, upper + 1)
        case "far":
            target, velocity = target * 1e4, velocity * 1e4
        case "absurd":
            target[rng.integers(7)], velocity[rng.integers(7)] = rng.choice(ABSURD, 2)
        case "not finite":
            (target, velocity)[rng.integers(2)][rng.integers(7)] = rng.choice(NOT_FINITE)
        case "still":
            velocity = np.zeros(7)
    return target, velocity


class Episode:
    """Two shapers that differ by the order of the joints, and the filter behind the first."""

    def __init__(self, robot: RobotConfig, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.robot, self.order = robot, rng.permutation(7)
        self.shaper = Shaper(robot.limits, TICK_S)
        self.twin = Shaper(permuted(robot, self.order).limits, TICK_S)
        self.filter, self.gate = SafetyFilter(robot), SafetyFilter(robot)
        start = rng.uniform(robot.limits.lower_rad, robot.limits.upper_rad)
        velocity = rng.normal(0, 1, 7) * (rng.random() < 0.5)
        self.shaper.seed(start, velocity)
        self.twin.seed(start[self.order], velocity[self.order])
        self.filter.seed(start, 1.0)
        self.gate.seed(start, 1.0)
        self.positions = [start]

    def play(self, kind: str, seed: int, ticks: int) -> None:
        """One target for some ticks."""
        rng = np.random.default_rng(seed)
        target, velocity = target_of(kind, rng, self.robot)
        if kind == "slower":
            scale = float(rng.uniform(0.05, 1.0))
            self.shaper.slow_down(scale)
            self.twin.slow_down(scale)
        for _ in range(ticks):
            self._tick(kind, target, velocity)
        self._attack_the_gate(target, velocity)
        if rng.random() < 0.1:
            self.check_stop()

    def _tick(self, kind: str, target: np.ndarray, velocity: np.ndarray) -> None:
        order, limits = self.order, self.robot.limits
        if kind == "stop":
            motion, other = self.shaper.stop(), self.twin.stop()
        else:
            motion = self.shaper.step(target, velocity)
            other = self.twin.step(target[order], velocity[order])
        assert [motion.position[index] for index in order] == other.position
        assert (np.abs(motion.velocity) <= limits.velocity_rad_s * (1 + 1e-9)).all()
        assert (np.abs(motion.acceleration) <= limits.acceleration_rad_s2 * (1 + 1e-9)).all()
        self.positions.append(np.array(motion.position))
        command = self.filter.apply(self.positions[-1], np.array(motion.velocity), 0.5, 0.0)
        assert np.abs(command.position_rad - motion.position).max() < 1e-8

    def _attack_the_gate(self, target: np.ndarray, velocity: np.ndarray) -> None:
        """The filter alone, as if the shaper were broken."""
        limits, before = self.robot.limits, self.gate._position_rad
        command = self.gate.apply(target, velocity, float(target[0]), 0.0)
        assert np.isfinite([*command.position_rad, *command.velocity_rad_s]).all()
        assert (command.position_rad >= limits.lower_rad).all()
        assert (command.position_rad <= limits.upper_rad).all()
        assert (np.abs(command.velocity_rad_s) <= limits.velocity_rad_s).all()
        step = np.abs(command.position_rad - before)
        assert (step <= limits.velocity_rad_s * TICK_S + 1e-12).all()
        assert 0.0 <= command.gripper_open <= 1.0

    def check_stop(self) -> None:
        """The stop from here travels as far as the closed form says, and ends inside the limits."""
        limits, state = self.robot.limits, self.shaper.state
        brake = Shaper(limits, TICK_S)
        brake.state = state
        path = [np.array(state.position)]
        while not brake.is_at_rest:
            path.append(np.array(brake.stop().position))
            assert len(path) < 5000
        away = np.array(path) - path[0]
        joints = zip(
            state.velocity,
            state.acceleration,
            limits.acceleration_rad_s2,
            limits.jerk_rad_s3,
            strict=True,
        )
        low, high = np.array([stopping_range(*joint) for joint in joints]).T
        assert (away >= low - 1e-7).all()
        assert (away <= high + 1e-7).all()
        # Between two ticks it may have turned round.
        between = limits.acceleration_rad_s2 * TICK_S**2
        assert (away.min(axis=0) <= low + between).all()
        assert (away.max(axis=0) >= high - between).all()
        assert (np.array(path) >= limits.lower_rad - 1e-8).all()
        assert (np.array(path) <= limits.upper_rad + 1e-8).all()


def test_no_attack_passes_a_limit(robot, motion_within, attacks):
    targets = ticks = episodes = 0
    fastest = 0.0

    @settings(
        max_examples=-(-attacks // TARGETS_AN_EPISODE),
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        derandomize=attacks < 100_000,
        suppress_health_check=list(HealthCheck),
    )
    @given(arm=SEED, targets_of=TARGETS)
    def attack(arm: int, targets_of: list[tuple[str, int, int]]) -> None:
        nonlocal targets, ticks, episodes, fastest
        episode = Episode(made_up(robot, arm), arm)
        for kind, seed, duration in targets_of:
            episode.play(kind, seed, duration)
        episode.check_stop()
        motion_within(episode.robot, episode.positions)
        assert (episode.filter.clamped, episode.filter.refused) == (0, 0)
        speeds = np.abs(np.diff(episode.positions, axis=0)) / TICK_S
        fastest = max(fastest, float((speeds / episode.robot.limits.velocity_rad_s).max()))
        targets, episodes = targets + len(targets_of), episodes + 1
        ticks += len(episode.positions) - 1

    attack()
    print(f"\n{targets} hostile targets over {ticks} ticks on {episodes} arms: no limit exceeded")
    assert targets >= attacks
    assert fastest > 0.9, "no joint came near its speed limit: the test shows nothing"
