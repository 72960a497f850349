"""The control loop's reactions, played through with the shipped arm and policies of a few lines."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest

from vla_ros.datatypes import Frame, Status
from vla_ros.errors import CheckpointError, InstructionError, PolicyServerError
from vla_ros.runtime import ControlLoop, InlineWorker, ThreadWorker


def statuses(ticks):
    """The statuses in the order they came, without repetitions."""
    found = [tick.status for tick in ticks]
    return [s for i, s in enumerate(found) if i == 0 or s is not found[i - 1]]


def positions(commands):
    return np.array([command.position_rad for command in commands])


def since(rig, status):
    """Tick until `status`; the seconds that took."""
    begin_s = rig.now_s
    rig.until(status)
    return rig.now_s - begin_s


def after_answer(ticks, status, observation):
    """Seconds from the policy's answer to `observation`, 0.03 s after it, to `status`."""
    first = next(tick for tick in ticks if tick.status is status)
    return first.stamp_s - observation.stamp_s - 0.03


def assert_stops(rig, motion_within, status):
    """From motion: holds at once with `status`, decelerates inside the limits, keeps the pose."""
    ticks, after = assert_slows_down(rig, motion_within, status)
    assert len(after) == len(ticks)
    assert (after[-1] == after[-30]).all()
    return ticks


def assert_slows_down(rig, motion_within, status):
    """From motion: holds at once with `status`, decelerates inside the limits to a standstill."""
    assert np.abs(rig.velocity_rad_s).max() > 0.1, "the arm was not moving"
    before = positions(rig.commands)
    ticks = rig.run(1.0)
    assert statuses(ticks) == [status]
    assert all(tick.reason for tick in ticks)
    commands = [tick.command for tick in ticks if tick.command is not None]
    after = positions(commands)
    motion_within(rig.robot, np.vstack([before, after]))
    assert not commands[-1].velocity_rad_s.any()
    return ticks, after


# --- starting


def test_nothing_is_commanded_before_activation(robot, spec, policy):
    loop = ControlLoop(robot=robot, spec=spec, worker=InlineWorker(policy))
    tick = loop.step(1.0)
    assert tick.command is None
    assert tick.reason == "the loop is not active"
    assert not loop.wants_observation(1.0)
    assert loop.is_stopped


def test_it_waits_for_each_input_and_commands_nothing_until_the_first_chunk(make_rig, policy):
    rig = make_rig(policy, latency_s=0.1)
    rig.state_stops, rig.cameras = True, set()
    ticks = rig.run(0.1)
    rig.state_stops = False
    ticks += rig.run(0.1)
    rig.cameras = {"front", "wrist"}
    ticks += rig.run(0.1)
    rig.loop.set_instruction("pick")
    ticks += rig.run(0.2)
    assert statuses(ticks) == [
        Status.WAITING_FOR_STATE,
        Status.WAITING_FOR_CAMERA,
        Status.WAITING_FOR_INSTRUCTION,
        Status.WAITING_FOR_POLICY,
        Status.RUNNING,
    ]
    assert all((tick.command is None) == tick.status.is_waiting for tick in ticks)


@pytest.mark.fault(2)
def test_a_camera_that_never_comes_means_no_command_ever_and_is_named(rig):
    rig.cameras = {"front"}
    rig.loop.set_instruction("pick")
    for tick in rig.run(2.0):
        assert tick.command is None
        assert tick.status is Status.WAITING_FOR_CAMERA
        assert "camera wrist" in tick.reason


def test_the_first_command_starts_at_the_measured_state(rig):
    measured = rig.position_rad.copy()
    rig.start(seconds=0.1)
    assert np.abs(rig.commands[0].position_rad - measured).max() < 1e-3
    rig.loop.begin_deactivation()
    rig.run(1.0)
    moved = rig.position_rad = measured - 0.3
    rig.loop.activate(rig.now_s)
    rig.loop.set_instruction("pick")
    count = len(rig.commands)
    rig.run(0.1)
    assert np.abs(rig.commands[count].position_rad - moved).max() < 1e-3


@pytest.mark.parametrize("text", ["pick", "pick\x07"])
def test_an_instruction_of_before_the_activation_is_forgotten(rig, text):
    with contextlib.suppress(InstructionError):
        rig.start(text)
    rig.loop.activate(rig.now_s)
    assert statuses(rig.run(0.3)) == [Status.WAITING_FOR_INSTRUCTION]
    assert rig.start(text="pick").status is Status.RUNNING


