"""The node with the cameras people have: compressed, rectified, Bayer; and with broken ones."""

from __future__ import annotations

import threading
from array import array
from pathlib import Path

import cv2
import numpy as np
import pytest
from ros_bench import ACTIVATE, CONFIGURE, DEACTIVATE, Bench
from ros_fakes import sway
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vla_ros.datatypes import Frame, Observation
from vla_ros.ros.compressed_images import compressed_from_frame

COMPRESSED = "/front/image_raw/compressed"
PIXELS = np.full((32, 48, 3), (200, 90, 30), np.uint8)


class Camera:
    """Publishes pictures of a colour, as often as the client plays."""

    def __init__(self, bench: Bench, kind: type, topic: str, make) -> None:
        self.broken = False
        self._publisher = bench.client.create_publisher(kind, topic, 1)
        self._clock = bench.client.get_clock()
        self._make = make
        bench.client.create_timer(0.02, self._on_time)

    def _on_time(self) -> None:
        stamp = self._clock.now().to_msg()
        msg = self._make(stamp)
        msg.header.stamp = stamp
        if self.broken:
            msg.data = msg.data[: len(msg.data) // 2]
        self._publisher.publish(msg)


class Eyes:
    """A policy that keeps the pictures it was shown."""

    def __init__(self) -> None:
        self.seen: list[Frame] = []

    def __call__(self, observation: Observation) -> np.ndarray:
        self.seen.append(observation.frames["front"])
        return sway(observation)


def jpeg(stamp) -> CompressedImage:
    return compressed_from_frame(Frame(pixels=PIXELS, stamp_s=0.0), "front")


def bayer(stamp) -> Image:
    raw = np.empty((32, 48), np.uint8)
    raw[::2, ::2], raw[1::2, 1::2] = 200, 30
    raw[::2, 1::2] = raw[1::2, ::2] = 90
    return Image(
        height=32, width=48, step=48, encoding="bayer_rggb8", data=array("B", raw.tobytes())
    )


@pytest.fixture
def with_camera(robot_file: Path):
    """Give the robot file another camera, whose picture may stay while the arm moves."""

    def change(camera: str) -> None:
        text = robot_file.read_text()
        plain = "{topic: /front/image_raw, max_age_s: 0.5}"
        assert plain in text
        still = camera.removesuffix("}") + ", frozen_after_rad: 100}"
        robot_file.write_text(text.replace(plain, still))

    return change


def connected(bench: Bench) -> bool:
    publishers = bench.client.states, bench.client.texts
    return all(publisher.get_subscription_count() for publisher in publishers)


def run_until_seen(bench: Bench, eyes: Eyes) -> np.ndarray:
    bench.start(eyes)
    bench.change(CONFIGURE, ACTIVATE)
    bench.client.play()
    bench.until(lambda: connected(bench), "discovery")
    bench.client.say("sway")
    bench.until_status("running")
    bench.until(lambda: len(eyes.seen) > 1, "two observations")
    return eyes.seen[-1].pixels.astype(int)


def until_refused(bench: Bench, topic: str, reason: str) -> None:
    bench.until(lambda: reason in bench.node.session.inputs.counts[topic].last_reason, reason)


def test_compressed_pictures_reach_the_policy_and_broken_ones_are_dropped(bench, with_camera):
    with_camera(f"{{topic: {COMPRESSED}, transport: compressed, max_age_s: 0.5}}")
    camera, eyes = Camera(bench, CompressedImage, COMPRESSED, jpeg), Eyes()
    seen = run_until_seen(bench, eyes)
    assert np.abs(seen - PIXELS).max() <= 6
    camera.broken = True
    bench.until_status("hold_stale_camera")
    until_refused(bench, COMPRESSED, "JPEG is cut short")
    camera.broken = False
    bench.until_status("running")
    assert bench.change(DEACTIVATE)


def test_bayer_pictures_reach_the_policy_in_colour(bench, robot_file):
    eyes = Eyes()
    text = robot_file.read_text()
    robot_file.write_text(text.replace("/front/image_raw", "/front/bayer"))
    Camera(bench, Image, "/front/bayer", bayer)
    np.testing.assert_array_equal(run_until_seen(bench, eyes), PIXELS)


def calibration(stamp=None, width: int = 48) -> CameraInfo:
    info = CameraInfo(width=width, height=32, distortion_model="plumb_bob", d=[-0.5, 0.0, 0, 0, 0])
    info.k = [40.0, 0.0, 23.5, 0.0, 40.0, 15.5, 0.0, 0.0, 1.0]
    info.p = [40.0, 0.0, 23.5, 0.0, 0.0, 40.0, 15.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def cross(stamp) -> Image:
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[2, :] = pixels[:, 4] = 255
    return Image(height=32, width=48, step=144, encoding="rgb8", data=array("B", pixels.tobytes()))


def test_pictures_wait_for_the_calibration_and_are_rectified_by_it(bench, with_camera):
    with_camera("{topic: /lens, max_age_s: 0.5, rectify: true, camera_info: /lens/camera_info}")
    Camera(bench, Image, "/lens", cross)
    publisher, eyes = bench.client.create_publisher(CameraInfo, "/lens/camera_info", 1), Eyes()
    bench.start(eyes)
    assert bench.change(CONFIGURE, ACTIVATE)
    bench.client.play()
    bench.client.create_timer(0.05, lambda: publisher.publish(calibration()) if told else None)
    told = False
    until_refused(bench, "/lens", "no usable camera_info has arrived yet")
    bench.until_status("waiting_for_camera")
    told = True
    bench.until(lambda: connected(bench), "discovery")
    bench.client.say("sway")
    bench.until(lambda: eyes.seen, "a picture")
    k, d = np.reshape(calibration().k, (3, 3)), np.array(calibration().d)
    wanted = cv2.undistort(np.frombuffer(cross(None).data, np.uint8).reshape(32, 48, 3), k, d)
    assert np.abs(eyes.seen[-1].pixels.astype(int) - wanted).max() <= 8
    assert np.abs(wanted.astype(int) - eyes.seen[-1].pixels.astype(int)[::-1]).max() > 100


@pytest.mark.parametrize("stopped", ["configured", "active"])
def test_a_node_with_a_decoding_thread_ends_it(bench, with_camera, stopped):
    with_camera(f"{{topic: {COMPRESSED}, transport: compressed, max_age_s: 0.5}}")
    bench.start()
    before = set(threading.enumerate())
    assert bench.change(CONFIGURE)
    decoding = [thread for thread in set(threading.enumerate()) - before if "decode" in thread.name]
    assert len(decoding) == 1
    if stopped == "active":
        Camera(bench, CompressedImage, COMPRESSED, jpeg)
        assert bench.change(ACTIVATE)
        bench.until(lambda: bench.taken(COMPRESSED) > 2, "pictures")
        assert bench.change(DEACTIVATE)
    bench.node.session.close()
    assert not decoding[0].is_alive()
