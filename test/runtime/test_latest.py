"""Which input keeps the loop waiting, and in which words."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.datatypes import Frame, RobotState, Status
from vla_ros.errors import InstructionError
from vla_ros.runtime import check_instruction
from vla_ros.runtime.latest import Latest

PIXELS = np.full((4, 4, 3), 99, np.uint8)


def state(stamp_s, **changes):
    values = {"position_rad": np.zeros(7), "velocity_rad_s": np.zeros(7), "gripper_open": 0.5}
    return RobotState(**{**values, "stamp_s": stamp_s, **changes})


@pytest.fixture
def latest(robot):
    latest = Latest(robot, ("front", "wrist"))
    latest.put_state(state(10.0))
    for name in ("front", "wrist"):
        latest.put_frame(name, Frame(pixels=PIXELS, stamp_s=10.0))
    return latest


def test_what_has_not_arrived_is_named_with_its_topic(robot):
    latest = Latest(robot, ("front", "wrist"))
    obstacle = latest.obstacle(10.0)
    assert obstacle.status is Status.WAITING_FOR_STATE
    assert "/joint_states" in obstacle.reason
    latest.put_state(state(10.0))
    latest.put_frame("front", Frame(pixels=PIXELS, stamp_s=10.0))
    obstacle = latest.obstacle(10.0)
    assert obstacle.status is Status.WAITING_FOR_CAMERA
    assert "camera wrist" in obstacle.reason
    assert "/camera/wrist/image_raw" in obstacle.reason


def test_a_stale_camera_is_named_with_age_limit_and_where_to_change_it(latest):
    latest.put_state(state(10.62))
    latest.put_frame("wrist", Frame(pixels=PIXELS, stamp_s=10.62))
    obstacle = latest.obstacle(10.62)
    assert obstacle.status is Status.HOLD_STALE_CAMERA
    assert obstacle.reason == (
        "camera front: newest picture is 0.62 s old, limit 0.5 s "
        "(robot file panda.yaml, cameras.front.max_age_s)"
    )


def test_a_stale_state_is_named_within_its_limit(latest):
    assert latest.obstacle(10.2) is None
    obstacle = latest.obstacle(10.21)
    assert obstacle.status is Status.HOLD_STALE_STATE
    assert "0.21 s old, limit 0.2 s (robot file panda.yaml, state.max_age_s)" in obstacle.reason


def test_a_stamp_far_in_the_future_is_not_fresh(latest):
    latest.put_state(state(10.04))
    assert latest.obstacle(10.0) is None, "clocks may differ by milliseconds"
    latest.put_state(state(10.1))
    obstacle = latest.obstacle(10.0)
    assert obstacle.status is Status.HOLD_STALE_STATE
    assert obstacle.reason == (
        "joint states: newest sample is 0.10 s in the future, limit 0.05 s "
        "(the clock of its driver differs from this node's)"
    )


def test_a_sample_that_was_overtaken_is_ignored_and_counted(latest):
    assert latest.obstacle(10.0) is None
    latest.put_state(state(9.99))
    latest.put_frame("front", Frame(pixels=PIXELS, stamp_s=9.9))
    assert latest.fresh_state.stamp_s == 10.0
    assert latest.frames["front"].stamp_s == 10.0
    assert latest.ignored == 2


def test_one_sample_of_the_future_does_not_keep_those_of_now_out(latest):
    latest.put_state(state(99.0))
    assert latest.obstacle(10.0).status is Status.HOLD_STALE_STATE
    latest.put_state(state(10.01))
    assert latest.obstacle(10.01) is None


def test_after_a_jump_of_the_clock_older_samples_are_new(latest):
    assert latest.obstacle(10.0) is None
    latest.clear()
    latest.put_state(state(5.0))
    assert latest.fresh_state.stamp_s == 5.0


@pytest.mark.parametrize(
    "changes",
    [
        {"position_rad": np.array([0, 0, 0, np.nan, 0, 0, 0])},
        {"position_rad": np.zeros(6)},
        {"velocity_rad_s": np.zeros(8)},
        {"gripper_open": None},
        {"gripper_open": np.nan},
        {"stamp_s": np.nan},
    ],
)
def test_a_broken_joint_state_is_ignored_and_counted(latest, changes):
    latest.put_state(state(**{"stamp_s": 99.0, **changes}))
    assert latest.fresh_state.stamp_s == 10.0
    assert latest.ignored == 1


def test_velocities_that_are_not_finite_become_zero(latest):
    velocity = np.array([0.1, np.nan, np.inf, -np.inf, 0, 0, 0])
    latest.put_state(state(11.0, velocity_rad_s=velocity))
    assert latest.fresh_state.velocity_rad_s.tolist() == [0.1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3))]
)
def test_a_broken_picture_is_ignored_and_counted(latest, pixels):
    latest.put_frame("front", Frame(pixels=pixels, stamp_s=99.0))
    assert latest.frames["front"].stamp_s == 10.0
    assert latest.ignored == 1


def test_a_camera_nobody_looks_through_is_not_awaited(robot):
    latest = Latest(robot, ("front",))
    latest.put_state(state(10.0))
    latest.put_frame("front", Frame(pixels=PIXELS, stamp_s=10.0))
    latest.put_frame("wrist", Frame(pixels=PIXELS, stamp_s=1.0))
    assert latest.obstacle(10.0) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x" * 501, "501 characters; valid: at most 500"),
        ("pick\x00it", "control character '\\\\x00' at index 4"),
        ("pick\nit", "control character"),
        ("\u202epick", "control character"),
        (b"pick", "is a bytes; valid: text"),
    ],
)
def test_a_bad_instruction_is_refused_with_its_fault(text, words):
    with pytest.raises(InstructionError, match=words):
        check_instruction(text)


def test_a_good_instruction_comes_back_without_space_around_it():
    assert check_instruction("  hebe den blauen Würfel — jetzt \n") == (
        "hebe den blauen Würfel — jetzt"
    )
    assert check_instruction("x" * 500) == "x" * 500
    assert check_instruction(" \n") == ""