def test_it_follows_the_policy_inside_the_limits(rig, policy, motion_within):
    start = rig.position_rad.copy()
    assert rig.start(seconds=2.0).status is Status.RUNNING
    motion_within(rig.robot, positions(rig.commands))
    assert (rig.position_rad - start).mean() == pytest.approx(0.4 * 2.0, rel=0.15)
    assert rig.commands[-1].gripper_open == 0.25
    # The first observation at once, each next one 30 ms before its plan is to be there.
    assert len(policy.seen) == pytest.approx(2.0 / (rig.robot.chunks.execute_s - 0.03), abs=1)


def test_a_policy_for_other_cameras_or_joints_is_refused(robot, spec, policy):
    lens = dataclasses.replace(spec.cameras[0], name="lens")
    with pytest.raises(CheckpointError, match="cameras lens, .* it has: front, wrist"):
        ControlLoop(
            robot=robot,
            spec=dataclasses.replace(spec, cameras=(lens,)),
            worker=InlineWorker(policy),
        )
    names = (spec.action_names[1], spec.action_names[0], *spec.action_names[2:])
    swapped = dataclasses.replace(spec, action_names=names)
    with pytest.raises(CheckpointError, match="actions are panda_joint2, panda_joint1"):
        ControlLoop(robot=robot, spec=swapped, worker=InlineWorker(policy))


def test_the_same_inputs_give_the_same_commands_to_the_bit(make_rig, policy):
    runs = []
    for _ in range(2):
        rig = make_rig(policy)
        rig.start(seconds=1.0)
        rig.loop.set_instruction("now the blue one")
        rig.run(1.0)
        runs.append(positions(rig.commands))
    assert (runs[0] == runs[1]).all()


def test_wants_observation_tells_when_the_policy_is_asked(rig, policy):
    rig.run(0.1)
    assert not rig.loop.wants_observation(rig.now_s), "there is no instruction yet"
    rig.loop.set_instruction("pick")
    for _ in range(150):
        asks, seen = rig.loop.wants_observation(round(rig.now_s + 0.01, 6)), len(policy.seen)
        rig.tick()
        assert asks == (len(policy.seen) > seen)
    assert len(policy.seen) > 3


# --- instructions


@pytest.mark.fault(13, bound_s=0.01)
def test_an_emptied_instruction_holds_on_the_very_next_tick(rig, reaction, motion_within):
    rig.start()
    rig.loop.set_instruction("")
    reaction(since(rig, Status.HOLD_NO_INSTRUCTION))
    assert_stops(rig, motion_within, Status.HOLD_NO_INSTRUCTION)
    assert rig.start("pick again").status is Status.RUNNING
    motion_within(rig.robot, positions(rig.commands))


@pytest.mark.parametrize("text", ["x" * 501, "pick\x07"])
@pytest.mark.fault(14, bound_s=0.01)
def test_a_refused_instruction_raises_and_holds_until_a_valid_one(
    rig, reaction, motion_within, text
):
    rig.start()
    with pytest.raises(InstructionError):
        rig.loop.set_instruction(text)
    reaction(since(rig, Status.HOLD_BAD_INSTRUCTION))
    ticks = assert_stops(rig, motion_within, Status.HOLD_BAD_INSTRUCTION)
    assert "valid:" in ticks[-1].reason
    assert rig.start().status is Status.RUNNING


def test_an_instruction_that_the_policy_refuses_holds_until_another_and_is_no_failure(
    rig, policy, motion_within
):
    rig.start()
    policy.actions = InstructionError("this policy knows no word of 'pcik'; it knows: pick")
    rig.loop.set_instruction("pcik")
    rig.until(Status.HOLD_BAD_INSTRUCTION)
    for _ in range(5):
        rig.loop.set_instruction("pcik")
        ticks = rig.run(1.0)
        assert statuses(ticks) == [Status.HOLD_FOR_POLICY, Status.HOLD_BAD_INSTRUCTION]
        assert "it knows: pick" in ticks[-1].reason
    motion_within(rig.robot, positions(rig.commands))
    policy.actions = None
    assert rig.start().status is Status.RUNNING


