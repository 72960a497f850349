"""Emergency stop, deadman, other commanders and missing drivers, with an exact clock."""

from __future__ import annotations

import pytest

from vla_ros.datatypes import Status
from vla_ros.robot_safety import DeadmanConfig, SafetyConfig
from vla_ros.runtime.interlocks import DRIVER_GONE_AFTER_S, Interlocks


@pytest.fixture
def interlocks():
    return Interlocks(SafetyConfig(emergency_stop_topic="/stop"))


@pytest.fixture
def guarded():
    return Interlocks(SafetyConfig(deadman=DeadmanConfig(topic="/deadman")))


def status(interlocks, now_s=1.0, has_commanded=True):
    obstacle = interlocks.obstacle(now_s, has_commanded=has_commanded)
    return None if obstacle is None else obstacle.status


def test_nothing_forbids_when_nothing_is_configured_or_heard():
    assert status(Interlocks(SafetyConfig())) is None


def test_a_press_between_two_ticks_is_not_lost(interlocks):
    interlocks.put_emergency_stop(True)
    interlocks.put_emergency_stop(False)
    obstacle = interlocks.obstacle(1.0, has_commanded=True)
    assert obstacle.status is Status.FAULT_EMERGENCY_STOP
    assert "/stop was pressed" in obstacle.reason
    interlocks.forgive()
    assert status(interlocks) is None


def test_a_button_that_is_still_pressed_cannot_be_forgiven(interlocks):
    interlocks.put_emergency_stop(True)
    interlocks.forgive()
    assert status(interlocks) is Status.FAULT_EMERGENCY_STOP
    assert "is pressed" in interlocks.obstacle(1.0, has_commanded=True).reason


def test_a_deadman_counts_from_when_it_was_heard_and_only_while_it_says_held(guarded):
    assert "nothing was heard" in guarded.obstacle(1.0, has_commanded=True).reason
    guarded.put_deadman(True)
    assert status(guarded, 1.0) is None
    assert status(guarded, 1.29) is None
    obstacle = guarded.obstacle(1.31, has_commanded=True)
    assert obstacle.status is Status.HOLD_DEADMAN
    assert "last heard 0.31 s ago, limit 0.3 s" in obstacle.reason
    guarded.put_deadman(True)
    assert status(guarded, 1.4) is None
    guarded.put_deadman(False)
    assert "it says so" in guarded.obstacle(1.41, has_commanded=True).reason


def test_a_deadman_of_before_a_jump_back_of_the_clock_is_released(guarded):
    guarded.put_deadman(True)
    assert status(guarded, 100.0) is None
    assert status(guarded, 50.0) is Status.HOLD_DEADMAN


def test_a_driver_is_waited_for_at_first_and_missed_later(interlocks):
    interlocks.unheard = "nobody listens to our commands on /arm"
    assert status(interlocks, 100.0, has_commanded=False) is Status.WAITING_FOR_DRIVER
    assert status(interlocks, 200.0) is Status.HOLD_NO_DRIVER
    assert status(interlocks, 200.0 + DRIVER_GONE_AFTER_S) is Status.HOLD_NO_DRIVER
    assert status(interlocks, 200.1 + DRIVER_GONE_AFTER_S) is Status.FAULT_NO_DRIVER
    interlocks.unheard = ""
    assert status(interlocks, 210.0) is None
    interlocks.unheard = "nobody listens to our commands on /arm"
    assert status(interlocks, 220.0) is Status.HOLD_NO_DRIVER, "the time counts anew"


def test_others_are_told_in_their_own_words(interlocks):
    interlocks.rivals = "/teleop commands on /arm too"
    assert interlocks.obstacle(1.0, has_commanded=False).status is Status.HOLD_OTHER_COMMANDER
    assert interlocks.obstacle(1.0, has_commanded=False).reason == interlocks.rivals
    interlocks.rivals, interlocks.no_button = "", "nobody publishes the emergency stop on /stop"
    assert status(interlocks) is Status.HOLD_NO_EMERGENCY_STOP


@pytest.mark.parametrize("is_heard", [True, False])
def test_a_deadman_of_before_the_activation_counts_no_more(guarded, is_heard):
    guarded.put_deadman(True)
    if is_heard:
        assert status(guarded, 1.0) is None
    guarded.begin()
    assert status(guarded, 1.01) is Status.HOLD_DEADMAN
    guarded.put_deadman(True)
    assert status(guarded, 1.02) is None


def test_a_clock_that_is_set_forward_takes_no_driver_for_gone(interlocks):
    interlocks.unheard = "nobody listens"
    assert status(interlocks, 1.0) is Status.HOLD_NO_DRIVER
    interlocks.wait_anew(100.0)
    assert status(interlocks, 100.0 + DRIVER_GONE_AFTER_S) is Status.HOLD_NO_DRIVER
    assert status(interlocks, 100.01 + DRIVER_GONE_AFTER_S) is Status.FAULT_NO_DRIVER
