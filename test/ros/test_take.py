"""A take: what counts as success, as motion by the policy, as a picture of a moment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vla_ros.datatypes import Frame, RobotState
from vla_ros.ros.take import EpisodeReport, LoopStatus, Take

BEGAN = EpisodeReport(
    seed=1,
    task="pick_object",
    color="red",
    direction="",
    place="",
    instruction="lift the red block",
    episode=2,
    time_s=0.0,
    success_s=None,
    reward=0.0,
    first_touched="",
    stamp_s=50.0,
)


@pytest.fixture
def take() -> Take:
    return Take(instruction="go", began=BEGAN, limit_s=10.0, cameras=("front", "wrist"))


def status(name: str, *, stamp_s: float = 51.0, **values: str) -> LoopStatus:
    return LoopStatus.from_values("why", {"status": name, "stamp_s": str(stamp_s), **values})


def state(position: float, stamp_s: float = 51.0) -> RobotState:
    return RobotState(
        position_rad=np.array([0.0, position]),
        velocity_rad_s=np.zeros(2),
        gripper_open=None,
        stamp_s=stamp_s,
    )


def frame(stamp_s: float) -> Frame:
    return Frame(pixels=np.zeros((2, 2, 3), np.uint8), stamp_s=stamp_s)


def test_success_within_the_limit_ends_the_take(take):
    take.on_report(replace(BEGAN, time_s=9.9))
    assert not take.is_over
    take.on_report(replace(BEGAN, time_s=10.02, success_s=9.99))
    assert take.is_over
    assert take.is_success
    assert take.time_s == 9.99


def test_success_after_the_limit_is_none(take):
    take.on_report(replace(BEGAN, time_s=10.4, success_s=10.2))
    assert take.is_over
    assert not take.is_success


def test_reports_of_the_episode_before_are_left(take):
    take.on_report(replace(BEGAN, episode=1, time_s=11.0, success_s=3.0))
    assert not take.is_over
    assert take.time_s == 0


@pytest.mark.parametrize("name", ["fault_policy_error", "fault_internal"])
def test_a_fault_ends_the_take_without_success(take, name):
    take.on_status(status("hold_policy_error"))
    assert not take.is_over
    take.on_status(status(name))
    assert take.is_over
    assert not take.is_success


def test_only_motion_while_the_policy_is_followed_counts(take):
    take.on_state(state(-1.0))
    take.on_status(status("waiting_for_policy"))
    take.on_state(state(0.0))
    take.on_status(status("running"))
    for position in (0.2, 0.5, 0.3):
        take.on_state(state(position))
    take.on_status(status("hold_for_policy"))
    take.on_state(state(1.5))
    assert take.moved_rad == pytest.approx(0.3)


def test_ages_are_those_of_ticks_that_follow_the_policy(take):
    take.on_status(status("hold_for_policy", image_to_command_ms="900.0"))
    take.on_status(status("running", image_to_command_ms="80.0"))
    take.on_status(status("running", image_to_command_ms=""))
    assert take.ages_ms == [80.0]


def test_a_shot_shows_one_moment_through_every_camera(take):
    for camera, stamp_s in [("front", 1.0), ("wrist", 0.9), ("front", 1.1), ("wrist", 1.1)]:
        take.on_frame(camera, frame(stamp_s))
    assert [shot.stamp_s for shot in take.shots] == [1.1]
    assert set(take.shots[0].pictures) == {"front", "wrist"}


def test_real_time_factor_is_simulated_over_real_time(take):
    assert take.real_time_factor == 0
    for stamp_s in (51.0, 52.0, 53.0):
        take.on_state(state(0.0, stamp_s))
    take.wall_s = 4.0
    assert take.real_time_factor == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "ages", "expected"),
    [
        ("hold_no_instruction", {"state_age_ms": "10.0", "front_age_ms": "400.0"}, True),
        ("waiting_for_instruction", {"state_age_ms": "10.0"}, True),
        ("hold_no_instruction", {"state_age_ms": "10.0", "front_age_ms": "600.0"}, False),
        ("waiting_for_camera", {"state_age_ms": "10.0"}, False),
        ("hold_no_instruction", {}, False),
    ],
)
def test_only_words_are_missing_when_every_input_is_newer_than_the_reset(name, ages, expected):
    now = status(name, stamp_s=50.5, chunk_age_ms="2000.0", **ages)
    assert now.awaits_words_since(50.0) is expected


def test_a_plan_is_kept_when_both_its_parts_have_come(take):
    path_m = np.zeros((3, 3))
    take.on_plan_path(path_m, 51.0)
    take.on_plan_end(state(0.5))
    assert not take.plans, "nobody knows yet where the arm is"
    take.on_state(state(0.1))
    take.on_plan_end(state(0.5))
    (plan,) = take.plans
    assert plan.path_m is path_m
    assert plan.start.position_rad[1] == 0.1
    assert plan.end.position_rad[1] == 0.5
    take.on_plan_end(state(0.6, stamp_s=52.0))
    take.on_plan_path(path_m, 53.0)
    assert len(take.plans) == 1, "these are of two plans"
    take.on_plan_end(state(0.7, stamp_s=53.0))
    assert take.plans[1].end.position_rad[1] == 0.7
