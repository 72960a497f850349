"""`~/debug/image`: what the policy sees, for those who listen, and never at the tick's cost."""

from __future__ import annotations

import threading

import numpy as np
from ros_bench import ACTIVATE, CONFIGURE, Bench
from ros_fakes import FakePolicy, sway
from sensor_msgs.msg import Image

from vla_ros.datatypes import Frame
from vla_ros.image import resize
from vla_ros.policy_protocol import CameraSpec
from vla_ros.ros.debug_picture import debug_picture
from vla_ros.ros.image_messages import frame_from_msg

FRONT = CameraSpec(name="front", height_px=32, width_px=32, resize="letterbox")


def listen(bench: Bench) -> list[Image]:
    heard: list[Image] = []
    bench.client.create_subscription(Image, "/vla_node/debug/image", heard.append, 10)
    return heard


def redness(pixels: np.ndarray) -> float:
    return float(pixels[..., 0].astype(int).sum() - pixels[..., 1].astype(int).sum())


class Looks(FakePolicy):
    """Looks at the upper right of its picture, when it may."""

    def __init__(self) -> None:
        super().__init__(sway)
        self.asked, self.may_look = threading.Event(), threading.Event()
        self.may_look.set()

    def attention(self, observation):
        self.asked.set()
        self.may_look.wait(60)
        return {"front": np.array([[0.0, 1.0], [0.0, 0.0]])}


def test_the_picture_is_the_models_and_red_where_it_looks():
    rng = np.random.default_rng(0)
    frame = Frame(pixels=rng.integers(0, 256, (48, 96, 3), dtype=np.uint8), stamp_s=1.0)
    plain = debug_picture([FRONT], {"front": frame}, {}, ["words"])
    model_view = resize(frame.pixels, 32, 32, "letterbox")
    # Below the name of the camera every pixel of the model is one square of ten.
    np.testing.assert_array_equal(plain[45:320:10, 5::10], model_view[4:])
    shares = np.zeros((4, 4))
    shares[2, 3] = 1.0
    tinted = debug_picture([FRONT], {"front": frame}, {"front": shares}, ["words"])
    changed = np.argwhere((plain != tinted).any(axis=2))
    assert changed.min(axis=0)[0] > 80, "above the cell nothing is tinted"
    assert changed.min(axis=0)[1] > 160, "left of it neither"
    assert redness(tinted[200, 280:]) > redness(plain[200, 280:]) + 1000
    assert (debug_picture([FRONT], {}, {}, ["words"])[200] == 90).all()


def test_nothing_is_drawn_until_somebody_listens(bench: Bench):
    policy = Looks()
    bench.start(load=lambda parameters: policy)
    bench.run()
    bench.ticks(120)
    assert not policy.asked.is_set()
    heard = listen(bench)
    bench.until(lambda: len(heard) >= 4, "debug images")
    assert policy.asked.is_set()
    stamps = [frame_from_msg(msg).stamp_s for msg in heard]
    assert np.diff(stamps).min() > 0.4, "at most twice a second"
    assert (heard[0].width, heard[0].encoding) == (320, "rgb8")
    pixels = frame_from_msg(heard[-1]).pixels
    assert redness(pixels[60:150, 170:]) > redness(pixels[170:260, 170:]) + 1e5


def test_a_slow_look_delays_no_tick(bench: Bench):
    policy = Looks()
    policy.may_look.clear()
    bench.start(load=lambda parameters: policy)
    bench.run()
    heard = listen(bench)
    bench.until(policy.asked.is_set, "the policy to be asked")
    bench.ticks(60)
    assert bench.client.status() == "running"
    assert not heard
    policy.may_look.set()
    bench.until(lambda: heard, "the picture")


def test_a_policy_that_cannot_tell_is_drawn_without(bench: Bench):
    bench.start()
    bench.run()
    heard = listen(bench)
    bench.until(lambda: heard, "a debug image")
    pixels = frame_from_msg(heard[-1]).pixels
    sent = bench.node.session.loop.frames["front"].pixels
    np.testing.assert_array_equal(pixels[45:320:10, 5::10], sent[4:])


def test_it_is_there_before_any_instruction_and_goes_with_the_session(bench: Bench):
    bench.start()
    assert bench.change(CONFIGURE, ACTIVATE)
    heard = listen(bench)
    bench.until(lambda: heard, "a debug image")
    assert (frame_from_msg(heard[-1]).pixels[200] == 90).all(), "no picture has come yet"
