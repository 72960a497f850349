"""Image messages to frames: every encoding to its exact pixels; what is refused, and the words."""

from __future__ import annotations

import sys
from array import array
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import Image

from vla_ros.datatypes import Frame
from vla_ros.errors import ImageError
from vla_ros.ros.image_messages import frame_from_msg, image_from_frame
from vla_ros.ros.pixel_formats import FORMATS

_ORDER = {
    "rgb": [0, 1, 2],
    "bgr": [2, 1, 0],
    "rgba": [0, 1, 2, 3],
    "bgra": [2, 1, 0, 3],
    "mono": [0],
}
# Colour of the first two pixels of the first two rows.
_BAYER = {"rggb": [[0, 1], [1, 2]], "bggr": [[2, 1], [1, 0]]}
_BAYER |= {"gbrg": [[1, 2], [0, 1]], "grbg": [[1, 0], [2, 1]]}


def picture(height: int = 5, width: int = 7) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 4), np.uint8)


def message(encoding: str, rows: np.ndarray, width: int, height: int, padding: int = 0) -> Image:
    """A message of `rows` (R, bytes), each with `padding` bytes of dirt behind."""
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    msg = Image(height=height, width=width, encoding=encoding, step=padded.shape[1])
    msg.header.stamp.sec = 3
    msg.data = array("B", padded.tobytes())
    return msg


def image_msg(encoding: str = "rgb8", padding: int = 0) -> tuple[Image, np.ndarray]:
    """A message of plain colours or grey, and the RGB picture that is in it."""
    name, bits = encoding.rstrip("0123456789"), int(encoding.lstrip("abcdefghijklmnopqrstuvwxyz"))
    pixels = picture()
    raw = pixels[..., _ORDER[name]]
    rgb = np.repeat(raw, 3, axis=2) if name == "mono" else pixels[..., :3]
    if bits == 16:  # not a round number of 257ths, so that rounding is seen
        raw = (raw.astype(np.uint32) * 257 + 100).clip(max=65535).astype("<u2")
    height, width = raw.shape[:2]
    rows = np.ascontiguousarray(raw).view(np.uint8).reshape(height, -1)
    return message(encoding, rows, width, height, padding), rgb


@pytest.mark.parametrize("padding", [0, 1, 13])
@pytest.mark.parametrize("encoding", [f"{name}{bits}" for name in _ORDER for bits in (8, 16)])
def test_every_encoding_gives_the_same_picture_whatever_the_step(encoding, padding):
    msg, rgb = image_msg(encoding, padding)
    frame = frame_from_msg(msg)
    assert frame.pixels.dtype == np.uint8
    assert frame.pixels.flags.c_contiguous
    np.testing.assert_array_equal(frame.pixels, rgb)
    assert frame.stamp_s == 3.0


def test_16_bits_are_read_in_the_order_of_bytes_that_the_message_says():
    msg, rgb = image_msg("mono16")
    msg.data = array("B", np.frombuffer(msg.data, "<u2").astype(">u2").tobytes())
    msg.is_bigendian = 1
    np.testing.assert_array_equal(frame_from_msg(msg).pixels, rgb)


def mosaic(rgb: np.ndarray, pattern: str) -> np.ndarray:
    """What a sensor with that colour filter sees of a picture."""
    height, width = rgb.shape[:2]
    down, right = np.indices((height, width)) % 2
    return np.take_along_axis(rgb, np.array(_BAYER[pattern])[down, right][..., None], 2)[..., 0]


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (3, 3), (7, 4)])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", list(_BAYER))
def test_a_mosaic_of_one_colour_gives_that_colour_everywhere(pattern, bits, size):
    rgb = np.empty((*size, 3), np.uint8)
    rgb[:] = (200, 90, 30)
    raw = mosaic(rgb.astype("<u2") * 257 if bits == 16 else rgb, pattern)
    rows = np.ascontiguousarray(raw).view(np.uint8)
    msg = message(f"bayer_{pattern}{bits}", rows, size[1], size[0], padding=3)
    np.testing.assert_array_equal(frame_from_msg(msg).pixels, rgb)