def test_the_same_instruction_again_changes_nothing(make_rig, policy):
    runs = []
    for repeats in (False, True):
        rig = make_rig(policy)
        rig.start("pick")
        for _ in range(100):
            if repeats:
                rig.loop.set_instruction(" pick\n")
            epoch = rig.tick().epoch
        runs.append((epoch, positions(rig.commands).tobytes()))
    assert runs[0] == runs[1]


@pytest.mark.fault(13)
def test_a_new_instruction_drops_the_running_chunk_and_the_one_under_way(
    make_rig, policy, motion_within
):
    rig = make_rig(policy, latency_s=0.2)
    rig.start(seconds=0.9)
    epoch = rig.tick().epoch
    rig.loop.set_instruction("another")
    ticks = rig.run(1.0)
    assert statuses(ticks) == [Status.HOLD_FOR_POLICY, Status.RUNNING]
    assert ticks[-1].epoch == epoch + 1
    assert len([tick for tick in ticks if tick.status is Status.HOLD_FOR_POLICY]) >= 20
    assert policy.seen[-1].instruction == "another"
    motion_within(rig.robot, positions(rig.commands))


# --- stale inputs and the clock


@pytest.mark.fault(1, bound_s=0.51)
def test_a_camera_that_stops_holds_within_its_age_and_resumes_by_itself(
    rig, reaction, motion_within
):
    rig.start()
    rig.cameras = {"front"}
    begin_s = rig.now_s
    ticks = rig.run(0.5)
    assert Status.HOLD_STALE_CAMERA not in statuses(ticks)
    assert rig.tick().status is Status.HOLD_STALE_CAMERA
    reaction(rig.now_s - begin_s)
    ticks = assert_stops(rig, motion_within, Status.HOLD_STALE_CAMERA)
    assert "camera wrist: newest picture is" in ticks[-1].reason
    rig.cameras = {"front", "wrist"}
    ticks = rig.run(0.5)
    assert statuses(ticks) == [Status.HOLD_FOR_POLICY, Status.RUNNING]
    assert ticks[-1].chunk_start_s > ticks[0].stamp_s - 0.01
    motion_within(rig.robot, positions(rig.commands))


@pytest.mark.fault(4, bound_s=0.21)
def test_stale_joint_states_hold(rig, reaction, motion_within):
    rig.start()
    rig.state_stops = True
    reaction(since(rig, Status.HOLD_STALE_STATE))
    assert_stops(rig, motion_within, Status.HOLD_STALE_STATE)


@pytest.mark.fault(12)
def test_a_chunk_planned_before_a_hold_is_not_played_after_it(make_rig, policy):
    rig = make_rig(policy, latency_s=0.25)
    rig.start(seconds=0.6)
    asked = len(policy.seen)
    while len(policy.seen) == asked:
        rig.tick()
    rig.state_stops = True
    assert Status.HOLD_STALE_STATE in statuses(rig.run(0.22))
    rig.state_stops = False
    ended_s = rig.now_s
    tick = rig.until(Status.RUNNING)
    assert tick.chunk_start_s > ended_s
    assert tick.counters.dropped_chunks == 1


@pytest.mark.parametrize("back_s", [0.1, 50.0])
@pytest.mark.fault(15, bound_s=0.01)
def test_a_clock_that_jumps_back_holds_until_fresh_data(
    rig, policy, reaction, motion_within, back_s
):
    rig.start()
    epoch, seen = rig.tick().epoch, len(policy.seen)
    before = positions(rig.commands)
    rig.now_s -= back_s
    rig.state_stops, rig.cameras = True, set()
    ticks = rig.run(0.5)
    assert statuses(ticks) == [Status.HOLD_CLOCK_JUMP]
    reaction(ticks[0].stamp_s - rig.now_s + 0.5)
    assert ticks[0].epoch == epoch + 1
    assert "jumped back" in ticks[0].reason
    assert len(policy.seen) == seen
    motion_within(rig.robot, np.vstack([before, positions([t.command for t in ticks])]))
    rig.state_stops, rig.cameras = False, {"front", "wrist"}
    assert statuses(rig.run(0.5)) == [Status.HOLD_FOR_POLICY, Status.RUNNING]


