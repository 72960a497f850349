"""The loop's reactions to broken cameras, people, neighbours, the arm itself and wild policies."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from vla_ros.datatypes import Frame, Status
from vla_ros.robot_safety import DeadmanConfig, SafetyConfig
from vla_ros.runtime.interlocks import DRIVER_GONE_AFTER_S

STILL = np.full((8, 8, 3), 200, np.uint8)
BLACK = np.zeros((8, 8, 3), np.uint8)


ELSEWHERE_RAD = 0.5


def positions(ticks):
    return np.array([tick.command.position_rad for tick in ticks])


def until(rig, status):
    """Tick until `status`; how long it took."""
    begin_s = rig.now_s
    rig.until(status, seconds=8.0)
    return rig.now_s - begin_s


def assert_rests(rig, status, motion_within):
    """The arm comes to rest inside its limits, and stays."""
    ticks = rig.run(1.0)
    assert {tick.status for tick in ticks} == {status}
    after = positions(ticks)
    assert (after[-1] == after[-30]).all()
    motion_within(rig.robot, [command.position_rad for command in rig.commands])


def assert_falls_silent(rig, status, motion_within):
    """The arm comes to rest inside its limits, and is commanded no more."""
    ticks = rig.run(1.0)
    assert {tick.status for tick in ticks} == {status}
    assert all(tick.command is None for tick in ticks[-30:])
    assert not rig.commands[-1].velocity_rad_s.any()
    motion_within(rig.robot, [command.position_rad for command in rig.commands])


def held_at(rig, position_rad, seconds):
    """Tick while the arm is kept at a pose, whatever it is told."""
    ticks = []
    for _ in range(round(seconds / rig.robot.tick_s)):
        rig.position_rad = position_rad
        rig.velocity_rad_s = np.zeros_like(position_rad)
        ticks.append(rig.tick())
    rig.position_rad = position_rad
    rig.velocity_rad_s = np.zeros_like(position_rad)
    return ticks


def assert_goes_on_from(rig, position_rad, motion_within):
    """The next command is where the arm is."""
    count = len(rig.commands)
    assert rig.run(0.5)[-1].status is Status.RUNNING
    assert np.abs(rig.commands[count].position_rad - position_rad).max() < 1e-3
    motion_within(rig.robot, [command.position_rad for command in rig.commands[count:]])


# --- cameras


@pytest.mark.fault(3, bound_s=0.51)
def test_black_pictures_hold_when_the_last_good_one_is_stale(rig, reaction, motion_within):
    rig.start()
    rig.cameras = {"front"}
    begin_s = last_s = rig.now_s
    while rig.tick().status is Status.RUNNING:
        rig.loop.put_frame("wrist", Frame(pixels=BLACK, stamp_s=rig.now_s))
    tick = rig.tick()
    assert tick.status is Status.HOLD_STALE_CAMERA
    assert "camera wrist" in tick.reason
    assert "its newest pictures are black" in tick.reason
    reaction(tick.stamp_s - 0.01 - begin_s)
    assert last_s < tick.stamp_s
    assert_rests(rig, Status.HOLD_STALE_CAMERA, motion_within)
    rig.cameras = {"front", "wrist"}
    assert rig.run(0.5)[-1].status is Status.RUNNING


@pytest.mark.fault(3, bound_s=0.6)
def test_a_frozen_camera_holds_and_resumes_when_it_lives(
    make_rig, policy, robot, reaction, motion_within
):
    cameras = {
        name: dataclasses.replace(camera, frozen_after_rad=0.2)
        for name, camera in robot.cameras.items()
    }
    rig = make_rig(policy, robot=dataclasses.replace(robot, cameras=cameras))
    rig.start()
    frozen_s, rig.picture = rig.now_s, lambda: STILL
    reaction(until(rig, Status.HOLD_STALE_CAMERA))
    tick = rig.tick()
    assert "the same picture to the bit while a joint moved by 0.2" in tick.reason
    assert tick.ages_s["front"] == pytest.approx(tick.stamp_s - frozen_s, abs=0.02)
    assert_rests(rig, Status.HOLD_STALE_CAMERA, motion_within)
    del rig.picture
    assert rig.run(0.5)[-1].status is Status.RUNNING


@pytest.mark.fault(3, bound_s=0.51)
def test_a_camera_that_repeats_its_stamp_holds(rig, reaction, motion_within):
    rig.start()
    rig.cameras = {"front"}
    last = Frame(pixels=rig.picture(), stamp_s=rig.now_s)
    begin_s = rig.now_s
    while rig.tick().status is Status.RUNNING:
        rig.loop.put_frame("wrist", last)
    reaction(rig.now_s - begin_s)
    assert_rests(rig, Status.HOLD_STALE_CAMERA, motion_within)


def test_a_still_simulation_is_not_frozen(rig, policy):
    policy.speed_rad_s = 0.0
    rig.picture = lambda: STILL
    rig.start()
    assert {tick.status for tick in rig.run(3.0)} == {Status.RUNNING}


# --- people


@pytest.fixture
def make_guarded(make_rig, policy, robot):
    def make(**safety):
        guarded = dataclasses.replace(robot, safety=SafetyConfig(**safety))
        return make_rig(policy, robot=guarded)

    return make


@pytest.mark.fault(26, bound_s=0.01)
def test_a_pressed_emergency_stop_is_a_fault_at_once_and_latched(
    make_guarded, reaction, motion_within
):
    rig = make_guarded(emergency_stop_topic="/stop")
    assert rig.start().status is Status.RUNNING
    rig.loop.interlocks.put_emergency_stop(True)
    reaction(until(rig, Status.FAULT_EMERGENCY_STOP))
    assert "/stop" in rig.tick().reason
    assert_rests(rig, Status.FAULT_EMERGENCY_STOP, motion_within)
    rig.loop.interlocks.put_emergency_stop(False)
    assert rig.run(0.3)[-1].status is Status.FAULT_EMERGENCY_STOP, "a fault is latched"
    rig.loop.reset(rig.now_s)
    assert rig.run(0.3)[-1].status is Status.RUNNING


@pytest.mark.fault(26, bound_s=0.31)
def test_a_deadman_that_falls_silent_holds_and_resumes(make_guarded, reaction, motion_within):
    rig = make_guarded(deadman=DeadmanConfig(topic="/deadman"))
    rig.loop.set_instruction("pick")
    ticks = rig.run(0.5)
    assert {tick.status for tick in ticks} == {Status.HOLD_DEADMAN}
    assert all(tick.command is None for tick in ticks)

    def held(seconds):
        for _ in range(round(seconds / 0.1)):
            rig.loop.interlocks.put_deadman(True)
            ticks = rig.run(0.1)
        return ticks[-1].status

    assert held(0.5) is Status.RUNNING
    rig.loop.interlocks.put_deadman(True)
    rig.tick()
    reaction(until(rig, Status.HOLD_DEADMAN))
    assert_rests(rig, Status.HOLD_DEADMAN, motion_within)
    assert held(0.5) is Status.RUNNING


@pytest.mark.fault(26)
def test_a_deadman_that_was_held_before_the_activation_counts_no_more(make_guarded):
    rig = make_guarded(deadman=DeadmanConfig(topic="/deadman"))
    rig.loop.interlocks.put_deadman(True)
    rig.loop.activate(rig.now_s)
    rig.loop.set_instruction("pick")
    assert {tick.status for tick in rig.run(0.5)} == {Status.HOLD_DEADMAN}
    assert not rig.commands


# --- neighbours


@pytest.mark.fault(22, bound_s=0.01)
def test_another_commander_holds_and_afterwards_the_arm_goes_on_from_where_it_is(
    rig, reaction, motion_within
):
    rig.start()
    rig.loop.interlocks.rivals = "/teleop commands on /arm too"
    reaction(until(rig, Status.HOLD_OTHER_COMMANDER))
    assert_falls_silent(rig, Status.HOLD_OTHER_COMMANDER, motion_within)
    moved_rad = rig.position_rad - ELSEWHERE_RAD  # by the other one
    held_at(rig, moved_rad, 0.2)
    rig.loop.interlocks.rivals = ""
    rig.feed()
    rig.loop.reseed()
    assert_goes_on_from(rig, moved_rad, motion_within)


@pytest.mark.fault(22)
@pytest.mark.parametrize("status", [Status.HOLD_STOPPED, Status.FAULT_EMERGENCY_STOP])
def test_another_commander_is_not_fought_in_a_stop_or_fault_either(
    rig, policy, status, motion_within
):
    rig.start()
    if status is Status.HOLD_STOPPED:
        rig.loop.stop()
    else:
        rig.loop.interlocks.put_emergency_stop(True)
        rig.loop.interlocks.put_emergency_stop(False)
    assert_rests(rig, status, motion_within)
    rig.loop.interlocks.rivals = "/teleop commands on /arm too"
    assert_falls_silent(rig, status, motion_within)
    moved_rad = rig.position_rad - ELSEWHERE_RAD
    held_at(rig, moved_rad, 0.2)
    rig.loop.interlocks.rivals = ""
    rig.loop.reseed()
    assert all(tick.command is None for tick in held_at(rig, moved_rad, 0.2))
    rig.loop.reset(rig.now_s)
    assert_goes_on_from(rig, moved_rad, motion_within)


@pytest.mark.fault(23, bound_s=0.01)
def test_without_a_driver_nothing_begins_and_one_that_goes_is_a_fault_in_the_end(
    make_rig, policy, reaction, motion_within
):
    rig = make_rig(policy)
    rig.loop.interlocks.unheard = "nobody listens to our commands on /arm"
    rig.loop.set_instruction("pick")
    ticks = rig.run(DRIVER_GONE_AFTER_S + 1.0)
    assert {tick.status for tick in ticks} == {Status.WAITING_FOR_DRIVER}
    assert all(tick.command is None for tick in ticks)
    rig.loop.interlocks.unheard = ""
    assert rig.run(0.5)[-1].status is Status.RUNNING
    rig.loop.interlocks.unheard = "nobody listens to our commands on /arm"
    reaction(until(rig, Status.HOLD_NO_DRIVER))
    assert_falls_silent(rig, Status.HOLD_NO_DRIVER, motion_within)
    assert until(rig, Status.FAULT_NO_DRIVER) < DRIVER_GONE_AFTER_S
    rig.loop.interlocks.unheard = ""
    assert rig.run(0.3)[-1].status is Status.FAULT_NO_DRIVER, "a fault is latched"
    rig.loop.reset(rig.now_s)
    assert rig.run(0.3)[-1].status is Status.RUNNING


@pytest.mark.fault(23)
def test_a_driver_that_comes_back_finds_the_arm_where_it_was_moved_to(rig, motion_within):
    rig.start()
    rig.loop.interlocks.unheard = "nobody listens to our commands on /arm"
    assert_falls_silent(rig, Status.HOLD_NO_DRIVER, motion_within)
    moved_rad = rig.position_rad - ELSEWHERE_RAD
    held_at(rig, moved_rad, 2.0)
    rig.loop.interlocks.unheard = ""
    rig.loop.reseed()
    assert_goes_on_from(rig, moved_rad, motion_within)


# --- the arm


@pytest.mark.fault(23)
def test_an_arm_that_does_not_follow_is_not_told_to_jump_when_it_can_move_again(
    make_rig, policy, middle_rad, motion_within
):
    rig = make_rig(policy)
    policy.actions = np.hstack([np.tile(middle_rad + 0.5, (16, 1)), np.ones((16, 1))])
    rig.loop.set_instruction("pick")
    ticks = held_at(rig, middle_rad, 6.0)
    motion_within(rig.robot, [command.position_rad for command in rig.commands])
    assert np.abs(rig.commands[-1].position_rad - middle_rad).max() > 0.4
    assert ticks[-1].status is Status.FAULT_NOT_FOLLOWING
    statuses = [tick.status for tick in ticks]
    held = statuses.index(Status.HOLD_NOT_FOLLOWING)
    assert Status.RUNNING not in statuses[held:], "it waits for the arm"
    silent = [tick.command is None for tick in ticks]
    assert all(silent[silent.index(True, held) :])
    assert silent.index(True, held) < held + 50, "at rest within half a second"
    assert all(tick.command is None for tick in held_at(rig, middle_rad, 0.5))
    policy.actions = None
    rig.loop.reset(rig.now_s)
    assert_goes_on_from(rig, middle_rad, motion_within)


@pytest.mark.fault(23)
def test_an_arm_that_comes_back_to_where_it_was_told_to_be_goes_on_from_there(
    make_rig, policy, middle_rad, motion_within
):
    rig = make_rig(policy)
    policy.actions = np.hstack([np.tile(middle_rad + 0.5, (16, 1)), np.ones((16, 1))])
    rig.loop.set_instruction("pick")
    for _ in range(300):
        rig.position_rad = middle_rad
        if rig.tick().status is Status.HOLD_NOT_FOLLOWING:
            break
    held_at(rig, middle_rad, 1.0)
    told_rad = rig.commands[-1].position_rad
    near_rad = told_rad - 0.15
    assert held_at(rig, near_rad, 0.1)[-1].status is Status.HOLD_NOT_FOLLOWING, "not near enough"
    policy.actions = None
    back_rad = told_rad - 0.02
    held_at(rig, back_rad, 0.01)
    assert_goes_on_from(rig, back_rad, motion_within)


@pytest.mark.parametrize("status", [Status.HOLD_STOPPED, Status.FAULT_EMERGENCY_STOP])
def test_an_arm_moved_by_hand_in_a_stop_is_not_told_to_go_back(rig, status, motion_within):
    rig.start()
    if status is Status.HOLD_STOPPED:
        rig.loop.stop()
    else:
        rig.loop.interlocks.put_emergency_stop(True)
        rig.loop.interlocks.put_emergency_stop(False)
    assert_rests(rig, status, motion_within)
    moved_rad = rig.position_rad - ELSEWHERE_RAD
    ticks = held_at(rig, moved_rad, 0.5)
    assert {tick.status for tick in ticks} == {status}
    assert all(tick.command is None for tick in ticks)
    rig.loop.reset(rig.now_s)
    assert_goes_on_from(rig, moved_rad, motion_within)


def test_stale_joint_states_do_not_make_an_arm_seem_elsewhere(rig, policy, motion_within):
    policy.speed_rad_s = 1.2
    rig.start(seconds=1.0)
    rig.state_stops = True
    rig.until(Status.HOLD_STALE_STATE)
    assert_rests(rig, Status.HOLD_STALE_STATE, motion_within)
    assert all(tick.command is not None for tick in rig.run(1.0))


@pytest.mark.fault(23, bound_s=1.2)
def test_an_arm_that_stands_still_holds_then_faults(make_rig, policy, reaction, middle_rad):
    rig = make_rig(policy)
    policy.actions = np.hstack([np.tile(middle_rad + 0.5, (16, 1)), np.ones((16, 1))])
    rig.loop.set_instruction("pick")
    begin_s, statuses = rig.now_s, []
    for _ in range(600):
        rig.position_rad = middle_rad
        statuses.append(rig.tick().status)
    hold = statuses.index(Status.HOLD_NOT_FOLLOWING)
    fault = statuses.index(Status.FAULT_NOT_FOLLOWING)
    reaction(0.01 * hold)
    assert 0.01 * (fault - hold) == pytest.approx(3.0, abs=0.1)
    tick = rig.tick()
    assert re.search(r"panda_joint\d is 0\.\d+ rad from all that was commanded", tick.reason)
    assert "limit 0.2 rad (robot file panda.yaml, safety.following)" in tick.reason
    assert begin_s < tick.stamp_s
    rig.run(1.0)
    assert rig.tick().status is Status.FAULT_NOT_FOLLOWING, "latched, though the arm is back"
    rig.loop.reset(rig.now_s)
    assert rig.run(0.2)[-1].status is Status.RUNNING


def test_an_arm_that_lags_by_a_third_of_a_second_follows(make_rig, policy, middle_rad):
    rig = make_rig(policy)
    policy.plan = lambda observation: np.hstack(
        [
            middle_rad
            + 0.8 * np.sin(observation.stamp_s + 0.05 * np.arange(1, 17))[:, None]
            + np.zeros((16, 7)),
            np.ones((16, 1)),
        ]
    )
    rig.loop.set_instruction("sway")
    seen = set()
    for index in range(800):
        lagging = rig.commands[max(0, index - 34)].position_rad if rig.commands else middle_rad
        rig.position_rad = lagging
        seen.add(rig.tick().status)
    assert Status.HOLD_NOT_FOLLOWING not in seen
    lag = np.abs(rig.commands[-1].position_rad - lagging)
    assert np.ptp([c.position_rad for c in rig.commands], axis=0).min() > 1.0
    assert lag.max() < 0.4


@pytest.mark.fault(23, bound_s=0.51)
@pytest.mark.parametrize(
    ("amplitude_rad", "period_s"), [(0.09, 1.0), (0.06, 1.5), (0.03, 5.0), (0.15, 60.0), (0, 0)]
)
def test_an_arm_that_does_not_move_at_all_is_found_out_however_slow_the_policy_is(
    make_rig, policy, sway, middle_rad, reaction, motion_within, amplitude_rad, period_s
):
    rig, noise = make_rig(policy), np.random.default_rng(0)
    if amplitude_rad:
        policy.plan = sway(amplitude_rad, period_s)
    else:
        policy.speed_rad_s = 0.25  # from where it finds the arm
    rig.loop.set_instruction("sway")
    told_s, ticks = None, []
    for _ in range(2000):
        rig.position_rad = middle_rad + noise.normal(0.0, 3e-4, 7)
        was_told = bool(rig.commands) and rig.span_rad > 0.05
        ticks.append(rig.tick())
        told_s = rig.now_s if told_s is None and was_told else told_s
        if ticks[-1].status is Status.FAULT_NOT_FOLLOWING:
            break
    statuses = [tick.status for tick in ticks]
    held = statuses.index(Status.HOLD_NOT_FOLLOWING)
    reaction(ticks[held].stamp_s - told_s)
    assert set(statuses[held:-1]) == {Status.HOLD_NOT_FOLLOWING}
    assert 0.01 * (len(ticks) - 1 - held) == pytest.approx(3.0, abs=0.02)
    assert re.search(r"panda_joint\d was told to move by 0\.\d+ rad and nothing", ticks[-1].reason)
    assert "(robot file panda.yaml, safety.following)" in ticks[-1].reason
    assert np.abs(rig.commands[-1].position_rad - middle_rad).max() < 0.2, "near all the time"
    assert all(tick.command is None for tick in ticks[held + 50 :]), "silent once at rest"
    motion_within(rig.robot, [command.position_rad for command in rig.commands])
    rig.loop.reset(rig.now_s)
    assert_goes_on_from(rig, rig.position_rad, motion_within)


def test_a_hold_for_an_arm_that_stands_still_ends_when_it_moves_to_where_it_was_told(
    make_rig, policy, sway, middle_rad, motion_within
):
    rig = make_rig(policy)
    policy.plan = sway(0.09, 4.0)
    rig.loop.set_instruction("sway")
    held_at(rig, middle_rad, 1.5)
    ticks = held_at(rig, middle_rad, 1.0)
    assert {tick.status for tick in ticks} == {Status.HOLD_NOT_FOLLOWING}
    told_rad = rig.commands[-1].position_rad
    assert 0.01 < np.abs(told_rad - middle_rad).max() < 0.1
    held_at(rig, told_rad, 0.01)
    policy.plan = type(policy).plan.__get__(policy)
    assert_goes_on_from(rig, told_rad, motion_within)


@pytest.mark.fault(29, bound_s=0.01)
@pytest.mark.parametrize("toward", [-1, 1])
def test_an_arm_outside_its_limits_is_brought_back_or_not_commanded(
    make_rig, policy, robot, reaction, toward
):
    limit = robot.limits.upper_rad if toward > 0 else robot.limits.lower_rad
    policy.speed_rad_s = 0.5 * toward
    rig = make_rig(policy, position_rad=limit + toward * 0.15)
    assert rig.start(seconds=1.5).status is Status.RUNNING
    path = [limit + toward * 0.15, *[command.position_rad for command in rig.commands]]
    moves = toward * np.diff(path, axis=0)
    assert moves.max() <= 1e-9, "outward"
    assert moves.sum(axis=0).max() < -0.1, "not brought back"
    far = make_rig(policy, position_rad=limit + toward * 0.25)
    far.loop.set_instruction("pick")
    reaction(until(far, Status.WAITING_OUTSIDE_LIMITS))
    ticks = far.run(1.0)
    assert all(tick.command is None for tick in ticks)
    assert "panda_joint1 is measured 0.25 rad outside its limits" in ticks[-1].reason


@pytest.mark.fault(29)
def test_an_arm_in_motion_is_taken_over_at_its_speed(make_rig, policy, motion_within, middle_rad):
    rig = make_rig(policy)
    speed = 0.3
    rig.loop.set_instruction("pick")
    while not rig.commands:
        rig.position_rad = rig.position_rad + speed * 0.01
        rig.velocity_rad_s = np.full(7, speed)
        seeded_from = rig.position_rad
        rig.tick()
    rig.run(1.0)
    path = [seeded_from - 0.01 * speed, seeded_from, *[c.position_rad for c in rig.commands]]
    motion_within(rig.robot, path)


# --- the policy


@pytest.mark.fault(27, bound_s=3.35)
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda plan, limits: plan.__setitem__(3, 50.0), "beyond its limit"),
        (
            lambda plan, limits: plan.__setitem__((slice(8, None), 2), limits.upper_rad[2]),
            "panda_joint3 is to jump at",
        ),
    ],
)
def test_wild_actions_are_clamped_and_counted_and_a_fault_when_they_persist(
    rig, policy, robot, reaction, motion_within, spoil, words
):
    policy.speed_rad_s = 0.05
    rig.start()
    sane = policy.plan

    def plan(observation):
        actions = sane(observation)
        spoil(actions, robot.limits)
        return actions

    policy.plan = plan
    begun = rig.tick().counters.wild_chunks
    reaction(until(rig, Status.FAULT_WILD_ACTIONS))
    tick = rig.tick()
    assert words in tick.reason
    assert tick.counters.wild_chunks > begun + 5
    assert_rests(rig, Status.FAULT_WILD_ACTIONS, motion_within)
    policy.plan = sane
    rig.loop.reset(rig.now_s)
    assert rig.run(0.5)[-1].status is Status.RUNNING


def test_a_wild_action_now_and_then_is_no_fault(rig, policy):
    sane, policy.speed_rad_s = policy.plan, 0.05

    def plan(observation):
        actions = sane(observation)
        if len(policy.seen) % 3:
            actions[3] = 50.0
        return actions

    policy.plan = plan
    rig.start()
    ticks = rig.run(6.0)
    assert not any(tick.status.is_fault for tick in ticks)
    assert ticks[-1].counters.wild_chunks > 5


# --- limits


@pytest.mark.fault(24)
def test_slowing_down_keeps_acceleration_and_jerk_and_then_the_lower_speed(
    rig, policy, motion_within
):
    policy.speed_rad_s = 1.0
    rig.start(seconds=1.0)
    assert np.abs(rig.velocity_rad_s).max() > 0.8
    rig.loop.slow_down(0.2)
    rig.run(0.5)
    count = len(rig.commands)
    rig.run(1.0)
    motion_within(rig.robot, [command.position_rad for command in rig.commands])
    slow = np.diff([c.position_rad for c in rig.commands[count:]], axis=0) / rig.robot.tick_s
    assert (np.abs(slow) <= 0.2 * rig.robot.limits.velocity_rad_s * 1.001).all()
    assert np.abs(slow).max() > 0.1


def gripping(make_rig, robot, policy):
    """An arm whose fingers are kept at 0.6 by an object; they are told to close to 0.25."""
    slow = dataclasses.replace(robot.gripper, velocity_m_s=0.1)
    rig = make_rig(policy, robot=dataclasses.replace(robot, gripper=slow))
    rig.start(seconds=1.5)
    feed = rig.feed

    def feed_held():
        rig.gripper_open = max(rig.gripper_open, 0.6)
        feed()

    rig.feed = feed_held
    assert rig.run(0.5)[-1].command.gripper_open == 0.25
    return rig


def test_a_reset_does_not_loosen_a_grip(make_rig, robot, policy):
    rig = gripping(make_rig, robot, policy)
    rig.loop.stop()
    rig.run(1.0)
    rig.loop.reset(rig.now_s)
    rig.commands.clear()
    rig.until(Status.RUNNING)
    assert all(command.gripper_open == 0.25 for command in rig.commands)


def test_fingers_that_somebody_else_moves_are_not_where_they_would_be_told(make_rig, robot, policy):
    rig = gripping(make_rig, robot, policy)
    rig.loop.let_go()
    rig.commands.clear()
    rig.tick()
    assert rig.commands[0].gripper_open > 0.55


@pytest.mark.parametrize("is_new", [True, False])
def test_fingers_that_were_opened_or_a_new_activation_begin_where_they_are(
    make_rig, robot, policy, is_new
):
    rig = gripping(make_rig, robot, policy)
    rig.loop.stop()
    rig.run(1.0)
    feed = rig.feed
    if is_new:
        rig.loop.activate(rig.now_s)
        rig.loop.set_instruction("pick")
    else:
        rig.feed = lambda: (setattr(rig, "gripper_open", 1.0), feed())
        rig.loop.reset(rig.now_s)
    rig.commands.clear()
    rig.until(Status.RUNNING)
    assert rig.commands[0].gripper_open > (0.55 if is_new else 0.95)
