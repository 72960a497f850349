"""How chunks join: by time, whatever comes late; and asked for before the running one ends."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros.datatypes import ActionChunk
from vla_ros.robot_config import ChunkConfig
from vla_ros.runtime import ChunkScheduler
from vla_ros.runtime.delay import Delay

STEP_S, HORIZON = 0.05, 16


def scheduler(join, blend_s=0.1):
    chunks = ChunkConfig(execute_s=0.3, blend_s=blend_s, expire_after_s=0.8, join=join)
    return ChunkScheduler(chunks, joints=1)


def chunk(actions, start_s):
    return ActionChunk(
        actions=np.asarray(actions, float), start_s=start_s, step_s=STEP_S, epoch=0, inference_s=0.0
    )


plans = st.lists(
    st.tuples(
        st.lists(st.floats(-1, 1), min_size=HORIZON, max_size=HORIZON),
        st.floats(0, 1),  # gripper
        st.integers(1, 8),  # steps from the observation before to this one
        st.floats(0.0, 0.3),  # delay [s]
    ),
    min_size=2,
    max_size=6,
)


def play(plan, drawn):
    """Merge the drawn chunks one after another; each with the time of its merge."""
    start_s, merged_s, merged = 0.0, 0.0, []
    for joints, gripper, steps, delay_s in drawn:
        start_s += steps * STEP_S
        merged_s = max(merged_s, start_s + delay_s)
        new = chunk([[value, gripper] for value in joints], start_s)
        if plan.merge(new, merged_s):
            merged.append((new, merged_s))
    return merged


@settings(deadline=None)  # a busy machine is no fault of the joining
@given(plans)
def test_latest_follows_the_newest_chunk_at_its_due_times(drawn):
    plan = scheduler("latest")
    newest, merged_s = play(plan, drawn)[-1]
    for due_s, action in zip(newest.due_s(), newest.actions, strict=True):
        if due_s >= merged_s:
            np.testing.assert_allclose(plan.sample(due_s)[0], action, atol=1e-9)


@settings(deadline=None)  # a busy machine is no fault of the joining
@given(plans)
def test_blend_is_the_newest_chunk_once_it_has_faded_in(drawn):
    plan = scheduler("blend")
    newest, merged_s = play(plan, drawn)[-1]
    for due_s, action in zip(newest.due_s(), newest.actions, strict=True):
        if due_s >= merged_s + 0.1:
            np.testing.assert_allclose(plan.sample(due_s)[0], action, atol=1e-9)


@settings(deadline=None)  # a busy machine is no fault of the joining
@given(plans)
def test_ensemble_is_the_papers_mean_of_all_chunks_for_a_moment(drawn):
    """All chunks lie on one grid of time, so the paper's formula can be written out."""
    plan = scheduler("ensemble")
    merged = play(plan, drawn)
    newest, merged_s = merged[-1]
    for due_s, action in zip(newest.due_s(), newest.actions, strict=True):
        if due_s < merged_s:
            continue
        said = [
            one.actions[step, 0]
            for one, _ in merged
            if 0 <= (step := round((due_s - one.start_s) / STEP_S) - 1) < HORIZON
        ]
        weights = np.exp(-0.01 * np.arange(len(said)))  # the oldest first
        target, _ = plan.sample(due_s)
        assert target[0] == pytest.approx(weights @ said / weights.sum(), abs=1e-9)
        assert target[1] == action[1]  # a gripper is never half convinced


@settings(deadline=None)  # a busy machine is no fault of the joining
@given(plans)
def test_what_fades_in_never_jumps(drawn):
    plan = scheduler("blend")
    play(plan, drawn[:-1])
    joints, gripper, steps, delay_s = drawn[-1]
    now_s = plan.chunk.start_s + max(0.35, steps * STEP_S)
    before, _ = plan.sample(now_s)
    assert plan.merge(chunk([[v, gripper] for v in joints], now_s - 0.6 * delay_s), now_s)
    assert plan.sample(now_s)[0][0] == pytest.approx(before[0], abs=1e-9)


def test_two_plans_that_disagree_meet_halfway_in_an_ensemble():
    plan = scheduler("ensemble")
    plan.merge(chunk([[0.0, 0.0]] * HORIZON, 0.0), 0.0)
    plan.merge(chunk([[1.0, 1.0]] * HORIZON, 0.2), 0.2)
    weight = np.exp(-0.01)
    assert plan.sample(0.5)[0] == pytest.approx([weight / (1 + weight), 1.0])
    # The first plan had nothing to say on what comes after its end.
    assert plan.sample(0.9)[0] == pytest.approx([1.0, 1.0])


def test_after_a_clear_an_ensemble_begins_anew():
    plan = scheduler("ensemble")
    plan.merge(chunk([[0.0, 0.0]] * HORIZON, 0.0), 0.0)
    plan.clear()
    plan.merge(chunk([[1.0, 1.0]] * HORIZON, 0.2), 0.2)
    assert plan.sample(0.5)[0] == pytest.approx([1.0, 1.0])


def test_the_delay_is_the_longest_of_the_last_and_the_first_only_counts_alone():
    delay = Delay()
    assert delay.expected_s == 0.0
    delay.add(3.0)
    assert delay.expected_s == 3.0
    for value_s in (0.1, 0.2, 0.1):
        delay.add(value_s)
    assert delay.expected_s == 0.2
    for _ in range(10):
        delay.add(0.05)
    assert delay.expected_s == 0.05


def test_a_clock_that_jumps_back_makes_no_negative_delay():
    delay = Delay()
    delay.add(0.1)
    delay.add(-5.0)
    assert delay.expected_s == 0.0


