"""How many cores a policy takes."""

from __future__ import annotations

import os

import pytest
import torch

from vla_ros.policy.threads import set_threads


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_what_is_asked_for_is_taken(threads):
    set_threads(3)
    assert torch.get_num_threads() == 3


def test_left_to_itself_it_leaves_a_core_to_control(threads):
    torch.set_num_threads(256)
    set_threads(0)
    assert torch.get_num_threads() == max(1, len(os.sched_getaffinity(0)) - 1)


def test_left_to_itself_it_takes_no_more_than_torch_would(threads):
    torch.set_num_threads(1)
    set_threads(0)
    assert torch.get_num_threads() == 1
