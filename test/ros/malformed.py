"""Messages that no sound driver sends, of every type that a node subscribes to. For `fuzz.py`."""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.random import Generator
from ros_fakes import NAMES
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import String

from vla_ros.ros.pixel_formats import FORMATS
from vla_ros.ros.sim_messages import camera_info_msg

_SIZES = (0, 1, 31, 33, 4097, 65_536, 2**31, 2**32 - 1)
_WORDS = ("", "rgb9", "RGB8", "rgb8 ", "jpeg", "\x01", "ü" * 40, "x" * 2000)
_NUMBERS = (np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0)
_HUGE_BYTES = 2_000_000
_PICTURE = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)


def pick(rng: Generator, choices: Sequence[Any]) -> Any:
    """One of `choices`, as it is: numpy would turn it into a type of its own."""
    return choices[int(rng.integers(len(choices)))]


def stamp(rng: Generator, now: Time) -> Time:
    """Most often now; else none, long ago, far ahead, or no time at all."""
    others = (Time(), Time(sec=1), Time(sec=2**31 - 1), Time(sec=-5), Time(nanosec=2**32 - 1))
    return now if rng.random() < 0.7 else pick(rng, others)


def image(rng: Generator, now: Time) -> Image:
    """A picture of 32 × 32 pixels with one to three claims that are not true."""
    msg = Image(height=32, width=32, encoding="rgb8", step=96, data=array("B", _PICTURE.tobytes()))
    msg.header.stamp = stamp(rng, now)
    lies: tuple[Callable[[], None], ...] = (
        lambda: setattr(msg, "encoding", pick(rng, (*FORMATS, *_WORDS))),
        lambda: setattr(msg, "height", pick(rng, _SIZES)),
        lambda: setattr(msg, "width", pick(rng, _SIZES)),
        lambda: setattr(msg, "step", pick(rng, _SIZES)),
        lambda: setattr(msg, "is_bigendian", pick(rng, (1, 2, 255))),
        lambda: setattr(msg, "data", data(rng)),
    )
    for _ in range(rng.integers(1, 4)):
        pick(rng, lies)()
    return msg


def data(rng: Generator) -> array:
    """Bytes: none, too few, too many, and now and then a great many."""
    count = pick(rng, (0, 1, 95, 3071, 3073, 10_000))
    return array("B", bytes(_HUGE_BYTES if rng.random() < 0.01 else count))


def compressed(rng: Generator, now: Time) -> CompressedImage:
    """A JPEG or PNG that is cut off, damaged, of another kind, or claims to be enormous."""
    form = pick(rng, (".jpg", ".png"))
    content = bytearray(cv2.imencode(form, _PICTURE)[1].tobytes())
    match rng.integers(5):
        case 0:
            del content[int(rng.integers(len(content))) :]
        case 1:
            for _ in range(20):
                content[rng.integers(len(content))] = rng.integers(256)
        case 2:
            content = bytearray(rng.bytes(int(rng.integers(2000))))
        case 3:
            content = bytearray(_bomb(pick(rng, _SIZES), pick(rng, _SIZES)))
    msg = CompressedImage(format=pick(rng, ("jpeg", "png", *_WORDS)), data=array("B", content))
    msg.header.stamp = stamp(rng, now)
    return msg


def _bomb(width: int, height: int) -> bytes:
    """A PNG whose head claims a size that its few bytes do not hold."""

    def part(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = part(b"IHDR", head) + part(b"IDAT", zlib.compress(bytes(100))) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def camera_info(rng: Generator, now: Time) -> CameraInfo:
    """A calibration with numbers, sizes or a model that cannot be used."""
    msg = camera_info_msg(32, 60.0, "side", 1.0)
    msg.header.stamp = stamp(rng, now)
    lies: tuple[Callable[[], None], ...] = (
        lambda: _spoil(rng, msg.k),
        lambda: _spoil(rng, msg.r),
        lambda: _spoil(rng, msg.p),
        lambda: setattr(msg, "d", array("d", [pick(rng, _NUMBERS)] * pick(rng, (0, 4, 5, 6, 500)))),
        lambda: setattr(msg, "height", pick(rng, _SIZES)),
        lambda: setattr(msg, "width", pick(rng, _SIZES)),
        lambda: setattr(msg, "distortion_model", pick(rng, ("equidistant", *_WORDS))),
    )
    for _ in range(rng.integers(1, 4)):
        pick(rng, lies)()
    return msg


def _spoil(rng: Generator, values: np.ndarray) -> None:
    """Put an odd number somewhere."""
    values[rng.integers(len(values))] = pick(rng, _NUMBERS)


def joint_state(rng: Generator, now: Time) -> JointState:
    """Joints missing, twice, with strange names; values missing, not finite, absurd."""
    names = list(NAMES)
    match rng.integers(5):
        case 0:
            names = []
        case 1:
            names.pop()
        case 2:
            names.append(pick(rng, names))
        case 3:
            names = [pick(rng, _WORDS) for _ in range(rng.integers(1, 300))]
    positions = [0.0] * int(pick(rng, (len(names), 0, 1, len(names) + 1)))
    if positions:
        positions[int(rng.integers(len(positions)))] = pick(rng, _NUMBERS[:5])
    msg = JointState(name=names, position=positions)
    msg.velocity = [pick(rng, _NUMBERS) for _ in range(pick(rng, (0, 1, len(names))))]
    msg.header.stamp = stamp(rng, now)
    return msg


def text(rng: Generator, now: Time) -> String:
    """Control characters, emptiness, and more words than anybody says."""
    texts = ("", " ", "\x07", "a\nb", "\x1b[2J", "\u202edrawer", "\U0001f600" * 9, "open " * 5000)
    return String(data=pick(rng, texts))
