"""Chunks on the time axis."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.datatypes import ActionChunk
from vla_ros.robot_config import ChunkConfig
from vla_ros.runtime import ChunkScheduler

STEP_S = 0.05


def chunk(actions, start_s, epoch=0):
    return ActionChunk(
        actions=np.asarray(actions, float),
        start_s=start_s,
        step_s=STEP_S,
        epoch=epoch,
        inference_s=0.0,
    )


def ramp(slope, start_s, first=0.0, gripper=0.5, steps=16):
    """One joint that moves by `slope` a second, and a gripper."""
    ahead_s = STEP_S * np.arange(1, steps + 1)
    return chunk(
        np.stack([first + slope * ahead_s, np.full(steps, gripper)], axis=1), start_s=start_s
    )


def scheduler(blend_s=0.1, expire_after_s=0.8):
    chunks = ChunkConfig(execute_s=0.3, blend_s=blend_s, expire_after_s=expire_after_s)
    return ChunkScheduler(chunks, joints=1)


def test_without_a_chunk_there_is_no_target():
    assert scheduler().sample(0.0) is None


@pytest.mark.parametrize("late_s", [0.0, 0.01, 0.12, 0.31])
def test_late_steps_are_dropped_and_due_times_are_kept(late_s):
    plan = scheduler(blend_s=0.0)
    assert plan.merge(ramp(1.0, start_s=10.0), now_s=10.0 + late_s)
    for now_s in np.arange(10.0 + max(late_s, STEP_S), 10.7, 0.01):
        target, _ = plan.sample(now_s)
        assert target[0] == pytest.approx(now_s - 10.0)


def test_a_chunk_whose_steps_are_all_late_changes_nothing():
    plan = scheduler()
    plan.merge(ramp(1.0, start_s=10.0), now_s=10.0)
    before = plan.sample(10.3)[0]
    assert not plan.merge(ramp(-9.0, start_s=9.0, steps=20), now_s=10.2)
    assert plan.sample(10.3)[0] == pytest.approx(before)


def test_a_chunk_of_another_epoch_is_dropped():
    plan = scheduler()
    plan.epoch = 3
    assert not plan.merge(chunk([[1.0, 0.5]], start_s=0.0, epoch=2), now_s=0.0)
    assert plan.sample(0.01) is None
    assert plan.merge(chunk([[1.0, 0.5]], start_s=0.0, epoch=3), now_s=0.0)


@pytest.mark.parametrize("blend_s", [0.0, 0.1])
def test_a_single_step_is_reached_on_a_straight_line(blend_s):
    plan = scheduler(blend_s=blend_s)
    origin = np.array([0.2, 1.0])
    plan.merge(chunk([[0.3, 0.0]], start_s=5.0), now_s=5.0, origin=origin)
    for part in np.linspace(0, 1, 7):
        target, _ = plan.sample(5.0 + part * STEP_S)
        assert target == pytest.approx((1 - part) * origin + part * np.array([0.3, 0.0]))


def test_single_steps_follow_each_other_without_a_jump():
    plan, origin, targets = scheduler(), np.array([0.0, 0.5]), []
    for tick in range(1, 200):
        now_s = tick * 0.01
        if tick % 5 == 1:
            plan.merge(chunk([[now_s + STEP_S, 0.5]], start_s=now_s), now_s=now_s, origin=origin)
        targets.append(plan.sample(now_s)[0][0])
    assert np.diff(targets).max() < 0.0125
    assert targets[-1] == pytest.approx(1.99, abs=0.02)


def test_joining_is_continuous_on_joints_fades_out_and_never_blends_the_gripper():
    plan = scheduler(blend_s=0.1)
    plan.merge(ramp(0.0, start_s=0.0, first=1.0, gripper=1.0), now_s=0.0)
    now_s = 0.42
    plan.merge(ramp(0.0, start_s=0.4, first=2.0, gripper=0.0), now_s=now_s)
    joint = [plan.sample(time_s)[0][0] for time_s in (now_s, 0.45, 0.5, 0.55, 0.6)]
    assert joint == pytest.approx([1.0, 1.3, 1.8, 2.0, 2.0])
    assert plan.sample(0.45)[0][1] == 0.0
    assert plan.sample(0.80)[0][0] == 2.0


def test_a_plain_switch_follows_the_new_chunk_at_once():
    plan = scheduler(blend_s=0.0)
    plan.merge(ramp(0.0, start_s=0.0, first=1.0), now_s=0.0)
    plan.merge(ramp(0.0, start_s=0.4, first=2.0), now_s=0.47)
    assert plan.sample(0.47)[0][0] == 2.0


def test_the_slope_of_a_ramp_is_its_slope_and_ends_at_the_last_step():
    plan = scheduler()
    plan.merge(ramp(0.7, start_s=0.0), now_s=0.0, origin=np.array([0.0, 0.5]))
    for now_s in np.arange(0.05, 0.75, 0.01):
        assert plan.sample(now_s)[1][0] == pytest.approx(0.7)
    target, slope = plan.sample(0.8)
    assert target[0] == pytest.approx(0.56)
    assert slope[0] == 0.0


def test_the_last_action_is_held_until_the_chunk_expires():
    plan = scheduler(expire_after_s=1.0)
    plan.merge(ramp(1.0, start_s=0.0, steps=4), now_s=0.0)
    for now_s in (0.2, 0.5, 1.0):
        target, slope = plan.sample(now_s)
        assert target[0] == pytest.approx(0.2)
        assert slope[0] == 0.0
    assert plan.sample(1.001) is None


def test_a_chunk_longer_than_its_expiry_expires_all_the_same():
    plan = scheduler(expire_after_s=0.5)
    plan.merge(ramp(1.0, start_s=0.0), now_s=0.0)
    assert plan.sample(0.5) is not None
    assert plan.sample(0.51) is None


def test_the_plan_is_continuous_under_random_merges():
    rng = np.random.default_rng(7)
    plan, last, jumps = scheduler(), None, []
    for tick in range(5000):
        now_s = tick * 0.01
        joined = rng.random() < 0.05 and plan.merge(
            ramp(rng.uniform(-1, 1), start_s=now_s - rng.uniform(0, 0.2), first=rng.uniform(-1, 1)),
            now_s=now_s,
        )
        sample = plan.sample(now_s)
        if sample is None:
            plan.clear()
        elif last is not None and joined:
            jumps.append(abs(sample[0][0] - last))
        last = None if sample is None else sample[0][0]
    # One tick of the running plan: at most 1 rad/s plus a fading offset of at most 2 rad in 0.1 s.
    assert len(jumps) > 100
    assert max(jumps) <= 0.01 * (1 + 4 / 0.05)