@pytest.mark.parametrize("pattern", list(_BAYER))
def test_a_mosaic_keeps_the_measured_numbers_and_averages_their_neighbours(pattern):
    rgb = picture(9, 11)[..., :3]
    raw = mosaic(rgb, pattern)
    pixels = frame_from_msg(message(f"bayer_{pattern}8", raw, 11, 9)).pixels.astype(int)
    for down in range(2, 7):
        for right in range(2, 9):
            own = _BAYER[pattern][down % 2][right % 2]
            assert pixels[down, right, own] == raw[down, right]
            near = raw[down - 1 : down + 2, right - 1 : right + 2].astype(int)
            if own == 1:  # green: red and blue are measured left and right, above and below
                beside = _BAYER[pattern][down % 2][(right + 1) % 2]
                assert abs(pixels[down, right, beside] - (near[1, 0] + near[1, 2]) / 2) <= 0.5
            else:
                cross = (near[0, 1] + near[2, 1] + near[1, 0] + near[1, 2]) / 4
                corners = (near[0, 0] + near[0, 2] + near[2, 0] + near[2, 2]) / 4
                assert abs(pixels[down, right, 1] - cross) <= 0.5
                assert abs(pixels[down, right, 2 - own] - corners) <= 0.5


def rgb_of(y, u, v) -> np.ndarray:
    """ITU-R BT.601, limited range, shape (..., 3)."""
    y, u, v = (np.asarray(x, float) for x in (y, u, v))
    light, blue, red = 255 / 219 * (y - 16), (u - 128) * 255 / 224, (v - 128) * 255 / 224
    rgb = [
        light + 1.402 * red,
        light - 0.344136 * blue - 0.714136 * red,
        light + 1.772 * blue,
    ]
    return np.clip(np.stack(rgb, -1), 0, 255)


