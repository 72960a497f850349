"""Messages to values and back: what is honoured, and what is refused with which words."""

from __future__ import annotations

from array import array
from itertools import permutations

import numpy as np
import pytest
from sensor_msgs.msg import Image, JointState

from vla_ros.datatypes import Command, Frame
from vla_ros.errors import ImageError, StateError
from vla_ros.robot_config import RobotConfig
from vla_ros.ros import convert

_ALL = ("wheel", "finger", "wrist", "elbow", "shoulder")
_ORDER = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "rgba8": [0, 1, 2, 3], "bgra8": [2, 1, 0, 3]}


def picture(height: int = 5, width: int = 7) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 4), np.uint8)


def image_msg(encoding: str = "rgb8", padding: int = 0) -> tuple[Image, np.ndarray]:
    """A message, and the RGB picture that is in it."""
    pixels = picture()
    if encoding == "mono8":
        raw, rgb = pixels[..., :1], np.repeat(pixels[..., :1], 3, axis=2)
    else:
        raw, rgb = pixels[..., _ORDER[encoding]], pixels[..., :3]
    height, width, channels = raw.shape
    rows = np.full((height, width * channels + padding), 99, np.uint8)
    rows[:, : width * channels] = raw.reshape(height, -1)
    msg = Image(height=height, width=width, encoding=encoding, step=rows.shape[1])
    msg.header.stamp.sec = 3
    msg.data = array("B", rows.tobytes())
    return msg, rgb


def state_msg(names=("shoulder", "elbow", "wrist", "finger"), **fields) -> JointState:
    values = {"shoulder": 0.1, "elbow": -0.2, "wrist": 0.3, "finger": 0.01, "wheel": 9.0}
    fields.setdefault("position", [values[name] for name in names])
    fields.setdefault("velocity", [10 * values[name] for name in names])
    msg = JointState(name=list(names), **fields)
    msg.header.stamp.sec = 5
    msg.header.stamp.nanosec = 250_000_000
    return msg


@pytest.mark.parametrize("padding", [0, 1, 13])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8"])
def test_every_encoding_gives_the_same_picture_whatever_the_step(encoding, padding):
    msg, rgb = image_msg(encoding, padding)
    frame = convert.frame_from_msg(msg)
    assert frame.pixels.dtype == np.uint8
    assert frame.pixels.flags.c_contiguous
    np.testing.assert_array_equal(frame.pixels, rgb)
    assert frame.stamp_s == 3.0


def test_an_image_survives_the_round_trip():
    frame = Frame(pixels=picture()[..., :3].copy(), stamp_s=12.345678901)
    msg = convert.image_from_frame(frame, "front_optical")
    assert msg.header.frame_id == "front_optical"
    back = convert.frame_from_msg(msg)
    np.testing.assert_array_equal(back.pixels, frame.pixels)
    assert back.stamp_s == pytest.approx(frame.stamp_s, abs=1e-9)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"encoding": "yuv422"}, "'yuv422' is unknown; valid: rgb8, bgr8, rgba8, bgra8, mono8"),
        ({"encoding": "", "data": array("B")}, "is empty"),
        ({"width": 0}, "is empty"),
        ({"step": 20}, "step is 20, but a row of 7 pixels of rgb8 takes 21"),
        ({"step": 22}, "105 bytes, but step 22 x height 5 is 110"),
        ({"height": 6}, "105 bytes, but step 21 x height 6"),
        ({"is_bigendian": 1}, "big-endian"),
    ],
)
def test_an_image_that_lies_is_refused(fields, reason):
    msg, _ = image_msg()
    for name, value in fields.items():
        setattr(msg, name, value)
    with pytest.raises(ImageError, match=reason):
        convert.frame_from_msg(msg)


def test_an_enormous_image_is_refused_by_its_claim_alone():
    msg, _ = image_msg()
    msg.width = msg.height = 2**31
    with pytest.raises(ImageError, match="2147483648 x 2147483648 pixels is too large"):
        convert.frame_from_msg(msg)