@pytest.mark.fault(16)
def test_a_stopped_clock_holds_however_long_data_may_be_used(
    robot, make_rig, policy, motion_within
):
    patient = dataclasses.replace(
        robot,
        state=dataclasses.replace(robot.state, max_age_s=60.0),
        cameras={
            name: dataclasses.replace(camera, max_age_s=60.0)
            for name, camera in robot.cameras.items()
        },
        chunks=dataclasses.replace(robot.chunks, expire_after_s=60.0),
    )
    rig = make_rig(policy, robot=patient)
    rig.start()
    rig.state_stops, rig.cameras, rig.standstill_s = True, set(), 0.5
    ticks = assert_stops(rig, motion_within, Status.HOLD_CLOCK_STOPPED)
    assert ticks[-1].reason == "the clock has stood still for 0.5 s"
    rig.state_stops, rig.cameras, rig.standstill_s = False, {"front", "wrist"}, 0.0
    assert statuses(rig.run(0.5)) == [Status.HOLD_FOR_POLICY, Status.RUNNING]


def test_a_small_step_back_is_no_jump(rig):
    rig.start()
    epoch = rig.tick().epoch
    rig.now_s -= 0.015
    assert rig.tick().epoch == epoch


# --- the policy's faults


@pytest.mark.parametrize(
    "bad", [np.full((16, 8), np.nan), np.full((16, 8), np.inf), np.zeros((16, 7)), np.zeros(0)]
)
@pytest.mark.fault(7, bound_s=0.01)
@pytest.mark.fault(8, bound_s=0.01)
def test_bad_actions_hold_and_become_a_fault_after_three_in_a_row(
    rig, policy, reaction, motion_within, bad
):
    rig.start()
    policy.actions, seen = bad, len(policy.seen)
    ticks = rig.run(1.0)
    for row in (7, 8):
        reaction(after_answer(ticks, Status.HOLD_BAD_ACTION, policy.seen[seen]), row)
    assert statuses(ticks) == [Status.RUNNING, Status.HOLD_BAD_ACTION, Status.FAULT_BAD_ACTION]
    assert "bad action 3 of 3 in a row" in ticks[-1].reason
    policy.actions, seen = None, len(policy.seen)
    assert statuses(rig.run(0.5)) == [Status.FAULT_BAD_ACTION], "a fault is latched"
    assert len(policy.seen) == seen
    motion_within(rig.robot, positions(rig.commands))
    rig.loop.reset(rig.now_s)
    assert rig.run(0.3)[-1].status is Status.RUNNING


def test_one_bad_action_is_a_hold_that_ends_with_the_next_good_chunk(rig, policy):
    rig.start()
    for _ in range(5):
        policy.actions = np.full((16, 8), np.nan)
        rig.until(Status.HOLD_BAD_ACTION)
        policy.actions = None
        assert statuses(rig.run(0.3))[-1] is Status.RUNNING


@pytest.mark.fault(9, bound_s=0.01)
def test_a_raising_policy_is_asked_again_with_back_off_then_a_fault(
    rig, policy, reaction, motion_within
):
    rig.start()
    policy.actions, seen = MemoryError("no room"), len(policy.seen)
    ticks = rig.run(1.5)
    reaction(after_answer(ticks, Status.HOLD_POLICY_ERROR, policy.seen[seen]))
    assert statuses(ticks) == [
        Status.RUNNING,
        Status.HOLD_POLICY_ERROR,
        Status.FAULT_POLICY_ERROR,
    ]
    assert "MemoryError: no room" in ticks[-1].reason
    asked_s = [observation.stamp_s for observation in policy.seen[seen:]]
    assert np.diff(asked_s) == pytest.approx([0.2 + 0.03, 0.4 + 0.03], abs=0.021)
    motion_within(rig.robot, positions(rig.commands))


@pytest.mark.fault(12)
def test_a_policy_that_is_gone_is_waited_for_and_never_a_fault(rig, policy, motion_within):
    rig.start()
    policy.actions, seen = PolicyServerError("killed by SIGKILL"), len(policy.seen)
    ticks = rig.run(20.0)
    assert statuses(ticks) == [Status.RUNNING, Status.HOLD_POLICY_LOST]
    assert ticks[-1].reason == "killed by SIGKILL"
    asked_s = np.diff([observation.stamp_s for observation in policy.seen[seen:]])
    assert asked_s[:3] == pytest.approx([0.23, 0.43, 0.83], abs=0.021)
    assert asked_s[4:] == pytest.approx(2.03, abs=0.021), "a longest pause"
    assert np.abs(rig.commands[-1].velocity_rad_s).max() == 0.0
    policy.actions = None
    assert statuses(rig.run(2.5))[-1] is Status.RUNNING
    assert policy.seen[-1].stamp_s > asked_s.sum(), "with a fresh observation"
    motion_within(rig.robot, positions(rig.commands))


