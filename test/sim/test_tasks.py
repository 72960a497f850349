"""Words and layouts: what is asked for, what is set aside, and that a scene allows it."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.errors import SceneError
from vla_ros.sim.layout import draw_layout
from vla_ros.sim.tasks import (
    COLORS,
    HELDOUT_PAIRS,
    HELDOUT_TEMPLATES,
    TASKS,
    TEMPLATES,
    Request,
    write_instruction,
)

BLOCK_TASKS = TASKS[:3]


@pytest.mark.parametrize("task", BLOCK_TASKS)
def test_heldout_pairs_are_never_drawn_for_training(task: str) -> None:
    seen, heldout = set(), set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        seen.add((task, draw_layout(rng, task, "seen").request.color))
        heldout.add((task, draw_layout(rng, task, "heldout").request.color))
    assert not seen & HELDOUT_PAIRS
    assert heldout <= HELDOUT_PAIRS
    assert len(seen) == len(COLORS) - len(heldout)


def test_wordings_set_aside_are_not_among_those_of_training() -> None:
    for task in TASKS:
        assert not set(TEMPLATES[task]) & set(HELDOUT_TEMPLATES[task])


@pytest.mark.parametrize("task", TASKS)
def test_every_template_names_what_the_task_needs(task: str) -> None:
    request = Request(task=task, color="red", direction="left", place="tray")
    needed = {
        "pick_object": ["red"],
        "place_object": ["red", "tray"],
        "push_object": ["red", "left"],
    }
    for template in TEMPLATES[task] + HELDOUT_TEMPLATES[task]:
        text = write_instruction(request, template)
        for word in needed.get(task, ["drawer"]):
            assert word in text


def test_unknown_placeholder_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(SceneError, match=r"'colour'.*valid names: \{color\}"):
        write_instruction(Request(task="pick_object", color="red"), "take the {colour} block")


@pytest.mark.parametrize("task", TASKS)
def test_blocks_never_touch_at_the_start(task: str) -> None:
    for seed in range(40):
        layout = draw_layout(np.random.default_rng(seed), task, "all")
        gaps = np.linalg.norm(layout.block_xy_m[:, None] - layout.block_xy_m[None], axis=-1)
        widest = 2 * np.sqrt(2) * layout.block_half_m.max()
        assert gaps[~np.eye(3, dtype=bool)].min() > widest
        assert len(set(layout.colors)) == 3


def test_drawer_starts_where_its_task_can_be_done() -> None:
    for seed in range(40):
        assert draw_layout(np.random.default_rng(seed), "open_drawer", "all").drawer_m < 0.02
        assert draw_layout(np.random.default_rng(seed), "close_drawer", "all").drawer_m > 0.06
