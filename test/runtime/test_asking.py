"""When the loop asks the policy: from each picture once while the plan lasts."""

from __future__ import annotations

import dataclasses

import pytest

from vla_ros.datatypes import Frame, Status
from vla_ros.errors import PolicyServerError


@pytest.fixture
def eager_rig(make_rig, policy, robot):
    """A loop that asks for the next plan as soon as the last one has come."""
    chunks = dataclasses.replace(robot.chunks, execute_s=robot.tick_s, blend_s=0.0)
    rig = make_rig(policy, robot=dataclasses.replace(robot, chunks=chunks))
    assert rig.start().status is Status.RUNNING
    return rig


@pytest.mark.parametrize(
    ("latency_s", "oldest_s"), [(0.0, 0.3), (0.05, 0.3), (0.14, 0.3), (0.2, 0.4)]
)
def test_a_plan_is_replaced_at_its_age_or_as_soon_as_the_policy_can(
    make_rig, policy, robot, latency_s, oldest_s
):
    chunks = dataclasses.replace(robot.chunks, execute_s=0.3, blend_s=0.0)
    rig = make_rig(policy, robot=dataclasses.replace(robot, chunks=chunks), latency_s=latency_s)
    rig.start(seconds=1.5)  # the first plans tell the delay
    ages_s = [tick.stamp_s - tick.chunk_start_s for tick in rig.run(2.0)]
    assert max(ages_s) == pytest.approx(oldest_s, abs=1.5 * robot.tick_s)
    assert min(ages_s) == pytest.approx(latency_s, abs=1.5 * robot.tick_s)


def show(rig, at_s):
    """Pictures of all cameras, between two ticks."""
    for name in rig.robot.cameras:
        rig.loop.put_frame(name, Frame(pixels=rig.picture(), stamp_s=at_s))


def pictures_s(policy):
    return [min(f.stamp_s for f in seen.frames.values()) for seen in policy.seen]


def test_a_picture_is_planned_from_once(eager_rig, policy):
    eager_rig.cameras = set()
    policy.seen.clear()
    for tick in range(40):
        if tick % 7 == 0:
            show(eager_rig, eager_rig.now_s)
        eager_rig.tick()
    stamps_s = pictures_s(policy)
    assert len(stamps_s) >= 5
    assert len(set(stamps_s)) == len(stamps_s)


def test_without_a_new_picture_it_asks_before_the_plan_ends(eager_rig, policy):
    eager_rig.run(0.1)  # the plan under way is there, and from the newest pictures
    eager_rig.cameras = set()
    eager_rig.run(0.05)
    policy.seen.clear()
    ticks = eager_rig.run(0.3)  # the cameras may be silent for 0.5 s
    assert {tick.status for tick in ticks} == {Status.RUNNING}
    assert policy.seen == []
    chunks = eager_rig.robot.chunks
    slow = dataclasses.replace(chunks, expire_after_s=0.2)
    eager_rig.loop._scheduler._chunks = slow
    eager_rig.run(0.01)
    assert len(policy.seen) == 1


@pytest.mark.parametrize("error", [PolicyServerError("gone"), ValueError("no plan")])
def test_after_a_failure_the_same_picture_may_be_planned_from_again(eager_rig, policy, error):
    eager_rig.cameras = set()
    eager_rig.run(0.1)
    show(eager_rig, eager_rig.now_s)
    policy.actions = error
    eager_rig.run(0.06)
    policy.seen.clear()
    policy.actions = None
    eager_rig.until(Status.RUNNING, seconds=0.35)
    assert pictures_s(policy)


@pytest.fixture
def waiting_rig(eager_rig, policy):
    """It has planned from the pictures that there are, and would from the next."""
    eager_rig.cameras = set()
    eager_rig.run(0.1)
    policy.seen.clear()
    return eager_rig


def test_new_pictures_of_all_cameras_do_not_wait_for_the_next_tick(waiting_rig, policy):
    rig, measured = waiting_rig, waiting_rig.loop.measured
    between_s = rig.now_s + 0.4 * rig.robot.tick_s
    rig.loop.put_state(dataclasses.replace(measured, stamp_s=between_s))
    for name in rig.robot.cameras:
        rig.loop.ask_between_ticks()
        assert policy.seen == [], f"asked before {name} has a new picture"
        rig.loop.put_frame(name, Frame(pixels=rig.picture(), stamp_s=between_s))
    rig.loop.ask_between_ticks()
    rig.loop.ask_between_ticks()
    (seen,) = policy.seen
    assert pictures_s(policy) == [between_s]
    assert seen.stamp_s == measured.stamp_s, "the joints are those of the tick before"
    assert seen.state is measured
    ticks = rig.run(0.05)
    assert {tick.status for tick in ticks} == {Status.RUNNING}
    first = next(tick for tick in ticks if tick.chunk_start_s == seen.stamp_s)
    assert first.stamp_s == pytest.approx(measured.stamp_s + 0.03), "latency since the tick before"
    assert len(policy.seen) == 1


def test_one_new_picture_waits_a_tick_for_the_others(waiting_rig, policy):
    rig, (first, *_) = waiting_rig, waiting_rig.robot.cameras
    rig.loop.put_frame(first, Frame(pixels=rig.picture(), stamp_s=rig.now_s))
    rig.tick()
    assert policy.seen == []
    rig.tick()
    assert len(policy.seen) == 1


def test_a_picture_whose_fellow_comes_within_a_tick_is_planned_from_with_it(waiting_rig, policy):
    rig, (first, *others) = waiting_rig, waiting_rig.robot.cameras
    stamp_s = rig.now_s
    rig.loop.put_frame(first, Frame(pixels=rig.picture(), stamp_s=stamp_s))
    rig.tick()
    for name in others:
        rig.loop.put_frame(name, Frame(pixels=rig.picture(), stamp_s=stamp_s))
    rig.loop.ask_between_ticks()
    assert pictures_s(policy) == [stamp_s]
    rig.run(0.02)
    assert len(policy.seen) == 1


def test_a_plan_that_is_not_due_is_not_asked_for_between_ticks(make_rig, policy):
    rig = make_rig(policy)
    rig.start(seconds=0.05)
    policy.seen.clear()
    show(rig, rig.now_s + 0.001)
    rig.loop.ask_between_ticks()
    assert policy.seen == []


@pytest.mark.parametrize(
    "forbid",
    [
        lambda rig: rig.loop.set_instruction("push the red block"),
        lambda rig: rig.loop.set_instruction(""),
        lambda rig: rig.loop.reset(rig.now_s),
        lambda rig: (rig.loop.stop(), rig.tick()),
        lambda rig: (setattr(rig, "standstill_s", 0.1), rig.tick()),
    ],
)
def test_only_a_loop_that_follows_asks_between_ticks(waiting_rig, policy, forbid):
    forbid(waiting_rig)
    show(waiting_rig, waiting_rig.now_s + 0.004)
    waiting_rig.loop.ask_between_ticks()
    assert policy.seen == []