def yuv(height: int, width: int, share: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Brightness (H, W), and both colours, of which `share` pixels have one."""
    rng = np.random.default_rng(1)
    colours = (height // share[0], width // share[1])
    light = rng.integers(16, 236, (height, width), np.uint8)
    return light, *(rng.integers(90, 170, colours, np.uint8) for _ in "uv")


def spread(colour: np.ndarray, share: tuple[int, int]) -> np.ndarray:
    return colour.repeat(share[0], 0).repeat(share[1], 1)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "order"),
    [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")],
)
def test_interleaved_yuv_gives_each_pixel_its_colour(encoding, order, padding):
    y, u, v = yuv(5, 8, (1, 2))
    bytes_of = {"u": [u], "v": [v], "y": [y[:, ::2], y[:, 1::2]]}
    rows = np.stack([bytes_of[letter].pop(0) for letter in order], -1).reshape(5, -1)
    pixels = frame_from_msg(message(encoding, rows, 8, 5, padding)).pixels
    expected = rgb_of(y, spread(u, (1, 2)), spread(v, (1, 2)))
    assert np.abs(pixels - expected).max() < 1.5


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(("encoding", "order"), [("nv12", "uv"), ("nv21", "vu")])
def test_planar_yuv_gives_each_pixel_its_colour(encoding, order, padding):
    y, u, v = yuv(6, 8, (2, 2))
    planes = {"u": u, "v": v}
    colours = np.stack([planes[letter] for letter in order], -1).reshape(3, 8)
    msg = message(encoding, np.vstack([y, colours]), 8, 6, padding)
    expected = rgb_of(y, spread(u, (2, 2)), spread(v, (2, 2)))
    assert np.abs(frame_from_msg(msg).pixels - expected).max() < 1.5


def test_black_and_white_of_yuv_are_exact():
    rows = np.array([[128, 16, 128, 235]], np.uint8)
    pixels = frame_from_msg(message("uyvy", rows, 2, 1)).pixels
    assert pixels.tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_an_image_survives_the_round_trip():
    frame = Frame(pixels=picture()[..., :3].copy(), stamp_s=12.345678901)
    msg = image_from_frame(frame, "front_optical")
    assert msg.header.frame_id == "front_optical"
    back = frame_from_msg(msg)
    np.testing.assert_array_equal(back.pixels, frame.pixels)
    assert back.stamp_s == pytest.approx(frame.stamp_s, abs=1e-9)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"encoding": "16SC1"}, "'16SC1' is unknown; valid: rgb8, bgr8, .*cv_bridge"),
        ({"encoding": "", "data": array("B")}, "is empty"),
        ({"width": 0}, "is empty"),
        ({"step": 20}, "step is 20, but a row of 7 pixels of rgb8 takes 21"),
        ({"step": 22}, "105 bytes, but step 22 x height 5 is 110"),
        ({"height": 6}, "105 bytes, but step 21 x height 6"),
        ({"is_bigendian": 1}, "big-endian"),
        ({"encoding": "yuv422"}, "'yuv422' is 7 x 5; its width must be even"),
        ({"encoding": "nv12"}, "'nv12' is 7 x 5; its width and height must be even"),
        ({"encoding": "nv12", "width": 6, "height": 4}, "step 21 x 6 rows is 126"),
        ({"encoding": "bayer_rggb8", "width": 2}, "is 2 x 5; valid: from 3 on"),
        ({"encoding": "rgb16"}, "step is 21, but a row of 7 pixels of rgb16 takes 42"),
    ],
)
@pytest.mark.fault(17)
def test_an_image_that_lies_is_refused(fields, reason):
    msg, _ = image_msg()
    for name, value in fields.items():
        setattr(msg, name, value)
    with pytest.raises(ImageError, match=reason):
        frame_from_msg(msg)


@pytest.mark.fault(18)
def test_an_enormous_image_is_refused_by_its_claim_alone():
    msg, _ = image_msg()
    msg.width = msg.height = 2**31
    with pytest.raises(ImageError, match="2147483648 x 2147483648 pixels is too large"):
        frame_from_msg(msg)


def test_an_image_without_stamp_is_refused():
    image, _ = image_msg()
    image.header.stamp.sec = 0
    with pytest.raises(ImageError, match="no stamp"):
        frame_from_msg(image)


@given(
    encoding=st.sampled_from(list(FORMATS)),
    size=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    step=st.integers(0, 80),
    length=st.integers(0, 400),
    big_endian=st.integers(0, 255),
)
@pytest.mark.fault(17)
def test_whatever_a_message_claims_it_is_a_picture_of_that_size_or_refused(
    encoding, size, step, length, big_endian
):
    msg = Image(width=size[0], height=size[1], encoding=encoding, step=step)
    msg.is_bigendian = big_endian
    msg.header.stamp.sec = 1
    msg.data = array("B", bytes(length))
    try:
        frame = frame_from_msg(msg)
    except ImageError:
        return
    assert frame.pixels.shape == (size[1], size[0], 3)


class Bridge:
    """The distro's cv_bridge, which cannot be installed here: it gives what the test wants."""

    answer: object = None

    def imgmsg_to_cv2(self, msg: Image, encoding: str) -> object:
        assert encoding == "rgb8"
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def cv_bridge(monkeypatch: pytest.MonkeyPatch, tmp_path) -> type[Bridge]:
    """A cv_bridge that the ament index knows."""
    index = tmp_path / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True)
    (index / "cv_bridge").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    module = ModuleType("cv_bridge")
    module.CvBridge = Bridge
    monkeypatch.setitem(sys.modules, "cv_bridge", module)
    return Bridge


def odd_msg() -> Image:
    return message("nv24", np.zeros((2, 6), np.uint8), 2, 2)


def test_an_encoding_we_lack_goes_through_the_cv_bridge_of_the_distro(cv_bridge):
    cv_bridge.answer = picture(2, 2)[..., :3]
    np.testing.assert_array_equal(frame_from_msg(odd_msg()).pixels, cv_bridge.answer)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ValueError("no such conversion"), "cv_bridge says: no such conversion"),
        (np.zeros((2, 2)), r"cv_bridge made float64 \(2, 2\) of it"),
    ],
)
def test_what_cv_bridge_cannot_do_is_refused(cv_bridge, answer, reason):
    cv_bridge.answer = answer
    with pytest.raises(ImageError, match=reason):
        frame_from_msg(odd_msg())


def test_a_cv_bridge_that_is_no_ros_package_is_not_used(cv_bridge, monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", sys.prefix)
    cv_bridge.answer = picture(2, 2)[..., :3]
    with pytest.raises(ImageError, match=r"unknown; .*apt install ros-\$ROS_DISTRO-cv-bridge"):
        frame_from_msg(odd_msg())
