"""The Gymnasium face: its own checker, the five-value step, bad actions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from vla_ros.sim.env import TabletopEnv


@pytest.fixture(scope="module")
def env() -> Iterator[TabletopEnv]:
    environment = TabletopEnv(render_px=32, time_limit_s=0.2)
    yield environment
    environment.close()


# Its one remark: actions are joint targets in radians, as on a robot, not scaled to [-1, 1].
@pytest.mark.filterwarnings("ignore:.*symmetric and normalized space")
def test_gymnasium_accepts_it(env: TabletopEnv) -> None:
    check_env(env, skip_render_check=True)


def test_step_moves_the_arm_and_is_truncated_at_the_time_limit(env: TabletopEnv) -> None:
    observation, info = env.reset(seed=3, options={"task": "pick_object"})
    assert info["task"] == "pick_object"
    target = observation["state"].copy()
    target[0] += 0.1
    for step in range(4):
        observation, reward, terminated, truncated, info = env.step(target)
        assert truncated == (step == 3)
        assert not terminated
        assert isinstance(reward, float)
    assert abs(observation["state"][0] - target[0]) < 0.05


def test_action_that_is_not_finite_is_refused(env: TabletopEnv) -> None:
    env.reset(seed=1)
    with pytest.raises(ValueError, match="must be finite"):
        env.step(np.full(8, np.nan))
