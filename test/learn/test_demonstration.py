"""What topics say becomes rows at a fixed rate, with the action that came next."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.datatypes import Frame, RobotState
from vla_ros.errors import DatasetError
from vla_ros.learn.demonstration import Demonstration
from vla_ros.robot_config import load_robot
from vla_ros.share import share_path

ROBOT = load_robot(share_path("config/panda.yaml"))


@pytest.fixture
def demonstration() -> Demonstration:
    return Demonstration(ROBOT, fps=10, size_px=32)


def show(demonstration: Demonstration, now_s: float, shade: int = 0) -> None:
    pixels = np.full((24, 32, 3), shade, np.uint8)
    for name in ROBOT.cameras:
        demonstration.put_frame(name, Frame(pixels=pixels, stamp_s=now_s))


def move(demonstration: Demonstration, now_s: float) -> None:
    """The arm, at a place that tells the time."""
    state = RobotState(
        position_rad=np.full(7, now_s),
        velocity_rad_s=np.zeros(7),
        gripper_open=0.5,
        stamp_s=now_s,
    )
    demonstration.put_state(state)


def record(demonstration: Demonstration, rows: int, rate_hz: float = 100.0) -> None:
    demonstration.begin("open the drawer")
    for tick in range(int((rows - 1) * rate_hz / 10) + 1):
        now_s = 5.0 + tick / rate_hz
        show(demonstration, now_s, shade=min(255, 10 * len(demonstration)))
        move(demonstration, now_s)


@pytest.mark.parametrize("rate_hz", [10.0, 100.0, 500.0])
def test_rows_come_at_the_datasets_rate_whatever_the_drivers_is(demonstration, rate_hz):
    record(demonstration, 6, rate_hz)
    episode = demonstration.finish(3)
    assert len(episode) == 5
    np.testing.assert_allclose(np.diff(episode.state[:, 0]), 0.1, atol=1e-4)
    np.testing.assert_array_equal(episode.frames["front"][:, 16, 16, 0], [0, 10, 20, 30, 40])
    assert (episode.instruction, episode.seed) == ("open the drawer", 3)
    assert episode.frames["wrist"].shape == (5, 32, 32, 3)
    assert (episode.frames["wrist"][1, 0] == 0).all(), "letterboxed"


def test_a_row_in_a_gap_of_the_joint_states_is_where_the_arm_was_then(demonstration):
    demonstration.begin("open the drawer")
    for tick in (*range(31), *range(49, 61)):  # silent for 0.19 s
        show(demonstration, 5.0 + tick / 100)
        move(demonstration, 5.0 + tick / 100)
    episode = demonstration.finish(0)
    np.testing.assert_allclose(episode.state[:, 0], 5.0 + 0.1 * np.arange(6), atol=1e-5)
    np.testing.assert_allclose(episode.action[:, 0], 5.1 + 0.1 * np.arange(6), atol=1e-5)


def test_a_driver_slower_than_the_rows_is_told_its_rate(demonstration):
    record(demonstration, 30, rate_hz=8.0)
    told = "/joint_states comes about 8.0 times a second, fewer than the 10 rows"
    assert told in demonstration.trouble
    assert "--fps" in demonstration.trouble


def test_without_commands_the_action_is_where_the_arm_was_next(demonstration):
    record(demonstration, 6)
    episode = demonstration.finish(0)
    np.testing.assert_allclose(episode.action[:-1, :7], episode.state[1:, :7])
    assert (episode.action[:, 7] == 0.5).all()


def test_a_command_is_the_action_of_the_row_before_while_it_is_young(demonstration):
    demonstration.begin("close the gripper")
    for row in range(10):
        now_s = 5.0 + row / 10
        show(demonstration, now_s)
        if row == 2:
            demonstration.put_command(7, np.array([now_s - 0.1]), np.array([0.0]))
        move(demonstration, now_s)
    episode = demonstration.finish(0)
    # Told before row 2, forgotten half a second later; the arm itself was never told.
    np.testing.assert_allclose(episode.action[:, 7], [0.5, 0, 0, 0, 0, 0, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(episode.action[:-1, :7], episode.state[1:, :7])


def test_a_path_is_followed_by_the_times_at_which_it_is_due(demonstration):
    """As MoveIt sends one: from where the arm is, and all of it at once."""
    demonstration.begin("open the drawer")
    for row in range(16):
        now_s = 5.0 + row / 10
        show(demonstration, now_s)
        if row == 2:
            demonstration.put_command(0, np.array([5.2, 5.4, 5.8]), np.array([0.0, 1.0, 2.0]))
        move(demonstration, now_s)
    action = demonstration.finish(0).action[:, 0]
    np.testing.assert_allclose(action[1:7], [0.0, 0.5, 1.0, 1.25, 1.5, 1.75], atol=1e-6)
    np.testing.assert_allclose(action[7:12], 2.0)
    np.testing.assert_allclose(action[13:], [6.4, 6.5])


def test_a_goal_of_the_far_future_is_not_the_next_target(demonstration):
    """The arm is on its way for seconds: until it is nearly there, its way is the target."""
    demonstration.begin("open the drawer")
    for row in range(16):
        now_s = 5.0 + row / 10
        show(demonstration, now_s)
        if row == 0:
            demonstration.put_command(0, np.array([6.2]), np.array([9.0]))
        move(demonstration, now_s)
    episode = demonstration.finish(0)
    np.testing.assert_allclose(episode.action[:6, 0], episode.state[1:7, 0])
    np.testing.assert_allclose(episode.action[7:, 0], 9.0)


def test_a_silent_camera_or_arm_spoils_the_episode_and_is_named(demonstration):
    demonstration.begin("open the drawer")
    show(demonstration, 5.0)
    for tick in range(8):
        move(demonstration, 5.0 + tick / 10)
    assert "camera front: its picture was 0.60 s old in row 6, limit 0.5" in demonstration.trouble
    with pytest.raises(DatasetError, match="the episode is dropped: camera front"):
        demonstration.finish(0)
    record(demonstration, 3)
    show(demonstration, 6.0)
    move(demonstration, 6.0)
    with pytest.raises(DatasetError, match="/joint_states was silent for"):
        demonstration.finish(0)
    assert not demonstration.is_running


def test_an_arm_that_is_silent_at_the_end_spoils_the_episode(demonstration):
    record(demonstration, 6)
    show(demonstration, 5.49 + ROBOT.state.max_age_s)
    assert len(demonstration.finish(0)) == 5, "as late as it may be"
    record(demonstration, 6)
    show(demonstration, 6.5)
    with pytest.raises(DatasetError, match="at its end /joint_states was 1.00 s behind the pict"):
        demonstration.finish(0)


def test_time_that_goes_back_spoils_the_episode_and_nothing_of_the_future_is_used(demonstration):
    record(demonstration, 6)
    demonstration.put_command(0, np.array([5.5]), np.array([2.0]))
    move(demonstration, 1.0)
    assert "the stamps of /joint_states went back by 4.50 s" in demonstration.trouble
    with pytest.raises(DatasetError, match="went back by 4.50 s"):
        demonstration.finish(0)
    demonstration.begin("open the drawer")
    move(demonstration, 1.1)
    assert "camera front: nothing has come" in demonstration.trouble
    demonstration.begin("open the drawer")
    for tick in range(4):
        show(demonstration, 1.2 + tick / 10)
        move(demonstration, 1.2 + tick / 10)
    np.testing.assert_allclose(demonstration.finish(0).action[:, 0], [1.3, 1.4, 1.5])


def test_nothing_of_a_dropped_episode_is_in_the_next(demonstration):
    record(demonstration, 6)
    demonstration.discard()
    record(demonstration, 4)
    assert len(demonstration.finish(0)) == 3
    with pytest.raises(DatasetError, match="no episode is being recorded"):
        demonstration.finish(0)
    demonstration.begin("open the drawer")
    with pytest.raises(DatasetError, match="it has 0 row"):
        demonstration.finish(0)
