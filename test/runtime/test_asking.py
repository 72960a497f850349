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
