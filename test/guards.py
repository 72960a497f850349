"""The main guards, how each is taken out, and the tests that turn red then.

`take_out_guards.py` tries it; docs/faults.md names them. `test_faults.py` sees to it that the lines
are still there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Guard:
    """One guard.

    Attributes:
        name: What it guards, and where.
        file: Below `vla_ros`.
        line: Text of the guard, once in the file.
        without: What stands there instead when it is taken out.
        tests: Each of them turns red, below `test`.
    """

    name: str
    file: str
    line: str
    without: str
    tests: tuple[str, ...]


GUARDS = (
    Guard(
        name="finite actions: `SafetyFilter._actions`",
        file="runtime/safety.py",
        line="if not np.isfinite(actions).all():",
        without="if False:",
        tests=(
            "runtime/test_safety.py::test_a_value_that_is_not_finite_is_named_by_joint_and_step",
        ),
    ),
    Guard(
        name="finite setpoints: `SafetyFilter.apply`",
        file="runtime/safety.py",
        line="if not (np.isfinite(position_rad).all() and np.isfinite(velocity_rad_s).all()):",
        without="if False:",
        tests=("runtime/test_safety.py::test_a_setpoint_that_is_not_finite_holds_the_pose",),
    ),
    Guard(
        name="finite bounds: `SafetyFilter.apply`",
        file="runtime/safety.py",
        line="if not (np.isfinite(position).all() and np.isfinite(velocity).all()):",
        without="if False:",
        tests=("runtime/test_safety.py::test_a_bound_that_is_no_number_holds_the_pose",),
    ),
    Guard(
        name="position limits and step: `SafetyFilter._inside`",
        file="runtime/safety.py",
        line="position = _clip(position_rad, lower, upper)",
        without="position = np.asarray(position_rad, np.float64)",
        tests=(
            "runtime/test_safety.py::"
            "test_every_command_is_finite_inside_the_limits_and_near_the_last",
            "runtime/test_attack.py::test_no_attack_passes_a_limit",
        ),
    ),
    Guard(
        name="targets inside the limits: `SafetyFilter.checked`",
        file="runtime/safety.py",
        line="inside = self._clip_actions(actions)",
        without="inside = actions",
        tests=(
            "runtime/test_safety.py::test_targets_outside_the_limits_are_moved_inside_and_counted",
        ),
    ),
    Guard(
        name="shape of actions: `SafetyFilter._actions`",
        file="runtime/safety.py",
        line="if actions.ndim != 2 or actions.shape[0] < 1 or actions.shape[1] != len(names):",
        without="if False:",
        tests=("runtime/test_safety.py::test_a_bad_chunk_is_refused_with_its_fault",),
    ),
    Guard(
        name="epoch of a chunk: `SafetyFilter.checked`",
        file="runtime/safety.py",
        line=" or chunk.epoch != observation.epoch:",
        without=":",
        tests=("runtime/test_safety.py::test_a_bad_chunk_is_refused_with_its_fault",),
    ),
    Guard(
        name="epoch of a plan: `ChunkScheduler.merge`",
        file="runtime/scheduler.py",
        line="if chunk.epoch != self.epoch or first",
        without="if first",
        tests=("runtime/test_scheduler.py::test_a_chunk_of_another_epoch_is_dropped",),
    ),
    Guard(
        name="freshness: `Latest._stale`",
        file="runtime/latest.py",
        line="if age_s <= limit.max_age_s:",
        without="if True:",
        tests=(
            "runtime/test_loop.py::test_stale_joint_states_hold",
            "runtime/test_loop.py::"
            "test_a_camera_that_stops_holds_within_its_age_and_resumes_by_itself",
        ),
    ),
    Guard(
        name="stamps of the future: `Latest._stale`",
        file="runtime/latest.py",
        line="if age_s < -MAX_AHEAD_S:",
        without="if False:",
        tests=("runtime/test_latest.py::test_a_stamp_far_in_the_future_is_not_fresh",),
    ),
    Guard(
        name="instructions: `check_instruction`",
        file="runtime/latest.py",
        line="if len(text) > MAX_INSTRUCTION_LENGTH:",
        without="if False:",
        tests=("runtime/test_latest.py::test_a_bad_instruction_is_refused_with_its_fault",),
    ),
    Guard(
        name="expiry of a chunk: `ChunkScheduler.sample`",
        file="runtime/scheduler.py",
        line=" or now_s > self.chunk.start_s + self._chunks.expire_after_s:",
        without=":",
        tests=("runtime/test_scheduler.py::test_the_last_action_is_held_until_the_chunk_expires",),
    ),
    Guard(
        name="plans of before a hold: `Inference.void`",
        file="runtime/inference.py",
        line="        self._is_void = True\n",
        without="",
        tests=("runtime/test_loop.py::test_a_chunk_planned_before_a_hold_is_not_played_after_it",),
    ),
    Guard(
        name="a hanging policy: `Inference._notice_hang`",
        file="runtime/inference.py",
        line="if waiting_s > HANGS_AFTER_S and self.fault is None:",
        without="if False:",
        tests=(
            "runtime/test_loop.py::"
            "test_a_hanging_policy_is_a_fault_after_five_seconds_and_never_blocks",
        ),
    ),
    Guard(
        name="room to stop: `Shaper._overruns`",
        file="runtime/shaper.py",
        line="overruns.append(position + low < lower or position + high > upper)",
        without="overruns.append(False)",
        tests=(
            "runtime/test_shaper.py::test_no_limit_is_passed_under_thousands_of_hostile_targets",
            "runtime/test_attack.py::test_no_attack_passes_a_limit",
        ),
    ),
    Guard(
        name="finite targets: `Shaper.step`",
        file="runtime/shaper.py",
        line="if not all(map(math.isfinite, (*target, *drift))):",
        without="if False:",
        tests=(
            "runtime/test_shaper.py::test_a_target_that_is_not_finite_makes_the_arm_decelerate",
        ),
    ),
    Guard(
        name="the tip's box: `Shaper._leaves_workspace`",
        file="runtime/shaper.py",
        line="        if self._leaves_workspace(wanted, self.state.position):\n",
        without="        if False:\n",
        tests=(
            "runtime/test_workspace.py::"
            "test_the_tip_stays_in_its_box_under_thousands_of_hostile_targets",
        ),
    ),
    Guard(
        name="an arm far outside its limits: `Motion.obstacle`",
        file="runtime/motion.py",
        line="if beyond[joint] <= _FAR_OUTSIDE_RAD:",
        without="if True:",
        tests=(
            "runtime/test_loop_safety.py::"
            "test_an_arm_outside_its_limits_is_brought_back_or_not_commanded",
        ),
    ),
    Guard(
        name="an arm that does not follow: `Following._astray`",
        file="runtime/following.py",
        line="if away[worst] <= (self._limit if self._since_s is None else _BACK * self._limit):",
        without="if True:",
        tests=("runtime/test_loop_safety.py::test_an_arm_that_stands_still_holds_then_faults",),
    ),
    Guard(
        name="an arm that does not move at all: `Standstill.look`",
        file="runtime/standstill.py",
        line="elif self.told.max() > self._answered:",
        without="elif False:",
        tests=(
            "runtime/test_loop_safety.py::"
            "test_an_arm_that_does_not_move_at_all_is_found_out_however_slow_the_policy_is",
        ),
    ),
    Guard(
        name="silence where a pose must not be kept: `ControlLoop._hold`",
        file="runtime/loop.py",
        line="if is_lost or self.interlocks.rivals or self.interlocks.unheard:",
        without="if False:",
        tests=(
            "runtime/test_loop_safety.py::"
            "test_an_arm_that_does_not_follow_is_not_told_to_jump_when_it_can_move_again",
            "runtime/test_loop_safety.py::"
            "test_another_commander_is_not_fought_in_a_stop_or_fault_either",
            "runtime/test_loop_safety.py::"
            "test_a_driver_that_comes_back_finds_the_arm_where_it_was_moved_to",
        ),
    ),
    Guard(
        name="wild plans: `WildActions.look`",
        file="runtime/wild.py",
        line="if now_s - self._since_s >= FAULT_AFTER_S:",
        without="if False:",
        tests=(
            "runtime/test_loop_safety.py::"
            "test_wild_actions_are_clamped_and_counted_and_a_fault_when_they_persist",
        ),
    ),
    Guard(
        name="frozen pictures: `PictureWatch.admit`",
        file="runtime/pictures.py",
        line="return self._first if self._is_frozen else frame",
        without="return frame",
        tests=(
            "runtime/test_loop_safety.py::test_a_frozen_camera_holds_and_resumes_when_it_lives",
        ),
    ),
    Guard(
        name="the gripper's velocity: `SafetyFilter.apply`",
        file="runtime/safety.py",
        line="self._gripper_open = self._next_opening(min(1.0, max(0.0, gripper_open)))",
        without="self._gripper_open = min(1.0, max(0.0, gripper_open))",
        tests=("runtime/test_safety.py::test_the_gripper_never_moves_faster_than_its_velocity",),
    ),
    Guard(
        name="the emergency stop's latch: `Interlocks.put_emergency_stop`",
        file="runtime/interlocks.py",
        line="self._was_pressed = self._was_pressed or pressed",
        without="self._was_pressed = pressed",
        tests=("runtime/test_interlocks.py::test_a_press_between_two_ticks_is_not_lost",),
    ),
    Guard(
        name="the deadman's age: `Interlocks._released`",
        file="runtime/interlocks.py",
        line="if self._is_held and 0 <= age_s <= deadman.max_age_s:",
        without="if self._is_held:",
        tests=("runtime/test_loop_safety.py::test_a_deadman_that_falls_silent_holds_and_resumes",),
    ),
    Guard(
        name="a press while the policy loads: `Session._advance`",
        file="ros/session.py",
        line="if tick.status.is_fault:",
        without="if False:",
        tests=(
            "ros/test_vla_node_safety.py::"
            "test_a_press_while_the_policy_loads_is_latched_until_a_reset",
        ),
    ),
    Guard(
        name="a deadman of before the activation: `ControlLoop.activate`",
        file="runtime/loop.py",
        line="self.interlocks.begin()",
        without="pass",
        tests=(
            "runtime/test_loop_safety.py::"
            "test_a_deadman_that_was_held_before_the_activation_counts_no_more",
        ),
    ),
    Guard(
        name="a second commander: `Interlocks.obstacle`",
        file="runtime/interlocks.py",
        line="if self.rivals:",
        without="if False:",
        tests=(
            "runtime/test_loop_safety.py::"
            "test_another_commander_holds_and_afterwards_the_arm_goes_on_from_where_it_is",
        ),
    ),
    Guard(
        name="a clock that jumps back: `Readiness.note_time`",
        file="runtime/readiness.py",
        line="if last_s is None or now_s >= last_s - self._robot.tick_s:",
        without="if True:",
        tests=("runtime/test_loop.py::test_a_clock_that_jumps_back_holds_until_fresh_data",),
    ),
    Guard(
        name="a clock that stands still: `Gate.hold`",
        file="runtime/gate.py",
        line="if standstill_s > 0:",
        without="if False:",
        tests=("runtime/test_loop.py::test_a_stopped_clock_holds_however_long_data_may_be_used",),
    ),
    Guard(
        name="joint positions of a message: `convert._position`",
        file="ros/convert.py",
        line="if not np.isfinite(position):",
        without="if False:",
        tests=("ros/test_convert.py::test_a_state_without_every_joint_is_refused",),
    ),
    Guard(
        name="digest of the weights: `read_weights`",
        file="policy/checkpoint.py",
        line="if found != wanted:",
        without="if False:",
        tests=("policy/test_checkpoint.py::test_a_flipped_bit_in_the_weights_is_found",),
    ),
)
