"""The closed form of a stop, held against Ruckig's own."""

from __future__ import annotations

import numpy as np
import pytest
from ruckig import ControlInterface, InputParameter, Ruckig, Trajectory

from vla_ros.runtime.stopping import stop_after, stopping_range


def test_it_is_the_range_of_ruckigs_stop_for_random_motions():
    rng = np.random.default_rng(3)
    otg, trajectory, motion = Ruckig(1, 0.01), Trajectory(1), InputParameter(1)
    motion.control_interface = ControlInterface.Velocity
    motion.current_position, motion.target_velocity, motion.max_velocity = [0.0], [0.0], [9.0]
    for _ in range(2000):
        limit, jerk = rng.uniform(0.5, 20), rng.uniform(10, 1000)
        velocity = rng.uniform(-2, 2) * rng.choice([0.0, 0.01, 1.0])
        acceleration = rng.uniform(-limit, limit) * rng.choice([0.0, 1.0])
        motion.current_velocity, motion.current_acceleration = [velocity], [acceleration]
        motion.max_acceleration, motion.max_jerk = [limit], [jerk]
        otg.calculate(motion, trajectory)
        times_s = np.linspace(0, trajectory.duration, 100)
        states = [trajectory.at_time(time_s) for time_s in times_s]
        path = [position[0] for position, _, _ in states]
        stops = [stop_after(time_s, velocity, acceleration, limit, jerk) for time_s in times_s]
        np.testing.assert_allclose(stops, np.array(states)[:, :, 0], atol=1e-5)
        low, high = stopping_range(velocity, acceleration, limit, jerk)
        assert low == pytest.approx(min(path), abs=1e-3 * (1 + abs(low)))
        assert high == pytest.approx(max(path), abs=1e-3 * (1 + abs(high)))
        assert low <= min(path) + 1e-9
        assert high >= max(path) - 1e-9


def test_at_rest_nothing_moves():
    assert stopping_range(0.0, 0.0, 10.0, 200.0) == (0.0, 0.0)
    assert stop_after(0.01, 0.0, 0.0, 10.0, 200.0) == (0.0, 0.0, 0.0)