def test_a_back_off_ends_when_the_clock_jumps_back(rig, policy):
    rig.start()
    policy.actions = MemoryError("no room")
    rig.until(Status.HOLD_POLICY_ERROR)
    policy.actions = None
    rig.now_s -= 50.0
    assert rig.run(0.2)[-1].status is Status.RUNNING


@pytest.mark.fault(10)
def test_a_slow_policy_plays_its_chunk_out_then_holds_and_goes_on(make_rig, policy, motion_within):
    rig = make_rig(policy, latency_s=0.6)
    ticks = [rig.start(seconds=0.3), *rig.run(4.0)]
    assert statuses(ticks)[1:5] == [
        Status.RUNNING,
        Status.HOLD_CHUNK_EXPIRED,
        Status.RUNNING,
        Status.HOLD_CHUNK_EXPIRED,
    ]
    reason = next(t.reason for t in ticks if t.status is Status.HOLD_CHUNK_EXPIRED)
    limit_s = rig.robot.chunks.expire_after_s
    assert f"limit {limit_s:g} s (robot file panda.yaml, chunks.expire_after_s)" in reason
    assert ticks[-1].counters.overruns > 3
    motion_within(rig.robot, positions(rig.commands))


def test_a_hanging_policy_is_a_fault_after_five_seconds_and_never_blocks(make_rig, hanging_policy):
    rig = make_rig(hanging_policy, worker=ThreadWorker(hanging_policy))
    rig.loop.set_instruction("pick")
    ticks = rig.run(5.0)
    assert statuses(ticks)[-1] is Status.WAITING_FOR_POLICY
    assert rig.run(0.1)[-1].status is Status.FAULT_POLICY_HANGS
    assert all(tick.command is None for tick in ticks)
    rig.loop.reset(rig.now_s)
    assert rig.tick().status is Status.WAITING_FOR_POLICY
    assert rig.run(5.1)[-1].status is Status.FAULT_POLICY_HANGS, "the thread is still busy"
    rig.worker.close()


@pytest.mark.fault(17)
def test_a_clock_that_is_set_forward_does_not_make_a_policy_hang(make_rig, hanging_policy):
    rig = make_rig(hanging_policy, worker=ThreadWorker(hanging_policy))
    rig.loop.set_instruction("pick")
    rig.run(1.0)
    rig.now_s += 6.0
    assert statuses(rig.run(4.9))[-1] is Status.WAITING_FOR_POLICY
    assert rig.run(0.2)[-1].status is Status.FAULT_POLICY_HANGS
    rig.worker.close()


@pytest.mark.fault(11, bound_s=5.31)
def test_a_policy_that_begins_to_hang_holds_when_the_chunk_expires(
    make_rig, hanging_policy, reaction, motion_within
):
    hanging_policy.let_go.set()
    rig = make_rig(hanging_policy, worker=ThreadWorker(hanging_policy))
    rig.loop.set_instruction("pick")
    rig.tick()
    assert hanging_policy.left.wait(10)
    rig.until(Status.RUNNING, pause_s=0.005)
    hanging_policy.let_go.clear()
    ticks = rig.run(7.0)
    assert statuses(ticks)[-2:] == [Status.HOLD_CHUNK_EXPIRED, Status.FAULT_POLICY_HANGS]
    fault = next(tick for tick in ticks if tick.status is Status.FAULT_POLICY_HANGS)
    # Asked anew after `execute_s` of the chunk that was played.
    reaction(fault.stamp_s - ticks[0].stamp_s)
    motion_within(rig.robot, positions(rig.commands))
    rig.worker.close()


