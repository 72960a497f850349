"""From a camera's messages to frames, as the robot file says: transport, and rectified or not."""

from __future__ import annotations

from typing import Any

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vla_ros.datatypes import Frame
from vla_ros.robot_config import CameraConfig
from vla_ros.ros.compressed_images import check_compressed, frame_from_compressed
from vla_ros.ros.image_messages import frame_from_msg
from vla_ros.ros.rectify import Rectifier


class CameraDecoder:
    """Decodes the messages of one camera.

    Attributes:
        kind: Type of the messages.
        is_slow: Decoding takes milliseconds: do it beside the tick.
    """

    def __init__(self, camera: CameraConfig) -> None:
        self.kind: Any = CompressedImage if camera.transport == "compressed" else Image
        self.is_slow = camera.transport == "compressed" or camera.rectify
        self._rectifier = Rectifier() if camera.rectify else None

    def set_info(self, info: CameraInfo) -> None:
        """Take the calibration.

        Raises:
            ImageError: It cannot be used.
        """
        if self._rectifier is not None:
            self._rectifier.set_info(info)

    def check(self, msg: Any) -> None:
        """Look at what a message claims, in microseconds.

        Raises:
            ImageError: It cannot be decoded.
        """
        if self.kind is CompressedImage:
            check_compressed(msg)

    def frame(self, msg: Any) -> Frame:
        """The picture of a message.

        Raises:
            ImageError: It cannot be decoded, or not rectified.
        """
        compressed = self.kind is CompressedImage
        frame = frame_from_compressed(msg) if compressed else frame_from_msg(msg)
        return frame if self._rectifier is None else self._rectifier.rectified(frame)
