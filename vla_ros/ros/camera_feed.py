"""Decodes a camera's messages: at once where that is quick, else in a thread of its own.

A tick must not wait for a JPEG. In the thread the newest message wins: each is decoded at most
once, and those that came meanwhile are not decoded at all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from vla_ros.datatypes import Frame
from vla_ros.errors import ImageError
from vla_ros.robot_config import CameraConfig
from vla_ros.ros.camera_decoder import CameraDecoder
from vla_ros.ros.edge import guarded

_CLOSE_WITHIN_S = 0.5


class CameraFeed:
    """One camera; everything but the decoding happens in the executor."""

    def __init__(
        self,
        node: Node,
        camera: CameraConfig,
        put: Callable[[Frame], None],
        refuse: Callable[[ImageError], None],
    ) -> None:
        """Start.

        Args:
            node: In whose executor `put` and `refuse` are called.
            camera: Of the robot file.
            put: Takes each picture.
            refuse: Told why a picture could not be decoded in the thread.
        """
        self.decoder = CameraDecoder(camera)
        self._put, self._refuse = put, refuse
        self._node = node
        self._ready = node.create_guard_condition(guarded(node.get_logger(), self._hand_over))
        self._wake = threading.Condition()
        self._waiting: Any = None
        self._decoded: Frame | ImageError | None = None
        self._is_decoding = False
        self._is_closed = False
        self._thread: threading.Thread | None = None
        if self.decoder.is_slow:
            self._thread = threading.Thread(target=self._run, name="vla-decode", daemon=True)
            self._thread.start()

    @property
    def is_settled(self) -> bool:
        """Whether every message that was taken has been handed over, or overtaken."""
        with self._wake:
            pending = self._waiting is not None or self._decoded is not None
            return not pending and not self._is_decoding

    def take(self, msg: Any) -> None:
        """Take a message.

        Raises:
            ImageError: It cannot be decoded, as far as can be told at once.
        """
        if self._thread is None:
            self._put(self.decoder.frame(msg))
            return
        self.decoder.check(msg)
        with self._wake:
            self._waiting = msg
            self._wake.notify()

    def close(self) -> None:
        """End the thread."""
        with self._wake:
            self._is_closed = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(_CLOSE_WITHIN_S)
        self._node.destroy_guard_condition(self._ready)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._is_closed or self._waiting is not None)
                msg, self._waiting = self._waiting, None
                self._is_decoding = True
                if self._is_closed:
                    return
            result = self._decode(msg)
            with self._wake:
                self._decoded, self._is_decoding = result, False
                if not self._is_closed:
                    self._ready.trigger()

    def _decode(self, msg: Any) -> Frame | ImageError:
        try:
            return self.decoder.frame(msg)
        except ImageError as error:
            return error
        except Exception as error:  # the edge of a thread: OpenCV's errors on hostile data
            return ImageError(f"image cannot be decoded: {type(error).__name__}: {error}")

    def _hand_over(self) -> None:
        with self._wake:
            result, self._decoded = self._decoded, None
        if isinstance(result, ImageError):
            self._refuse(result)
        elif result is not None:
            self._put(result)