@pytest.mark.fault(7)
def test_nothing_that_is_not_finite_is_ever_commanded(rig, policy, motion_within):
    rng = np.random.default_rng(4)
    bad_values = [np.nan, np.inf, -np.inf, 1e308, -1e308]
    rig.loop.set_instruction("pick")
    for _ in range(3000):
        actions = rng.normal(0, 3, (rng.integers(1, 17), 8))
        if rng.random() < 0.3:
            actions[rng.integers(len(actions)), rng.integers(8)] = rng.choice(bad_values)
        policy.actions = actions if rng.random() < 0.9 else ValueError("thrown")
        tick = rig.tick()
        if tick.status.is_fault:
            rig.loop.reset(rig.now_s)
    motion_within(rig.robot, positions(rig.commands))
    for command in rig.commands:
        assert np.isfinite([*command.velocity_rad_s, command.gripper_open]).all()
    assert np.ptp(positions(rig.commands), axis=0).min() > 0.3, "the arm hardly moved"


@pytest.mark.fault(6)
def test_broken_inputs_never_raise(rig):
    rig.start()
    nan_state = dataclasses.replace(rig.loop._latest.fresh_state, position_rad=np.full(7, np.nan))
    rig.loop.put_state(nan_state)
    rig.loop.put_frame("front", Frame(pixels=np.zeros((0, 0, 3), np.uint8), stamp_s=1.0))
    rig.loop.put_frame("nobody", Frame(pixels=np.zeros((2, 2, 3), np.uint8), stamp_s=1.0))
    tick = rig.tick()
    assert tick.status is Status.RUNNING
    assert tick.counters.ignored_inputs == 2


def test_a_failure_of_our_own_brings_the_arm_to_rest_and_is_latched(rig, policy, motion_within):
    rig.start()
    rig.feed()
    rig.worker.poll = lambda now_s: 1 / 0
    rig.commands.append(rig.loop.fail("a mistake", rig.now_s).command)
    ticks, _ = assert_slows_down(rig, motion_within, Status.FAULT_INTERNAL)
    assert ticks[-1].command is None, "whatever it was, nothing follows after the standstill"
    assert ticks[-1].reason == "a mistake; latched until reset or activation"
    assert not rig.loop.wants_observation(rig.now_s)
    del rig.worker.poll
    assert statuses(rig.run(0.3)) == [Status.FAULT_INTERNAL]
    rig.loop.reset(rig.now_s)
    assert rig.run(0.3)[-1].status is Status.RUNNING
    motion_within(rig.robot, positions(rig.commands))


# --- stopping


def test_stop_holds_until_reset(rig, motion_within):
    rig.start()
    rig.loop.stop()
    assert not rig.loop.wants_observation(rig.now_s)
    assert_stops(rig, motion_within, Status.HOLD_STOPPED)
    rig.loop.set_instruction("another")
    assert rig.run(0.3)[-1].status is Status.HOLD_STOPPED
    rig.loop.reset(rig.now_s)
    assert rig.run(0.3)[-1].status is Status.RUNNING


@pytest.mark.fault(19)
def test_deactivation_decelerates_inside_the_limits_and_drops_late_chunks(
    make_rig, policy, motion_within
):
    rig = make_rig(policy, latency_s=0.2)
    rig.start(seconds=0.9)
    assert not rig.loop.is_stopped
    rig.loop.begin_deactivation()
    rig.run(0.5)
    assert rig.loop.is_stopped
    pose = rig.position_rad
    rig.run(0.5)
    assert (rig.position_rad == pose).all()
    motion_within(rig.robot, positions(rig.commands))


def test_a_reset_in_motion_does_not_jerk_the_arm(rig, motion_within):
    rig.start()
    rig.loop.reset(rig.now_s)
    assert rig.run(0.5)[-1].status is Status.RUNNING
    motion_within(rig.robot, positions(rig.commands))


def test_a_reset_after_the_arm_was_put_elsewhere_starts_from_there(rig):
    rig.start()
    elsewhere = rig.position_rad = rig.position_rad - 0.4
    rig.velocity_rad_s = np.zeros(7)
    rig.feed()
    rig.loop.reset(rig.now_s)
    count = len(rig.commands)
    rig.run(0.2)
    assert np.abs(rig.commands[count].position_rad - elsewhere).max() < 1e-3


def test_a_reset_at_rest_starts_from_where_the_arm_was_pushed_to(rig):
    rig.start()
    rig.loop.stop()
    rig.run(1.0)
    pushed = rig.position_rad = rig.position_rad - 0.05
    rig.loop.reset(rig.now_s)
    count = len(rig.commands)
    rig.run(0.2)
    assert np.abs(rig.commands[count].position_rad - pushed).max() < 1e-3
