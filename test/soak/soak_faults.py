"""The faults of a soak: how each begins and ends from outside, and what the node must then say."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from rclpy.node import Node
from soak_stage import SoakStage
from trajectory_msgs.msg import JointTrajectory

_TICK_S = 0.01
_LOST = ("hold_policy_lost", "hold_chunk_expired", "hold_for_policy")
_STATE, _CAMERA = ("hold_stale_state",), ("hold_stale_camera",)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One kind of fault.

    Attributes:
        row: Of docs/faults.md.
        begin: Makes it happen.
        end: Takes it back.
        statuses: One of them must be told.
        bound_s: Within this time, by the robot file.
        may_lock: Whether it stops a process that takes messages out of shared memory. When that
            holds the lock of its queue just then, Fast DDS 2 lets the node wait for 1 s at each
            message that it sends there, and rclpy keeps Python's lock meanwhile: no tick is made.
    """

    row: int
    begin: Callable[[SoakStage], None]
    end: Callable[[SoakStage], None]
    statuses: tuple[str, ...]
    bound_s: float
    may_lock: bool = False


def _signal_server(number: signal.Signals) -> Callable[[SoakStage], None]:
    def send(stage: SoakStage) -> None:
        pid = stage.server_pid()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    return send


def _signal_robot(number: signal.Signals) -> Callable[[SoakStage], None]:
    return lambda stage: os.kill(stage.sim.pid, number)


def _silence(stage: SoakStage) -> None:
    stage.relay.silent.add(stage.relay.cameras[0])


def _freeze(stage: SoakStage) -> None:
    stage.relay.frozen.add(stage.relay.cameras[-1])


def _silence_joints(stage: SoakStage) -> None:
    stage.relay.silent.add(stage.relay.robot.state.topic)


def _break_joints(stage: SoakStage) -> None:
    stage.relay.is_nan = True


def _heal_inputs(stage: SoakStage) -> None:
    stage.relay.silent.clear()
    stage.relay.frozen.clear()
    stage.relay.is_nan = False


def _press(stage: SoakStage) -> None:
    stage.relay.is_pressed = True
    stage.relay.tell_button()


def _release(stage: SoakStage) -> None:
    stage.relay.is_pressed = False
    stage.relay.tell_button()


def _begin_rival(stage: SoakStage) -> None:
    rival = Node("rival", context=stage.context)
    rival.create_publisher(JointTrajectory, stage.relay.robot.arm_sink.topic, 1)
    stage.rivals["rival"] = rival


def _end_rival(stage: SoakStage) -> None:
    stage.rivals.pop("rival").destroy_node()


def _say(text: str) -> Callable[[SoakStage], None]:
    return lambda stage: stage.relay.say(text)


def _nothing(stage: SoakStage) -> None:
    """The node heals by itself, or by the next instruction."""


FAULTS = {
    "policy server killed": Fault(
        row=12,
        begin=_signal_server(signal.SIGKILL),
        end=_nothing,
        statuses=_LOST,
        bound_s=1.0 + _TICK_S,
    ),
    # The node ends it itself when it answers no pings.
    "policy server frozen": Fault(
        row=12,
        begin=_signal_server(signal.SIGSTOP),
        end=_nothing,
        statuses=_LOST,
        bound_s=1.0 + _TICK_S,
    ),
    "camera silent": Fault(
        row=1, begin=_silence, end=_heal_inputs, statuses=_CAMERA, bound_s=0.5 + _TICK_S
    ),
    "camera frozen": Fault(
        row=3, begin=_freeze, end=_heal_inputs, statuses=_CAMERA, bound_s=0.5 + _TICK_S
    ),
    "joint states silent": Fault(
        row=4, begin=_silence_joints, end=_heal_inputs, statuses=_STATE, bound_s=0.2 + _TICK_S
    ),
    "joint states not a number": Fault(
        row=6, begin=_break_joints, end=_heal_inputs, statuses=_STATE, bound_s=0.2 + _TICK_S
    ),
    "robot frozen": Fault(
        row=4,
        begin=_signal_robot(signal.SIGSTOP),
        end=_signal_robot(signal.SIGCONT),
        statuses=_STATE,
        bound_s=0.2 + _TICK_S,
        may_lock=True,
    ),
    "second commander": Fault(
        row=22,
        begin=_begin_rival,
        end=_end_rival,
        statuses=("hold_other_commander",),
        bound_s=0.2 + _TICK_S,
    ),
    "emergency stop": Fault(
        row=26,
        begin=_press,
        end=_release,
        statuses=("fault_emergency_stop",),
        bound_s=_TICK_S,
    ),
    "instruction refused": Fault(
        row=14,
        begin=_say("open\x07the drawer"),
        end=_nothing,
        statuses=("hold_bad_instruction",),
        bound_s=_TICK_S,
    ),
    "instruction emptied": Fault(
        row=13,
        begin=_say(""),
        end=_nothing,
        statuses=("hold_no_instruction",),
        bound_s=_TICK_S,
    ),
}
