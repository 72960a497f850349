"""Malformed messages at full rate: the node lives, keeps its pace and commands nothing unsafe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from builtin_interfaces.msg import Time
from fuzz import Fuzz
from fuzz_sender import TARGETS
from rclpy.serialization import serialize_message
from robot_three import ROBOT_YAML, three_urdf


def test_the_node_withstands_malformed_messages_of_every_type(tmp_path: Path):
    fuzz = Fuzz(tmp_path, ROBOT_YAML, three_urdf(), seed=0)
    try:
        found = fuzz.run(2000)
    finally:
        fuzz.close()
    assert not found.problems, found.summary()
    assert sum(found.refused.values()) >= 2000, found.summary()


def test_every_topic_that_the_node_hears_is_fuzzed_and_each_message_is_another():
    for _topic, kind, make, _every in TARGETS:
        rng = np.random.default_rng(1)
        messages = [make(rng, Time(sec=5)) for _ in range(50)]
        assert {type(message) for message in messages} == {kind}
        assert len({serialize_message(message) for message in messages}) > 5
