"""A frozen or a black camera, told from a still scene."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.datatypes import Frame
from vla_ros.runtime.pictures import PictureWatch

SCENE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)


def frame(stamp_s, pixels=SCENE):
    return Frame(pixels=pixels.copy(), stamp_s=stamp_s)


def at(joint_rad):
    return np.array([0.0, joint_rad])


@pytest.fixture
def watch():
    return PictureWatch(frozen_after_rad=0.2)


def test_a_still_scene_before_an_arm_at_rest_is_never_frozen(watch):
    for index in range(1000):
        shown = frame(0.1 * index)
        assert watch.admit(shown, at(0.5)) is shown
    assert not watch.trouble


def test_the_same_picture_while_the_arm_moves_keeps_its_first_stamp_until_another_comes(watch):
    for index in range(10):
        watch.admit(frame(index), at(0.02 * index))
    assert not watch.trouble
    assert watch.admit(frame(10.0), at(0.2)).stamp_s == 0.0
    assert "frozen: the same picture to the bit while a joint moved by 0.20 rad" in watch.trouble
    assert watch.admit(frame(11.0), at(0.0)).stamp_s == 0.0, "it thaws when the arm goes back"
    other = SCENE.copy()
    other[7, 9, 1] ^= 1
    thawed = frame(12.0, other)
    assert watch.admit(thawed, at(0.0)) is thawed
    assert not watch.trouble


def test_one_changed_value_in_one_pixel_is_another_picture(watch):
    for index in range(50):
        pixels = SCENE.copy()
        pixels[3, 5, 2] = index
        shown = frame(float(index), pixels)
        assert watch.admit(shown, at(0.1 * index)) is shown


def test_before_the_first_joint_state_nothing_can_be_told(watch):
    for index in range(3):
        assert watch.admit(frame(index), None) is not None
    assert watch.admit(frame(3.0), at(1.0)).stamp_s == 3.0
    assert watch.admit(frame(4.0), at(1.3)).stamp_s == 0.0


def test_black_pictures_are_not_taken_and_a_dim_scene_is(watch):
    noise = np.random.default_rng(1).integers(0, 12, (40, 40, 3), np.uint8)
    assert watch.admit(frame(1.0, noise), at(0.0)) is None
    assert watch.trouble == "its newest pictures are black"
    dim = noise.copy()
    dim[5, 5] = 40  # one lamp, not on a pixel of the coarse look
    assert watch.admit(frame(2.0, dim), at(0.0)) is not None
    assert not watch.trouble


def test_another_size_is_another_picture(watch):
    watch.admit(frame(1.0), at(0.0))
    assert watch.admit(frame(2.0, SCENE[:20]), at(0.5)).stamp_s == 2.0
