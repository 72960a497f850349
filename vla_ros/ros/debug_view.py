"""Publishes `~/debug/image`: twice a second, only when somebody listens, beside the tick.

The tick hands over the newest values. A thread of its own resizes, asks the policy where its words
look, draws and publishes. Drawings that cannot keep up are left out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rclpy.node import Node
from sensor_msgs.msg import Image

from vla_ros.datatypes import FloatArray, Frame, Observation, RobotState
from vla_ros.errors import VlaError
from vla_ros.policy_protocol import AttentivePolicy, CameraSpec, Policy
from vla_ros.ros.debug_picture import debug_picture
from vla_ros.ros.edge import guarded
from vla_ros.ros.image_messages import image_from_frame
from vla_ros.runtime import ControlLoop, Tick

_PERIOD_S = 0.5
_CLOSE_WITHIN_S = 0.5
_ELSEWHERE = "attention: this policy does not tell; one in the node does (policy: in_process)"


@dataclass(frozen=True, kw_only=True)
class _Moment:
    """What the tick hands over."""

    frames: Mapping[str, Frame]
    state: RobotState | None
    instruction: str
    epoch: int
    status: str
    stamp_s: float


class DebugView:
    """Made with the session and closed with it.

    Attributes:
        policy: The loaded policy, as soon as it is; asked for its attention when it can tell.
    """

    def __init__(self, node: Node, cameras: Sequence[CameraSpec]) -> None:
        self.policy: Policy | None = None
        self._cameras = cameras
        self._node = node
        self._publisher = node.create_publisher(Image, "~/debug/image", 1)
        self._next_s = 0.0
        self._wake = threading.Condition()
        self._moment: _Moment | None = None
        self._is_closed = False
        self._draw = guarded(node.get_logger(), self._publish)
        self._thread = threading.Thread(target=self._run, name="vla-debug", daemon=True)
        self._thread.start()

    def show(self, tick: Tick, loop: ControlLoop) -> None:
        """Hand over what there is, at most twice a second; takes microseconds."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + _PERIOD_S
        if not self._publisher.get_subscription_count():
            return
        reason = f": {tick.reason}" if tick.reason else ""
        with self._wake:
            self._moment = _Moment(
                frames=dict(loop.frames),
                state=loop.measured,
                instruction=loop.instruction or "",
                epoch=tick.epoch,
                status=f"{tick.status.value}{reason}",
                stamp_s=tick.stamp_s,
            )
            self._wake.notify()

    def close(self) -> None:
        """End the thread and remove the publisher."""
        with self._wake:
            self._is_closed = True
            self._wake.notify()
        self._thread.join(_CLOSE_WITHIN_S)
        self._node.destroy_publisher(self._publisher)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._is_closed or self._moment is not None)
                moment, self._moment = self._moment, None
                if self._is_closed:
                    return
            self._draw(moment)

    def _publish(self, moment: _Moment) -> None:
        attention, told = self._attention(moment)
        lines = [f"instruction: {moment.instruction or '-'}", moment.status, told]
        picture = debug_picture(self._cameras, moment.frames, attention, lines)
        msg = image_from_frame(Frame(pixels=picture, stamp_s=moment.stamp_s), "")
        if not self._is_closed:
            self._publisher.publish(msg)

    def _attention(self, moment: _Moment) -> tuple[Mapping[str, FloatArray], str]:
        """Where the words look, and a line that says what is drawn or why nothing is."""
        if not isinstance(self.policy, AttentivePolicy):
            return {}, _ELSEWHERE if self.policy else "attention: the policy is not loaded yet"
        if moment.state is None or not moment.instruction:
            return {}, "attention: not shown without an instruction and a joint state"
        observation = Observation(
            frames=moment.frames,
            state=moment.state,
            instruction=moment.instruction,
            epoch=moment.epoch,
            stamp_s=moment.stamp_s,
        )
        try:
            return self.policy.attention(observation), "red: where the words look"
        except VlaError as error:
            return {}, f"attention: {error}"