def test_a_message_without_stamp_is_refused(robot: RobotConfig):
    image, _ = image_msg()
    image.header.stamp.sec = 0
    state = state_msg()
    state.header.stamp.sec = state.header.stamp.nanosec = 0
    with pytest.raises(ImageError, match="no stamp"):
        convert.frame_from_msg(image)
    with pytest.raises(StateError, match="no stamp"):
        convert.state_from_msg(state, robot)


@pytest.mark.parametrize("names", list(permutations(_ALL)))
def test_joint_order_and_extra_joints_never_matter(robot: RobotConfig, names):
    state = convert.state_from_msg(state_msg(names), robot)
    assert state.position_rad.tolist() == [0.1, -0.2, 0.3]
    assert state.velocity_rad_s.tolist() == [1.0, -2.0, 3.0]
    assert state.gripper_open == 0.25
    assert state.stamp_s == 5.25


@pytest.mark.parametrize(
    ("names", "fields", "reason"),
    [
        (("shoulder", "wrist", "finger"), {}, "'elbow' is not in the .*; it has: shoulder, wrist"),
        (("shoulder", "elbow", "wrist"), {}, "'finger' is not in the joint state"),
        (("elbow", "shoulder", "elbow", "wrist", "finger"), {}, "'elbow' stands 2 times"),
        (("finger", "shoulder", "elbow", "wrist"), {"position": [0.0, 0.1]}, "'elbow' has no posi"),
        (("finger", "shoulder", "elbow", "wrist"), {"position": [0, 1, 2, np.nan]}, "'wrist' is n"),
        (("finger", "shoulder", "elbow", "wrist"), {"position": [0, np.inf, 2, 3]}, "r' is inf"),
        ((), {}, "'shoulder' is not in"),
    ],
)
def test_a_state_without_every_joint_is_refused(robot: RobotConfig, names, fields, reason):
    fields = {name: [float(value) for value in values] for name, values in fields.items()}
    with pytest.raises(StateError, match=reason):
        convert.state_from_msg(state_msg(names, **fields), robot)


@pytest.mark.parametrize("velocity", [[], [1.0], [float("nan")] * 4])
def test_velocities_that_no_one_reports_are_zero(robot: RobotConfig, velocity):
    state = convert.state_from_msg(state_msg(velocity=velocity), robot)
    assert state.velocity_rad_s.tolist() == [0.0, 0.0, 0.0]


def test_a_command_becomes_one_point_from_now(robot: RobotConfig):
    command = Command(
        position_rad=np.array([0.1, 0.2, 0.3]),
        velocity_rad_s=np.array([1.0, 0.0, -1.0]),
        gripper_open=0.5,
        stamp_s=7.0,
    )
    arm = convert.trajectory_from_commands([command], robot)
    (point,) = arm.points
    assert arm.header.stamp.sec == arm.header.stamp.nanosec == 0
    assert arm.joint_names == ["shoulder", "elbow", "wrist"]
    assert point.positions.tolist() == [0.1, 0.2, 0.3]
    assert point.velocities.tolist() == [1.0, 0.0, -1.0]
    assert (point.time_from_start.sec, point.time_from_start.nanosec) == (0, 20_000_000)
    gripper = convert.gripper_trajectory(command.gripper_open, robot)
    assert gripper.joint_names == ["finger"]
    assert gripper.points[0].positions.tolist() == [0.02]
    hold = convert.trajectory_from_commands([convert.hold_of(command)], robot)
    assert hold.points[0].velocities.tolist() == [0.0, 0.0, 0.0]
    assert hold.points[0].positions.tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("time_s", [0.0, 0.1, 1_700_000_000.123456, 2.9999999999])
def test_stamps_keep_the_time_to_a_microsecond(time_s):
    stamp = convert.stamp_from_seconds(time_s)
    assert 0 <= stamp.nanosec < 1_000_000_000
    assert convert.seconds_from_stamp(stamp) == pytest.approx(time_s, abs=1e-6)