# One plan at a time is under way, so a plan must last for two latencies; this one lasts 0.8 s.
@pytest.mark.parametrize("latency_s", [0.0, 0.1, 0.3, 0.37])
@pytest.mark.parametrize("execute_s", [0.05, 0.7])
def test_the_plan_never_ends_when_the_latency_allows(
    make_rig, policy, robot, middle_rad, latency_s, execute_s
):
    """The policy plans one steady motion; the arm slows down only where a plan has ended."""
    speed_rad_s = 0.2

    def steady(observation):
        due_s = observation.stamp_s - 100 + STEP_S * np.arange(1, HORIZON + 1)[:, None]
        return np.hstack([middle_rad + speed_rad_s * due_s, np.ones((HORIZON, 1))])

    policy.plan = steady
    chunks = ChunkConfig(execute_s=execute_s, blend_s=0.0, expire_after_s=0.8, join="latest")
    rig = make_rig(policy, robot=dataclasses.replace(robot, chunks=chunks), latency_s=latency_s)
    rig.start(seconds=2.5)  # the first two plans tell the delay
    rig.commands.clear()
    rig.run(1.5)
    speeds = np.array([command.velocity_rad_s[0] for command in rig.commands])
    assert (speeds > 0.75 * speed_rad_s).all()


def test_the_prefix_is_the_running_plan_at_the_new_steps_due_times():
    """By time: the new steps lie between the old ones."""
    plan = scheduler("rtc")
    plan.merge(chunk([[0.1 * i, 0.5] for i in range(1, HORIZON + 1)], 0.0), 0.0)
    prefix = plan.prefix(0.32, there_s=0.45)
    due_s = 0.32 + STEP_S * np.arange(1, 10)  # the next would lie behind the plan's end at 0.8
    assert prefix.actions[:, 0] == pytest.approx(2.0 * due_s)
    # Due at 0.37, 0.42, 0.47: the last one is under way when the new plan is there.
    assert prefix.frozen == 3


def test_the_prefix_ends_with_what_will_be_played():
    plan = scheduler("rtc")
    assert plan.prefix(0.0, 0.1) is None, "nothing runs"
    plan.merge(chunk([[0.0, 0.5]] * HORIZON, 0.0), 0.0)
    late = plan.prefix(0.6, there_s=2.0)
    assert (len(late.actions), late.frozen) == (4, 4)
    assert (len(late.first(3).actions), late.first(3).frozen) == (3, 3)
    assert late.first(0) is None
    assert plan.prefix(0.79, 0.9) is None, "the plan has ended by then"
    old = ChunkScheduler(
        ChunkConfig(execute_s=0.3, blend_s=0.1, expire_after_s=0.4, join="rtc"), joints=1
    )
    old.merge(chunk([[0.0, 0.5]] * HORIZON, 0.0), 0.0)
    assert len(old.prefix(0.2, 0.3).actions) == 4, "it expires at 0.4 s"


@pytest.mark.parametrize("join", ["latest", "blend", "ensemble"])
def test_only_rtc_gives_a_prefix(join):
    plan = scheduler(join)
    plan.merge(chunk([[0.0, 0.5]] * HORIZON, 0.0), 0.0)
    assert plan.prefix(0.2, 0.3) is None


@settings(deadline=None)  # a busy machine is no fault of the joining
@given(plans)
def test_a_plan_that_continues_the_running_one_changes_nothing_at_the_seam(drawn):
    """Target and slope, without any fading, when the policy keeps the frozen steps."""
    plan = scheduler("rtc", blend_s=0.0)
    joints, gripper, steps, delay_s = drawn[0]
    plan.merge(chunk([[value, gripper] for value in joints], 0.0), 0.0)
    start_s = steps * STEP_S
    there_s = start_s + min(delay_s, 0.25)
    prefix = plan.prefix(start_s, there_s)
    assert prefix is not None
    new = np.array([[value, gripper] for value in drawn[1][0]])
    kept = min(prefix.frozen + 1, len(prefix.actions))  # the slope looks a little further
    new[:kept] = prefix.actions[:kept]
    before = plan.sample(there_s)
    assert plan.merge(chunk(new, start_s), there_s)
    after = plan.sample(there_s)
    assert after[0] == pytest.approx(before[0], abs=1e-9)
    assert after[1][0] == pytest.approx(before[1][0], abs=1e-6)


class Continuing:
    """Plans as the rig's policy does, but for the frozen steps, which it keeps."""

    def __init__(self, policy):
        self.policy, self.spec, self.prefixes = policy, policy.spec, []

    def reset(self):
        self.policy.reset()

    def infer(self, observation, prefix=None):
        made = self.policy.infer(observation)
        self.prefixes.append(prefix)
        if prefix is None:
            return made
        actions = made.actions.copy()
        actions[: prefix.frozen] = prefix.actions[: prefix.frozen]
        return dataclasses.replace(made, actions=actions)


def test_the_loop_tells_a_policy_what_it_will_have_played(make_rig, robot, policy):
    chunks = ChunkConfig(execute_s=0.3, blend_s=0.0, expire_after_s=0.8, join="rtc")
    policy.speed_rad_s = 0.1
    policy = Continuing(policy)
    robot = dataclasses.replace(robot, chunks=chunks)
    rig = make_rig(policy, robot=robot, latency_s=0.12)
    rig.start(seconds=2.0)
    first, *others = policy.prefixes
    assert first is None
    assert len(others) >= 3
    # The first delay is measured as any other here, so the second plan knows it already.
    for prefix in others:
        assert prefix.frozen == 3  # 0.12 s of steps of 0.05 s
        assert prefix.frozen <= len(prefix.actions) <= 16
    rig.loop.set_instruction("something else")
    rig.run(0.1)
    assert policy.prefixes[-1] is None, "a plan for other words is not continued"
